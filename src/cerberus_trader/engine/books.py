"""The books: orders, positions, and every sum that contains them, changed together.

Used by the folds alone (`apply.py`, `apply_venue.py`).
"""

from collections import OrderedDict
from decimal import Decimal
from typing import TypeVar, cast

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event, FillReport, marks_of
from cerberus_trader.domain.money import ZERO, brief
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position, protective_ids, protective_orders
from cerberus_trader.engine import targets
from cerberus_trader.engine.state import (
    ENDED_LATE_MAX,
    ENDED_MAX,
    TRADES_MAX,
    Ended,
    Exposure,
    State,
    StrategyState,
    key_of,
)

T = TypeVar("T")
NOTHING = (ZERO, ZERO, ZERO)
ASKED_AGAIN_NS = 60_000_000_000
"""Above the overlap with which bookings are asked for again, and any skew of the clocks."""

replace = msgspec.structs.replace


def record_of(state: State, name: str) -> StrategyState:
    """Return a strategy's record, made when first needed."""
    record = state.strategies.get(name)
    if record is None:
        record = state.strategies[name] = StrategyState()
    return record


def note_marks(state: State, event: Event) -> None:
    """Keep the event's prices of what is held as the last known ones."""
    state.marks.update(marks_of(event))


def forget(mapping: dict[str, T]) -> T:
    """Drop the oldest entry of a bounded record; return what it held."""
    return cast("OrderedDict[str, T]", mapping).popitem(last=False)[1]


def remember_booking(state: State, name: str, ts_ns: int) -> None:
    """Keep a booking's id; drop the oldest ones, unless the venue will still be asked for them.

    A look asks for everything since the last agreement, a few seconds of overlap included.
    """
    kept = state.trade_ids
    kept[name] = ts_ns
    while len(kept) > TRADES_MAX:
        if asked_again(state, next(iter(kept.values()))):
            return
        forget(kept)


def asked_again(state: State, ts_ns: int) -> bool:
    """Tell whether a venue will be asked once more what it has booked since then."""
    return any(ts_ns >= agreed - ASKED_AGAIN_NS for agreed in state.agreed.values())


def reserve(state: State, order: Order, sign: int) -> None:
    """Add (or take back) an entry's notional, risk and margin to what is reserved.

    Shares are made brief before they are summed, so that taking back leaves exactly nothing.
    """
    notional, risk, margin = state.reserved.get(order.instrument, NOTHING)
    left, planned = order.notional, order.risk
    if order.filled:
        share = (order.quantity - order.filled) / order.quantity
        left, planned = brief(left * share), brief(planned * share)
    locked = brief(left / order.leverage)
    if sign > 0:
        notional, risk, margin = notional + left, risk + planned, margin + locked
    else:
        notional, risk, margin = notional - left, risk - planned, margin - locked
    if notional <= ZERO:
        state.reserved.pop(order.instrument, None)
    else:
        state.reserved[order.instrument] = (notional, risk, margin)


def end_order(state: State, order_id: str, status: Status, filled: Decimal = ZERO) -> None:
    """Move an order to its end, and release what it reserved; `filled` is its last fill."""
    order = state.orders.pop(order_id, None)
    if order is None:
        return
    key = key_of(order.account, order.instrument)
    if order.reduce_only:
        strike(state.closings, key, order_id)
    elif strike(state.entries, key, order_id):
        reserve(state, order, -1)
    state.ended[order_id] = Ended(order, status, order.filled + filled, state.now_ns)
    if state.doubts:
        state.doubts.pop(order_id, None)
    if state.unsure:
        state.unsure.pop(order_id, None)
    if state.failed:
        state.failed.pop(order_id, None)
    if state.changes:
        state.changes.pop(order_id, None)
    if key in state.targets:
        targets.follow_end(state, key, order, filled)
    while len(state.ended) > ENDED_MAX:
        oldest_ns = next(iter(state.ended.values())).ended_ns
        if len(state.ended) <= ENDED_LATE_MAX and asked_again(state, oldest_ns):
            return
        forget(state.ended)


