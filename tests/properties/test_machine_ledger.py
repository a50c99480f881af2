"""The ledger against double entry: whatever moves, every currency sums to exactly zero.

The books below are kept by hand: each event is posted to two sides or more. Cash and costs are in
the account's currency; each instrument's quantity is a currency of its own.
"""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import (
    AccountReport,
    FillReport,
    FundingReport,
    OperatorEvent,
    TransferReport,
)
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import Exposure, State, StrategyState, equity, state_hash
from tests.kit import Bench, of
from tests.kit import settings as configured

D = Decimal
ZERO = D(0)
NAMES = ("COIN", "OTHER", "THIRD")
QUIET = {"day_loss_action": "off", "drawdown_action": "off", "losses_max": 0, "failures_max": 0}
FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
cents = st.integers(5_000, 20_000).map(lambda n: D(n) / 100)
amounts = st.sampled_from([D(x) for x in ("0.000001", "0.5", "1", "1", "2.5", "7.25")])
names = st.sampled_from(NAMES)
accounts = st.sampled_from(("main", "main", "second"))


class Ledger(RuleBasedStateMachine):
    """Drive an engine, a fold of its journal, and the books."""

    marks = tuple((name, D(100)) for name in NAMES)

    @initialize()
    def begin(self) -> None:
        self.bench = Bench(
            configured(reconcile={"unexplained": "accept"}, breaker=QUIET, leverage=FREE)
        )
        self.folded = State()
        self.read = self.trades = 0
        self.books: dict[tuple[str, str], Decimal] = defaultdict(lambda: ZERO)
        self.post("USDT", cash=D(10_000), owner=D(-10_000))
        self.follow()

    def post(self, currency: str, **sides: Decimal) -> None:
        """Post one movement: what some accounts gain, others lose."""
        for account, amount in sides.items():
            self.books[currency, account] += amount

    def take(self, event: Any) -> Any:
        step = self.bench.take(event)
        self.follow()
        return step

    def follow(self) -> None:
        """Fold what was written since, from its bytes."""
        for event, facts in self.bench.rows[self.read :]:
            row = decode_row(encode_row(event, facts))
            advance(self.folded, row.event)
            for fact in row.facts:
                apply(self.folded, row.event, fact)
        self.read = len(self.bench.rows)

    def tick(self) -> int:
        self.bench.now += 1_000_000_000
        return self.bench.now

    # -- what moves ------------------------------------------------------------------------

    @rule(amount=amounts, command=st.sampled_from(("deposit", "withdraw")), named=st.booleans())
    def cash(self, amount: Decimal, command: Any, named: bool) -> None:
        event = OperatorEvent(self.tick(), command, "t", amount=amount, authorised=True,
                              command_id=f"c{self.bench.number()}" if named else "")  # fmt: skip
        moves = of(self.take(event), f.CashMoved)
        if named and moves:
            assert of(self.take(event), f.CommandRepeated)
        for moved in moves:
            sign = 1 if command == "deposit" else -1
            assert moved.amount == sign * amount
            self.post("USDT", cash=sign * amount, owner=-sign * amount)

    @rule(account=accounts, amount=st.integers(-900_000, 900_000))
    def transfer(self, account: str, amount: int) -> None:
        self.trades += 1
        state = self.bench.state
        before = equity(state) - state.day_equity, state.peak - equity(state)
        event = TransferReport(self.tick(), account, D(amount) / 1_000, f"m{self.trades}")
        assert of(self.take(event), f.CashMoved) and not self.take(event).facts
        assert before == (equity(state) - state.day_equity, state.peak - equity(state))
        self.post("USDT", cash=event.amount, owner=-event.amount)

    @rule(name=names)
    def order(self, name: str) -> None:
        """Submit an entry, so that some fills are our own."""
        self.tick()
        self.bench.signal(instrument=name, marks=self.marks)
        self.follow()

    @rule(account=accounts, name=names, side=st.sampled_from((1, -1)), quantity=amounts,
          price=cents, fee=st.integers(-50, 500), own=st.booleans())  # fmt: skip
    def fill(self, account: str, name: str, side: int, quantity: Decimal, price: Decimal,
             fee: int, own: bool) -> None:  # fmt: skip
        ours = [o for o in self.bench.state.orders.values() if o.instrument == name and own]
        order = ours[0].id if ours and account == "main" else "stranger"
        self.trades += 1
        paid = D(fee) / 10_000
        event = FillReport(
            self.tick(), order, f"t{self.trades}", account, name, side, quantity, price, paid,
            "taker", "entry", quantity * price / 4, D(0), marks=self.marks,
        )  # fmt: skip
        assert self.take(event).facts and not self.take(event).facts
        self.post("USDT", cash=-side * quantity * price, market=side * quantity * price)
        self.post("USDT", cash=-paid, fees=paid)
        self.post(name, **{f"held {account}": side * quantity, "market": -side * quantity})

    @rule(account=accounts, name=names, amount=st.integers(-900_000, 900_000))
    def funding(self, account: str, name: str, amount: int) -> None:
        self.trades += 1
        event = FundingReport(
            self.tick(), account, name, D("0.0001"), D(100), D(amount) / 10_000, D(50),
            self.marks, f"p{self.trades}",
        )  # fmt: skip
        booked = of(self.take(event), f.FundingBooked)
        (paid,) = booked  # also of a position that has closed before
        held = f"{account}/{name}" in self.bench.state.positions
        assert (paid.position is not None) is held and not self.take(event).facts
        self.post("USDT", cash=-event.amount, funding=event.amount)

    @rule(account=accounts, name=names, sign=st.sampled_from((1, -1, 0)), quantity=amounts,
          price=cents, gap=st.integers(-90_000, 90_000))  # fmt: skip
    def correction(self, account: str, name: str, sign: int, quantity: Decimal, price: Decimal,
                   gap: int) -> None:  # fmt: skip
        """Let the venue hold something else, seen twice: its word counts."""
        state = self.bench.state
        kept = [p for p in state.positions.values() if p.account == account]
        theirs = tuple(
            VenuePosition(p.instrument, p.sign, p.quantity, p.cost, p.margin, p.leverage, p.id)
            for p in kept if p.instrument != name
        )  # fmt: skip
        if sign:
            theirs += (VenuePosition(name, sign, quantity, quantity * price, D(7), D(3)),)
        balance = state.balance + D(gap) / 1_000
        for _ in range(2):
            before = dict(state.positions)
            step = self.take(
                AccountReport(self.tick(), account, self.bench.now, "timer", (), theirs, balance)
            )
            for fact in of(step, f.PositionCorrected):
                self.correct(fact, before.get(f"{account}/{fact.instrument}"))
            for opening in of(step, f.CashMoved):  # the first look at an account
                self.post("USDT", cash=opening.amount, owner=-opening.amount)
            for fact in of(step, f.BalanceCorrected):
                assert fact.amount == D(gap) / 1_000
                self.post("USDT", cash=fact.amount, corrections=-fact.amount)

    def correct(self, fact: f.PositionCorrected, before: Any) -> None:
        """Post what a correction changes: quantity, and the cost that comes with it."""
        quantity = cost = ZERO
        for sign, position in ((-1, before), (1, fact.after)):
            if position is not None:
                quantity += sign * position.sign * position.quantity
                cost += sign * position.sign * position.cost
        self.post(fact.instrument, **{f"held {fact.account}": quantity, "corrections": -quantity})
        self.post("USDT", cash=-cost, corrections=cost)

    @precondition(lambda self: self.read > 3)
    @rule()
    def restart(self) -> None:
        self.bench.engine, self.folded = Engine(self.folded), self.bench.state

    # -- what always holds -----------------------------------------------------------------

    @invariant()
    def every_currency_sums_to_zero(self) -> None:
        sums: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for (currency, _), amount in self.books.items():
            sums[currency] += amount
        assert all(total == ZERO for total in sums.values())

    @invariant()
    def the_engine_has_what_the_books_have(self) -> None:
        state, books = self.bench.state, self.books
        cost = sum((p.sign * p.cost for p in state.positions.values()), ZERO)
        assert state.balance - cost == books["USDT", "cash"]
        counters = state.counters
        assert (counters.fees, counters.funding) == (books["USDT", "fees"],
                                                     books["USDT", "funding"])  # fmt: skip
        assert state.flows == -books["USDT", "owner"]
        paid = counters.fees + counters.funding - counters.corrections
        assert state.balance == state.flows + counters.realised - paid
        for name in NAMES:
            for account in ("main", "second"):
                position = state.positions.get(f"{account}/{name}")
                held = position.sign * position.quantity if position else ZERO
                assert held == books[name, f"held {account}"]
        assert counters.faults == 0

    @invariant()
    def sums_are_those_of_the_positions(self) -> None:
        """Each sum is kept as it changes; here they are made anew."""
        state, open_ = self.bench.state, self.bench.state.positions.values()
        assert state.margin == sum((p.margin for p in open_), ZERO)
        for name in NAMES:
            mine = [p for p in open_ if p.instrument == name]
            kept = state.exposures.get(name, Exposure())
            assert (name in state.exposures) is bool(mine)
            assert kept.long == sum((p.quantity for p in mine if p.sign > 0), ZERO)
            assert kept.short == sum((p.quantity for p in mine if p.sign < 0), ZERO)
            assert kept.cost == sum((p.sign * p.cost for p in mine), ZERO)
            assert abs(kept.risk - sum((p.risk for p in mine), ZERO)) < D("1e-20")
        booked = ZERO
        for strategy in dict.fromkeys([*state.strategies, *(p.strategy for p in open_)]):
            record = state.strategies.get(strategy, StrategyState())
            mine = [p for p in open_ if p.strategy == strategy]
            assert record.positions == len(mine)
            assert record.gross == sum((p.cost for p in mine), ZERO)
            net = sum((cost for _, cost in record.books.values()), ZERO)
            assert net == sum((p.sign * p.cost for p in mine), ZERO)
            booked += record.booked
        assert booked == state.counters.realised - state.counters.fees - state.counters.funding

    @invariant()
    def the_folded_state_is_the_same(self) -> None:
        assert state_hash(self.folded) == state_hash(self.bench.state)


Ledger.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestLedger = pytest.mark.req("C-17.4")(Ledger.TestCase)
