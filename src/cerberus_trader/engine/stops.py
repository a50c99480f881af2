"""What entries on their way may do to the risk of their place: one stop holds for all of it.

Each entry that adds to a position brings a stop, and the last one to fill has the last word. Which
that is shows when they have filled; until then each part counts at the farthest stop that may come
to hold for it, all as planned when they were judged. A limit beyond a stop does not move it: the
price has passed the stop before it fills.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import HUNDRED, ONE, ZERO
from cerberus_trader.domain.order import Bracket, Order
from cerberus_trader.domain.position import Position
from cerberus_trader.engine.intake import Case, stop_missing
from cerberus_trader.engine.state import State


class Wish(NamedTuple):
    """Hold the stop that an entry brings, and the limit that is reached before (None: market)."""

    limit: Decimal | None
    stop: Decimal


def planned_stop(bracket: Bracket | None, price: Decimal, side: int) -> Decimal | None:
    """Return where an entry's stop begins if it fills at a price; None where it brings none."""
    if bracket is None or bracket.stop is not None:
        return bracket.stop if bracket is not None else None
    if bracket.stop_pct is not None:
        return price * (ONE - side * bracket.stop_pct / HUNDRED)
    if bracket.trailing is not None:
        return price - side * bracket.trailing
    if bracket.trailing_pct is not None:
        return price * (ONE - side * bracket.trailing_pct / HUNDRED)
    return None


def stop_of(order: Order) -> Decimal | None:
    """Return the same of an entry on its way."""
    return planned_stop(order.bracket, order.notional / order.quantity, order.side)


def told_stop(position: Position, price: Decimal) -> Decimal | None:
    """Return where the stop of a position lies for what has filled at a price."""
    if position.stop is not None or position.trailing is None:
        return position.stop
    return price - position.sign * position.trailing


def waiting(state: State, key: str, side: int) -> list[Order]:
    """Return the entries of a side that may still fill at a place."""
    orders = (state.orders[name] for name in state.entries.get(key, ()))
    return [order for order in orders if order.side == side]


def wishes_of(case: Case, key: str, side: int) -> list[Wish]:
    """Return the stops on their way to a side of a place, the judged entry's too: nearest first."""
    found = [(x.price, stop_of(x)) for x in waiting(case.state, key, side)]
    if (key, side) == (case.key, case.sign):
        found.append((case.reference if case.signal.order != "market" else None, case.brought))
    wishes = [Wish(limit, stop) for limit, stop in found if stop is not None]
    return sorted(wishes, key=lambda wish: (wish.limit is not None, -side * (wish.limit or ZERO)))


def farthest(stop: Decimal | None, wishes: Iterable[Wish], side: int) -> Decimal | None:
    """Return the farthest stop that may come to hold for what has one, or none, to begin with."""
    for wish in wishes:
        if stop is not None and wish.limit is not None and (wish.limit - stop) * side <= ZERO:
            break
        if stop is None or (stop - wish.stop) * side > ZERO:
            stop = wish.stop
    return stop


def beyond(case: Case) -> Decimal:
    """Return how much farther than its own a stop may come to hold for the judged entry.

    A share of its price; all that is up to that stop where it brings none.
    """
    start, held = case.brought, case.position
    if start is None and held is not None and held.sign == case.sign:
        start = told_stop(held, case.reference)
    stop = farthest(start, wishes_of(case, case.key, case.sign), case.sign)
    if stop is None or case.fault:
        return ZERO
    away = (case.reference - stop) * case.sign / case.reference
    return max(away - case.stop_fraction, ZERO)


def moved_risk(case: Case, group: str) -> Decimal:
    """Return what a group may lose beyond what was planned, where stops of its places may move."""
    state, more = case.state, ZERO
    for key in {**state.entries, case.key: ()}:
        for side in (1, -1):
            more += moved_at(case, key, side, group)
    return more


def moved_at(case: Case, key: str, side: int, group: str) -> Decimal:
    """Return the same for one side of a place."""
    state = case.state
    orders, held = waiting(state, key, side), state.positions.get(key)
    item = state.instruments.get(orders[0].instrument if orders else case.signal.instrument, BARE)
    if item.group != group:
        return ZERO
    wishes, more = wishes_of(case, key, side), ZERO
    there = held if held is not None and held.sign == side else None
    if there is not None:
        missing = stop_missing(state, there)
        stop = None if missing else told_stop(there, there.entry_price)
        lost = lost_at(farthest(stop, wishes, side), side, there.quantity, there.cost)
        more = max(lost - there.open_risk(item.tiers, missing=missing), ZERO)
    for order in orders:
        stop = stop_of(order)
        # what was on its way may have filled before that stop came, and the word of it be late
        late = there is not None and (not there.stop_ns or order.created_ns < there.stop_ns)
        if there is not None and (late or stop is None):
            told = told_stop(there, order.notional / order.quantity)
            stop = farthest(stop, [Wish(None, told)] if told is not None else [], side)
        lost = lost_at(farthest(stop, wishes, side), side, order.quantity, order.notional)
        left = (order.quantity - order.filled) / order.quantity
        more += max(lost - order.risk, ZERO) * left
    return more


def lost_at(stop: Decimal | None, side: int, quantity: Decimal, cost: Decimal) -> Decimal:
    """Return what is lost on a quantity down to a stop, before fees."""
    return (cost - quantity * stop) * side if stop is not None else ZERO
