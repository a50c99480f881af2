"""Instruments: tick rule, lot, fees, maintenance tiers, and the liquidation price.

The formulas are those of the venues' isolated, linear margin: with side s (+1 long, -1 short),
size Q, entry E, isolated wallet W, maintenance rate m and amount c of the tier that holds the
notional at liquidation,

    P_liq = (W + c - s Q E) / (Q (m - s))

kept as an exact fraction, so that prices are compared with it without a division.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from functools import cached_property
from typing import Literal

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import ONE, ZERO, ceil_to, floor_to
from cerberus_trader.domain.sessions import parse_session

Kind = Literal["perpetual", "spot"]


class Tier(msgspec.Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """Hold one maintenance tier: notionals in quote currency, `rate` and `cum` of the venue."""

    floor: Decimal
    cap: Decimal
    rate: Decimal
    leverage_max: Decimal
    cum: Decimal = ZERO

    @cached_property
    def rate_float(self) -> float:
        """Return the maintenance rate as a float."""
        return float(self.rate)

    @cached_property
    def leverage_float(self) -> float:
        """Return the largest leverage as a float."""
        return float(self.leverage_max)


class Instrument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Describe what is traded: precision, minima, fees (fractions), margin tiers.

    `tick` binds our orders only. With `significant_figures` the tick also depends on the price:
    at most that many figures, never finer than `tick`, whole numbers always allowed. `sessions`
    are market hours in UTC ("mon-fri 14:30-21:00"); none means that it never closes.
    """

    name: str
    venue: str = "paper"
    kind: Kind = "perpetual"
    base: str = ""
    quote: str = "USDT"
    asset_class: str = "crypto"
    group: str = "memecoin"
    tick: Decimal = Decimal("0.00000001")
    significant_figures: int = 0
    lot: Decimal = ONE
    quantity_min: Decimal = ZERO
    notional_min: Decimal = ZERO
    maker_fee: Decimal = ZERO
    taker_fee: Decimal = ZERO
    funding_interval_hours: int = 8
    tiers: tuple[Tier, ...] = ()
    sessions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.tick <= ZERO or self.lot <= ZERO:
            raise DataError("tick and lot must be above 0.", place=f"instrument {self.name}")
        for session in self.sessions:
            parse_session(session, place=f"instrument {self.name}")
        check_tiers(self.tiers, place=f"instrument {self.name}")

    def tick_at(self, price: Decimal) -> Decimal:
        """Return the price step that binds an order at this price."""
        if not self.significant_figures or not price:
            return self.tick
        step = ONE.scaleb(price.adjusted() - self.significant_figures + 1)
        return min(max(step, self.tick), ONE)

    def price_down(self, price: Decimal) -> Decimal:
        """Round a price down to the tick rule, never below one tick."""
        tick = self.tick_at(price)
        rounded = floor_to(price, tick)
        return rounded if rounded > ZERO else tick

    def price_up(self, price: Decimal) -> Decimal:
        """Round a price up to the tick rule."""
        return ceil_to(price, self.tick_at(price))

    def quantity_down(self, quantity: Decimal) -> Decimal:
        """Round a quantity down to the lot."""
        return floor_to(quantity, self.lot)

    def tier_of(self, notional: Decimal) -> Tier | None:
        """Return the tier that holds a notional (a cap belongs to its tier), None without tiers."""
        for tier in self.tiers:
            if notional <= tier.cap:
                return tier
        return self.tiers[-1] if self.tiers else None


def check_tiers(tiers: tuple[Tier, ...], *, place: str) -> None:
    """Refuse tiers that are not ordered or whose maintenance jumps between two of them."""
    previous: Tier | None = None
    for number, tier in enumerate(tiers, 1):
        if not ZERO <= tier.rate < ONE or tier.leverage_max < ONE or tier.cap <= tier.floor:
            raise DataError(f"tier {number} is out of range.", code="DATA_TIERS", place=place)
        if previous is None:
            jump = tier.floor != ZERO or tier.cum != ZERO
        else:
            step = tier.floor * (tier.rate - previous.rate)
            jump = tier.floor != previous.cap or tier.cum != previous.cum + step
        if jump:
            raise DataError(
                f"tier {number} does not continue the one before.",
                code="DATA_TIERS",
                place=place,
                fix="cum must be the former cum + floor x (rate - former rate).",
            )
        previous = tier


BARE = Instrument("", group="")
"""Stands for what is held and not configured (any more): closed like anything, never opened."""


class MarginLevel(msgspec.Struct, frozen=True, gc=False):
    """Hold the price of a margin level as an exact fraction, with the tier it falls in."""

    numerator: Decimal
    denominator: Decimal
    tier: Tier

    @property
    def price(self) -> Decimal:
        """Return the price to 34 digits, for reading; compare with the fraction instead."""
        return self.numerator / self.denominator


def reached(sign: int, price: Decimal, numerator: Decimal, denominator: Decimal) -> bool:
    """Tell exactly, without a division, whether a price is at or beyond a level against us."""
    scaled = price * denominator
    return scaled <= numerator if sign > 0 else scaled >= numerator


def margin_level(
    tiers: tuple[Tier, ...],
    sign: int,
    quantity: Decimal,
    cost: Decimal,
    wallet: Decimal,
    ratio: Decimal = ONE,
) -> MarginLevel | None:
    """Solve the price at which maintenance is `ratio` of equity; None if there is none.

    `sign` is +1 long, -1 short; `cost` is the sum of quantity x fill price; `wallet` is the
    isolated margin. Ratio 1 is liquidation, for which the formula is P_liq above; in general
    P = (r (s cost - W) - s c') / (Q (s r - m)) with c' = c s. The tier is the one that contains
    quantity x that price; above the last cap the last tier applies.
    """
    if not tiers or not quantity:
        return None
    long = sign > 0
    base = ratio * (cost - wallet if long else cost + wallet)
    for tier in tiers:
        numerator = base - tier.cum if long else base + tier.cum
        factor = ratio - tier.rate if long else ratio + tier.rate
        if factor > ZERO and (numerator <= tier.cap * factor or tier is tiers[-1]):
            return MarginLevel(numerator, quantity * factor, tier) if numerator > ZERO else None
    return None


def bankruptcy_price(sign: int, quantity: Decimal, cost: Decimal, wallet: Decimal) -> Decimal:
    """Return the price at which equity is zero: E - s W / Q."""
    return (cost - sign * wallet) / quantity


def to_grid(price: Decimal, quantum: Decimal, *, up: bool) -> int:
    """Return a price in whole quanta, rounded up or down: the integer a column compares with."""
    return int((price / quantum).to_integral_value(ROUND_CEILING if up else ROUND_FLOOR))
