"""The breaker and the kill switch: what latches stays, nothing new passes it, and exits do.

The model keeps the set of latched conditions by itself: what trips is added, and only a reset by
an authorised person with a reason, after the cool-down, or a new day where configured, takes away.
"""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import (
    ConfigEvent,
    LevelHit,
    Measured,
    OperatorEvent,
    OrderReport,
    TimerEvent,
)
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine.risk import uncovered
from tests.kit import DAY, ITEMS, SECOND, Bench, decision, of
from tests.kit import settings as configured

D = Decimal
NAMES = ("COIN", "OTHER", "THIRD")
TIGHT = {
    "day_loss": D("0.01"), "drawdown_hard": D("0.02"), "losses_max": 2, "failures_max": 2,
    "cooldown_ms": 60_000,
}  # fmt: skip
LOOSE = {"day_loss_action": "off", "drawdown_action": "off", "losses_max": 0, "failures_max": 0,
         "liquidation_trips": False}  # fmt: skip
FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
MEASURES = (("latency", 1e6), ("clock_drift", 1e6), ("loop_lag", 1e6), ("memory", 1e6),
            ("memory_hard", 1e6), ("latency", 1.0))  # fmt: skip
WORDS = ("rejected", "canceled", "unknown", "accepted", "not_sent")
names = st.sampled_from(NAMES)
picked = st.integers(0, 9)


