"""The runner: nothing leaves before it is durable; what reduces risk does not wait for ever."""

import asyncio
from typing import Any

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    Event,
    FillReport,
    ModifyNotSent,
    OperatorEvent,
    OrderModified,
    OrderReport,
    SignalEvent,
)
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.facts import CommandRefused
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_from, state_hash
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.runtime import runner as module
from cerberus_trader.runtime.clock import FileClock, WallClock
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.runner import Runner
from cerberus_trader.venues.paper.venue import PaperVenue
from tests.kit import ITEMS, NOON, D, settings


class SlowJournal(MemoryJournal):
    """Make rows durable only when the test says so."""

    reached = 0

    def __init__(self) -> None:
        super().__init__()
        self.urgent: list[bool] = []

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        self.urgent.append(urgent)
        return super().append(ts_ns, kind, body)

    @property
    def durable_seq(self) -> int:
        return self.reached


class Rig:
    """Hold a runner over a paper venue, and what observers saw."""

    def __init__(self, clock: Any = None, **sections: Any) -> None:
        self.journal = SlowJournal()
        self.market = LiveMarket()
        engine = Engine()
        chosen = settings(**sections)
        venue = PaperVenue(chosen.paper, {i.name: i for i in ITEMS}, lambda ts, name: ())
        self.desk = Desk(venue, self.market)
        self.clock = clock or FileClock(NOON)
        self.runner = Runner(engine, self.journal, self.desk, self.clock, version="1")
        self.seen: list[tuple[int, Event]] = []
        self.runner.observers.append(lambda seq, event, facts: self.seen.append((seq, event)))
        self.runner.commit(ConfigEvent(NOON, chosen, "c", ITEMS, "engine"))
        self.sync()

    @property
    def state(self) -> Any:
        return self.runner.state

    def sync(self) -> None:
        """Let everything written become durable."""
        self.journal.reached = self.journal.last_seq
        self.runner.on_durable(self.journal.reached)

    def signal(self, side: Any = "buy", name: str = "s1") -> None:
        now = self.clock.now_ns()
        made = Signal(name, now, "COIN", side, 0.7, "head", stop_loss_pct=D(2))
        market = Snapshot(now, D(100), D(100), 0, 0.05, 0.05, (("COIN", D(100)),))
        self.runner.commit(SignalEvent(now, made, market))

    def fill(self) -> None:
        """Let the venue's word of a fill in."""
        (order,) = [o for o in self.state.orders.values() if o.kind == "market"]
        self.runner.commit(
            FillReport(self.clock.now_ns(), order.id, order.id, order.account, "COIN", order.side,
                       order.quantity, D(100), D(0), "taker", order.reason, D(100), D(0),
                       marks=(("COIN", D(100)),))
        )  # fmt: skip


async def test_a_command_waits_for_its_row_and_so_do_observers() -> None:
    rig = Rig()
    rig.signal()
    assert rig.state.entries and not rig.desk.book.arriving
    assert [seq for seq, _ in rig.seen] == [1]
    rig.sync()
    assert len(rig.desk.book.arriving) == 1
    assert [seq for seq, _ in rig.seen] == [1, 2]


async def test_a_row_is_urgent_where_a_command_waits_and_no_signal_does() -> None:
    rig = Rig()
    rig.signal()
    rig.signal(name="s1")  # a repeated one: nothing comes of it
    assert rig.journal.urgent == [False, True, False]
    rig = Rig()
    rig.runner.inbox.put_signal(Signal("s2", NOON, "COIN", "buy", 0.7, "head"))
    rig.signal()
    assert rig.journal.urgent == [False, False]


async def test_what_stopped_meanwhile_is_not_sent_and_the_engine_is_told() -> None:
    rig = Rig()
    rig.signal()
    rig.state.trading = "halted"
    rig.sync()
    assert not rig.desk.book.arriving
    (report,) = rig.runner.inbox.reports
    assert isinstance(report, OrderReport) and report.state == "not_sent"
    await rig.runner.take(rig.runner.inbox.reports.popleft())
    (ended,) = rig.state.ended.values()
    assert ended.status is Status.NOT_SENT and rig.runner.metrics.not_sent == 1


