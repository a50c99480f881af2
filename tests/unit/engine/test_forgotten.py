"""The memory of signals: what may have been judged already, and is forgotten, is denied."""

from typing import Any

import pytest

from cerberus_trader.domain.settings import Strategy
from tests.kit import HOUR, NOON, SECOND, Bench, decision, settings, submitted


def forgetful(**intake: Any) -> Bench:
    """Return an engine that holds a position and has forgotten a close of it, judged at noon."""
    bench = Bench(settings(intake=intake))
    bench.signal("close", id="old", ts_ns=bench.now - SECOND)
    bench.now += 25 * HOUR
    bench.open(id="x")
    assert "old" not in bench.state.seen and bench.state.forgotten_ns == NOON
    return bench


@pytest.mark.parametrize("intake", [{}, {"remember_max": 1}])
@pytest.mark.parametrize("side", ["close", "sell"])
def test_a_close_that_was_forgotten_does_not_close_what_is_held_today(
    side: str, intake: dict[str, int]
) -> None:
    # a folder of signals is read from its beginning after a restart
    bench = forgetful(**intake)
    step = bench.signal(side, id="old", ts_ns=NOON - SECOND)
    assert decision(step).code == "SIGNAL_FORGOTTEN" and not step.commands
    assert decision(bench.signal(side, id="as old", ts_ns=NOON)).code == "SIGNAL_FORGOTTEN"
    bench.now += 1
    assert submitted(bench.signal(side, id="late", ts_ns=bench.now)).reduce_only


def test_a_close_made_after_what_is_forgotten_closes_however_late_it_comes() -> None:
    bench = forgetful()
    assert submitted(bench.signal("close", id="late", ts_ns=NOON + 1)).reduce_only


def test_a_forgotten_reversal_does_not_close_either() -> None:
    bench = Bench(settings(strategies={"head": Strategy(reverse=True)}))
    bench.signal("close")
    bench.now += 25 * HOUR
    bench.open()
    step = bench.signal("sell", ts_ns=NOON)
    assert decision(step).action == "close" and decision(step).code == "SIGNAL_FORGOTTEN"


def test_nothing_forgotten_denies_no_signal_however_old() -> None:
    bench = Bench()
    bench.open()
    assert bench.state.forgotten_ns == 0
    assert submitted(bench.signal("close", ts_ns=-1)).reduce_only


def test_a_signal_stamped_in_the_future_that_is_forgotten_denies_none_that_follow() -> None:
    bench = Bench(settings(intake={"remember_max": 1}))
    bench.open()
    bench.signal("close", id="ahead", ts_ns=bench.now + 9 * HOUR, instrument="OTHER")
    bench.now += SECOND
    bench.signal("close", instrument="OTHER")
    assert bench.state.forgotten_ns == NOON
    assert submitted(bench.signal("close")).reduce_only


def test_the_time_up_to_which_signals_are_forgotten_does_not_go_back() -> None:
    bench = Bench(settings(intake={"remember_max": 1}))
    for at in (SECOND, 0, 0):
        bench.now = NOON + at
        bench.signal()
    assert bench.state.forgotten_ns == NOON + SECOND
