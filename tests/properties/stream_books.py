"""What a stream holds: the orders as they really are and as they were told, and what is open."""

from decimal import Decimal
from typing import Any

from cerberus_trader.domain.events import FillReport
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Order

ZERO = Decimal(0)
OPENING = ("entry", "add")


class Live:
    """Hold what really becomes of an order, and what of it the engine was told."""

    def __init__(self, order: Order, stop_fraction: Decimal) -> None:
        self.order = order
        self.stop_fraction = stop_fraction
        self.state = "flying"  # then working, lost, ended
        bracket = order.bracket
        self.stopped = bracket is not None and any(
            x is not None for x in (bracket.stop, bracket.stop_pct, bracket.trailing,
                                    bracket.trailing_pct)
        )  # fmt: skip
        self.filled = self.told = ZERO
        self.over = False  # the engine was told of its end, and of every fill
        self.denials = 0
        self.ack: str | None = None

    def rest(self) -> Decimal:
        """Return the notional that may still fill, as far as anybody told the engine."""
        if self.over:
            return ZERO
        return self.order.notional * (self.order.quantity - self.told) / self.order.quantity


class Held:
    """Hold a position as told: signed quantity and cost, the risk at its stop, its margin."""

    def __init__(self) -> None:
        self.quantity = self.cost = self.risk = self.margin = ZERO
        self.strategy = ""

    def book(self, fill: FillReport, live: Live) -> None:
        """Add a fill, closing first."""
        signed, left = fill.side * fill.quantity, fill.quantity
        if self.quantity * signed < 0:
            part = min(left, abs(self.quantity))
            share = part / abs(self.quantity)
            self.cost -= self.cost * share
            self.risk -= self.risk * share
            self.quantity += fill.side * part
            left -= part
        if left:
            if not self.quantity:
                self.strategy = live.order.strategy
                self.cost = self.risk = ZERO
            self.quantity += fill.side * left
            self.cost += fill.side * left * fill.price
            if live.order.reason in OPENING:
                self.risk += left * live.order.notional / live.order.quantity * live.stop_fraction
        self.margin = fill.margin if self.quantity else ZERO


def stop_of(order: Order, item: Instrument) -> Decimal:
    """Return how far an entry's stop lies from its price, as a fraction; without one its margin.

    Stops are rounded towards the entry; a trailing stop counts where there is no other.
    """
    bracket, price = order.bracket, order.notional / order.quantity
    assert bracket is not None
    stop = bracket.stop
    if bracket.stop_pct is not None:
        stop = price * (100 - order.side * bracket.stop_pct) / 100
        stop = item.price_up(stop) if order.side > 0 else item.price_down(stop)
    if stop is not None:
        return abs(price - stop) / price
    if bracket.trailing is not None:
        return bracket.trailing / price
    if bracket.trailing_pct is not None:
        return bracket.trailing_pct / 100
    return 1 / order.leverage


def venue_order(live: Live) -> VenueOrder | None:
    """Return an order as the venue shows it; None for one that never arrived."""
    order = live.order
    if live.state == "lost":
        return None
    whole = live.filled >= order.quantity
    state: Any = "filled" if whole else "working" if live.state == "working" else "canceled"
    return VenueOrder(order.id, order.instrument, order.side, order.quantity, state, live.filled)