async def test_time_stands_still_until_a_played_files_commands_are_out() -> None:
    rig = Rig()
    market = Snapshot(NOON, D(100), D(100), 0, 0.05, 0.05)
    made = Signal("s1", NOON, "COIN", "buy", 0.7, "head", stop_loss_pct=D(2))
    taking = asyncio.ensure_future(rig.runner.take(SignalEvent(NOON, made, market)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()
    rig.sync()
    assert await taking is True
    assert len(rig.desk.book.arriving) == 1


async def test_a_disk_that_stalls_holds_back_entries_never_exits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.0)
    rig = Rig(WallClock(NOON))
    rig.signal()
    rig.sync()
    rig.fill()
    rig.sync()
    rig.desk.book.arriving.clear()
    rig.signal("close", "s2")
    rig.signal("buy", "s3")
    await asyncio.sleep(0.01)
    (sent,) = rig.desk.book.arriving.values()
    assert sent.order.reduce_only
    rig.sync()
    assert list(rig.desk.book.arriving.values()) == [sent]  # not sent a second time


async def test_after_a_failed_write_only_what_reduces_goes_out() -> None:
    rig = Rig()
    rig.signal()
    rig.sync()
    rig.fill()
    rig.sync()
    rig.desk.book.arriving.clear()
    rig.signal("close", "s2")
    rig.runner.poison()
    assert [w.order.reduce_only for w in rig.desk.book.arriving.values()] == [True]
    assert rig.runner.gate.poisoned


async def test_who_waits_for_the_disk_is_told_that_it_failed() -> None:
    rig = Rig()
    rig.signal()
    waiting = asyncio.create_task(rig.runner.durable(rig.journal.last_seq))
    await asyncio.sleep(0)
    failed = JournalError("the disk is full", code="JOURNAL_FULL")
    rig.runner.poison(failed)
    for wait in (waiting, rig.runner.durable(rig.journal.last_seq)):
        async with asyncio.timeout(5):
            with pytest.raises(JournalError) as found:
                await wait
        assert found.value is failed


def resting(rig: Rig) -> Order:
    """Let an entry rest at the venue."""
    now = rig.clock.now_ns()
    made = Signal("s1", now, "COIN", "buy", 0.7, "head", stop_loss_pct=D(2),
                  order="limit", limit=D(90))  # fmt: skip
    market = Snapshot(now, D(100), D(100), 0, 0.05, 0.05, (("COIN", D(100)),))
    rig.runner.commit(SignalEvent(now, made, market))
    rig.sync()
    (order,) = rig.state.orders.values()
    rig.desk.book.resting[order.id] = rig.desk.book.arriving.pop(order.id)
    rig.runner.commit(OrderReport(now, order.id, "accepted"))
    rig.sync()
    return rig.state.orders[order.id]


def change(rig: Rig, order: Order) -> None:
    """Ask for half of an entry, nearer to the market."""
    half = ITEMS[0].quantity_down(order.quantity / 2)
    event = OperatorEvent(rig.clock.now_ns(), "modify", "me", "", order.id, amount=half,
                          price=D(91))  # fmt: skip
    rig.runner.commit(event)


def at_venue(rig: Rig, order: Order) -> tuple[Any, Any]:
    held = rig.desk.book.resting[order.id].order
    return held.price, held.quantity


async def test_a_change_waits_for_a_stalled_disk_and_then_goes_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "STALL_S", 0.0)
    rig = Rig(WallClock(NOON))
    order = resting(rig)
    change(rig, order)
    await asyncio.sleep(0.01)
    assert at_venue(rig, order) == (order.price, order.quantity)
    rig.sync()
    (told,) = rig.runner.inbox.reports
    assert isinstance(told, OrderModified) and at_venue(rig, order) == (D(91), told.quantity)


async def test_a_change_does_not_leave_after_the_journal_has_failed() -> None:
    rig = Rig(WallClock(NOON))
    order = resting(rig)
    change(rig, order)
    rig.runner.poison()
    assert at_venue(rig, order) == (order.price, order.quantity)
    rig.sync()
    assert at_venue(rig, order) == (order.price, order.quantity)


