"""Targets: how much of a place signals leave open, until it is so.

A close that ended without having closed is sent again at the next beat of the health timer. What is
still to be closed follows from what is held, not from what was sent: whoever closes it, a stop, a
person or the venue, it is closed.
"""

from decimal import Decimal

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event, FillReport, SignalEvent
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.engine import orders
from cerberus_trader.engine.state import State, Target, key_of

PAUSE_NS = 5_000_000_000
PAUSE_MAX_NS = 300_000_000_000
replace = msgspec.structs.replace


def aim(state: State, event: Event, order: Order) -> None:
    """Note what the close of a signal, or of a killed order's part, leaves of what it closes."""
    key = key_of(order.account, order.instrument)
    target = state.targets.get(key)
    if order.reason != "signal":
        return
    if order.attempt:  # it was asked for before
        if target is not None:
            pause = min(PAUSE_NS << min(target.tries, 16), PAUSE_MAX_NS)
            later = event.ts_ns + pause
            state.targets[key] = replace(target, tries=target.tries + 1, after_ns=later)
        return
    position = state.positions.get(key)
    opened = position is not None and position.id == order.closes
    entry = state.orders.get(order.closes, order)
    held = (position if position is not None and opened else entry).quantity
    if target is not None and target.position == order.closes:
        held = target.most
    everything = type(event) is SignalEvent and event.signal.quantity is None
    most = ZERO if everything else max(held - order.quantity, ZERO)
    state.targets[key] = Target(order.closes, most, not most or not opened)


def follow_fill(state: State, key: str, event: FillReport, fact: f.Filled) -> None:
    """Leave what other entries add, as nobody has closed that."""
    target, after = state.targets[key], fact.position
    grown = after is not None and after.sign == event.side and after.id == target.position
    if grown and not (target.whole and event.order_id == target.position):
        state.targets[key] = replace(target, most=target.most + event.quantity)
    meet(state, key)


def follow_venue(state: State, key: str, fact: f.PositionCorrected) -> None:
    """Keep a target with its position where the venue has another name or quantity of it."""
    target, before, after = state.targets[key], fact.before, fact.after
    if before is not None and after is not None and before.sign == after.sign:
        name = after.id if target.position == before.id else target.position
        most = target.most + max(after.quantity - before.quantity, ZERO)
        state.targets[key] = replace(target, position=name, most=most)
    elif after is not None:
        del state.targets[key]  # nobody has closed what is there now
        return
    meet(state, key)


def meet(state: State, key: str) -> None:
    """Forget a target that is met, or whose position is gone and not on its way."""
    target, position = state.targets[key], state.positions.get(key)
    if position is None:
        over = target.position not in state.entries.get(key, ())
    else:
        left = position.quantity - target.most
        over = position.id != target.position or left <= ZERO
        over = over or (target.most > ZERO and left < least(state, position.instrument))
    if over:
        del state.targets[key]


def least(state: State, instrument: str) -> Decimal:
    """Return the smallest part that the venue takes: at least one lot."""
    rule = state.instruments.get(instrument, BARE)
    return max(rule.quantity_min, rule.lot)


def cancel_again(state: State) -> list[f.Fact]:
    """Cancel entries that signals have closed before they filled, and whose closes are over."""
    found: list[f.Fact] = []
    for key, target in state.targets.items():
        entry = state.orders.get(target.position)
        if key in state.positions or key in state.closings or target.most or entry is None:
            continue
        if entry.status not in (Status.PENDING_CANCEL, Status.SUBMITTED):
            found.append(f.CancelRequested(entry.id, "a signal has closed it"))
    return found


def close_again(state: State, position: Position, now_ns: int) -> list[f.Fact]:
    """Send the close again that has not closed, with longer and longer pauses.

    Not while any close is under way that may yet do so, nor while the venue seems to hold another
    quantity: then a fill may not have been told.
    """
    key = key_of(position.account, position.instrument)
    target = state.targets.get(key)
    if target is None or target.position != position.id or now_ns < target.after_ns:
        return []
    if key in state.suspects:
        return []
    left = position.quantity - target.most
    for name in state.closings.get(key, ()):
        left -= state.orders[name].quantity - state.orders[name].filled
    if left < position.quantity:  # less than everything is what the venue takes
        left = state.instruments.get(position.instrument, BARE).quantity_down(left)
        if left < least(state, position.instrument):
            return []
    order = orders.reduction(state, position, "signal", left, now_ns)
    return [
        f.OrderSubmitted(replace(fact.order, attempt=target.tries + 1))
        for fact in order
        if type(fact) is f.OrderSubmitted
    ]
