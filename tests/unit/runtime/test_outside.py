"""A venue outside: what is open there is never taken for paper, nor paper for what is there."""

from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.settings import Settings, Venue
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.outside import check_same_side, tell_of_move
from tests.kit import Bench, changed, settings
from tests.unit.runtime.test_trace import Kept

REMOTE = changed(
    settings(), venues={"x": Venue(kind="remote", environment="paper", endpoint="unix:/v.sock")}
)
ELSEWHERE = changed(
    settings(), venues={"x": Venue(kind="remote", environment="paper", endpoint="unix:/w.sock")}
)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (REMOTE, settings(), "open at the venue unix:/v.sock, not at the paper venue inside"),
        (settings(), REMOTE, "open at the paper venue inside the engine, not at the venue unix"),
    ],
)
def test_what_is_open_stays_where_it_is(before: Any, after: Settings, words: str) -> None:
    bench = Bench(before)
    check_same_side(bench.state, after)  # nothing is open
    bench.open()
    check_same_side(bench.state, before)
    with pytest.raises(DataError, match=words):
        check_same_side(bench.state, after)


def test_a_venue_may_move_and_a_new_state_may_begin_anywhere() -> None:
    bench = Bench(REMOTE)
    bench.open()
    check_same_side(bench.state, ELSEWHERE)
    check_same_side(State(), REMOTE)


@pytest.mark.parametrize(
    ("unexplained", "words"), [("freeze", "freezes trading"), ("accept", "is an alert")]
)
def test_a_venue_that_moved_with_something_open_is_told(unexplained: str, words: str) -> None:
    log, bench = Kept(), Bench(REMOTE)
    after = changed(ELSEWHERE, reconcile=changed(ELSEWHERE.reconcile, unexplained=unexplained))
    for state, then in ((bench.state, after), (State(), REMOTE)):
        tell_of_move(state, then, log)
    bench.open()
    tell_of_move(bench.state, REMOTE, log)
    assert log.lines == []  # nothing is open, or nothing has moved
    tell_of_move(bench.state, after, log)
    ((_, said, fields),) = log.lines
    assert said.endswith(f"what it lacks {words}") and fields["alert"]
    assert (fields["before"], fields["now"]) == ("unix:/v.sock", "unix:/w.sock")
    assert fields["positions"] == 1
