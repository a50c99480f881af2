"""Fills doubled, reordered, late, after cancel and after the end, against an independent ledger.

`CERBERUS_LONG` multiplies the number of examples.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.properties import fills

EXAMPLES = 150 * int(os.environ.get("CERBERUS_LONG", "1"))

trade = st.tuples(
    st.sampled_from(fills.WHOSE),
    st.sampled_from((1, -1)),
    st.integers(1, 3_000),  # thousandths
    st.integers(5_000, 20_000),  # cents
    st.integers(0, 500),  # cents of fee
)
step = st.one_of(st.tuples(st.just("fill"), st.integers(0, fills.TRADES_MAX - 1)),
                 st.tuples(st.just("report"), st.sampled_from(fills.STATES)))  # fmt: skip


@pytest.mark.req("C-17.4")
@settings(max_examples=EXAMPLES, deadline=None)
@given(
    st.lists(trade, min_size=1, max_size=fills.TRADES_MAX),
    st.lists(step, max_size=fills.STEPS_MAX),
)
def test_positions_and_cash_are_those_of_an_independent_ledger(
    trades: list[fills.Trade], steps: list[fills.Step]
) -> None:
    fills.hold(trades, steps)
