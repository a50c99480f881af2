"""The column search and the plain visit of every row give the same fills, decisions and state."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cerberus_trader.engine.state import state_hash
from tests.properties.worlds import world


@pytest.mark.req("E-6.3.3", "P-25.1", "E-8.2.3")
@settings(max_examples=150, deadline=None)
@example(27)
@example(928)
@example(207913939)
@given(st.integers(0, 10**9))
def test_search_and_visit_agree(seed: int) -> None:
    searched, rows = world(seed, reference=False)
    searched.run()
    visited, expected = world(seed, reference=True)
    visited.run()
    assert rows == expected
    assert state_hash(searched.engine.state) == state_hash(visited.engine.state)
