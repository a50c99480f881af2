"""What rests at the venue of the streams for a position: its stop, take-profit, trailing stop."""

from decimal import Decimal
from typing import Any, NamedTuple

from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.order import Order

LEGS: dict[str, Any] = {
    "stop": "stop_loss", "take_profit": "take_profit", "trailing": "trailing_stop",
}  # fmt: skip
LETTERS = {"stop": "s", "take_profit": "t", "trailing": "r"}


class Rest(NamedTuple):
    """Hold the levels that rest for a position, which has the name of its first entry."""

    name: str
    levels: dict[str, Decimal]

    def leg(self, kind: str) -> str:
        """Name the order of a level."""
        return self.name[:-1] + LETTERS[kind]


NO_REST = Rest("", {})


def levels_of(order: Order, price: Decimal) -> dict[str, Decimal]:
    """Return the levels of an entry's bracket, from the price at which it filled."""
    bracket, side = order.bracket, order.side
    assert bracket is not None
    found = {"stop": bracket.stop, "take_profit": bracket.take_profit, "trailing": bracket.trailing}
    if bracket.stop_pct is not None:
        found["stop"] = price * (100 - side * bracket.stop_pct) / 100
    if bracket.take_profit_pct is not None:
        found["take_profit"] = price * (100 + side * bracket.take_profit_pct) / 100
    if bracket.trailing_pct is not None:
        found["trailing"] = price * bracket.trailing_pct / 100
    return {kind: level for kind, level in found.items() if level is not None}


def leg_orders(rest: Rest, name: str, quantity: Decimal) -> list[VenueOrder]:
    """Return what rests for a position as the venue shows it."""
    side = -1 if quantity > 0 else 1
    return [
        VenueOrder(rest.leg(kind), name, side, abs(quantity), "working", reduce_only=True)
        for kind in rest.levels
    ]
