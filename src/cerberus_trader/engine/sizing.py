"""Position sizing: one function, the minimum of named notional bounds.

Loss per unit of notional at the stop: u = stop + 2 taker fees + slippage; without a stop the whole
margin may go: u = 1 / leverage where that is more. With equity share E:

    risk        E f / u              volatility  E target / sigma (daily)
    kelly       E lambda f* / u      balance     margin fraction x E x leverage
    confidence  E f confidence / u   margin      free margin x (1 - reserve) x leverage

and the room that the limits over everything leave. f* = (p b - (1 - p)) / b, p the LOWER bound
of the success rate. Anything missing gives a bound of 0.
"""

from decimal import Decimal

import msgspec

from cerberus_trader.domain.decision import SizingRecord
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.money import ONE, ZERO, brief, from_belief
from cerberus_trader.domain.settings import Sizing, Strategy

BOUNDS = (
    "asked",
    "risk",
    "volatility",
    "kelly",
    "balance",
    "confidence",
    "margin",
    "position",
    "group",
    "gross",
    "group_risk",
    "strategy",
    "order",
    "volume",
)

# What a strategy type risks of the configured fraction (E-3.3.3): mean reversion adds to losers
# in spirit, events gap, arbitrage is hedged.
KIND_SHARE = {
    "directional": ONE,
    "momentum": ONE,
    "mean_reversion": Decimal("0.75"),
    "arbitrage": ONE,
    "event": Decimal("0.5"),
}


class Room(msgspec.Struct, frozen=True, gc=False):
    """Hold what the limits leave, as notional in account currency (None: no limit)."""

    position: Decimal | None
    group: Decimal | None
    gross: Decimal | None
    group_risk: Decimal | None
    strategy: Decimal | None
    order: Decimal | None
    free_margin: Decimal


class Ask(msgspec.Struct, frozen=True, gc=False):
    """Hold what sizing needs to know of a signal; sigma is daily, -1 unknown.

    `far_unit` is what a unit of notional may lose where another entry moves the stop: it counts
    for what the group may lose, not for what this trade risks as planned.
    """

    price: Decimal
    quantity: Decimal | None
    volume: Decimal | None
    confidence: float
    sigma: float
    success_low: float
    scale: Decimal
    far_unit: Decimal = ZERO


def kelly(probability: float, reward: float) -> float:
    """Return the full Kelly fraction (p b - (1 - p)) / b, at least 0; J. L. Kelly, 1956."""
    if not 0.0 <= probability <= 1.0 or not reward > 0.0:
        return 0.0
    return max(0.0, (probability * reward - (1.0 - probability)) / reward)


def loss_per_unit(limits: Sizing, instrument: Instrument, stop: Decimal) -> Decimal:
    """Return what one unit of notional loses at the stop, fees and slippage included."""
    return stop + 2 * instrument.taker_fee + limits.slippage_allowance


def risk_fraction(limits: Sizing, strategy: Strategy) -> Decimal:
    """Return the fraction of its equity that a strategy may lose at a stop."""
    return limits.risk_fraction * strategy.risk_tolerance * KIND_SHARE[strategy.kind]


def free_bounds(
    limits: Sizing, strategy: Strategy, ask: Ask, room: Room, equity: Decimal, unit: Decimal
) -> list[Decimal | None]:
    """Return the bounds that do not depend on leverage, in the order of `BOUNDS`."""
    bounds: list[Decimal | None] = [None] * len(BOUNDS)
    if ask.quantity is not None:
        bounds[0] = ask.quantity * ask.price
    share = equity * strategy.budget
    for method in strategy.sizing or limits.methods:
        if method == "risk":
            bounds[1] = share * risk_fraction(limits, strategy) / unit
        elif method == "volatility":
            wide = limits.volatility_target / ask.sigma if ask.sigma > 0.0 else 0.0
            bounds[2] = share * from_belief(wide)
        elif method == "kelly":
            full = min(limits.kelly_max, kelly(ask.success_low, limits.reward_ratio))
            bounds[3] = share * from_belief(limits.kelly_fraction * full) / unit
        elif method == "confidence":
            fraction = risk_fraction(limits, strategy) * from_belief(ask.confidence)
            bounds[5] = share * fraction / unit
    bounds[7], bounds[8], bounds[9] = room.position, room.group, room.gross
    if room.group_risk is not None:
        bounds[10] = room.group_risk / max(unit, ask.far_unit)
    bounds[11], bounds[12] = room.strategy, room.order
    if ask.volume is not None and limits.volume_share_max:
        bounds[13] = ask.volume * ask.price * limits.volume_share_max
    return bounds


def least(bounds: list[Decimal | None]) -> tuple[Decimal | None, int]:
    """Return the smallest bound with its index; (None, -1) where nothing bounds."""
    smallest: Decimal | None = None
    binding = -1
    for index, bound in enumerate(bounds):
        if bound is not None and (smallest is None or bound < smallest):
            smallest, binding = bound, index
    return smallest, binding


def size(
    limits: Sizing,
    strategy: Strategy,
    instrument: Instrument,
    ask: Ask,
    room: Room,
    bounds: list[Decimal | None],
    planned: tuple[Decimal | None, int],
    equity: Decimal,
    unit: Decimal,
    leverage: Decimal,
) -> SizingRecord:
    """Complete the bounds with those of the leverage, take the least, round down to the lot.

    `bounds` come from `free_bounds`, `planned` is the least of them. The scale (probation,
    drawdown) applies to the result, not to a bound, so that it always bites.
    """
    smallest, binding = planned
    if "balance" in (strategy.sizing or limits.methods):
        bounds[4] = balance = equity * strategy.budget * limits.balance_fraction * leverage
        if smallest is None or balance < smallest:
            smallest, binding = balance, 4
    bounds[6] = margin = room.free_margin * (ONE - limits.margin_reserve) * leverage
    if smallest is None or margin < smallest:
        smallest, binding = margin, 6
    notional = smallest if smallest > ZERO else ZERO
    if ask.scale != ONE:
        notional *= ask.scale
    quantity = instrument.quantity_down(notional / ask.price)
    shown = tuple([None if bound is None else brief(bound) for bound in bounds])
    return SizingRecord(ask.price, brief(unit), shown, binding, quantity * ask.price, quantity)
