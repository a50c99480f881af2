"""The checkers of exits: none waits, none is denied without need, each closes what it was for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, SignalEvent
from cerberus_trader.domain.order import TERMINAL, Order, Status
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
replace = msgspec.structs.replace
PATIENCE_S = 1.0
"""How long a reducing order may wait for the disk: what is promised, not what the engine says."""
SLACK_S = 0.05
MAY_DENY = (
    "SIGNAL_INVALID", "SOURCE_UNKNOWN", "INSTRUMENT_UNKNOWN", "POSITION_OWNED_ELSEWHERE",
    "POSITION_NONE", "SIZE_BELOW_MINIMUM", "SIGNAL_FORGOTTEN",
)  # fmt: skip
"""The codes for which a close may be denied: it cannot be read, or there is nothing to close."""
COVERED = "POSITION_CLOSING"
"""The code for which it may be where closes on their way take everything."""


def exits_leave(world: "World", rows: list[Row]) -> Iterator[str]:
    """A reducing order leaves within a second, however long the disk takes, if there is a line.

    Not one that has ended meanwhile, nor the next attempt of a refused one, which pauses first.
    """
    sent: dict[str, float] = {}
    for when, order, _ in world.sent:
        sent.setdefault(order.id, when)
    over = ends(rows, world.disk.appended)
    for row, written, durable in zip(rows, world.disk.appended, world.disk.times, strict=True):
        until = written + PATIENCE_S
        if durable <= until + SLACK_S or not steady(world, until):
            continue
        for fact in row.facts:
            if type(fact) is not f.OrderSubmitted or not fact.order.reduce_only:
                continue
            name = fact.order.id
            if fact.order.send_after_ns or over.get(name, until + SLACK_S) < until + SLACK_S:
                continue
            if sent.get(name, durable) > until + SLACK_S:
                yield f"exit {name} waited for the disk for {durable - written:.3f} s"


def ends(rows: list[Row], times: list[float]) -> dict[str, float]:
    """Return when each order ended that ended in the rows without a fill."""
    found: dict[str, float] = {}
    for row, when in zip(rows, times, strict=True):
        for fact in row.facts:
            if type(fact) is f.OrderChanged and fact.status in TERMINAL:
                found.setdefault(fact.order_id, when)
    return found


def steady(world: "World", when: float) -> bool:
    """Tell whether the line was there shortly before and after a moment, and all between."""
    begin, end = when - SLACK_S, when + SLACK_S
    before = [up for ts, up in world.lines if ts <= begin]
    return before[-1:] == [True] and not any(begin < ts <= end for ts, _ in world.lines)


def exits_granted(world: "World", rows: list[Row]) -> Iterator[str]:
    """A close is denied only for what is wrong with it: no limit, stop or stale price holds it.

    Nor one that takes a part only. One of unknown outcome may take nothing. With a part of the
    history nobody can say what was on its way.
    """
    covers: dict[str, Order] = {}
    held: dict[str, Decimal] = {}
    for row in rows:
        follow_closes(covers, held, row)
        for fact in row.facts:
            if type(fact) is not f.SignalJudged or fact.decision.side != "close":
                continue
            code, name = fact.decision.code, fact.decision.instrument
            known = [o for o in covers.values() if o.instrument == name]
            way = [o.quantity - o.filled for o in known if o.status is not Status.UNKNOWN]
            covered = world.disk.lost or sum(way) >= held.get(name, ZERO)
            fine = code in MAY_DENY or (code == COVERED and covered)
            if fact.decision.verdict == "denied" and not fine:
                yield f"close {fact.decision.signal_id} was denied: {code}"


def follow_closes(covers: dict[str, Order], held: dict[str, Decimal], row: Row) -> None:
    """Follow a row: what is held by our books, and which closes may yet take of it."""
    event = row.event
    for fact in row.facts:
        if type(fact) is f.Filled:
            assert type(event) is FillReport
            held[event.instrument] = fact.position.quantity if fact.position else ZERO
            order = covers.get(event.order_id)
            if order is not None:
                filled = order.filled + event.quantity
                covers[order.id] = replace(order, filled=filled, status=fact.status)
        elif type(fact) is f.PositionCorrected:
            held[fact.instrument] = fact.after.quantity if fact.after else ZERO
        elif type(fact) is f.OrderSubmitted and fact.order.reduce_only:
            covers[fact.order.id] = fact.order
        elif type(fact) is f.OrderChanged and fact.status in TERMINAL:
            covers.pop(fact.order_id, None)
        elif type(fact) is f.OrderChanged and fact.order_id in covers:
            covers[fact.order_id] = replace(covers[fact.order_id], status=fact.status)


class Asked(NamedTuple):
    """Hold a signal's close: whose entry had opened the position, and how much of it to close.

    `sign` is the side of what is held; `booked` which fills had been told of by then, `coming`
    which entries had begun to fill: where all is closed, what follows of them is too.
    """

    signal: str
    instrument: str
    entry: str
    sign: int
    quantity: Decimal
    booked: frozenset[str]
    coming: frozenset[str] = frozenset()


def closes_of(rows: list[Row]) -> Iterator[Asked]:
    """Every approved close of a position: all that the fills told until then come to, or a part.

    A signal of the other side closes all of it too, also one that is denied as an entry.
    """
    held: dict[str, Decimal] = {}
    booked: set[str] = set()
    begun: set[str] = set()
    for row in rows:
        event = row.event
        if type(event) is FillReport and event.trade_id not in booked:
            booked.add(event.trade_id)
            begun.add(event.order_id)
            held[event.instrument] = held.get(event.instrument, ZERO) + event.side * event.quantity
        if type(event) is not SignalEvent:
            continue
        name, part = event.signal.instrument, event.signal.quantity
        quantity = held.get(name, ZERO)
        for fact in row.facts:
            if type(fact) is f.OrderSubmitted and fact.order.reduce_only and quantity:
                whole = event.signal.side != "close" or part is None or part >= abs(quantity)
                size = abs(quantity) if whole else fact.order.quantity
                sign = 1 if quantity > ZERO else -1
                coming = frozenset(begun if whole else ())
                yield Asked(event.signal.id, name, fact.order.closes, sign, size,
                            frozenset(booked), coming)  # fmt: skip


def closes_close(world: "World", rows: list[Row]) -> Iterator[str]:
    """What a signal has closed is gone at the venue, or as much was closed there since.

    What fills after that of another entry, which had not begun to, no signal has closed. Without a
    part of the history the fills do not add up to what was held.
    """
    if world.disk.lost:
        return
    fills = [b for _, b in world.venue.bookings if isinstance(b, FillReport)]
    for asked in closes_of(rows):
        there = world.venue.positions.get(asked.instrument)
        if there is None or there.owner != asked.entry:
            continue
        since = [b for b in fills if b.instrument == asked.instrument
                 and b.trade_id not in asked.booked]  # fmt: skip
        closed = sum((b.quantity for b in since if b.side == -asked.sign), ZERO)
        came = [b.quantity for b in since if b.side == asked.sign and b.order_id in asked.coming]
        wanted = asked.quantity + sum(came, ZERO)
        if closed < wanted:
            yield (f"{asked.signal} closed {wanted} {asked.instrument}, "
                   f"{closed} were, {there.quantity} are open")  # fmt: skip
