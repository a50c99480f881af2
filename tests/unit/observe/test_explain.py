"""Explanations: one sentence, every check with its limit, what would have had to differ."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.engine import checks
from cerberus_trader.observe.explain import REMEDIES, assessment, explain, recompute, why_not
from tests.kit import Bench, changed, decision, settings


def told(bench: Bench, **fields: Any) -> tuple[Any, Any]:
    made = decision(bench.signal(**fields))
    return made, explain(made, bench.state.settings, bench.state.instruments)


@pytest.mark.req("E-11.1.1", "E-11.1.2", "C-07.5")
def test_an_approval_names_its_size_its_leverage_and_what_bound_them() -> None:
    made, said = told(Bench())
    assert said.sentence.startswith("Approved to buy COIN: ")
    assert said.sentence.endswith("the volatility bound set the size.")
    assert [row.name for row in said.sizing if row.binding] == ["volatility"]
    assert [row.name for row in said.leverage if row.binding] == ["account cap"]
    assert len(said.checks) == len(made.values) and all(row.passed for row in said.checks)
    stale = next(row for row in said.checks if row.code == "SIGNAL_STALE")
    assert (stale.value, stale.limit) == ("0", "≤ 10000")


@pytest.mark.req("E-11.1.2")
def test_a_denial_says_what_would_have_had_to_differ_nearest_first() -> None:
    bench = Bench()
    wide = Snapshot(bench.now - 9 * 10**12, D(100), D(101), 0, 0.05, 0.05, (("COIN", D(100)),))
    made, said = told(bench, market=wide)
    assert made.code == "PRICE_STALE"
    assert said.sentence == (
        "Denied to buy COIN: PRICE_STALE: age of the price, ms 9000000, at most 10000."
    )
    assert why_not(made, bench.state.settings, bench.state.instruments) == [
        "SPREAD_WIDE: spread, bps 99.50248756, at most 50",
        "PRICE_STALE: age of the price, ms 9000000, at most 10000",
    ]


def test_a_signal_from_before_what_is_remembered_is_told_to_come_anew() -> None:
    bench = Bench(settings(intake={"remember_max": 1}))
    told(bench)
    made, _ = told(bench)
    bench.now += 1
    made, said = told(bench, side="close", ts_ns=bench.now - 1)
    remedy = "send what still holds as a new signal, with a time and an id of its own"
    line = "SIGNAL_FORGOTTEN: older than what is remembered of signals: judged already, perhaps"
    assert f"{line} ({remedy})" in why_not(made, bench.state.settings, bench.state.instruments)
    assert not next(row for row in said.checks if row.code == "SIGNAL_FORGOTTEN").passed


@pytest.mark.parametrize("later", [0, 1, 2])
def test_a_document_of_before_the_memory_was_checked_is_read_as_it_was_written(later: int) -> None:
    bench = Bench()
    made = decision(bench.signal())
    values = made.values[: len(checks.INTAKE) - 1] + made.values[len(checks.INTAKE) :]
    made = changed(made, values=values[: len(values) - later])
    said = explain(made, bench.state.settings, bench.state.instruments)
    assert all(row.passed for row in said.checks) and len(said.checks) == 41 - later
    assert recompute(made, bench.state.settings, bench.state.instruments) == ("approved", "")


def test_what_could_not_be_measured_is_said_so() -> None:
    bench = Bench()
    made, _ = told(bench, market=None, instrument="NOPE")
    lines = why_not(made, bench.state.settings, bench.state.instruments)
    remedy = "list its file under `instruments` in the configuration"
    assert f"INSTRUMENT_UNKNOWN: instrument not configured: NOPE ({remedy})" in lines
    assert any("could not be measured (LookupError)" in line for line in lines)


def test_a_denial_by_hand_says_what_ends_it() -> None:
    bench = Bench()
    bench.take(OperatorEvent(bench.now, "flatten", "ann"))
    _, said = told(bench)
    assert said.sentence.startswith(
        "Denied to buy COIN: TRADING_HALTED: state of trading: reducing"
    )
    assert "`cerberus resume`" in said.sentence
    assert set(REMEDIES) <= {check.code for check in (*checks.INTAKE, *checks.RISK)}


def test_a_close_shows_which_checks_do_not_hold_exits_back() -> None:
    bench = Bench()
    bench.open()
    _, said = told(bench, side="close")
    assert said.sentence == "Approved to close COIN: exits are never held back."
    assert {row.code for row in said.checks if not row.applied} >= {"BREAKER_OPEN", "PRICE_STALE"}


@pytest.mark.req("C-05.1", "D-04.4", "D-04.5")
def test_the_documented_risk_interface_is_answered_from_the_decision() -> None:
    bench = Bench()
    made, _ = told(bench)
    view = assessment(made)  # evaluate_risk
    assert view.approved and 0 < view.max_leverage <= 255
    assert view.position_size == made.sizing.quantity > 0  # calculate_position_size
    assert "granted" in view.reasoning
    small = Bench(settings(risk={"positions_max": 0}))
    denied, _ = told(small)  # check_position_limits
    view = assessment(denied)
    assert (view.approved, view.position_size, view.reasoning) == (False, 0, "POSITIONS_MAX")


def test_another_configuration_may_judge_the_same_values_otherwise() -> None:
    bench = Bench()
    made, _ = told(bench)
    strict = settings(intake={"confidence_min": 0.9})
    assert recompute(made, strict, bench.state.instruments) == ("denied", "CONFIDENCE_LOW")


def test_a_size_of_nothing_names_the_bound_and_an_unknown_volatility() -> None:
    made, said = told(Bench(), sigma=-1.0)
    assert made.code == "SIZE_BELOW_MINIMUM"
    assert "the volatility bound left 0 (volatility is not known yet" in said.sentence
    small, said = told(Bench(), quantity=D("0.0001"))
    assert said.sentence.endswith("at least 0.001; the asked bound left 0.01.")
    assert small.sizing.quantity == 0
