"""Exits leave in time, are denied only for what is wrong with them, and close what they are for."""

from typing import Any

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.order import Status
from cerberus_trader.simulation import exits as x
from cerberus_trader.simulation.world import World
from tests.unit.simulation.history import (
    D,
    asked,
    ended,
    entry,
    fill,
    filled,
    hold,
    leave,
    said,
    submitted,
    world_of,
)


def stalled(**fields: Any) -> tuple[World, list[Any]]:
    """Return a world in which the row of a close was five seconds on its way to the disk."""
    rows = [said("flatten", "", submitted(leave(**fields)), submitted(entry()))]
    world = world_of(*rows)
    world.disk.times = [5.0]
    return world, rows


def test_an_exit_that_waits_for_the_disk() -> None:
    world, rows = stalled()
    assert list(x.exits_leave(world, rows)) == ["exit 2x waited for the disk for 5.000 s"]
    for when, found in ((0.5, 0), (1.0, 0), (1.2, 1), (5.0, 1)):
        world.sent = [(when, leave(), "")]
        assert len(list(x.exits_leave(world, rows))) == found, when
    world.sent, world.disk.times = [], [1.0]
    assert list(x.exits_leave(world, rows)) == [], "it was durable in time, or its life had ended"


@pytest.mark.parametrize(
    "lines", [[], [(-9.0, False)], [(1.01, True)], [(-9.0, True), (0.98, False)]]
)
def test_an_exit_waits_for_a_line(lines: list[tuple[float, bool]]) -> None:
    world, rows = stalled()
    world.lines = lines
    assert list(x.exits_leave(world, rows)) == []


def test_an_exit_that_pauses_or_has_ended_waits_for_nothing() -> None:
    world, rows = stalled(send_after_ns=7)
    assert list(x.exits_leave(world, rows)) == []
    world, rows = stalled()
    rows.append(said("resume", "", ended(leave())))
    world.disk.appended, world.disk.times = [0.0, 0.5], [5.0, 5.0]
    assert list(x.exits_leave(world, rows)) == []
    world.disk.appended = [0.0, 2.0]
    assert len(list(x.exits_leave(world, rows))) == 1


@pytest.mark.parametrize(
    ("side", "verdict", "code", "found"),
    [("close", "denied", "TRADING_HALTED", 1), ("close", "denied", "PRICE_STALE", 1),
     ("close", "denied", "POSITION_NONE", 0), ("close", "approved", "", 0),
     ("buy", "denied", "TRADING_HALTED", 0)],
)  # fmt: skip
def test_a_close_that_is_denied_by_what_stops_entries(
    side: Any, verdict: str, code: str, found: int
) -> None:
    told = Decision("d", 1, "s1", "a", "ALFA", side, "c", verdict, code, "", 0, (), (), D(1))
    rows = [asked(side, f.SignalJudged(told))]
    words = list(x.exits_granted(world_of(*rows), rows))
    assert words == [f"close s1 was denied: {code}"] * found


@pytest.mark.parametrize(
    ("ways", "found"),
    [([], 1), ([submitted(leave())], 0), ([submitted(leave(filled=D(1)))], 1),
     ([submitted(leave()), ended(leave())], 1),
     ([submitted(leave()), f.OrderChanged("2x", Status.UNKNOWN)], 1),
     ([submitted(leave("3x", quantity=D(2))), submitted(leave("4x", quantity=D(1)))], 0)],
)  # fmt: skip
def test_a_close_that_is_denied_for_what_others_take(ways: list[Any], found: int) -> None:
    """The close of a part held up the close of everything, and no run could tell."""
    code = "POSITION_CLOSING"
    told = Decision("d", 1, "s1", "a", "ALFA", "close", "c", "denied", code, "", 0, (), (), D(1))
    rows = [filled(entry()), said("resume", "", *ways), asked("close", f.SignalJudged(told))]
    world = world_of(*rows)
    assert len(list(x.exits_granted(world, rows))) == found
    held = f.PositionCorrected(1, "main", "ALFA", None, None, "gone")
    assert not list(x.exits_granted(world, [*rows[:2], said("resume", "", held), rows[2]]))
    world.disk.lost = [None]  # type: ignore[list-item]
    assert not list(x.exits_granted(world, rows))


def test_a_close_of_everything_takes_what_its_entry_goes_on_filling() -> None:
    order = leave()
    for side, part, wanted in (("close", None, 5), ("close", D(2), 3)):
        rows = [filled(entry()), asked(side, submitted(order), quantity=part)]
        world = world_of(*rows)
        hold(world, entry(), D(2))
        closed(world, "t2", D(3))
        world.venue.bookings.append((1, fill(entry(), D(2), "t3")))
        world.venue.bookings.append((1, fill(entry("5e"), D(9), "t4")))
        words = list(x.closes_close(world, rows))
        assert words == (["s1 closed 5 ALFA, 3 were, 2 are open"] if wanted == 5 else [])


def closed(world: World, trade: str, quantity: Any) -> None:
    """Let the venue close a part of what is held."""
    world.venue.bookings.append((1, fill(leave(), quantity, trade)))


@pytest.mark.parametrize(
    ("side", "part", "owed"),
    [("close", None, 3), ("close", D(9), 3), ("close", D(2), 2), ("sell", D(2), 3)],
)
def test_a_close_that_has_not_closed(side: Any, part: Any, owed: int) -> None:
    order = msgspec.structs.replace(leave(), quantity=D(owed))
    rows = [filled(entry()), asked(side, submitted(order), quantity=part)]
    world = world_of(*rows)
    assert list(x.closes_close(world, rows)) == [], "it is gone"
    hold(world, entry())
    assert list(x.closes_close(world, rows)) == [f"s1 closed {owed} ALFA, 0 were, 3 are open"]
    closed(world, "t1", D(3))  # booked before the signal
    closed(world, "t2", D(owed - 1))
    assert len(list(x.closes_close(world, rows))) == 1
    closed(world, "t3", D(1))
    assert list(x.closes_close(world, rows)) == [], "what is open has filled since"
    world.venue.bookings.clear()
    hold(world, entry("4e"))
    assert list(x.closes_close(world, rows)) == [], "another position"
    hold(world, entry())
    world.disk.lost = [None]  # type: ignore[list-item]
    assert list(x.closes_close(world, rows)) == []
