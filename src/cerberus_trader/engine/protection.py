"""Protection: the stops of positions as their venue holds them; what is not protected is closed."""

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import ZERO, plain
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import LEVELS, Position, protective_ids
from cerberus_trader.engine import orders, risk
from cerberus_trader.engine.holdings import moved_level
from cerberus_trader.engine.look import Look, acted, correction
from cerberus_trader.engine.state import State, key_of

replace = msgspec.structs.replace


def stand(look: Look) -> list[f.Fact]:
    """Take it that a protective order rests, also one of which another word had come."""
    order, theirs = look.order, look.theirs
    assert order is not None and theirs is not None
    if order.status is Status.UNKNOWN:
        return [f.OrderChanged(look.order_id, Status.ACCEPTED, "found at the venue")]
    position = look.held(order.instrument)
    if position is None or position.id != order.closes:
        return []
    if short(look, position, order, theirs):
        return cover(look, position, order, theirs)
    return moved_level(look, position, order, theirs.price)


def attached(look: Look) -> list[f.Fact]:
    """Take over a leg of a position of ours that its fills did not tell of."""
    assert look.theirs is not None
    position = look.held(look.theirs.instrument)
    legs = dict(zip(protective_ids(position.id), LEVELS, strict=True)) if position else {}
    level, price = legs.get(look.order_id), look.theirs.price
    if position is None or level is None or price is None or getattr(position, level) is not None:
        return []
    name = position.instrument
    facts = look.suspect("attached", look.order_id, "", plain(price), "noted", name)
    if not acted(facts, "noted"):
        return facts
    after = replace(position, **{level: price})
    if level != "take_profit":
        held = after.entry_price, after.sign, (after.stop, after.trailing)
        risk = orders.trailed(*held, after.quantity, after.cost, after.risk)
        after = replace(after, risk=risk, stop_ns=look.now_ns)
    return [*facts, correction(look, position.instrument, position, after, "its leg was found")]


def unprotected(look: Look) -> list[f.Fact]:
    """Close a position whose stop the venue does not hold; a profit is let go.

    A close that fails is tried again at the next look.
    """
    order = look.order
    assert order is not None
    position = look.held(order.instrument)
    if position is None or position.id != order.closes or look.before(position):
        return []
    if look.misnamed(position):
        return []  # its protection has another name too
    if order.kind == "take_profit":
        name = position.instrument
        facts = look.suspect("unprofited", look.order_id, order.kind, "absent", "noted", name)
        if acted(facts, "noted"):
            after = replace(position, take_profit=None)
            facts.append(correction(look, position.instrument, position, after, "no profit order"))
        return facts
    return close_unprotected(look, position, look.order_id, order.kind)


def close_unprotected(look: Look, position: Position, leg: str, kind: str) -> list[f.Fact]:
    """Close a position without its stop, as often as that takes."""
    facts = look.suspect("unprotected", leg, kind, "absent", "closed", position.instrument)
    left = risk.uncovered(look.state, position)
    if not look.waiting and left > ZERO:
        facts += orders.reduction(look.state, position, "breaker", left, look.now_ns)
    return facts


def short(look: Look, position: Position, order: Order, theirs: VenueOrder) -> bool:
    """Tell whether a stop is for less than its position, by so much that it may be traded."""
    if order.kind == "take_profit" or not look.agrees(order.instrument):
        return False
    if look.before(position) or look.misnamed(position) or whole(look, position):
        return False
    item = look.state.instruments.get(order.instrument, BARE)
    rests = theirs.quantity - theirs.filled
    return position.quantity - rests >= max(item.quantity_min, item.lot)


def cover(look: Look, position: Position, order: Order, theirs: VenueOrder) -> list[f.Fact]:
    """Close what of a position its stop at the venue is too small for.

    Not while nobody knows of a close on its way: two parts may take more than is unprotected.
    """
    state, rests = look.state, theirs.quantity - theirs.filled
    ours, there = plain(position.quantity), plain(rests)
    facts = look.suspect("unprotected", order.id, ours, there, "closed", order.instrument)
    closes = state.closings.get(key_of(position.account, position.instrument), ())
    if look.waiting or any(state.orders[name].status is Status.UNKNOWN for name in closes):
        return facts
    item = state.instruments.get(order.instrument, BARE)
    left = item.quantity_down(risk.uncovered(state, position) - rests)
    return facts + orders.reduction(state, position, "breaker", left, look.now_ns)


def whole(look: Look, position: Position) -> bool:
    """Tell whether a stop for all of a position is listed; of quantity 0 it closes all there is."""
    stop, _, trailing = protective_ids(position.id)
    found = [look.listed[leg] for leg in (stop, trailing) if leg in look.listed]
    return any(
        x.state == "working" and (not x.quantity or x.quantity - x.filled >= position.quantity)
        for x in found
    )


def never_protected(look: Look) -> list[f.Fact]:
    """Close positions whose entries asked for a stop, and filled without one."""
    facts: list[f.Fact] = []
    for position in look.state.positions.values():
        if position.account != look.account or not asked(look.state, position):
            continue
        if look.before(position) or look.misnamed(position):
            continue
        stop, _, trailing = protective_ids(position.id)
        bare = position.stop is None and position.trailing is None
        bare = bare and stop not in look.listed and trailing not in look.listed
        if bare and look.agrees(position.instrument):
            facts += close_unprotected(look, position, stop, "stop")
    return facts


def asked(state: State, position: Position) -> bool:
    """Tell whether an entry of a position asked for a stop.

    The position says so itself, as its entry may be forgotten; one that was found, or that got its
    name from the venue, does not.
    """
    if position.guarded:
        return True
    ended = state.ended.get(position.id)
    entry = state.orders.get(position.id) or (ended.order if ended is not None else None)
    if entry is None or entry.bracket is None or entry.side != position.sign:
        return False
    return entry.bracket.protects
