"""Orders against a small model of their own: whatever a venue says, in any order, with restarts.

The model knows three things of each order: its status by the rules written below, what of it was
really filled, and what it reserves. It is told of every event, and never asks the engine.
"""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import FillReport, OperatorEvent, OrderReport, OrderStatus
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.order import TRANSITIONS, Order, Status
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import State, state_hash
from tests.kit import Bench, changed, of
from tests.kit import settings as configured

D = Decimal
MS = 1_000_000
NAMES = ("COIN", "OTHER", "THIRD")
SAID = ("accepted", "rejected", "canceled", "expired", "not_sent", "unknown")
ENDS = ("filled", "canceled", "expired", "rejected", "not_sent")
BELIEVED = {
    "submitted": SAID,
    "accepted": ("rejected", "canceled", "expired", "unknown"),
    "partially_filled": ("canceled", "expired", "unknown"),
    "pending_cancel": ("rejected", "canceled", "expired", "not_sent"),
    "unknown": ("accepted", "rejected", "canceled", "expired", "not_sent"),
    **dict.fromkeys(ENDS, ()),
}
"""What a venue's word changes, by the status that it meets; anything else changes nothing."""

QUIET = {"day_loss_action": "off", "drawdown_action": "off", "losses_max": 0, "failures_max": 0}
picked = st.integers(0, 11)