class Guard(RuleBasedStateMachine):
    """Drive an engine into its breaker, and see who gets past it."""

    @initialize(release=st.booleans())
    def begin(self, release: bool) -> None:
        self.release = release
        self.bench = Bench(self.settings(TIGHT))
        self.latched: dict[str, f.BreakerTripped] = {}
        self.words: set[str] = set()
        self.cooldown_ms = TIGHT["cooldown_ms"]
        self.price = D(100)

    def settings(self, limits: dict[str, Any]) -> Any:
        strategy = msgspec.structs.replace(
            next(iter(configured().strategies.values())), sources=("*",), add=True, reverse=True,
            day_loss=D("0.005"),
        )  # fmt: skip
        return configured(
            breaker={**limits, "day_release": self.release}, leverage=FREE,
            strategies={"default": strategy}, reconcile={"unexplained": "accept"},
        )  # fmt: skip

    @property
    def marks(self) -> Any:
        return tuple((name, self.price) for name in NAMES)

    def now(self, seconds: int = 1) -> int:
        self.bench.now += seconds * SECOND
        return self.bench.now

    def take(self, event: Any) -> Any:
        return self.watch(self.bench.take(event), event)

    def watch(self, step: Any, event: Any) -> Any:
        """Hold every step against the model: what passed, what latched, what was released."""
        entries = [c.order for c in step.commands if isinstance(c, SubmitOrder)
                   and not c.order.reduce_only]  # fmt: skip
        trips = of(step, f.BreakerTripped)
        released = [name for fact in of(step, f.BreakerReset) for name in fact.conditions]
        gone = [name for name in released if "day_loss" in name and self.release]
        if not (isinstance(event, OperatorEvent) and event.command == "reset_breaker"):
            assert released == gone, "only a person, or the day, releases"
        for name in released:
            del self.latched[name]
        if not self.latched:
            self.cooldown_ms = self.bench.state.settings.breaker.cooldown_ms
        closed = any(not trip.scope for trip in [*self.latched.values(), *trips])
        if closed or self.latched.get("strategy_day_loss:default"):
            assert not entries, "nothing that adds exposure passes"
        for trip in trips:
            name = f"{trip.condition}:{trip.scope}" if trip.scope else trip.condition
            assert name not in self.latched, "it is latched already"
            self.latched[name] = trip
        if trips:
            self.consequences(step, trips)
        return step

    def consequences(self, step: Any, trips: list[f.BreakerTripped]) -> None:
        """A trip asks for the end of every entry, and closes everything where it says so."""
        state = self.bench.state
        for order_ids in state.entries.values():
            assert all(state.orders[x].status is Status.PENDING_CANCEL for x in order_ids)
        if any(trip.action == "flatten" for trip in trips):
            assert all(not uncovered(state, p) for p in state.positions.values())

    def working(self) -> list[Order]:
        return [o for o in self.bench.state.orders.values() if o.kind in ("market", "limit")]

    # -- what happens ----------------------------------------------------------------------

    @rule(name=names, side=st.sampled_from(("buy", "sell", "buy", "close")), rests=st.booleans())
    def signal(self, name: str, side: str, rests: bool) -> None:
        self.now()
        state, fields = self.bench.state, {}
        if rests and side != "close":
            fields = {"order": "limit", "limit": self.price}
        position = state.positions.get(f"main/{name}")
        covered = position is None or state.closings.get(f"main/{name}")
        step = self.bench.signal(side, instrument=name, price=str(self.price), marks=self.marks,
                                 **fields)  # fmt: skip
        self.watch(step, None)
        sent = [c.order for c in step.commands if isinstance(c, SubmitOrder)]
        if self.words:
            assert all(order.reduce_only for order in sent)
        if side == "close" and not covered:
            assert decision(step).verdict == "approved", "exits always pass"
            assert sent[0].reduce_only

    @rule(name=names, side=st.sampled_from(("buy", "sell")))
    def enter(self, name: str, side: str) -> None:
        """Open or turn a position at once."""
        self.signal(name, side, False)
        for order in self.working():
            if order.instrument == name and not order.reduce_only:
                self.watch(self.bench.fill(order, str(self.price), marks=self.marks), None)

    @rule(number=picked)
    def leave(self, number: int) -> None:
        """Ask for the close of what is open."""
        held = [position.instrument for position in self.bench.state.positions.values()]
        if held:
            self.signal(held[number % len(held)], "close", False)

    @rule(
        number=picked,
        tenths=st.sampled_from((5, 10)),
        move=st.sampled_from((-8, -3, -1, 0, 1, 3)),
        by=st.sampled_from(("", "liquidation")),
    )
    def fill(self, number: int, tenths: int, move: int, by: str) -> None:
        """Fill a working order; the price has moved meanwhile."""
        self.now()
        self.price += D(move) * self.price / 100
        working = self.working()
        if not working:
            return
        order = working[number % len(working)]
        position = self.bench.state.positions.get(f"main/{order.instrument}")
        quantity = order.quantity * tenths / 10
        if order.reduce_only:  # a venue fills no more than is open
            quantity = min(quantity, position.quantity if position else D(0))
        if quantity:
            fields = {"reason": by} if by and order.reduce_only else {}
            step = self.bench.fill(order, str(self.price), quantity=quantity, marks=self.marks,
                                   leaves=order.quantity - quantity, **fields)  # fmt: skip
            self.watch(step, None)

    @rule(number=picked, retry=st.booleans(), word=st.sampled_from(WORDS))
    def report(self, number: int, word: str, retry: bool) -> None:
        working = self.working()
        if working:
            order = working[number % len(working)]
            self.take(OrderReport(self.now(), order.id, word, "busy", retry))

    @rule(move=st.sampled_from((-15, -6, -2, -1, 1, 5)))
    def level(self, move: int) -> None:
        """Let the market reach an equity floor, or not quite."""
        self.price += D(move) * self.price / 100
        for scope in ("", "default"):
            self.take(LevelHit(self.now(), "equity", scope, self.marks))

    @rule(what=st.sampled_from(MEASURES))
    def measure(self, what: Any) -> None:
        self.take(Measured(self.now(), what[0], what[1], "", self.marks))

    @rule()
    def health(self) -> None:
        """On the timer, what may not stay open and lost its close is closed again."""
        self.take(TimerEvent(self.now(), "health", self.marks))
        state = self.bench.state
        if any(trip.action == "flatten" and not trip.scope for trip in self.latched.values()):
            assert all(not uncovered(state, p) for p in state.positions.values())

    @rule()
    def next_day(self) -> None:
        self.bench.now += DAY
        self.take(TimerEvent(self.now(), "day", self.marks))
        if self.release:
            assert not [name for name in self.latched if "day_loss" in name]

    @rule(limits=st.sampled_from((LOOSE, TIGHT)))
    def config(self, limits: dict[str, Any]) -> None:
        """Loosen or tighten every limit: what has tripped stays, what is reached now trips."""
        before = dict(self.bench.state.trips)
        given = self.settings(limits).breaker.cooldown_ms
        self.cooldown_ms = max(given, self.cooldown_ms if self.latched else 0)
        self.take(ConfigEvent(self.now(), self.settings(limits), "c2", ITEMS, "engine",
                              marks=self.marks))  # fmt: skip
        trips = self.bench.state.trips
        assert {name: trips[name] for name in before} == before
        assert self.reached() <= set(trips)

    @rule(command=st.sampled_from(("halt", "resume", "freeze", "thaw", "cancel_all", "flatten")),
          authorised=st.booleans())  # fmt: skip
    def operate(self, command: Any, authorised: bool) -> None:
        step = self.take(OperatorEvent(self.now(), command, "t", "test", authorised=authorised))
        if command in ("halt", "freeze", "flatten"):
            self.words.add(command)
        elif command == "thaw" and authorised:
            self.words.discard("freeze")
        elif command == "resume" and "freeze" not in self.words:
            self.words.clear()
        if command == "flatten":
            state = self.bench.state
            assert all(not uncovered(state, p) for p in state.positions.values())
        assert all(c.order.reduce_only for c in step.commands if isinstance(c, SubmitOrder))
        assert all(isinstance(c, SubmitOrder | CancelOrder) for c in step.commands)

    @rule(authorised=st.booleans(), reason=st.sampled_from(("", "looked at it")),
          wait_s=st.sampled_from((1, 120, 1_000)))  # fmt: skip
    def reset(self, authorised: bool, reason: str, wait_s: int) -> None:
        """Release what is tripped, except a loss of the day that is still at its limit."""
        self.take(TimerEvent(self.now(wait_s), "day", self.marks))
        event = OperatorEvent(self.now(), "reset_breaker", "t", reason,
                              authorised=authorised, marks=self.marks)  # fmt: skip
        last = max((trip.ts_ns for trip in self.latched.values()), default=0)
        cooled = event.ts_ns >= last + self.cooldown_ms * 1_000_000
        released = [name for name in self.latched if name not in self.reached()]
        step = self.take(event)
        gone = [name for fact in of(step, f.BreakerReset) for name in fact.conditions]
        assert gone == (released if authorised and reason and cooled else [])

    def reached(self) -> set[str]:
        """Name the losses of the day that are at their limits."""
        state, found = self.bench.state, set()
        limits, strategy = state.settings.breaker, state.settings.strategies["default"]
        worth = sum((p.sign * (p.quantity * self.price - p.cost) for p in state.positions.values()),
                    D(0))  # fmt: skip
        lowest = state.day_equity * (1 - limits.day_loss)
        if limits.day_loss_action != "off" and state.balance + worth <= lowest:
            found.add("day_loss")
        record = state.strategies.get("default")
        if record is not None:
            lost = record.day_base - record.booked - worth
            if lost >= strategy.day_loss * strategy.budget * state.day_equity:
                found.add("strategy_day_loss:default")
        return found

    # -- what always holds -----------------------------------------------------------------

    @invariant()
    def the_engine_has_what_is_latched(self) -> None:
        state = self.bench.state
        assert list(state.trips) == list(self.latched)
        stops = {"freeze": "frozen", "halt": "halted", "flatten": "reducing"}
        expected = [stopped for word, stopped in stops.items() if word in self.words]
        assert state.trading == (expected or ["active"])[0]
        assert state.flattening == ("flatten" in self.words)
        assert state.counters.faults == 0


Guard.TestCase.settings = settings(max_examples=250, stateful_step_count=40)
TestGuard = pytest.mark.req("C-17.4", "D-09.13")(Guard.TestCase)
