"""A document alone gives the same verdict again, before and after it was stored."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.facts import SignalJudged
from cerberus_trader.observe.explain import explain, recompute, why_not
from tests.properties.worlds import world


@pytest.mark.req("E-11.1.2", "C-07.5", "D-11.6")
@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**9))
def test_recomputing_agrees_with_every_document(seed: int) -> None:
    driver, rows = world(seed, reference=False)
    driver.run()
    state = driver.engine.state
    judged = [x.decision for _, facts in rows for x in facts if isinstance(x, SignalJudged)]
    assert judged
    for decision in judged:
        stored = msgspec.json.decode(msgspec.json.encode(decision), type=Decision)
        for one in (decision, stored):
            verdict = recompute(one, state.settings, state.instruments)
            assert verdict == (decision.verdict, decision.code)
        said = explain(stored, state.settings, state.instruments)
        assert said.sentence.endswith(".")
        reasons = why_not(stored, state.settings, state.instruments)
        assert bool(reasons) == (decision.verdict == "denied")
        assert len(reasons) == len(decision.failed)