def strike(places: dict[str, tuple[str, ...]], key: str, order_id: str) -> bool:
    """Take an order out of its place; tell whether it was there."""
    held = places.get(key, ())
    if order_id not in held:
        return False
    if len(held) == 1:
        del places[key]
    else:
        places[key] = tuple([item for item in held if item != order_id])
    return True


def late_fill(state: State, event: FillReport) -> None:
    """Count a fill of an order that had ended."""
    ended = state.ended.get(event.order_id)
    if ended is not None:
        state.ended[event.order_id] = replace(ended, filled=ended.filled + event.quantity)


def keep_partial(state: State, order: Order, event: FillReport, fact: f.Filled) -> None:
    """Keep a partly filled order, releasing the filled part of its reservation."""
    canceling = order.status is Status.PENDING_CANCEL
    status = order.status if canceling else fact.status
    after = replace(order, status=status, filled=order.filled + event.quantity)
    if order.id in state.entries.get(key_of(order.account, order.instrument), ()):
        reserve(state, order, -1)
        reserve(state, after, 1)
    state.orders[order.id] = after
    state.doubts.pop(order.id, None)  # it lives: absences and failures are counted anew
    state.failed.pop(order.id, None)


def protect(state: State, before_id: str, after: Position | None, *, told: bool = True) -> None:
    """Hold the protective orders of a position, and end those of levels that are no more.

    Of stops that were not `told` of nobody knows: the venue is asked about them.
    """
    children = protective_orders(after) if after is not None else []
    if not told:
        children = [
            replace(x, status=Status.UNKNOWN) if x.kind != "take_profit" else x for x in children
        ]
    held = [child.id for child in children]
    for child in children:
        state.orders[child.id] = child
        doubt_stop(state, child)
        if state.suspects:  # what was seen of them was of an earlier position of the same entry
            forget_suspect(state, child)
    for child_id in protective_ids(before_id):
        if child_id not in held and child_id in state.orders:
            end_order(state, child_id, Status.CANCELED)


def doubt_stop(state: State, order: Order) -> None:
    """Note whether anybody knows that a stop rests at its venue."""
    if order.status is Status.UNKNOWN and order.protective and order.kind != "take_profit":
        state.unsure[order.id] = None
    elif state.unsure:
        state.unsure.pop(order.id, None)


def forget_suspect(state: State, child: Order) -> None:
    """Begin anew with a leg that was suspected while it was over."""
    place = key_of(child.account, child.id)
    detail, _ = state.suspects.get(place, ("", False))
    if detail.startswith("orphan_order"):
        end_suspicion(state, place)


def end_suspicion(state: State, place: str) -> None:
    """Forget a difference."""
    state.suspects.pop(place, None)
    state.suspected_ns.pop(place, None)
    state.sightings.pop(place, None)


def hold(state: State, key: str, after: Position | None) -> None:
    """Replace a position, and every sum that contains it: those of its own strategy."""
    before = state.positions.get(key)
    if before is not None:
        weigh(state, record_of(state, before.strategy), before, -1)
    if after is not None:
        state.positions[key] = after
        weigh(state, record_of(state, after.strategy), after, 1)
    else:
        state.positions.pop(key, None)


def weigh(state: State, record: StrategyState, position: Position, sign: int) -> None:
    """Add a position to the sums, or take it out of them."""
    name = position.instrument
    exposure = state.exposures.get(name)
    if exposure is None:
        exposure = state.exposures[name] = Exposure()
    quantity, cost = position.quantity, position.cost
    risk, margin = position.stop_risk, position.margin
    if sign < 0:
        quantity, cost, risk, margin = -quantity, -cost, -risk, -margin
    record.positions += sign
    record.gross += cost
    state.margin += margin
    exposure.risk += risk
    if position.sign > 0:
        exposure.long += quantity
    else:
        exposure.short += quantity
        quantity, cost = -quantity, -cost
    exposure.cost += cost
    if not exposure.long and not exposure.short:
        del state.exposures[name]
        if not state.exposures:
            state.margin = ZERO  # margins have more digits than their sums can hold
    net, net_cost = record.books.get(name, (ZERO, ZERO))
    net, net_cost = net + quantity, net_cost + cost
    if net or net_cost:  # opposite positions in two accounts leave a cost, and so a gain or loss
        record.books[name] = (net, net_cost)
    else:
        record.books.pop(name, None)
