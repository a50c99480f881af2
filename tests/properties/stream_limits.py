"""What an entry may not exceed, added up from what a stream itself knows: never asks the engine.

Open positions count at the mark or at cost as each limit says; entries in flight, working, unknown
count with all that may still fill. Of a reversal the position that it closes does not count.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Order
from tests.kit import ITEMS
from tests.properties.stream_stops import moved

if TYPE_CHECKING:
    from tests.properties.stream_books import Live
    from tests.properties.streams import Stream

ZERO = Decimal(0)
SLACK = 1 + Decimal("1e-9")
"""What is measured is rounded to twelve digits before it is judged."""
GROUPS = {item.name: item.group for item in ITEMS}
KINDS = {"mean_reversion": Decimal("0.75"), "event": Decimal("0.5")}
MOST = Decimal(30)
"""The leverage that nothing exceeds, whatever the configuration says."""


class Sums:
    """Hold the worst case of everything, the new entry included."""

    def __init__(self, stream: "Stream", new: "Live") -> None:
        order = new.order
        self.place = (order.account, order.instrument)
        self.equity = stream.cash
        self.gross = self.group = self.risk = self.margin = self.strategy = self.position = ZERO
        for place, held in stream.held.items():
            mark = stream.prices[place[1]]
            self.equity += held.quantity * mark
            if place == self.place:
                self.position += max(held.cost * order.side, ZERO)
                if held.quantity * order.side < 0:
                    continue
            value = abs(held.quantity) * mark
            self.gross += value
            self.margin += held.margin
            if held.strategy == order.strategy:
                self.strategy += abs(held.cost)
            if GROUPS[place[1]] == GROUPS[order.instrument]:
                self.group += value
                self.risk += held.worst()
        for live in stream.waiting():
            rest = live.rest()
            self.gross += rest
            self.margin += rest / live.order.leverage
            if live.order.strategy == order.strategy:
                self.strategy += rest
            if (live.order.account, live.order.instrument) == self.place:
                self.position += rest if live.order.side == order.side else ZERO
            if GROUPS[live.order.instrument] == GROUPS[order.instrument]:
                self.group += rest
                self.risk += rest * live.stop_fraction
        for place in stream.places():
            if GROUPS[place[1]] == GROUPS[order.instrument]:
                self.risk += moved(stream, place, 1, new) + moved(stream, place, -1, new)


def breaches(stream: "Stream", new: "Live") -> list[str]:
    """Hold an entry that leaves against every limit; a retry was approved with its first try."""
    order, risk = new.order, stream.settings.risk
    found = [words for words in stopped(stream, new) if words]
    places = {
        "places": (Decimal(len(stream.places())), Decimal(risk.positions_max)),
        "strategy's places": (
            Decimal(len(stream.places(order.strategy))),
            Decimal(stream.settings.strategies[order.strategy].positions_max),
        ),
    }
    if order.attempt:
        return found + over(order, places)
    strategy, sums = stream.settings.strategies[order.strategy], Sums(stream, new)
    limits = {
        "position": (sums.position, risk.position_exposure_max * sums.equity),
        "group": (sums.group, risk.group_exposure_max * sums.equity),
        "gross": (sums.gross, risk.gross_exposure_max * sums.equity),
        "strategy": (sums.strategy, risk.gross_exposure_max * sums.equity * strategy.budget),
        "group risk": (sums.risk, risk.group_risk_max * sums.equity),
        "margin": (sums.margin, sums.equity),
        "order": (order.notional, risk.order_notional_max or order.notional),
        "leverage": (order.leverage, leverage_max(stream, new)),
        **places,
    }
    asked = stream.asked
    if not (stream.settings.sizing.obey_quantity and asked and asked.quantity is not None):
        limits |= sizes(stream, new, sums)
    found += over(order, limits)
    if asked is None or order.signal_id != asked.id:
        found.append(f"{order.id} left without its signal")
    return found + list(malformed(stream.item(order), new))


def over(order: Order, limits: dict[str, tuple[Decimal, Decimal]]) -> list[str]:
    """Name the values above their limits."""
    return [f"{name}: {value} with {order.id}, {limit} are allowed"
            for name, (value, limit) in limits.items() if value > limit * SLACK]  # fmt: skip


def sizes(stream: "Stream", new: "Live", sums: Sums) -> dict[str, tuple[Decimal, Decimal]]:
    """Return what bounds the size of an entry, each bound with what it bounds."""
    order, limits, asked = new.order, stream.settings.sizing, stream.asked
    assert asked is not None
    strategy, item = stream.settings.strategies[order.strategy], stream.item(order)
    share, margin = sums.equity * strategy.budget, order.notional / order.leverage
    fraction = limits.risk_fraction * strategy.risk_tolerance * KINDS.get(strategy.kind, 1)
    loss = order.notional * (new.stop_fraction + 2 * item.taker_fee + limits.slippage_allowance)
    if not new.stopped:
        loss = max(order.notional / order.leverage, loss - order.notional * new.stop_fraction)
    free = sums.equity - sums.margin + margin
    full = Decimal(str(limits.kelly_fraction)) * Decimal(str(limits.kelly_max))
    swing = order.notional * Decimal(str(stream.sigma))
    found = {
        "risk": (loss, share * fraction),
        "volatility": (swing, share * Decimal(str(limits.volatility_target))),
        "kelly": (loss, share * full),
        "balance": (margin, share * limits.balance_fraction),
        "confidence": (loss, share * fraction * Decimal(str(asked.confidence))),
    }
    methods = strategy.sizing or limits.methods
    found = {name: pair for name, pair in found.items() if name in methods}
    found["reserve"] = (margin, free * (1 - limits.margin_reserve))
    found["room"] = (loss, stream.settings.risk.group_risk_max * sums.equity)
    if asked.quantity is not None:
        found["asked"] = (order.quantity, asked.quantity)
    if asked.volume is not None and limits.volume_share_max:
        found["volume"] = (order.quantity, asked.volume * limits.volume_share_max)
    scale = scale_of(stream, sums.equity)
    return {name: (value, limit * scale) for name, (value, limit) in found.items()}


def scale_of(stream: "Stream", equity: Decimal) -> Decimal:
    """Return the share of every bound that may be used: on probation, and after a fall."""
    limits = stream.settings.breaker
    scale = limits.half_open_size if stream.probation else Decimal(1)
    fallen = equity <= stream.peak * (1 - limits.drawdown_soft)
    return scale / 2 if fallen else scale


def malformed(item: Instrument, new: "Live") -> Iterator[str]:
    """Say what of an entry its venue would not take."""
    order = new.order
    if order.quantity % item.lot or order.quantity < max(item.lot, item.quantity_min):
        yield f"{order.id} has a quantity of {order.quantity}"
    if order.notional < item.notional_min:
        yield f"{order.id} has a notional of {order.notional}"
    if order.price is not None and order.price % item.tick:
        yield f"{order.id} has a price of {order.price}"
    if item.kind == "spot" and order.side < 0:
        yield f"{order.id} sells what nobody lends"


def floors(stream: "Stream") -> Iterator[tuple[str, Decimal]]:
    """Return the equity floors of the account that are not off."""
    limits, equity = stream.settings.breaker, stream.equity()
    if limits.day_loss_action != "off" and equity < stream.day_equity:
        yield "day_loss", stream.day_equity * (1 - limits.day_loss)
    if limits.drawdown_action != "off" and equity < stream.peak:
        yield "drawdown", stream.peak * (1 - limits.drawdown_hard)


def strategy_floor(stream: "Stream", name: str) -> Decimal | None:
    """Return where a strategy's own loss of the day is at its limit; None where it is off."""
    strategy = stream.settings.strategies[name]
    if strategy.day_loss_action == "off":
        return None
    share = strategy.day_loss * strategy.budget
    return stream.day_bases.get(name, ZERO) - share * stream.day_equity


