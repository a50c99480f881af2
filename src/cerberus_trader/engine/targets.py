"""Targets: how much of a place signals have closed and is still open.

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
from cerberus_trader.engine.state import State, Target, key_of

PAUSE_NS = 5_000_000_000
PAUSE_MAX_NS = 300_000_000_000
replace = msgspec.structs.replace


def aim(state: State, event: Event, order: Order) -> None:
    """Note what the close of a signal, or of a killed order's part, is to close.

    On paper nothing is lost: a close that comes to nothing there has lapsed, as in a replay.
    """
    if order.reason != "signal" or order.account not in state.agreed:
        return
    key = key_of(order.account, order.instrument)
    target, position = state.targets.get(key), state.positions.get(key)
    if order.attempt:  # it was asked for before
        if target is not None:
            pause = min(PAUSE_NS << min(target.tries, 16), PAUSE_MAX_NS)
            later = event.ts_ns + pause
            state.targets[key] = replace(target, tries=target.tries + 1, after_ns=later)
        return
    owed = target.owed if target is not None else ZERO
    if position is not None and position.id == order.closes and asks_all(event, position):
        owed = max(owed, position.quantity)  # also what other closes on their way may not take
    else:
        owed += order.quantity
    state.targets[key] = Target(order.closes, owed)


def asks_all(event: Event, position: Position) -> bool:
    """Tell whether a signal closes all of a position."""
    if type(event) is not SignalEvent:
        return False
    asked = event.signal.quantity
    return event.signal.side != "close" or asked is None or asked >= position.quantity


def follow_fill(
    state: State, key: str, event: FillReport, before: Position | None, fact: f.Filled
) -> None:
    """Count what a fill has closed, whosever it is; what opens or adds was closed by nobody."""
    after = fact.position
    if before is not None and before.sign != event.side:
        if after is not None and after.sign != before.sign:
            del state.targets[key]  # through zero: another position
            return
        target = state.targets[key]
        state.targets[key] = replace(target, owed=target.owed - event.quantity)
    meet(state, key)


def follow_venue(state: State, key: str, fact: f.PositionCorrected) -> None:
    """Count what is closed already by the venue's word."""
    before, after, target = fact.before, fact.after, state.targets[key]
    left = after.quantity if after is not None else ZERO
    if before is None or (after is not None and after.sign != before.sign):
        del state.targets[key]
        return
    owed = target.owed - max(before.quantity - left, ZERO)
    state.targets[key] = replace(target, owed=owed)
    meet(state, key)


def meet(state: State, key: str) -> None:
    """Forget a target that is met, or too small to be traded, or of what is gone."""
    target, position = state.targets[key], state.positions.get(key)
    entries = state.entries.get(key, ())
    if position is None and target.entry not in entries:
        del state.targets[key]
        return
    most = position.quantity if position is not None else ZERO
    for name in entries:
        most += state.orders[name].quantity - state.orders[name].filled
    owed, instrument = min(target.owed, most), key.partition("/")[2]
    if owed <= ZERO or owed < least(state, instrument):
        del state.targets[key]
    elif owed != target.owed:
        state.targets[key] = replace(target, owed=owed)


def is_meant(state: State, order: Order) -> bool:
    """Tell whether the close of a signal is still to close something, and that same position."""
    if order.account not in state.agreed:
        return True
    key = key_of(order.account, order.instrument)
    target, position = state.targets.get(key), state.positions.get(key)
    if target is None:
        return False
    return order.closes == target.entry or (position is not None and order.closes == position.id)


def least(state: State, instrument: str) -> Decimal:
    """Return the smallest part that the venue takes: at least one lot."""
    rule = state.instruments.get(instrument, BARE)
    return max(rule.quantity_min, rule.lot)


def cancel_again(state: State) -> list[f.Fact]:
    """Cancel entries that signals have closed before they filled, and whose closes are over."""
    found: list[f.Fact] = []
    for key, target in state.targets.items():
        entry = state.orders.get(target.entry)
        if key in state.positions or key in state.closings or entry is None:
            continue
        fits = target.owed >= entry.quantity - entry.filled
        if fits and entry.status not in (Status.PENDING_CANCEL, Status.SUBMITTED):
            found.append(f.CancelRequested(entry.id, "a signal has closed it"))
    return found


def due(state: State, position: Position, now_ns: int) -> Decimal:
    """Return what of a position to close again, 0 for nothing; the pauses between grow.

    Not what any close under way may yet take, nor while the venue seems to hold another quantity:
    then a fill may not have been told.
    """
    key = key_of(position.account, position.instrument)
    target = state.targets.get(key)
    if target is None or now_ns < target.after_ns or key in state.suspects:
        return ZERO
    left = min(target.owed, position.quantity)
    for name in state.closings.get(key, ()):
        left -= state.orders[name].quantity - state.orders[name].filled
    if left < position.quantity:  # less than everything is what the venue takes
        left = state.instruments.get(position.instrument, BARE).quantity_down(left)
    return left if left >= least(state, position.instrument) else ZERO
