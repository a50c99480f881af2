"""The trading loop: takes what the inbox gives, in its order, until it is told to stop.

The order within an instant is that of the replay: prices, engine levels, arriving orders, funding,
timers, then signals. What waits for time (midnight, silence, expiry, the health check) is looked
up from the state, never stored, so that it is armed again after a restart by itself.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.events import Event, LevelHit, OperatorEvent, SignalEvent, TimerEvent
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import DAY_NS
from cerberus_trader.replay.floors import Armed, Level
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.health import Health
from cerberus_trader.runtime.inbox import Command, Due, Instant, Outcome, Timed
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.runner import Runner

replace = msgspec.structs.replace
MS = 1_000_000
NEVER = 2**63 - 1
EXPIRY, SILENCE, HEALTH, DAY = range(4)
YIELD_ITEMS = 32
"""After so many items without waiting the loop lets other tasks run."""


class Timer(NamedTuple):
    """Hold what time is next waited for: when, what, and whose."""

    ts_ns: int
    kind: int
    scope: str = ""


class Trading:
    """Drive a runner from its inbox; `health_timer` is off where a file is played unpaced.

    An unpaced file tests levels at every price and silences at every gap, as a replay does.
    """

    def __init__(
        self, runner: Runner, market: LiveMarket, desk: Desk, *, health_timer: bool = True
    ) -> None:
        self.runner = runner
        self.state = runner.state
        self.market = market
        self.desk = desk
        self.health_timer = health_timer
        self.instant_ns = -1
        self.started_ns = runner.clock.now_ns()
        self.health_ns = self.started_ns
        self.health: Health | None = None
        self.views: Callable[[], dict[str, Any]] | None = None
        self.found: Callable[[], str] | None = None
        self.stopping = False
        self.unjudged = 0
        self.answers: list[asyncio.Task[None]] = []
        self.before_resume: Callable[[], list[OperatorEvent]] = list
        """What is journalled before trading is resumed."""
        self._armed = Armed(runner.state)
        self._levels: list[Level] = []

    async def run(self) -> None:
        """Take items until cancelled."""
        inbox, taken = self.runner.inbox, 0
        while True:
            item = await inbox.take()
            if type(item) is Instant:
                await self.on_instant(item)
            elif type(item) is Timed:
                await self.on_signal(item)
            elif type(item) is Due:
                await self.on_due(item)
            elif type(item) is Command:
                await self.on_command(item)
            else:
                await self.runner.take(self.stamped(item))  # type: ignore[arg-type]
            taken += 1
            if not taken % YIELD_ITEMS:
                await asyncio.sleep(0)

    def stamped(self, event: Event) -> Event:
        """Give a venue's words the engine's time, and the prices of what is held."""
        if event.ts_ns:
            return event
        now = self.runner.clock.now_ns()
        if not hasattr(event, "marks"):
            return replace(event, ts_ns=now)
        marks = self.market.marks(self.state.exposures, getattr(event, "instrument", ""))
        return replace(event, ts_ns=now, marks=marks)

    # -- items -----------------------------------------------------------------------------

    async def on_instant(self, item: Instant) -> None:
        """Take all ticks of a moment (0: now)."""
        runner, clock = self.runner, self.runner.clock
        await self.timers(item.ts_ns - 1 if item.ts_ns else clock.now_ns())
        ts = clock.advance(item.ts_ns) if item.ts_ns else clock.now_ns()
        runner.metrics.prices += len(item.ticks)
        lines = [self.market.take(tick, ts) for tick in item.ticks]
        # positions are valued at the moment's last prices; levels are tested on every one of them
        for tick, line in zip(item.ticks, lines, strict=True):
            await runner.take_all(self.desk.on_tick(tick, line, ts))
        self.instant_ns = ts
        await self.follow(ts)
        for tick in item.ticks:
            if tick.funding is not None:
                await runner.take_all(self.desk.funding(tick, ts))
        await self.timers(ts)
        await self.follow(ts)

    async def follow(self, ts: int) -> None:
        """Test levels and execute due orders on this moment's prices, while anything follows."""
        while self.instant_ns == ts:
            await self.levels(ts)
            before = self.runner.journal.last_seq
            await self.runner.take_all(self.desk.arrivals(ts))
            if self.runner.journal.last_seq == before:
                return

    async def on_signal(self, item: Timed) -> None:
        """Judge a signal on what is known now, or at the moment that a played file gives it.

        One that still waits when the engine stops is not judged: its entry would be left behind.
        """
        if self.stopping:
            self.unjudged += 1
            return
        clock = self.runner.clock
        if item.ts_ns:
            await self.timers(item.ts_ns)
            clock.advance(item.ts_ns)
        ts = clock.now_ns()
        await self.judge(item.signal, ts)
        await self.follow(ts)

    async def judge(self, signal: Signal, ts: int) -> None:
        """Put a signal, with its market, through the engine."""
        snapshot = self.market.snapshot(signal.instrument, ts, self.state.exposures)
        await self.runner.take(SignalEvent(ts, signal, snapshot))

    async def on_due(self, item: Due) -> None:
        """Look at the timers."""
        clock = self.runner.clock
        now = clock.advance(item.ts_ns) if item.ts_ns else clock.now_ns()
        await self.timers(now)
        if item.barrier is not None:
            item.barrier.set()

    async def on_command(self, item: Command) -> None:
        """Carry out a person's command or put a configuration in force; answer once durable."""
        runner, event = self.runner, item.event
        now = runner.clock.now_ns()
        if hasattr(event, "marks"):
            event = replace(event, marks=self.marks())
        if type(event) is OperatorEvent and event.command == "resume":
            for before in self.before_resume():
                runner.commit(replace(before, ts_ns=now, marks=self.marks()))
        written = runner.commit(replace(event, ts_ns=now))
        if type(event) is not OperatorEvent:
            self.configure()
        outcome = Outcome(written.seq, written.facts)
        if runner.clock.virtual:
            await runner.settle()
        answer = asyncio.ensure_future(self._answer(item, outcome))
        self.answers.append(answer)
        answer.add_done_callback(self.answers.remove)

    def configure(self) -> None:
        """Let venue, levels and the inbox's bounds follow the configuration in force."""
        self.runner.inbox.bound(self.state.settings.resources)
        venue = self.desk.venue
        venue.settings, venue.instruments = self.state.settings.paper, self.state.instruments
        self._armed = Armed(self.state)  # thresholds may have moved under unchanged positions

    async def _answer(self, item: Command, outcome: Outcome) -> None:
        done = item.done
        try:
            await self.runner.durable(outcome.seq)
        except JournalError as error:
            if done is not None and not done.done():
                done.set_exception(error)
            return
        if done is not None and not done.done():
            done.set_result(outcome)

    # -- levels ----------------------------------------------------------------------------

    async def levels(self, ts: int) -> None:
        """Report every engine level that the prices of this moment reach, one after another."""
        told: set[tuple[str, str]] = set()
        while (level := self._hit(told)) is not None:
            if not await self.runner.take(LevelHit(ts, level.kind, level.scope, self.marks())):
                told.add((level.kind, level.scope))

    def _hit(self, told: set[tuple[str, str]]) -> Level | None:
        """Return the first armed level that is reached: constant + sum(weight x price) <= limit.

        `told` names the levels from whose hit nothing followed: they are passed over.
        """
        if self.runner.changed:
            self._levels = self._armed.levels()
            self.runner.changed = False
        for level in self._levels:
            total, priced = level.constant, True
            for name, weight in level.weights:
                price = self.market.mark(name)
                if price is None and level.kind == "equity":
                    price = self._last_known(name)
                if price is None:
                    priced = False
                    break
                total += weight * price
            if priced and total <= level.limit and (level.kind, level.scope) not in told:
                return level
        return None

    def _last_known(self, name: str) -> Decimal | None:
        """Return the price from before the start of what has had none since, once it is stale.

        Else one silent feed would keep the losses of all the others from being seen.
        """
        held = self.state.positions.values()
        if any(position.stale and position.instrument == name for position in held):
            return self.state.marks.get(name)
        return None

    def marks(self) -> Marks:
        """Price everything that has exposure."""
        return self.market.marks(self.state.exposures)

    # -- timers ----------------------------------------------------------------------------

    async def timers(self, until_ns: int) -> None:
        """Do everything whose time has come, in the order of time."""
        while (timer := self.next_timer()).ts_ns <= until_ns:
            ts = self.runner.clock.advance(timer.ts_ns)
            if timer.kind == EXPIRY:
                await self.runner.take_all(self.desk.arrivals(ts))
            elif timer.kind == SILENCE:
                await self.runner.take(LevelHit(ts, "silence", timer.scope, self.marks()))
            elif timer.kind == HEALTH:
                await self.on_health(ts)
            else:
                await self.runner.take(TimerEvent(ts, "day", self.marks()))

    def next_timer(self) -> Timer:
        """Return what time is next waited for."""
        best = Timer(NEVER, DAY)
        book, state = self.desk.book, self.state
        if book.resting:
            expires = self.desk.next_expiry()
            if expires is not None:
                best = min(best, Timer(expires, EXPIRY))
        if not state.positions and not state.targets:
            self.health_ns = state.now_ns
            return best
        if state.positions:
            best = min(best, Timer((state.day + 1) * DAY_NS, DAY))
        for key, position in state.positions.items():
            silent = self.silent_at(position)
            if silent is not None and not position.stale:
                best = min(best, Timer(silent, SILENCE, key))
        if self.health_timer:
            interval = state.settings.health.interval_ms * MS
            best = min(best, Timer(self.health_ns + interval, HEALTH))
        return best

    def silent_at(self, position: Position) -> int | None:
        """Return when a position's instrument counts as silent, None where that is off."""
        limit = self.state.settings.health.silence_ms_max
        if not limit:
            return None
        line = self.market.lines.get(position.instrument)
        last, interval = (line.last_ns, line.interval_ns) if line is not None else (-1, 0)
        return max(last, self.started_ns, position.opened_ns) + limit * MS + 2 * interval

    async def on_health(self, ts: int) -> None:
        """Check every position (C-08.5); a silent one has no fresh mark to be checked against."""
        self.health_ns = ts
        silent: dict[str, None] = {}
        for position in self.state.positions.values():
            at = self.silent_at(position)
            if at is not None and at <= ts:
                silent[position.instrument] = None
        marks = tuple(mark for mark in self.marks() if mark[0] not in silent)
        await self.runner.take(TimerEvent(ts, "health", marks))