async def test_a_change_that_is_not_sent_leaves_nothing_in_doubt() -> None:
    rig = Rig(WallClock(NOON))
    order, reserved = resting(rig), dict(rig.state.reserved)
    change(rig, order)
    rig.runner.gate.marked = lambda: True
    rig.runner.commit(OperatorEvent(rig.clock.now_ns(), "halt", "me"))
    rig.sync()
    told = [x for x in rig.runner.inbox.reports if isinstance(x, ModifyNotSent)]
    assert [x.order_id for x in told] == [order.id] and rig.runner.metrics.not_sent == 1
    said, _ = rig.runner.commit(told[0]).facts
    assert isinstance(said, CommandRefused) and order.id in said.reason
    after = rig.state.orders[order.id]
    assert (after.price, after.quantity) == (order.price, order.quantity)
    assert rig.state.reserved == reserved and after.status is Status.PENDING_CANCEL


async def test_the_next_look_agrees_with_a_change_that_was_not_sent() -> None:
    rig = Rig(WallClock(NOON))
    order, reserved = resting(rig), dict(rig.state.reserved)
    change(rig, order)
    rig.runner.gate.marked = lambda: True
    rig.sync()
    rig.runner.commit(rig.runner.inbox.reports.popleft())
    now = rig.clock.now_ns()
    theirs = VenueOrder(order.id, "COIN", 1, order.quantity, "working", price=order.price)
    look = AccountReport(now, "main", now, "timer", (theirs,), (), rig.state.balance)
    names = {type(fact).__name__ for fact in rig.runner.commit(look).facts}
    assert names == {"Reconciled"} and rig.state.orders[order.id] == order
    assert rig.state.reserved == reserved and not rig.state.doubts and not rig.state.suspects
    rig.runner.gate.marked = lambda: False  # and the change may be asked for again
    change(rig, order)
    rig.sync()
    assert at_venue(rig, order)[0] == D(91)


async def test_a_stamp_that_was_overtaken_does_not_run_backwards() -> None:
    rig = Rig()
    rig.clock.advance(NOON + 50)
    rig.signal()
    written = rig.runner.commit(OrderReport(NOON + 10, "none", "accepted"))
    assert written.event.ts_ns == NOON + 50
    stamps = [row.ts_ns for row in rig.journal.rows()]
    assert stamps == sorted(stamps)


@pytest.mark.req("E-6.1.3")
async def test_a_snapshot_is_taken_every_so_many_rows_and_recovery_agrees() -> None:
    rig = Rig(journal={"snapshot_rows": 100})
    for number in range(120):
        rig.signal("buy", f"s{number}")
        rig.sync()
    restored = rig.journal.restore()
    assert restored.snapshot is not None and restored.snapshot.seq == 100
    kept = restored.snapshot
    assert kept.state_hash.hex() == state_hash(state_from(kept.state))
    assert state_hash(recover(restored)) == state_hash(rig.state)
    folded = recover(restored._replace(snapshot=None, rows=rig.journal.rows()))
    assert state_hash(folded) == state_hash(rig.state)


async def test_executions_are_measured_from_durable_facts() -> None:
    rig = Rig()
    rig.runner.observers.append(rig.runner.note)
    rig.signal()
    rig.clock.advance(NOON + 3_000_000)
    rig.fill()
    rig.sync()
    assert list(rig.runner.metrics.executions.window) == [3_000_000]
    assert rig.runner.metrics.decisions.count == 1


async def test_signals_and_prices_wait_while_too_many_rows_wait_for_the_disk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loop stood still for seconds where the journal's queue was full."""
    monkeypatch.setattr(module, "WAITING_MAX", 3)
    rig = Rig()
    assert not rig.runner.inbox.held()
    for number in range(3):
        rig.signal(name=f"s{number + 1}")
    assert rig.runner.inbox.held()
    rig.sync()
    assert not rig.runner.inbox.held()