class Known:
    """Hold what the model knows of an order."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.status = "submitted"
        self.filled = D(0)
        self.since = self.absent = 0

    @property
    def over(self) -> bool:
        return self.status in ENDS

    def reserved(self) -> Decimal:
        """Return what the order may still cost, at worst."""
        if self.over or self.order.reduce_only:
            return D(0)
        return self.order.notional * (1 - self.filled / self.order.quantity)

    def know(self, status: str) -> None:
        """Come into a status; only a doubtful one keeps its doubts."""
        self.status = status
        if status not in ("unknown", "pending_cancel"):
            self.since = self.absent = 0


class Orders(RuleBasedStateMachine):
    """Drive an engine and the model with the same events."""

    @initialize(fok=st.booleans())
    def begin(self, fok: bool) -> None:
        self.bench = Bench(
            configured(
                reconcile={"unexplained": "accept"}, breaker=QUIET,
                leverage={"volatility_factor_min": 1.0, "success_factor_min": 1.0},
                sizing={"methods": ("risk",), "risk_fraction": D("0.0005")},
                strategies={"default": changed(
                    next(iter(configured().strategies.values())), sources=("*",), add=True,
                )},
            )
        )  # fmt: skip
        self.kind = "fok" if fok else "limit"
        self.orders: dict[str, Known] = {}
        self.trades: dict[str, FillReport] = {}

    def take(self, event: Any) -> Any:
        """Put an event through the engine; learn of the orders and cancels that leave."""
        step = self.bench.take(event)
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                assert command.order.id not in self.orders, "an id was used twice"
                self.orders[command.order.id] = Known(command.order)
            elif isinstance(command, CancelOrder):
                self.orders[command.order_id].know("pending_cancel")
        return step

    def pick(self, number: int) -> Known:
        return list(self.orders.values())[number % len(self.orders)]

    def now(self) -> int:
        self.bench.now += MS
        return self.bench.now

    # -- what happens ----------------------------------------------------------------------

    @rule(name=st.sampled_from(NAMES), side=st.sampled_from(("buy", "sell", "close")),
          kind=st.sampled_from(("market", "resting")))  # fmt: skip
    def signal(self, name: str, side: str, kind: str) -> None:
        held = {order.id for order in self.bench.state.orders.values()}
        fields: dict[str, Any] = {"instrument": name}
        if side != "close" and kind == "resting":
            fields |= {"order": self.kind, "limit": D(100)}
        self.now()
        step = self.bench.signal(side, **fields)
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                assert command.order.id not in held and command.order.id not in self.orders
                self.orders[command.order.id] = Known(command.order)
            elif isinstance(command, CancelOrder):  # what is left of the entry that it closes
                assert self.orders[command.order_id].filled
                self.orders[command.order_id].know("pending_cancel")

    @precondition(lambda self: self.orders)
    @rule(number=picked, word=st.sampled_from(SAID), tells=st.sampled_from(("no", "right", "more")),
          retry=st.booleans())  # fmt: skip
    def report(self, number: int, word: str, tells: str, retry: bool) -> None:
        known = self.pick(number)
        filled = {"no": None, "right": known.filled, "more": known.filled + D("0.001")}[tells]
        before = known.status
        step = self.take(OrderReport(self.now(), known.order.id, word, "", retry, filled))
        again = [c.order for c in step.commands if isinstance(c, SubmitOrder) and c.order.attempt]
        if word not in BELIEVED[before]:
            if word == "accepted" and known.since:  # it was seen: absences are counted from here
                known.since, known.absent = self.bench.now, 0
                doubted, *others = step.facts
                assert doubted == f.OrderDoubted(known.order.id, known.since, 0)
                assert all(type(fact) is f.FailureCounted and not fact.count for fact in others)
            else:
                assert not step.facts
        elif word in ENDS and tells == "more":  # its end has overtaken its fills
            if before not in ("pending_cancel", "unknown"):
                known.know("unknown")
        elif known.status == before:  # no cancel left with it
            known.know(word)
        else:  # it was seen: absences are counted anew
            known.since = known.absent = 0
        assert not again or (word == "rejected" == known.status and retry)

    @precondition(lambda self: self.orders)
    @rule(
        number=picked,
        tenths=st.sampled_from((1, 4, 10, 10, 13)),
        cents=st.integers(9_000, 11_000),
        trade=st.sampled_from(("new", "new", "new", "same", "other")),
    )
    def fill(self, number: int, tenths: int, cents: int, trade: str) -> None:
        known, order = self.pick(number), self.pick(number).order
        quantity = order.quantity * tenths / 10
        event = FillReport(
            self.now(), order.id, f"t{len(self.trades)}", order.account, order.instrument,
            order.side, quantity, D(cents) / 100, D("0.01"), "taker", order.reason,
            quantity * cents / 100, max(order.quantity - known.filled - quantity, D(0)),
            marks=self.bench.marks({order.instrument: "100"}),
        )  # fmt: skip
        if trade != "new" and self.trades:
            old = list(self.trades.values())[number % len(self.trades)]
            event = old if trade == "same" else changed(event, trade_id=old.trade_id)
        step = self.take(event)
        if event.trade_id in self.trades:
            assert not step.facts, "a trade was booked twice"
            return
        assert len(of(step, f.Filled)) == 1, "a fill is a fact from any status"
        self.trades[event.trade_id] = event
        known.filled += quantity
        if not known.over and known.filled >= order.quantity:
            known.know("filled")
        elif known.status in ("submitted", "accepted", "unknown"):
            known.know("partially_filled")
        elif not known.over:  # it lives: absences are counted anew
            known.since = known.absent = 0

    @rule()
    def cancel_all(self) -> None:
        step = self.take(OperatorEvent(self.now(), "cancel_all", "t"))
        asked = {c.order_id for c in step.commands if isinstance(c, CancelOrder)}
        for known in self.orders.values():
            if not known.over and not known.order.reduce_only:
                assert known.status == "pending_cancel"
            else:
                assert known.order.id not in asked

    @precondition(lambda self: self.orders)
    @rule(number=picked, times=st.integers(1, 4))
    def venue_denies(self, number: int, times: int) -> None:
        """Let the venue know nothing of an order, several times in a row."""
        for _ in range(times):
            self.venue_answers(number, "absent", 10)

    @precondition(lambda self: self.orders)
    @rule(number=picked, answer=st.sampled_from(("absent", "working", *ENDS[:4])), later=picked)
    def venue_answers(self, number: int, answer: str, later: int) -> None:
        """Every fill that the venue knows of has been taken before it answers."""
        known, order = self.pick(number), self.pick(number).order
        theirs = None
        if answer != "absent":
            theirs = VenueOrder(order.id, order.instrument, order.side, order.quantity,
                                answer, min(known.filled, order.quantity))  # fmt: skip
        self.bench.now += later * 2_000 * MS
        before = known.status
        self.take(OrderStatus(self.now(), order.id, self.bench.now, theirs))
        if known.over:
            return
        if answer == "absent":
            self.absence(known)
        elif answer != "working":
            whole = known.filled >= order.quantity
            known.know(("filled" if whole else "canceled") if answer == "filled" else answer)
        elif before in ("submitted", "unknown") and known.status == before:
            known.know("partially_filled" if known.filled else "accepted")
        elif known.status == "pending_cancel":  # it was seen: absences are counted anew
            known.since = known.absent = 0

    def absence(self, known: Known) -> None:
        """Believe that an order is over when denied twice, after it could still have arrived."""
        now, limits = self.bench.now, self.bench.state.settings.reconcile
        if known.status in ("unknown", "pending_cancel"):
            known.since = known.since or now
            if now > known.since + (limits.submit_window_ms + limits.skew_ms_max) * MS:
                known.absent += 1
            if known.absent == 2:
                known.know("canceled" if known.filled else "expired")
        else:  # a retry is as old as its signal, and leaves after a pause
            left = max(known.order.created_ns, known.order.send_after_ns)
            if left + limits.answer_ms_max * MS < now:
                known.know("unknown")

    @rule()
    def restart(self) -> None:
        """Fold the journal, as a new process does."""
        state = State()
        for event, facts in self.bench.rows:
            row = decode_row(encode_row(event, facts))
            advance(state, row.event)
            for fact in row.facts:
                apply(state, row.event, fact)
        assert state_hash(state) == state_hash(self.bench.state)
        self.bench.engine = Engine(state)

    # -- what always holds -----------------------------------------------------------------

    @invariant()
    def every_order_is_where_the_model_has_it(self) -> None:
        state = self.bench.state
        for name, known in self.orders.items():
            live, ended = state.orders.get(name), state.ended.get(name)
            assert (live is None) is known.over and (ended is not None) is known.over, name
            found = live.status if live is not None else ended.status
            assert found.value == known.status
        assert state.counters.faults == 0

    @invariant()
    def exposure_is_reserved_until_the_proven_end(self) -> None:
        for name in NAMES:
            known = [k for k in self.orders.values() if k.order.instrument == name]
            expected = sum((k.reserved() for k in known), D(0))
            kept = self.bench.state.reserved.get(name, (D(0),))[0]
            assert abs(kept - expected) < D("1e-20")

    @invariant()
    def what_is_held_is_what_was_filled_once(self) -> None:
        for name in NAMES:
            mine = [t for t in self.trades.values() if t.instrument == name]
            position = self.bench.state.positions.get(f"main/{name}")
            held = position.sign * position.quantity if position else D(0)
            assert held == sum((t.side * t.quantity for t in mine), D(0))
        assert self.bench.state.counters.fills == len(self.trades)

    @invariant()
    def statuses_follow_the_table(self) -> None:
        for fact in self.bench.rows[-1][1]:
            if type(fact) is f.OrderChanged:
                earlier = self.status_before(fact.order_id)
                assert earlier is None or fact.status in TRANSITIONS[earlier]

    def status_before(self, name: str) -> Status | None:
        """Find an order's status in the rows before the last one."""
        for event, facts in reversed(self.bench.rows[:-1]):
            for fact in reversed(facts):
                if type(fact) is f.OrderChanged and fact.order_id == name:
                    return fact.status
                if type(fact) is f.CancelRequested and fact.order_id == name:
                    return Status.PENDING_CANCEL
                if type(fact) is f.Filled and getattr(event, "order_id", "") == name:
                    return None  # a cancel that was asked for stays asked for: the model knows
        return Status.SUBMITTED


Orders.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestOrders = pytest.mark.req("C-17.4")(Orders.TestCase)