def counted(stream: "Stream", order: Order) -> Iterator[str]:
    """Say which counts of what went wrong are at their limits."""
    limits = stream.settings.breaker
    if limits.losses_max and stream.streak >= limits.losses_max:
        yield f"{order.id} left after {stream.streak} losses"
    inside = stream.now - stream.failures_since <= limits.failures_window_ms * 1_000_000
    if limits.failures_max and stream.failures >= limits.failures_max and inside:
        yield f"{order.id} left after {stream.failures} failures"


def measured(stream: "Stream", condition: str, value: float, scope: str) -> None:
    """Note what a measurement forbids from now on."""
    limits, beyond = stream.settings.killswitch, value > 1e6
    if condition == "feed":
        (stream.silent.add if beyond else stream.silent.discard)(scope)
    elif beyond and getattr(limits, f"{condition}_action") != "off":
        stream.tripped[condition] = ""


def stopped(stream: "Stream", new: "Live") -> Iterator[str]:
    """Say what forbids any entry at all."""
    order = new.order
    if stream.trading != "active":
        yield f"{order.id} left while trading was {stream.trading}"
    for name, scope in stream.tripped.items():
        if scope in ("", order.strategy):
            yield f"{order.id} left past {name}"
    if order.account in stream.down:
        yield f"{order.id} left while {order.account} was not reconciled"
    if order.strategy in stream.paused or order.strategy in stream.off:
        yield f"{order.id} left while {order.strategy} was paused"
    allowed = stream.settings.strategies[order.strategy].instruments
    if allowed and order.instrument not in allowed:
        yield f"{order.id} left for {order.instrument}, which {order.strategy} may not trade"
    for name, floor in floors(stream):
        if stream.equity() <= floor:
            yield f"{order.id} left at an equity of {stream.equity()} with the {name} at {floor}"
    own = strategy_floor(stream, order.strategy)
    if own is not None and stream.pnl(order.strategy) <= own:
        gained = stream.pnl(order.strategy)
        yield f"{order.id} left with {gained} of {order.strategy}'s day and the limit at {own}"
    yield from counted(stream, order)
    if order.attempt:
        return
    if order.instrument in stream.silent:
        yield f"{order.id} left while the feed of {order.instrument} was silent"
    intake, asked = stream.settings.intake, stream.asked
    if asked is not None and asked.confidence < intake.confidence_min:
        yield f"{order.id} left with a confidence of {asked.confidence}"
    if asked is not None and (asked.volume or 0) < intake.volume_min:
        yield f"{order.id} left with a volume of {asked.volume}"
    if asked is not None and (stream.now - asked.ts_ns) // 1_000_000 > intake.signal_age_ms_max:
        yield f"{order.id} left for a signal of {asked.ts_ns}"
    if stream.age_ms > intake.data_age_ms_max:
        yield f"{order.id} left at a price {stream.age_ms} ms old"
    for halt in (stream.settings.risk.volatility_halt, stream.settings.risk.minute_volatility_halt):
        if halt and stream.sigma > halt:
            yield f"{order.id} left at a volatility of {stream.sigma}"
    entries = [x for x in stream.lives.values() if x.order.signal_id == order.signal_id]
    if sum(not x.order.reduce_only for x in entries) > 1:
        yield f"signal {order.signal_id} was traded twice"


def leverage_max(stream: "Stream", new: "Live") -> Decimal:
    """Return the least of the caps on an entry's leverage."""
    order, settings = new.order, stream.settings
    asked = stream.asked
    if settings.sizing.obey_quantity and asked and asked.quantity is not None:  # research
        return order.leverage
    strategy = settings.strategies[order.strategy]
    tiers = stream.item(order).tiers
    tier = next((t for t in tiers if order.notional <= t.cap), tiers[-1] if tiers else None)
    caps = [tier.leverage_max if tier else Decimal(1), settings.leverage.cap, MOST]
    caps += [strategy.leverage_max, base_of(stream)]
    if stream.asked is not None and stream.asked.leverage is not None:
        caps.append(stream.asked.leverage)
    return min(caps)


def base_of(stream: "Stream") -> Decimal:
    """Return the base that the signal's confidence has; on probation the low one at most."""
    limits, asked = stream.settings.leverage, stream.asked
    assert asked is not None
    reached = sum(asked.confidence >= x for x in stream.settings.intake.confidence_levels)
    bases = (limits.low, limits.medium, limits.high, limits.extreme)
    base = getattr(limits, asked.level.value) if asked.level else bases[reached]
    return min(base, limits.low) if stream.probation else base
