"""A case that passes at a glance has the values that the tables of checks measure."""

from decimal import Decimal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cerberus_trader.engine import risk
from cerberus_trader.engine.clear import clear_intake, clear_risk
from cerberus_trader.replay import bench_decision
from tests.properties.worlds import world

GLANCES = {risk.INTAKE: clear_intake, risk.RISK: clear_risk}


class Compared:
    """Stand in for `risk.checked`: run the table, and hold the glance to it; count both."""

    def __init__(self) -> None:
        self.clear = dict.fromkeys(GLANCES, 0)
        self.denied = 0

    def __call__(self, case, clear, table, lifted):  # type: ignore[no-untyped-def]
        values, failed = risk.run_checks(case, table, lifted)
        seen = GLANCES[table](case)
        assert clear is GLANCES[table]
        if seen is not None:
            assert not failed
            assert list(map(repr, seen)) == list(map(repr, values))
        self.clear[table] += seen is not None
        self.denied += bool(failed)
        return values, failed


@given(st.integers(0, 10**9))
@example(27)
@settings(max_examples=60, deadline=None)
def test_a_glance_and_the_table_agree_in_any_world(seed: int) -> None:
    compared = Compared()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(risk, "checked", compared)
        driver, _ = world(seed, reference=False)
        driver.run()


def test_the_usual_signal_passes_at_a_glance_and_a_denied_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared = Compared()
    monkeypatch.setattr(risk, "checked", compared)
    bench_decision.trade(5, lambda event, facts: 0)
    assert compared.clear == dict.fromkeys(GLANCES, 5) and not compared.denied
    bench_decision.deny(5, lambda event, facts: 0)
    assert compared.clear == {risk.INTAKE: 10, risk.RISK: 5} and compared.denied == 5


def test_numbers_that_cannot_be_compared_are_left_to_the_table() -> None:
    signal = bench_decision.signal_of(1, bench_decision.START, bench_decision.instrument())
    engine, _ = bench_decision.begun(bench_decision.guarded(), lambda event, facts: 0)
    odd = risk.replace(signal.signal, volume=Decimal("NaN"))
    case = risk.Case(engine.state, risk.replace(signal, signal=odd))
    values, failed = risk.checked(case, clear_intake, risk.INTAKE, lifted=False)
    assert [risk.INTAKE[index].code for index in failed] == ["VOLUME_LOW"]
    assert values[failed[0]] == "InvalidOperation"


def test_a_check_that_the_glance_does_not_know_is_run() -> None:
    signal = bench_decision.signal_of(1, bench_decision.START, bench_decision.instrument())
    engine, _ = bench_decision.begun(bench_decision.guarded(), lambda event, facts: 0)
    case = risk.Case(engine.state, signal)
    new = risk.Check("NEW", "something new", lambda case: "never", None, "none")
    values, failed = risk.checked(case, clear_intake, (*risk.INTAKE, new), lifted=False)
    assert values[-1] == "never" and failed == [len(risk.INTAKE)]
