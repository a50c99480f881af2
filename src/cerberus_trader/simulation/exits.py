"""The checkers of exits: none waits, none is denied without need, each closes what it was for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, SignalEvent
from cerberus_trader.domain.order import TERMINAL
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
PATIENCE_S = 1.0
"""How long a reducing order may wait for the disk: what is promised, not what the engine says."""
SLACK_S = 0.05
MAY_DENY = (
    "SIGNAL_INVALID", "SOURCE_UNKNOWN", "INSTRUMENT_UNKNOWN", "POSITION_OWNED_ELSEWHERE",
    "POSITION_CLOSING", "POSITION_NONE", "SIZE_BELOW_MINIMUM", "SIGNAL_FORGOTTEN",
)  # fmt: skip
"""The codes for which a close may be denied: it cannot be read, or there is nothing to close."""


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


def exits_granted(rows: list[Row]) -> Iterator[str]:
    """A close is denied only for what is wrong with it: no limit, stop or stale price holds it."""
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.SignalJudged and fact.decision.side == "close":
                code = fact.decision.code
                if fact.decision.verdict == "denied" and code not in MAY_DENY:
                    yield f"close {fact.decision.signal_id} was denied: {code}"


class Asked(NamedTuple):
    """Hold a signal's close: whose entry had opened the position, and how much of it to close.

    `sign` is the side of what is held; `booked` which fills had been told of by then.
    """

    signal: str
    instrument: str
    entry: str
    sign: int
    quantity: Decimal
    booked: frozenset[str]


def closes_of(rows: list[Row]) -> Iterator[Asked]:
    """Every approved close of a position: all that the fills told until then come to, or a part.

    A signal of the other side closes all of it too, also one that is denied as an entry.
    """
    held: dict[str, Decimal] = {}
    booked: set[str] = set()
    for row in rows:
        event = row.event
        if type(event) is FillReport and event.trade_id not in booked:
            booked.add(event.trade_id)
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
                yield Asked(event.signal.id, name, fact.order.closes, sign, size,
                            frozenset(booked))  # fmt: skip


def closes_close(world: "World", rows: list[Row]) -> Iterator[str]:
    """What a signal has closed is gone at the venue, or as much was closed there since.

    What fills of its entry after that, on its way already, no signal has closed. Without a part of
    the history the fills do not add up to what was held.
    """
    if world.disk.lost:
        return
    fills = [b for _, b in world.venue.bookings if isinstance(b, FillReport)]
    for asked in closes_of(rows):
        there = world.venue.positions.get(asked.instrument)
        if there is None or there.owner != asked.entry:
            continue
        since = [b.quantity for b in fills if b.instrument == asked.instrument
                 and b.side == -asked.sign and b.trade_id not in asked.booked]  # fmt: skip
        closed = sum(since, ZERO)
        if closed < asked.quantity:
            yield (f"{asked.signal} closed {asked.quantity} {asked.instrument}, "
                   f"{closed} were, {there.quantity} are open")  # fmt: skip
