"""The link: what it sends, what it makes of every kind of answer, whom it asks and when."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from random import Random
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.errors import VenueGarbage, VenueLost
from cerberus_trader.domain.events import (
    AccountReport,
    Anomaly,
    FillReport,
    FundingReport,
    LinkEvent,
    ModifyNotSent,
    OrderReport,
    OrderStatus,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.runtime import heard
from cerberus_trader.runtime.clock import FileClock
from cerberus_trader.runtime.link import LATE, OVERLAP_NS, Link
from cerberus_trader.simulation.loop import run
from cerberus_trader.venues.base import AccountView, Ack, Answer, Capabilities
from tests.kit import NOON, SECOND, Bench, D, settings, submitted

NEVER = "never"
LOST = VenueLost("the line broke", code="VENUE_LOST")
GARBAGE = VenueGarbage("<html>", code="VENUE_GARBAGE")


class Client:
    """Answer as a test wants: a value, an error, NEVER, or a list of them, one per call."""

    capabilities = Capabilities(order_types=("market",), holds_stops=True, brackets=True)

    def __init__(self) -> None:
        self.on_word: Callable[[Any], None] = lambda word: None
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.calls: list[tuple[Any, ...]] = []
        self.replies: dict[str, Any] = {
            "connect": None, "submit": Ack(True), "cancel": None, "modify": None, "bookings": [],
            "account": AccountView(NOON, (), (), None), "query": Answer(NOON, None),
        }  # fmt: skip

    def named(self, *names: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[0] in names]

    async def _answer(self, name: str, *given: Any) -> Any:
        self.calls.append((name, *given))
        reply = self.replies[name]
        if type(reply) is list and name != "bookings":
            reply = reply.pop(0) if len(reply) > 1 else reply[0]
        await asyncio.sleep(0.001)
        if reply == NEVER:
            await asyncio.Event().wait()
        if isinstance(reply, BaseException):
            raise reply
        return reply() if callable(reply) else reply

    async def connect(self) -> None:
        await self._answer("connect")

    async def submit(self, order: Order, send_before_ns: int) -> Ack:
        return await self._answer("submit", order.id, send_before_ns)

    async def cancel(self, order: CancelOrder) -> None:
        await self._answer("cancel", order.order_id)

    async def modify(self, order: ModifyOrder, send_before_ns: int) -> None:
        terms = (order.order_id, order.price, order.quantity)
        await self._answer("modify", *terms, send_before_ns)

    async def query(self, order: Order) -> Answer:
        return await self._answer("query", order.id)

    async def account(self, account: str) -> AccountView:
        return await self._answer("account", account)

    async def bookings(self, account: str, since_ns: int) -> AsyncIterator[list[Any]]:
        yield list(await self._answer("bookings", since_ns))

    async def close(self) -> None:
        self.calls.append(("close",))


class Line:
    """Hold a link over a scripted client; events are kept, and taken by an engine if asked."""

    def __init__(self, *, taking: bool = False, **reconcile: Any) -> None:
        self.bench = Bench(settings(reconcile=reconcile))
        self.client = Client()
        self.clock = FileClock(NOON)
        self.events: list[Any] = []
        self.refusal = ""
        self.latest = NOON + SECOND
        self.taking = taking
        self.link = Link(
            self.client, "main", self.bench.state, self.clock, self.put,
            lambda order: self.latest, lambda order: self.refusal,
            lambda change: self.refusal,
        )  # fmt: skip
        self.link._begun_ns = NOON  # as if asked before; one test asks
        self.link.connected = True

    def put(self, event: Any) -> None:
        self.events.append(event)
        if self.taking:
            now = self.clock.now_ns()
            self.bench.take(msgspec.structs.replace(event, ts_ns=now))

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def entry(self, **fields: Any) -> Order:
        return submitted(self.bench.signal(**fields))

    async def send(self, order: Order) -> None:
        self.link.submit(SubmitOrder(order), self.clock.now_ns())
        await asyncio.sleep(10.0)


def virtually(main: Coroutine[Any, Any, None]) -> None:
    """Run in virtual time: no test waits."""
    run(main, Random(1))


def fill(trade_id: str, sequence: int = 0, **fields: Any) -> FillReport:
    values = {
        "ts_ns": 0, "order_id": "x", "trade_id": trade_id, "account": "main",
        "instrument": "COIN", "side": 1, "quantity": D(1), "price": D(100), "fee": D(0),
        "liquidity": "taker", "reason": "entry", "margin": D(100), "leaves": D(0),
        "sequence": sequence, **fields,
    }  # fmt: skip
    return FillReport(**values)


# -- submissions and cancellations -------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "state", "reason", "retry"),
    [
        (Ack(True), "accepted", "", False),
        (Ack(True, "known already"), "accepted", "known already", False),
        (Ack(False, "no margin"), "rejected", "no margin", False),
        (Ack(False, "busy", True), "rejected", "busy", True),
        (LOST, "unknown", "the line broke", False),
        (GARBAGE, "unknown", "<html>", False),
        (NEVER, "unknown", "no answer in time", False),
    ],
)
def test_what_a_submission_comes_to(reply: Any, state: str, reason: str, retry: bool) -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["submit"] = reply
        order = line.entry()
        await line.send(order)
        (report,) = line.of(OrderReport)
        assert (report.order_id, report.state, report.retry) == (order.id, state, retry)
        assert reason in report.reason
        assert len(line.client.named("submit")) == 1, "it is never sent again"
        assert line.link.wake.is_set() is (state == "unknown")
        garbage = [(a.kind, a.place) for a in line.of(Anomaly)]
        assert garbage == ([("garbage", f"submit {order.id}")] if reply is GARBAGE else [])

    virtually(main())


def test_a_change_that_was_stopped_meanwhile_never_leaves() -> None:
    async def main() -> None:
        line, window = Line(), 5 * SECOND
        change = ModifyOrder("o1e", "main", "COIN", D(99), D(1))
        for line.refusal, ago in (("trading is halted", 0), ("", 0), ("", 6 * SECOND)):
            line.bench.state.changes["o1e"] = (line.clock.now_ns() - ago, D(99), D(1))
            assert line.link.modify(change, NOON) == []
            await asyncio.sleep(1.0)
        held = [ModifyNotSent(0, "o1e", why, D(99), D(1)) for why in ("trading is halted", LATE)]
        assert line.of(ModifyNotSent) == held
        assert line.client.named("modify") == [("modify", "o1e", D(99), D(1), NOON + window)]

    virtually(main())


def test_an_order_that_was_stopped_meanwhile_never_leaves() -> None:
    async def main() -> None:
        line = Line()
        line.refusal = "trading is halted"
        await line.send(line.entry())
        (report,) = line.of(OrderReport)
        assert (report.state, report.reason) == ("not_sent", "trading is halted")
        assert line.client.calls == []

    virtually(main())


def test_the_venue_is_told_until_when_it_may_take_an_order() -> None:
    async def main() -> None:
        line = Line(submit_window_ms=3_000)
        entry = line.entry()
        await line.send(entry)
        line.latest = NOON + 60 * SECOND
        await line.send(entry)
        line.latest = 0
        await line.send(msgspec.structs.replace(entry, reduce_only=True))
        told = [call[2] for call in line.client.named("submit")]
        assert told == [NOON + SECOND, NOON + 3 * SECOND, NOON + 3 * SECOND]

    virtually(main())


@pytest.mark.parametrize(
    ("reply", "asks"), [(None, False), (LOST, True), (NEVER, True), (GARBAGE, True)]
)
def test_a_cancel_without_an_answer_is_asked_about(reply: Any, asks: bool) -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["cancel"] = reply
        assert line.link.cancel(CancelOrder("o", "main", "COIN"), NOON) == []
        await asyncio.sleep(10.0)
        assert line.client.named("cancel") == [("cancel", "o")]
        assert line.link.wake.is_set() is asks
        assert [a.place for a in line.of(Anomaly)] == (["cancel o"] if reply is GARBAGE else [])
        assert not line.of(OrderReport), "an order's end comes from the venue alone"

    virtually(main())


def test_how_long_an_answer_took_is_told_and_a_missing_one_counts_at_least_its_limit() -> None:
    async def main() -> None:
        line = Line(answer_ms_max=500)
        heard: list[float] = []
        line.link.on_latency = heard.append
        await line.send(line.entry())
        line.client.replies["submit"] = LOST
        await line.send(line.entry(instrument="OTHER"))
        assert heard == [pytest.approx(1.0), pytest.approx(501.0)]

    virtually(main())


def test_a_request_that_fails_otherwise_is_fatal_and_not_swallowed() -> None:
    async def main() -> None:
        line = Line()
        heard: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: heard.append(context)
        )
        line.client.replies["submit"] = ValueError("a mistake of ours")
        await line.send(line.entry())
        (context,) = heard
        assert str(context["exception"]) == "a mistake of ours"
        assert not line.events

    virtually(main())


def test_giving_up_ends_every_request_without_a_word_and_closing_closes_the_line() -> None:
    async def main() -> None:
        line = Line(answer_ms_max=600_000)
        line.client.replies["submit"] = NEVER
        await line.send(line.entry())
        await line.link.close()
        await asyncio.sleep(1_000.0)
        assert not line.events
        assert line.client.named("close") == [("close",)]

    virtually(main())


# -- words -------------------------------------------------------------------------------------


def test_reports_pass_and_a_booking_whose_content_changed_does_not() -> None:
    line = Line()
    report = OrderReport(0, "o", "canceled")
    payment = FundingReport(0, "main", "COIN", D(0), D(1), D(1), D(1), payment_id="p1")
    for word in (report, fill("t1"), fill("t1", price=D(101)), fill("t1", ts_ns=9), payment):
        line.client.on_word(word)
    assert [type(event) for event in line.events] == [
        OrderReport, FillReport, Anomaly, FillReport, FundingReport,
    ]  # fmt: skip
    (conflict,) = line.of(Anomaly)
    assert (conflict.kind, conflict.place) == ("trade_conflict", "t1")


def test_the_memory_of_contents_is_bounded_and_may_be_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(heard, "CONFLICTS_MAX", 2)
    line = Line()
    for name in ("t1", "t2", "t3"):
        line.client.on_word(fill(name))
    line.client.on_word(fill("t1", price=D(7)))  # forgotten: the engine's own memory decides
    assert not line.of(Anomaly)
    line.link.forget()
    line.client.on_word(fill("t1", price=D(8)))
    assert not line.of(Anomaly)


def test_numbered_bookings_are_taken_in_the_venues_order_and_wait_behind_a_gap() -> None:
    async def main() -> None:
        line = Line()
        say = line.client.on_word
        say(fill("t3", 3))
        assert not line.events and line.link.wake.is_set(), "nobody knows yet what comes first"
        line.client.replies["bookings"] = [fill("t1", 1), fill("t2", 2)]
        await line.link.catch_up()
        say(fill("t5", 5))
        say(fill("t2", 2))
        assert [event.trade_id for event in line.events] == ["t1", "t2", "t3"]
        say(fill("t4", 4))
        assert [event.trade_id for event in line.events] == ["t1", "t2", "t3", "t4", "t5"]

    virtually(main())


def test_a_lost_line_is_told_once() -> None:
    line = Line()
    line.link.connected = False
    line.client.on_lost("reset")
    assert not line.events and line.link.lost.is_set()
    line.link.connected = True
    line.client.on_lost("reset")
    line.client.on_lost("closed")
    assert line.events == [LinkEvent(0, "main", "lost", "reset")]


# -- the loop ----------------------------------------------------------------------------------


def test_bookings_are_asked_for_since_the_last_agreement_and_known_ones_passed_over() -> None:
    async def main() -> None:
        line = Line(taking=True)
        line.bench.state.agreed["main"] = NOON
        line.bench.state.trade_ids["main/old"] = NOON
        line.client.replies["bookings"] = [fill("old"), fill("new"), fill("old", fee=D(3))]
        await line.link.catch_up()
        assert line.client.named("bookings") == [("bookings", NOON - OVERLAP_NS)]
        assert [event.trade_id for event in line.of(FillReport)] == ["new"]
        assert [event.place for event in line.of(Anomaly)] == ["old"]

    virtually(main())


def test_nothing_is_booked_that_happened_before_the_account_was_ever_looked_at() -> None:
    async def main() -> None:
        line = Line(taking=True)
        line.link._begun_ns = None
        line.clock.advance(NOON + 60 * SECOND)  # ahead of the venue: its time counts, not ours
        line.client.replies["account"] = AccountView(NOON, (), (), D(1_000))
        await line.link.catch_up()
        line.client.replies["account"] = AccountView(NOON + SECOND, (), (), D(1_000))
        await line.link.catch_up()
        begun = ("bookings", NOON - OVERLAP_NS)
        assert line.client.named("bookings") == [begun, begun]

    virtually(main())


def looking(line: Line, seconds: float) -> None:
    """Let the link run for a while."""

    async def main() -> None:
        line.link.begin()
        task = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(seconds)
        task.cancel()

    virtually(main())


def test_it_connects_looks_at_the_account_and_then_on_a_timer() -> None:
    line = Line(taking=True, interval_ms=30_000)
    looking(line, 65.0)
    states = [event.state for event in line.of(LinkEvent)]
    assert states == ["connecting", "connected"]
    assert [event.cause for event in line.of(AccountReport)] == ["start", "timer", "timer"]
    assert not line.bench.state.unreconciled


def test_a_line_that_will_not_open_is_tried_with_growing_pauses() -> None:
    line = Line(taking=True)
    line.client.replies["connect"] = [LOST, GARBAGE, NEVER, None]
    looking(line, 30.0)
    assert len(line.client.named("connect")) == 4
    assert [event.place for event in line.of(Anomaly)] == ["connect"]
    assert line.of(AccountReport)[0].cause == "start"


def test_after_a_lost_line_it_connects_again_and_says_so() -> None:
    line = Line(taking=True, interval_ms=60_000)

    async def main() -> None:
        task = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(1.0)
        line.client.on_lost("reset")
        await asyncio.sleep(1.0)
        task.cancel()

    virtually(main())
    assert [event.state for event in line.of(LinkEvent)] == ["connected", "lost", "connected"]
    assert [event.cause for event in line.of(AccountReport)] == ["start", "reconnect"]


def test_a_line_that_breaks_while_it_opens_is_opened_again() -> None:
    line = Line(taking=True, interval_ms=60_000)
    broken: list[int] = []

    def opened() -> None:
        if not broken:
            broken.append(1)
            line.client.on_lost("closed at once")

    line.client.replies["connect"] = opened
    looking(line, 20.0)
    assert len(line.client.named("connect")) == 2


@pytest.mark.parametrize("broken", ["account", "bookings"])
@pytest.mark.parametrize("reply", [LOST, NEVER, GARBAGE])
def test_a_look_that_fails_reports_nothing_and_is_made_again(broken: str, reply: Any) -> None:
    line = Line(taking=True, answer_ms_max=100)
    kind = line.client.replies[broken]
    line.client.replies[broken] = reply
    looking(line, 3.0)
    assert not line.of(AccountReport) and line.bench.state.unreconciled
    assert bool(line.of(Anomaly)) is (reply is GARBAGE)
    assert len(line.client.named("bookings")) > 5
    line.client.replies[broken] = kind
    looking(line, 3.0)
    assert line.of(AccountReport) and not line.bench.state.unreconciled


def test_orders_in_question_are_asked_about_before_the_account_each_after_its_fills() -> None:
    line = Line(taking=True, answer_ms_max=1_000)
    unknown, canceling = line.entry(), line.entry(instrument="OTHER")
    fine = line.entry(instrument="THIRD")
    line.put(OrderReport(0, unknown.id, "unknown"))
    line.put(OrderReport(0, fine.id, "accepted"))
    state = line.bench.state
    state.orders[canceling.id] = msgspec.structs.replace(canceling, status=Status.PENDING_CANCEL)
    row = VenueOrder(unknown.id, "COIN", 1, unknown.quantity, "working")
    line.client.replies["query"] = Answer(NOON, row)
    looking(line, 0.01)
    assert [call[:2] for call in line.client.named("query")] == [("query", unknown.id)], (
        "a cancel that has just been asked for is given its time"
    )
    first = [call[0] for call in line.client.calls][:5]
    assert first == ["connect", "bookings", "query", "bookings", "account"]
    (answer,) = line.of(OrderStatus)
    assert (answer.order_id, answer.order) == (unknown.id, row)
    assert state.orders[unknown.id].status is Status.ACCEPTED
    line.clock.advance(NOON + 2 * SECOND)
    looking(line, 0.01)
    asked = [call[1] for call in line.client.named("query")]
    assert list(dict.fromkeys(asked)) == [unknown.id, canceling.id]


def test_what_comes_up_during_a_look_is_not_left_to_the_next_timer() -> None:
    line = Line(taking=True, interval_ms=3_600_000)
    seen: list[int] = []

    def bookings() -> list[FillReport]:
        seen.append(1)
        if len(seen) == 2:  # the look's last question: its answer is on its way
            line.client.on_word(fill("t9", 9, order_id="gap"))
        return [fill("t9", 9, order_id="gap")] if len(seen) > 2 else []

    line.client.replies["bookings"] = bookings
    held = VenuePosition("COIN", 1, D(1), D(100), D(100), D(1))
    line.client.replies["account"] = AccountView(NOON, (), (held,), None)
    looking(line, 60.0)
    assert len(line.client.named("account")) == 2


def test_the_drift_of_the_clocks_is_what_question_and_answer_cannot_explain() -> None:
    line = Line(taking=True)
    heard: list[float] = []
    line.link.on_drift = heard.append
    line.client.replies["account"] = [
        AccountView(NOON + 250_000_000, (), (), None), AccountView(NOON - SECOND, (), (), None),
        AccountView(NOON, (), (), None),
    ]  # fmt: skip

    async def main() -> None:
        task = asyncio.ensure_future(line.link.run())
        for _ in range(3):
            await asyncio.sleep(5.0)
            line.link.wake.set()
        task.cancel()

    virtually(main())
    assert heard[:3] == [250.0, 1_000.0, 0.0]
