"""The runner: one event at a time through engine, journal, gate and venue.

An event is decided on, its row appended; its commands wait for the durable watermark, pass the
gate, and reach the venue; what the venue answers comes back as events. Facts go to observers only
once their row is durable.
"""

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.commands import Command as EngineCommand
from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.events import (
    Event,
    FillReport,
    ModifyNotSent,
    OrderReport,
    SignalEvent,
)
from cerberus_trader.domain.order import TERMINAL
from cerberus_trader.domain.row import encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_bytes
from cerberus_trader.journal.rows import Journal
from cerberus_trader.runtime.clock import Clock
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.gate import Gate
from cerberus_trader.runtime.inbox import Inbox
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.venues.paper.venue import Report

STALL_S = 1.0
"""How long cancels and reducing orders wait for a disk that does not answer."""
WAITING_MAX = 6_000
"""So many rows may wait for the disk before signals and prices do: exits and words still go on."""

Observe = Callable[[int, Event, tuple[f.Fact, ...]], None]


class Port(Protocol):
    """Take commands for a venue; what came of them follows as reports."""

    def submit(self, command: SubmitOrder, now_ns: int) -> None: ...

    def cancel(self, command: CancelOrder, now_ns: int) -> Iterable[Report]: ...

    def modify(self, command: ModifyOrder, now_ns: int) -> Iterable[Report]: ...


class Written(NamedTuple):
    """Hold an appended row whose effects wait for the durable watermark."""

    seq: int
    event: Event
    facts: tuple[f.Fact, ...]
    commands: tuple[EngineCommand, ...]


