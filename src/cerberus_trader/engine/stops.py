"""What entries on their way may do to the risk of their place: one stop holds for all of it.

Each entry that adds to a position brings a stop, and the last one to fill has the last word. Which
that is shows when they have filled; until then each part counts at the farthest stop that may come
to hold for it, all as planned when they were judged. A limit beyond a stop does not move it: the
price has passed the stop before it fills.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

import msgspec

from cerberus_trader.domain.instrument import BARE, Instrument
from cerberus_trader.domain.money import HUNDRED, ZERO
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.position import Position
from cerberus_trader.engine.intake import Case, Held, held_of, stop_missing
from cerberus_trader.engine.state import State


class Wish(NamedTuple):
    """Hold the stop that an entry brings, and the limit that is reached before (None: market)."""

    limit: Decimal | None
    stop: Decimal


def stop_of(order: Order) -> Decimal | None:
    """Return where an entry's stop begins if it fills as planned; None where it brings none.

    Not rounded to a tick, which a reload may change.
    """
    bracket, side, price = order.bracket, order.side, order.notional / order.quantity
    if bracket is None or bracket.stop is not None:
        return bracket.stop if bracket is not None else None
    if bracket.stop_pct is not None:
        return price * (HUNDRED - side * bracket.stop_pct) / HUNDRED
    distance = bracket.trailing
    if distance is None and bracket.trailing_pct is not None:
        distance = price * bracket.trailing_pct / HUNDRED
    return price - side * distance if distance is not None else None


def stop_of_case(case: Case) -> Decimal | None:
    """Return the same of the judged entry."""
    if case.raw_stop is None and case.trailing is not None:
        return case.reference - case.sign * case.trailing
    return case.raw_stop


def told_stop(position: Position) -> Decimal | None:
    """Return where the stop of a position lies; a trailing one at the farthest where it began."""
    if position.stop is not None or position.trailing is None:
        return position.stop
    distance = max(position.trailing, position.risk / position.quantity)
    return position.entry_price - position.sign * distance


def waiting(state: State, key: str, side: int) -> list[Order]:
    """Return the entries of a side that may still fill at a place."""
    orders = (state.orders[name] for name in state.entries.get(key, ()))
    return [order for order in orders if order.side == side]


def wishes_of(orders: list[Order], side: int, judged: Case | None = None) -> list[Wish]:
    """Return the stops on their way, that of a judged entry too, in the order of their limits."""
    found = [(order.price, stop_of(order)) for order in orders]
    if judged is not None:
        limit = judged.reference if judged.signal.order != "market" else None
        found.append((limit, stop_of_case(judged)))
    wishes = [Wish(limit, stop) for limit, stop in found if stop is not None]
    return sorted(wishes, key=lambda wish: (wish.limit is not None, -side * (wish.limit or ZERO)))


def farthest(start: Decimal | None, wishes: Iterable[Wish], side: int) -> Decimal | None:
    """Return the farthest stop that may come to hold for what has one, or none, to begin with.

    What has none is not closed before any limit fills.
    """
    stop = start
    for limit, brought in wishes:
        if start is None or stop is None or limit is None:
            passed = False
        else:
            passed = limit <= stop if side > 0 else limit >= stop
        if passed:
            break
        stop = farther(stop, brought, side)
    return stop


def away(case: Case) -> Decimal:
    """Return how far the stop may lie that comes to hold for the judged entry, as a share."""
    side, held = case.sign, case.position
    start = stop_of_case(case) if case.stop is None else case.stop
    if held is not None and held.sign == side:
        start = begun(start, held, late=late(held, case.now))
    stop = farthest(start, wishes_of(waiting(case.state, case.key, side), side), side)
    return (case.reference - stop) * side / case.reference if stop is not None else ZERO


def late(held: Position, created_ns: int) -> bool:
    """Tell whether an entry was on its way before a position's stop was told.

    It may have filled before what brought that stop, and the word of it be late.
    """
    return not held.stop_ns or created_ns < held.stop_ns


def begun(own: Decimal | None, held: Position, *, late: bool) -> Decimal | None:
    """Return the stop that may hold for an entry from its fill on, where it adds to a position.

    What brings none is under the position's. So is what may have filled before that was told, if
    it is the farther one; where none was told nothing may have been left.
    """
    told = told_stop(held)
    if not late:
        return told if own is None else own
    return farther(own, told, held.sign) if told is not None else None


def farther(one: Decimal | None, other: Decimal | None, side: int) -> Decimal | None:
    """Return the stop that is farther away, of those there are."""
    if one is None or other is None:
        return other if one is None else one
    return min(one, other) if side > 0 else max(one, other)


def held_at_worst(case: Case, instrument: Instrument) -> Held:
    """Sum what is held and on its way, stops counted where entries on their way may move them."""
    held = held_of(case, instrument)
    if case.action != "add" and not case.state.entries:
        return held
    moved = moved_risk(case, instrument)
    return msgspec.structs.replace(held, group_risk=held.group_risk + moved)


def moved_risk(case: Case, instrument: Instrument) -> Decimal:
    """Return what a group may lose beyond what was planned, where stops of its places may move."""
    state, more = case.state, ZERO
    for key in {**state.entries, case.key: ()}:
        for side in (1, -1):
            orders, judged = waiting(state, key, side), (key, side) == (case.key, case.sign)
            if not orders and not judged:
                continue
            item = state.instruments.get(orders[0].instrument, BARE) if orders else instrument
            if item.group == instrument.group:
                wishes = wishes_of(orders, side, case if judged else None)
                more += moved_at(state, key, side, item, orders, wishes)
    return more


def moved_at(
    state: State, key: str, side: int, item: Instrument, orders: list[Order], wishes: list[Wish]
) -> Decimal:
    """Return the same for one side of a place."""
    more, held = ZERO, state.positions.get(key)
    if held is not None and held.sign != side:
        held = None
    if held is not None:
        missing = stop_missing(state, held)
        start = None if missing else told_stop(held)
        stop = farthest(start, wishes, side)
        if stop != start:
            lost = lost_at(stop, side, held.quantity, held.cost)
            more = max(lost - held.open_risk(item.tiers, missing=missing), ZERO)
    for order in orders:
        stop = stop_of(order)
        if held is not None:
            stop = begun(stop, held, late=overtaken(order, held))
        lost = lost_at(farthest(stop, wishes, side), side, order.quantity, order.notional)
        left = (order.quantity - order.filled) / order.quantity
        more += max(lost - order.risk, ZERO) * left
    return more


def overtaken(order: Order, held: Position) -> bool:
    """Tell whether what brought a position's stop may have filled after an entry on its way.

    Not where it is that entry itself which opened all of it.
    """
    alone = order.id == held.id and order.filled == held.quantity
    return not alone and late(held, order.created_ns)


def lost_at(stop: Decimal | None, side: int, quantity: Decimal, cost: Decimal) -> Decimal:
    """Return what is lost on a quantity down to a stop, before fees."""
    return (cost - quantity * stop) * side if stop is not None else ZERO
