"""What a person asks for is told from the commands alone, and each word must have come true."""

from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.order import Status
from cerberus_trader.simulation import obeyed as o
from cerberus_trader.simulation.checkers import stops_cancel
from tests.unit.simulation.history import (
    D,
    ended,
    entry,
    filled,
    hold,
    leave,
    row,
    said,
    submitted,
    world_of,
)

REFUSED = f.CommandRefused("resume", "me", "frozen")


@pytest.mark.parametrize(
    ("stop", "end", "target"),
    [("halt", "resume", ""), ("freeze", "thaw", ""), ("flatten", "resume", ""),
     ("stop_strategy", "resume_strategy", "a"), ("stop_strategy", "pause_strategy", "a")],
)  # fmt: skip
def test_nothing_leaves_from_a_stop_to_its_end(stop: str, end: str, target: str) -> None:
    rows = [said(stop, target), said(end, target, REFUSED), said(end, target)]
    world = world_of(*rows)
    for when, found in ((0.0, 0), (0.5, 1), (1.5, 1), (2.0, 0), (2.5, 0)):
        world.sent = [(when, entry(), ""), (when, leave(), "")]
        assert len(list(o.stops_hold(world, rows))) == found, when
    world.sent, world.changed = [(-1.0, entry(), "")], [
        (0.5, ModifyOrder("1e", "main", "ALFA", D(1), D(1)), "")
    ]  # fmt: skip
    assert list(o.stops_hold(world, rows)) == [
        f"1e left 0.500 s after a person had stopped {target or 'all'}"
    ]
    world.disk.lost = [None]  # type: ignore[list-item]
    assert list(o.stops_hold(world, rows)) == []


def test_what_stops_one_strategy_or_was_refused_stops_no_other() -> None:
    other, refused = said("stop_strategy", "b"), said("halt", "", REFUSED)
    world = world_of(other, refused)
    world.sent = [(5.0, entry(), "")]
    assert list(o.stops_hold(world, [other, refused])) == []


@pytest.mark.parametrize(("command", "target"), [("flatten", ""), ("stop_strategy", "a")])
def test_what_was_to_be_closed_is_closed_in_the_end(command: str, target: str) -> None:
    rows, known = [said(command, target)], {"1e": entry()}
    world = world_of(*rows)
    assert list(o.stops_empty(world, rows, known)) == []
    hold(world, entry())
    (found,) = o.stops_empty(world, rows, known)
    assert found == "3 ALFA of a is open, though a person had it closed"
    world.blank = True
    assert len(list(o.stops_empty(world, rows, known))) == (not target)
    world.blank = False
    world.venue.outside.add("ALFA")
    assert list(o.stops_empty(world, rows, known)) == []
    world.venue.outside.clear()
    ends = said("resume_strategy" if target else "resume", target)
    again = world_of(*rows, ends)
    hold(again, entry())
    assert list(o.stops_empty(again, [*rows, ends], known)) == []
    others = said("stop_strategy", "b")
    assert list(o.stops_empty(world_of(others), [others], known)) == []


@pytest.mark.parametrize(("command", "target"), [("flatten", ""), ("stop_strategy", "a")])
def test_what_fills_after_the_stop_is_being_closed(command: str, target: str) -> None:
    stop, close = said(command, target), submitted(leave())
    assert list(o.late_fills_close([stop, filled(entry(), D(3), close)])) == []
    begun = [row(stop.event, close), filled(entry())]
    assert list(o.late_fills_close(begun)) == []
    (found,) = o.late_fills_close([begun[0], row(stop.event, ended(leave())), begun[1]])
    assert found == "ALFA of a filled after a stop, and stays open"
    assert list(o.late_fills_close([filled(entry()), stop])) == []


@pytest.mark.parametrize(
    ("command", "target", "found"),
    [("cancel_all", "", 1), ("halt", "", 1), ("stop_strategy", "a", 1), ("stop_strategy", "b", 0),
     ("resume", "", 0)],
)  # fmt: skip
def test_a_word_that_cancels_asks_for_the_end_of_every_entry(
    command: Any, target: str, found: int
) -> None:
    opened, asked = row(said("resume").event, submitted(entry())), f.CancelRequested("1e", "me")
    assert len(list(stops_cancel([opened, said(command, target)]))) == found
    assert list(stops_cancel([opened, said(command, target, asked)])) == []
    assert list(stops_cancel([opened, said(command, target, REFUSED)])) == []
    over = row(said("resume").event, ended(entry(), Status.EXPIRED))
    assert list(stops_cancel([opened, over, said(command, target)])) == []
