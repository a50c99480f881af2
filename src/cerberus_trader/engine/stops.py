"""What entries on their way may do to the risk of their place: one stop holds for all of it.

Each entry that adds to a position brings a stop, and the last one to fill has the last word. Which
that is shows when they have filled; until then all at the place counts at the farthest of them.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import HUNDRED, ONE, ZERO
from cerberus_trader.domain.order import Order
from cerberus_trader.engine.intake import Case
from cerberus_trader.engine.state import State, key_of


class Wish(NamedTuple):
    """Hold the stop that an entry brings, as planned when it was judged.

    A percentage or a distance moves with the fill: `share` of any price may be lost down to it.
    """

    stop: Decimal
    share: Decimal = ZERO


def wish_of(order: Order) -> Wish | None:
    """Return the stop that an entry brings; None where it brings none."""
    bracket = order.bracket
    if bracket is None or not bracket.protects:
        return None
    if bracket.stop is not None:
        return Wish(bracket.stop)
    price = order.notional / order.quantity
    if bracket.stop_pct is not None:
        share = bracket.stop_pct / HUNDRED
    elif bracket.trailing is not None:
        share = bracket.trailing / price
    else:
        share = (bracket.trailing_pct or ZERO) / HUNDRED
    return Wish(price * (ONE - order.side * share), share)


def wish_of_case(case: Case) -> Wish | None:
    """Return the stop that the entry which is judged would bring."""
    if not case.stop_fraction:
        return None
    share = ZERO if case.signal.stop_loss is not None else case.stop_fraction
    return Wish(case.reference * (ONE - case.sign * case.stop_fraction), share)


def farthest(wishes: Iterable[Wish], side: int, price: Decimal) -> Decimal:
    """Return the share of a price that may be lost down to the farthest of some stops."""
    return max(
        (max((price - wish.stop) * side / price, wish.share) for wish in wishes), default=ZERO
    )


def waiting(state: State, key: str, side: int) -> list[Order]:
    """Return the entries of a side that may still fill at a place."""
    orders = (state.orders[name] for name in state.entries.get(key, ()))
    return [order for order in orders if order.side == side]


def away(case: Case) -> Decimal:
    """Return how far the stop may lie that comes to hold for a judged entry, as a share."""
    found = [wish_of_case(case), *map(wish_of, waiting(case.state, case.key, case.sign))]
    return farthest([wish for wish in found if wish is not None], case.sign, case.reference)


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
    found = [wish_of(order) for order in orders]
    if (key, side) == (case.key, case.sign):
        found.append(wish_of_case(case))
    name = orders[0].instrument if orders else case.signal.instrument
    wishes = [wish for wish in found if wish is not None]
    if not wishes or state.instruments.get(name, BARE).group != group:
        return ZERO
    more = ZERO
    if held is not None and held.sign == side:
        lost = held.cost * farthest(wishes, side, held.entry_price)
        more = max(lost - held.stop_risk, ZERO)
    for order in orders:
        there = wishes
        if held is not None and held.stop is not None and order.created_ns <= held.stop_ns:
            there = [*wishes, Wish(held.stop)]  # it may have filled before what brought that one
        lost = order.notional * farthest(there, side, order.notional / order.quantity)
        left = (order.quantity - order.filled) / order.quantity
        more += max(lost - order.risk, ZERO) * left
    return more


def moves_others(state: State, order: Order, price: Decimal) -> bool:
    """Tell whether another price of an entry would move its stop away from what else is there."""
    wish, key = wish_of(order), key_of(order.account, order.instrument)
    nearer = (order.notional / order.quantity - price) * order.side <= ZERO
    if wish is None or not wish.share or nearer:
        return False
    held = state.positions.get(key)
    there = held is not None and held.sign == order.side
    return there or len(waiting(state, key, order.side)) > 1
