"""The checkers of what the engine acts on: each finds nothing in a sound run, and its own fault."""

from decimal import Decimal
from random import Random

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, Event, LinkEvent, SignalEvent, TimerEvent
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.simulation import sights as s
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World

D = Decimal
MS = 1_000_000
replace = msgspec.structs.replace


def order(name: str, *, reduce_only: bool = False) -> Order:
    return Order(name, "main", "sim", "ALFA", 1, "market", "entry", D(1), reduce_only=reduce_only)


def row(event: Event, *facts: f.Fact) -> Row:
    return Row(1, event, facts)


@pytest.fixture
def world() -> World:
    """Run a world in which the feed has gaps and the disk stalls."""
    made = World(3, Faults(feed_gaps_per_minute=3.0, sync_stall=0.05), 1.0)
    assert run(made.run(), Random(3)).violations == ()
    return made


def rows_of(world: World) -> list[Row]:
    return [decode_row(row.body, place="row") for row in world.disk.rows]


def test_an_entry_that_was_approved_on_an_old_price(world: World) -> None:
    rows = rows_of(world)
    assert list(s.fresh_when_approved(world, rows)) == []
    found = next(r for r in rows if any(map(s.is_entry, r.facts)))
    assert isinstance(found.event, SignalEvent)
    name, now_ns = found.event.signal.instrument, found.event.ts_ns
    limit_ms = next(x.settings.intake.data_age_ms_max for r in rows for x in r.facts
                    if type(x) is f.ConfigApplied)  # fmt: skip
    config = next(r for r in rows if any(type(x) is f.ConfigApplied for x in r.facts))
    world.given[name] = [now_ns - limit_ms * MS, now_ns + 1]
    assert list(s.fresh_when_approved(world, [config, found])) == []
    world.given[name] = [now_ns - (limit_ms + 1) * MS, now_ns + 1]
    (words,) = s.fresh_when_approved(world, [config, found])
    assert words.endswith(f"approved on a price {limit_ms + 1} ms old")
    world.skewed = True
    assert list(s.fresh_when_approved(world, rows)) == []


def test_an_entry_that_leaves_late_or_after_its_end(world: World) -> None:
    rows = rows_of(world)
    assert list(s.fresh_when_sent(world, rows)) == []
    when, first, word = next(x for x in world.sent if not x[1].reduce_only)
    world.sent[:] = [(when + 100.0, replace(first, expires_ns=0), word)]
    (words,) = s.fresh_when_sent(world, rows)
    assert words.startswith(f"order {first.id} left 100") and "after its approval" in words
    ended = replace(first, expires_ns=world.wall.epoch_ns + int(when * 1e9) - 5 * MS)
    world.sent[:] = [(when, ended, word)]
    assert list(s.fresh_when_sent(world, rows)) == [f"order {first.id} left 5 ms after its end"]
    world.disk.lost.append(world.disk.rows[0])
    assert list(s.fresh_when_sent(world, rows)) == []


def test_an_entry_that_was_approved_before_the_line_was_looked_through() -> None:
    timer = TimerEvent(1, "health")
    enters, exits = f.OrderSubmitted(order("in")), f.OrderSubmitted(order("out", reduce_only=True))
    look = row(AccountReport(1, "main", 1, "timer", (), (), D(1)))
    for state in ("connecting", "connected", "lost"):
        line = row(LinkEvent(1, "main", state))  # type: ignore[arg-type]
        assert list(s.opened_unseen([line, row(timer, exits), look, row(timer, enters)])) == []
        found = list(s.opened_unseen([look, line, row(timer, enters), look]))
        assert found == [f"order in was approved, the line was {state} and no look came"]
