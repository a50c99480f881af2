"""The order table: closed, with fills from everywhere, and ids that never change."""

import pytest

from cerberus_trader.domain.order import (
    FILL_ALWAYS,
    TERMINAL,
    TRANSITIONS,
    WORKING,
    Status,
    may_follow,
    order_id,
)


@pytest.mark.req("P-15.1", "E-2.1.3", "T-13.1", "C-17.1")
def test_every_status_has_a_row_and_every_status_is_reachable() -> None:
    assert set(TRANSITIONS) == set(Status)
    reachable = {status for row in TRANSITIONS.values() for status in row}
    assert reachable == set(Status) - {Status.SUBMITTED}
    assert set(Status) == TERMINAL | WORKING and not TERMINAL & WORKING


@pytest.mark.parametrize("status", sorted(Status, key=lambda s: s.value))
def test_a_fill_may_follow_any_status_but_its_end(status: Status) -> None:
    for fill in FILL_ALWAYS:
        assert may_follow(status, fill)


@pytest.mark.parametrize("status", sorted(TERMINAL, key=lambda s: s.value))
def test_an_ended_order_only_ever_fills(status: Status) -> None:
    assert TRANSITIONS[status] == set(FILL_ALWAYS)


def test_a_timeout_is_unknown_and_never_a_rejection_by_itself() -> None:
    assert may_follow(Status.SUBMITTED, Status.UNKNOWN)
    assert may_follow(Status.UNKNOWN, Status.ACCEPTED)
    assert not may_follow(Status.PENDING_CANCEL, Status.UNKNOWN)  # it is asked for again
    assert Status.UNKNOWN in WORKING


def test_ids_are_derived_from_what_they_stand_for() -> None:
    one = order_id("engine", "main", "head", "signal")
    assert one == order_id("engine", "main", "head", "signal") and len(one) == 24
    others = {
        order_id("engine2", "main", "head", "signal"),
        order_id("engine", "main2", "head", "signal"),
        order_id("engine", "main", "head2", "signal"),
        order_id("engine", "main", "head", "signal2"),
        order_id("engine", "main", "head", "signal", 1),
    }
    assert len(others | {one}) == 6
    assert order_id("a", "bc", "d", "e") != order_id("ab", "c", "d", "e")
