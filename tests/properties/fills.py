"""Sequences of fills and reports for one engine, held against an account kept by hand.

`hold(trades, steps)` plays one and asserts; `draw(rng)` draws one without Hypothesis, for millions.
"""

from decimal import Decimal
from random import Random
from typing import Any

from cerberus_trader.domain.events import FillReport, OrderReport
from tests.kit import Bench, submitted
from tests.kit import settings as configured

D = Decimal
FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
STATES = ("accepted", "rejected", "canceled", "expired", "not_sent", "unknown")
WHOSE = ("entry", "stranger")
TRADES_MAX, STEPS_MAX = 12, 40

Trade = tuple[str, int, int, int, int]
"""Whose order, side, thousandths, cents, cents of fee."""
Step = tuple[str, Any]
"""A fill by its number, or a report by its word."""


class Ledger:
    """Keep an account by itself: cash moved by trades, and what is held, each trade once."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.held = self.spent = self.fees = D(0)

    def book(self, fill: FillReport) -> None:
        """Book a fill that was not seen before."""
        if fill.trade_id not in self.seen:
            self.seen.add(fill.trade_id)
            self.held += fill.side * fill.quantity
            self.spent += fill.side * fill.quantity * fill.price
            self.fees += fill.fee


def draw(rng: Random) -> tuple[list[Trade], list[Step]]:
    """Draw a sequence: trades doubled, reordered, among reports of any kind."""
    trades = [
        (rng.choice(WHOSE), rng.choice((1, -1)), rng.randint(1, 3_000), rng.randint(5_000, 20_000),
         rng.randint(0, 500))
        for _ in range(rng.randint(1, TRADES_MAX))
    ]  # fmt: skip
    steps: list[Step] = [
        ("fill", rng.randrange(TRADES_MAX))
        if rng.random() < 0.6
        else ("report", rng.choice(STATES))
        for _ in range(rng.randint(0, STEPS_MAX))
    ]  # fmt: skip
    return trades, steps


def event_of(bench: Bench, order_id: str, number: int, trade: Trade) -> FillReport:
    """Make the report of a trade."""
    whose, side, thousandths, cents, fee = trade
    quantity, price = D(thousandths) / 1000, D(cents) / 100
    return FillReport(
        bench.now, order_id if whose == "entry" else "stranger", f"t{number}", "main", "COIN",
        side, quantity, price, D(fee) / 100, "taker", "entry", quantity * price, D(0),
        marks=bench.marks({"COIN": "100"}),
    )  # fmt: skip


def hold(trades: list[Trade], steps: list[Step]) -> None:
    """Play a sequence; assert after each fill that the engine has what the ledger has."""
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
