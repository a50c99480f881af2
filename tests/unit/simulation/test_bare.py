"""Positions without the stop they were to have: noted at the venue, and held against what left."""

from decimal import Decimal
from random import Random

import msgspec
import pytest

from cerberus_trader.domain.events import AccountReport, LinkEvent
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.simulation import bare as b
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.held import Held
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World

replace = msgspec.structs.replace


@pytest.fixture
def world() -> World:
    """Run a world in which stops get lost."""
    made = World(4, Faults(legs_dropped_per_minute=4.0), 2.0)
    assert run(made.run(), Random(4)).violations == ()
    return made


def rows_of(world: World) -> list[Row]:
    return [decode_row(row.body, place="row") for row in world.disk.rows]


def test_what_has_no_stop_is_noted_until_it_is_closed(world: World) -> None:
    spells = [spell for known in world.bare.values() for spell in known]
    assert spells and list(b.bare_is_closed(world, rows_of(world))) == []
    lasting = next(s for s in spells if s.until_ns - s.since_ns > b.LIST_LAG_NS)
    assert any(order.closes == lasting.owner for _, order, _ in world.sent)


def test_a_fill_begins_a_spell_anew(world: World) -> None:
    orders = [live.order for live in world.venue.orders.values()]
    entry = next(x for x in orders if x.bracket is not None and x.bracket.protects)
    held, now, name = Held(entry.id, Decimal(1)), [10**18], entry.instrument
    world.venue.positions = {name: held}
    world.venue.now_ns = lambda: now[0]
    known: dict[str, list[b.Spell]] = {}
    for step, quantity in ((1, "1"), (1, "1"), (1, "2"), (2, "2")):
        now[0] += step * 250 * b.MS
        held.quantity = entry.side * Decimal(quantity)
        b.note(world.venue, known)
    assert [spell.until_ns - spell.since_ns for spell in known[name]] == [250 * b.MS, 0, 0]
    held.stop = Decimal(1)
    b.note(world.venue, known)
    assert len(known[name]) == 3


def test_a_position_that_stays_without_its_stop(world: World) -> None:
    rows = rows_of(world)
    looks = [row.event for row in rows if type(row.event) is AccountReport]
    world.bare = {"ALFA": [b.Spell("mine", Decimal(1), looks[3].venue_ns, looks[-1].venue_ns)]}
    words = ["mine had no stop for 3 looks, and no close was sent"]
    assert list(b.bare_is_closed(world, rows)) == words
    short = replace_spell(world, until_ns=looks[4].venue_ns)
    assert list(b.bare_is_closed(short, rows)) == []
    replace_spell(world, until_ns=looks[-1].venue_ns)
    lost = Row(1, LinkEvent(1, "main", "lost"), ())
    doctored = [lost if row.event in looks[4::2] else row for row in rows]
    assert list(b.bare_is_closed(world, doctored)) == [], "never three looks through one line"
    when, order, word = world.sent[0]
    world.sent.append((when, replace(order, closes="mine"), word))
    assert list(b.bare_is_closed(world, rows)) == []
    del world.sent[-1]
    world.breaks = [x / 4 for x in range(10_000)]
    assert list(b.bare_is_closed(world, rows)) == []


def replace_spell(world: World, *, until_ns: int) -> World:
    (spell,) = world.bare["ALFA"]
    world.bare["ALFA"] = [spell._replace(until_ns=until_ns)]
    return world