class Runner:
    """Take events; used from one event loop only.

    `on_durable` is to be called, in that loop, with each new durable watermark. `venue` takes
    the commands: the desk's paper venue, or the link to another one.
    """

    def __init__(
        self, engine: Engine, journal: Journal, desk: Desk, clock: Clock, *, version: str = ""
    ) -> None:
        self.engine = engine
        self.state = engine.state
        self.journal = journal
        self.desk = desk
        self.venue: Port = desk.venue
        self.clock = clock
        self.version = version
        self.inbox = Inbox()
        self.gate = Gate(engine.state)
        self.metrics = Metrics()
        self.observers: list[Observe] = []
        self.changed = True
        self._waiting: deque[Written] = deque()
        self.inbox.held = lambda: len(self._waiting) >= WAITING_MAX
        self._commands = 0
        self._early: dict[str, None] = {}
        self._futures: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._failure: JournalError | None = None
        self._snapshot_seq = journal.last_seq

    # -- events ----------------------------------------------------------------------------

    async def take(self, event: Event) -> bool:
        """Take an event; tell whether anything came of it.

        In a played file time stands still until its commands are out and answered.
        """
        written = self.commit(event)
        if self.clock.virtual and (self._commands or self.inbox.reports):
            await self.settle()
        return bool(written.facts)

    async def take_all(self, batches: Iterable[list[Report]]) -> None:
        """Take the venue's reports, one by one, before the venue goes on."""
        for reports in batches:
            for report in reports:
                await self.take(report)

    def commit(self, event: Event) -> Written:
        """Decide on an event and append its row; its commands wait until it is durable."""
        if event.ts_ns < self.state.now_ns:  # a stamp of the venue's answer may have been overtaken
            event = msgspec.structs.replace(event, ts_ns=self.state.now_ns)
        begin = time.perf_counter_ns()
        step = self.engine.step(event)
        facts, commands = step.facts, step.commands
        if type(event) is SignalEvent:
            self.metrics.decisions.add(time.perf_counter_ns() - begin)
        body = encode_row(event, facts)
        kind = str(type(event).__struct_config__.tag)
        urgent = bool(commands) and not self.inbox.signals
        seq = self.journal.append(event.ts_ns, kind, body, urgent=urgent)
        self.metrics.rows += 1
        self.metrics.bytes += len(body)
        self.changed = True
        written = Written(seq, event, facts, commands)
        self._waiting.append(written)
        self._commands += len(commands)
        durable = self.journal.durable_seq >= seq
        if commands and not durable and not self.clock.virtual:
            self._watch_stall(written)
        if seq - self._snapshot_seq >= self.state.settings.journal.snapshot_rows:
            self.snapshot()
        if durable:
            self.on_durable(seq)
        return written

    async def settle(self) -> None:
        """Wait until no command waits and every report is booked."""
        while self._commands or self.inbox.reports:
            while self.inbox.reports:
                self.commit(self.inbox.reports.popleft())
            if self._commands:
                await self.durable(self.journal.last_seq)

    async def durable(self, seq: int) -> None:
        """Wait until a row is durable; raise the journal's failure where that never comes."""
        if self.journal.durable_seq >= seq and not self._waiting:
            return
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._futures.append((seq, future))
        await future

    # -- what waits for the disk -----------------------------------------------------------

    def on_durable(self, seq: int) -> None:
        """Release what waited for the rows up to a number."""
        waiting = self._waiting
        while waiting and waiting[0].seq <= seq:
            written = waiting.popleft()
            if written.commands:
                self._release(written)
            for observe in self.observers:
                observe(written.seq, written.event, written.facts)
        while self._futures and self._futures[0][0] <= seq:
            future = self._futures.popleft()[1]
            if not future.done():
                future.set_result(None)

    def _release(self, written: Written) -> None:
        self._commands -= len(written.commands)
        for command in written.commands:
            order_id = _id_of(command)
            if order_id in self._early:
                del self._early[order_id]
            else:
                self.send(command)

    def _watch_stall(self, written: Written) -> None:
        """Let what reduces risk go out even if the disk does not answer in time."""
        urgent = [c for c in written.commands if not _adds(c)]
        if urgent:
            loop = asyncio.get_running_loop()
            loop.call_later(STALL_S, self.send_urgent, written.seq, urgent)

    def send_urgent(self, seq: int, commands: list[EngineCommand]) -> None:
        """Send cancels and reducing orders whose row is still not durable."""
        if self.journal.durable_seq >= seq:
            return
        for command in commands:
            order_id = _id_of(command)
            if order_id not in self._early:
                self._early[order_id] = None
                self.send(command)

    def poison(self, failure: JournalError | None = None) -> None:
        """Close the gate for what adds exposure, and send what reduces it.

        Where the journal has failed, all that wait for it are told.
        """
        self.gate.poisoned = True
        self._failure = failure
        while failure is not None and self._futures:
            future = self._futures.popleft()[1]
            if not future.done():
                future.set_exception(failure)
        for written in self._waiting:
            self.send_urgent(written.seq, [c for c in written.commands if not _adds(c)])

    def send(self, command: EngineCommand) -> None:
        """Hand a command to the venue, if the gate lets it pass."""
        now = self.clock.now_ns()
        if type(command) is ModifyOrder:
            return self._modify(command, now)
        if type(command) is CancelOrder:
            for report in self.venue.cancel(command, now):
                self.inbox.put_report(report)
            return
        assert type(command) is SubmitOrder
        wait_ns = command.order.send_after_ns - now
        if wait_ns > 0 and not self.clock.virtual:  # a further attempt, after its pause
            asyncio.get_running_loop().call_later(wait_ns / 1e9, self.send, command)
            return
        reason = self.gate.refusal(command.order, now)
        if reason:
            self.metrics.not_sent += 1
            self.inbox.put_report(OrderReport(now, command.order.id, "not_sent", reason))
            return
        self.venue.submit(command, now)

    def _modify(self, command: ModifyOrder, now: int) -> None:
        reason = self.gate.unchanging(command)
        if reason:
            self.metrics.not_sent += 1
            held = ModifyNotSent(now, command.order_id, reason, command.price, command.quantity)
            self.inbox.put_report(held)
            return
        for report in self.venue.modify(command, now):
            self.inbox.put_report(report)

    # -- snapshots -------------------------------------------------------------------------

    def snapshot(self) -> None:
        """Store the state after the last row."""
        if self.journal.last_seq == self._snapshot_seq:
            return
        body = state_bytes(self.state)  # megabytes: its hash is made of them, not of a second copy
        digest = hashlib.sha256(body).digest()
        self.journal.save_snapshot(self.state.now_ns, self.version, digest, body)
        self._snapshot_seq = self.journal.last_seq

    def note(self, seq: int, event: Event, facts: tuple[f.Fact, ...]) -> None:
        """Measure what durable facts tell of executions: an observer like any other."""
        for fact in facts:
            if type(fact) is f.OrderSubmitted:
                self.metrics.submitted(fact.order.id, fact.order.created_ns)
            elif type(event) is FillReport and type(fact) is f.Filled:
                self.metrics.filled(event.order_id, event.ts_ns)
            elif type(fact) is f.OrderChanged and fact.status in TERMINAL:
                self.metrics.ended(fact.order_id)


def _adds(command: EngineCommand) -> bool:
    """Tell whether a command adds exposure, or may: a change may bring a fill nearer."""
    if type(command) is SubmitOrder:
        return not command.order.reduce_only
    return type(command) is ModifyOrder


def _id_of(command: EngineCommand) -> str:
    """Name a command: a submission and a cancellation of one order are two."""
    if type(command) is SubmitOrder:
        return command.order.id
    return f"{type(command).__name__} {command.order_id}"  # type: ignore[union-attr]
