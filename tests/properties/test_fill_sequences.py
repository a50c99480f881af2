"""Fills doubled, reordered, late, after cancel and after the end, against an independent ledger.

`CERBERUS_LONG` multiplies the number of examples.
"""

import os
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.events import FillReport, OrderReport
from tests.kit import Bench, submitted
from tests.kit import settings as configured

D = Decimal
FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
EXAMPLES = 150 * int(os.environ.get("CERBERUS_LONG", "1"))
STATES = ("accepted", "rejected", "canceled", "expired", "not_sent", "unknown")

trade = st.tuples(
    st.sampled_from(("entry", "stranger")),
    st.sampled_from((1, -1)),
    st.integers(1, 3_000),  # thousandths
    st.integers(5_000, 20_000),  # cents
    st.integers(0, 500),  # cents of fee
)
step = st.one_of(st.tuples(st.just("fill"), st.integers(0, 11)),
                 st.tuples(st.just("report"), st.sampled_from(STATES)))  # fmt: skip


class Ledger:
    """Keep an account by itself: cash moved by trades, and what is held, each trade once."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.held = self.spent = self.fees = D(0)

    def book(self, fill: FillReport) -> None:
        if fill.trade_id not in self.seen:
            self.seen.add(fill.trade_id)
            self.held += fill.side * fill.quantity
            self.spent += fill.side * fill.quantity * fill.price
            self.fees += fill.fee


def event_of(bench: Bench, order_id: str, number: int, given_trade: Any) -> FillReport:
    whose, side, thousandths, cents, fee = given_trade
    quantity, price = D(thousandths) / 1000, D(cents) / 100
    return FillReport(
        bench.now, order_id if whose == "entry" else "stranger", f"t{number}", "main", "COIN",
        side, quantity, price, D(fee) / 100, "taker", "entry", quantity * price, D(0),
        marks=bench.marks({"COIN": "100"}),
    )  # fmt: skip


@pytest.mark.req("C-17.4")
@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(trade, min_size=1, max_size=12), st.lists(step, max_size=40))
def test_positions_and_cash_are_those_of_an_independent_ledger(
    trades: list[Any], steps: list[Any]
) -> None:
    bench = Bench(configured(reconcile={"unexplained": "accept"}, leverage=FREE))
    order = submitted(bench.signal(quantity=D(1)))
    ledger = Ledger()
    for kind, what in steps:
        if kind == "report":
            bench.take(OrderReport(bench.now, order.id, what))
            continue
        number = what % len(trades)
        fill = event_of(bench, order.id, number, trades[number])
        bench.take(fill)
        ledger.book(fill)
        state, counters = bench.state, bench.state.counters
        position = state.positions.get("main/COIN")
        held = position.sign * position.quantity if position else D(0)
        cost = position.sign * position.cost if position else D(0)
        assert held == ledger.held
        assert state.balance == 10_000 - ledger.spent + cost - ledger.fees
        assert state.balance == state.flows + counters.realised - counters.fees
        assert counters.faults == 0 and counters.fills == len(ledger.seen)
    kept = bench.state.reserved.get("COIN", (D(0),))[0]
    assert D(0) <= kept <= order.notional
    assert bool(kept) is bool(bench.state.entries)
