"""The checkers of what the engine acts on: a line that was looked through, fresh prices."""

from bisect import bisect_right
from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeGuard

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, LinkEvent, SignalEvent
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

MS = 1_000_000


def opened_unseen(rows: list[Row]) -> Iterator[str]:
    """From any word of the line until a look at the account no entry is approved."""
    word = ""
    for row in rows:
        event = row.event
        if type(event) is LinkEvent:
            word = event.state
        elif type(event) is AccountReport:
            word = ""
        for fact in row.facts if word else ():
            if type(fact) is f.OrderSubmitted and not fact.order.reduce_only:
                yield f"order {fact.order.id} was approved, the line was {word} and no look came"


def fresh_when_approved(world: "World", rows: list[Row]) -> Iterator[str]:
    """An entry is approved on a price that the world gave not long before.

    Where the clock is stepped, its stamps do not tell how old a price was.
    """
    most_ms = 0
    for row in rows if not world.skewed else ():
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                most_ms = fact.settings.intake.data_age_ms_max
        event = row.event
        if type(event) is SignalEvent and any(map(is_entry, row.facts)):
            name, now_ns = event.signal.instrument, event.ts_ns
            given = world.given.get(name, [])
            last = bisect_right(given, now_ns)
            age_ms = (now_ns - given[last - 1]) // MS if last else now_ns // MS
            if age_ms > most_ms:
                yield f"signal {event.signal.id} was approved on a price {age_ms} ms old"


def fresh_when_sent(world: "World", rows: list[Row]) -> Iterator[str]:
    """An entry leaves while its approval is as young as a signal must be, and has not expired.

    It may have been approved at the same age of its signal: both count from their own beginning.
    The clock's steps and lost histories, in which the same entry was approved before, tell nothing.
    """
    limits: list[tuple[float, int]] = []
    approved: dict[str, tuple[int, Order]] = {}
    for row, at in zip(rows, world.disk.appended, strict=True):
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                limits.append((at, fact.settings.intake.signal_age_ms_max))
            elif is_entry(fact):
                approved[fact.order.id] = row.event.ts_ns, fact.order
    for when, order, _ in world.sent:
        if world.skewed or world.disk.lost or order.attempt or order.id not in approved:
            continue
        then_ns, now_ns = approved[order.id][0], world.wall.epoch_ns + int(when * 1e9)
        most_ms = next((ms for at, ms in reversed(limits) if at <= when), 0)
        if now_ns - then_ns > most_ms * MS + MS:
            yield f"order {order.id} left {(now_ns - then_ns) // MS} ms after its approval"
        if order.expires_ns and now_ns > order.expires_ns + MS:
            yield f"order {order.id} left {(now_ns - order.expires_ns) // MS} ms after its end"


def is_entry(fact: f.Fact) -> TypeGuard[f.OrderSubmitted]:
    """Tell whether a fact submits an order that adds exposure."""
    return type(fact) is f.OrderSubmitted and not fact.order.reduce_only
