"""What stops that move may cost, tried out: every order in which entries on their way may fill.

Each fills at the price at which it was judged, and its stop then holds for all of its place. What
is held is stopped out before a limit beyond its stop fills.
"""

from decimal import Decimal
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tests.properties.stream_books import Live
    from tests.properties.streams import Stream

ZERO = Decimal(0)
MOST = 4
"""Of more entries than this at one place the orders are too many: the last ones are tried."""


class Part(NamedTuple):
    """Hold something that is held or on its way: what it costs, and the stop that it brings."""

    quantity: Decimal
    cost: Decimal
    stop: Decimal | None = None
    limit: Decimal | None = None
    late: bool = False

    def lost(self, stop: Decimal | None, side: int) -> Decimal:
        return max((self.cost - self.quantity * stop) * side, ZERO) if stop is not None else ZERO


def part_of(live: "Live", told: int) -> Part:
    """Return what of an entry may still fill."""
    order, bracket = live.order, live.order.bracket
    stop = bracket.stop if bracket is not None else None
    if stop is None and live.stopped:
        stop = live.price() * (1 - order.side * live.stop_fraction)
        stop = stop.quantize(Decimal("1e-9"))  # what a fraction of many digits leaves
    share = live.rest() / order.notional
    return Part(order.quantity * share, live.rest(), stop, order.price, order.created_ns < told)


def moved(stream: "Stream", place: tuple[str, str], side: int, new: "Live") -> Decimal:
    """Return what one side of a place may lose more than each part by itself."""
    held = stream.held.get(place)
    if held is not None and place == (new.order.account, new.order.instrument):
        held = held if held.side() == new.order.side else None  # what it reverses is closed first
    there = held is not None and held.side() == side
    told = held.stop_at if held is not None and there else 0
    lives = [
        x
        for x in stream.waiting()
        if (x.order.account, x.order.instrument, x.order.side) == (*place, side)
    ][-MOST:]
    if not lives:
        return ZERO
    own = sum((x.rest() * x.stop_fraction for x in lives), ZERO)
    start = Part(ZERO, ZERO)
    if held is not None and there:
        own += held.worst()
        stop = held.stop if held.stop is not None else held.begun
        start = Part(abs(held.quantity), abs(held.cost), stop)
    alone = [x.order.id for x in lives if there and held and x.told == abs(held.quantity)]
    parts = [part_of(x, told if x.order.id not in alone else 0) for x in lives]
    worst = max(
        filled(start, order, early, side)
        for count in range(len(parts) + 1)
        for order in permutations(parts, count)
        for early in range(len(order) + 1)
        if all(part.late for part in order[:early])
    )
    return max(worst - own, ZERO)


def filled(start: Part, order: tuple[Part, ...], early: int, side: int) -> Decimal:
    """Return what is lost if parts fill in an order, the first of them before what is held was."""
    parts, stop, gone = [start, *order[:early]], start.stop, ZERO
    for part in order[early:]:
        if stop is not None and part.limit is not None and (part.limit - stop) * side <= ZERO:
            gone += sum((x.lost(stop, side) for x in parts), ZERO)
            parts, stop = [], None
        parts.append(part)
        stop = stop if part.stop is None else part.stop
    return gone + sum((x.lost(stop, side) for x in parts), ZERO)
