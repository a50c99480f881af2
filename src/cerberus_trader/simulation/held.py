"""What the simulated venue keeps: positions with their levels, orders, and how it lists them."""

from decimal import Decimal

import msgspec

from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import GROUP_DIGITS, Order

ZERO = Decimal(0)


class Held:
    """Hold a position: signed quantity, cost of what is open, isolated margin, its levels."""

    def __init__(self, owner: str, leverage: Decimal) -> None:
        self.owner = owner
        self.leverage = leverage
        self.quantity = self.cost = self.margin = ZERO
        self.stop: Decimal | None = None
        self.stopped: Decimal | None = None
        """What the stop is for, where that is not all of it."""
        self.profit: Decimal | None = None
        self.trailing: Decimal | None = None
        self.best = ZERO

    @property
    def sign(self) -> int:
        return 1 if self.quantity > ZERO else -1

    def leg_id(self, letter: str) -> str:
        """Return the id of the stop (s), the profit (t) or the trailing stop (r)."""
        return self.owner[:GROUP_DIGITS] + letter

    def row(self, name: str) -> VenuePosition:
        """List the position as it is."""
        return VenuePosition(
            name, self.sign, abs(self.quantity), abs(self.cost), self.margin, self.leverage,
            self.owner,
        )  # fmt: skip

    def legs(self, name: str) -> list[VenueOrder]:
        """List the protective orders of the position."""
        rows = []
        for letter, price in (("s", self.stop), ("t", self.profit), ("r", self.trailing)):
            size = abs(self.quantity)
            if letter == "s" and self.stopped is not None:
                size = min(size, self.stopped)
            if price is not None:
                rows.append(
                    VenueOrder(
                        self.leg_id(letter), name, -self.sign, size,
                        "working", ZERO, price, True,
                    )
                )  # fmt: skip
        return rows


class Live:
    """Hold an order of the venue's book."""

    def __init__(self, order: Order, arrived_ns: int) -> None:
        self.order = order
        self.arrived_ns = arrived_ns
        self.filled = ZERO
        self.state = "working"
        self.reason = ""
        self.parts = 0

    @property
    def left(self) -> Decimal:
        return self.order.quantity - self.filled

    def row(self) -> VenueOrder:
        """List the order as it is."""
        order = self.order
        return VenueOrder(
            order.id, order.instrument, order.side, order.quantity,
            self.state,  # type: ignore[arg-type]
            self.filled, order.price, order.reduce_only, self.reason,
        )  # fmt: skip


def other_side(row: VenuePosition) -> VenuePosition:
    """Return the empty other side of a position, as hedge mode lists it."""
    return msgspec.structs.replace(row, sign=-row.sign, quantity=ZERO, cost=ZERO, margin=ZERO)
