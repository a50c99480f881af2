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
    owed, entries = (target.owed, target.entries) if target is not None else (ZERO, ())
    held, asked = ZERO, order.quantity
    coming: tuple[str, ...] = (order.closes,)
    if position is not None and position.id == order.closes:
        held, coming = position.quantity, ()
        if asks_all(event, position):  # also what other closes on their way may not take
            coming = partly_filled(state, key, position)
            asked = held + to_come(state, coming)
        elif type(event) is SignalEvent and event.signal.quantity is not None:
            rule = state.instruments.get(order.instrument, BARE)
            asked = max(asked, min(rule.quantity_down(event.signal.quantity), held))
    entries = tuple(dict.fromkeys((*entries, *coming)))
    of = held + to_come(state, entries)
    state.targets[key] = Target(order.closes, min(owed + asked, of), of, entries)


def partly_filled(state: State, key: str, position: Position) -> tuple[str, ...]:
    """Name the entries that have opened a position and go on filling: they are cancelled."""
    found = [state.orders[name] for name in state.entries.get(key, ())]
    return tuple(o.id for o in found if o.filled and o.side == position.sign)


def to_come(state: State, entries: tuple[str, ...]) -> Decimal:
    """Return what of some entries may yet fill."""
    working = [state.orders[name] for name in entries if name in state.orders]
    return sum((order.quantity - order.filled for order in working), ZERO)


def asks_all(event: Event, position: Position) -> bool:
    """Tell whether a signal closes all of a position."""
    if type(event) is not SignalEvent:
        return False
    asked = event.signal.quantity
    return event.signal.side != "close" or asked is None or asked >= position.quantity


def meant(state: State, target: Target, held: Decimal) -> Decimal:
    """Return how much of what is held signals were about: the rest has come since."""
    return max(min(held, target.of - to_come(state, target.entries)), ZERO)


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
        less = min(event.quantity, meant(state, target, before.quantity))
        state.targets[key] = replace(target, owed=target.owed - less, of=target.of - less)
    meet(state, key)


def follow_venue(state: State, key: str, fact: f.PositionCorrected) -> None:
    """Count what is closed already by the venue's word."""
    before, after, target = fact.before, fact.after, state.targets[key]
    left = after.quantity if after is not None else ZERO
    if before is None or (after is not None and after.sign != before.sign):
        del state.targets[key]
        return
    less = min(max(before.quantity - left, ZERO), meant(state, target, before.quantity))
    state.targets[key] = replace(target, owed=target.owed - less, of=target.of - less)
    meet(state, key)


def follow_end(state: State, key: str, order: Order, filled: Decimal) -> None:
    """Expect no more of an entry that has ended, with a last fill of so much."""
    target = state.targets[key]
    if order.id in target.entries:
        of = target.of - (order.quantity - order.filled - filled)
        entries = tuple(name for name in target.entries if name != order.id)
        state.targets[key] = replace(target, of=of, entries=entries)
    meet(state, key)


def meet(state: State, key: str) -> None:
    """Forget a target that is met, or too small to be traded, or of what is gone."""
    target, position = state.targets[key], state.positions.get(key)
    held = position.quantity if position is not None else ZERO
    most = held + to_come(state, target.entries)
    owed, instrument = min(target.owed, target.of, most), key.partition("/")[2]
    if owed <= ZERO or traded(state, instrument, owed, most) == ZERO:
        del state.targets[key]
    elif owed != target.owed:
        state.targets[key] = replace(target, owed=owed)


def traded(state: State, instrument: str, part: Decimal, whole: Decimal) -> Decimal:
    """Return what the venue takes of a part: in its lots, unless it is all, and not too little."""
    rule = state.instruments.get(instrument, BARE)
    if part < whole:
        part = rule.quantity_down(part)
    return part if part >= max(rule.quantity_min, rule.lot) else ZERO


def still(state: State, order: Order) -> Decimal:
    """Return how much a refused close of a signal is still to close: others may have closed it."""
    left, key = order.quantity - order.filled, key_of(order.account, order.instrument)
    target, position = state.targets.get(key), state.positions.get(key)
    if order.account not in state.agreed:
        return left
    if target is None:
        return ZERO
    if order.closes == target.entry or (position is not None and order.closes == position.id):
        return min(left, unsent(state, key, order.id))
    return ZERO


def cancel_again(state: State) -> list[f.Fact]:
    """Cancel entries that signals have closed before they filled, and whose closes are over."""
    found: list[f.Fact] = []
    for key, target in state.targets.items():
        position = state.positions.get(key)
        held = meant(state, target, position.quantity) if position is not None else ZERO
        if key in state.closings or target.owed - held < to_come(state, target.entries):
            continue
        for name in target.entries:
            entry = state.orders.get(name)
            if entry and entry.status not in (Status.PENDING_CANCEL, Status.SUBMITTED):
                found.append(f.CancelRequested(name, "a signal has closed it"))
    return found


def due(state: State, position: Position, now_ns: int) -> Decimal:
    """Return what of a position to close again, 0 for nothing; the pauses between grow.

    Not while the venue seems to hold another quantity: then a fill may not have been told.
    """
    key = key_of(position.account, position.instrument)
    target = state.targets.get(key)
    if target is None or now_ns < target.after_ns or key in state.suspects:
        return ZERO
    return unsent(state, key)


def unsent(state: State, key: str, but: str = "") -> Decimal:
    """Return what is owed at a place and no close under way may yet take, one left aside."""
    target, position = state.targets[key], state.positions.get(key)
    left = whole = target.owed
    if position is not None:
        whole = position.quantity
        left = min(left, meant(state, target, whole))
    for name in state.closings.get(key, ()):
        if name != but:
            left -= state.orders[name].quantity - state.orders[name].filled
    return traded(state, key.partition("/")[2], left, whole)
