"""The service: start-up, the supervised tasks of one loop, shutdown.

The steps of the start-up are those of `startup.py`. All tasks live in one group: the first that
fails ends them all. Nothing that adds exposure leaves after the journal failed, and the process
then ends with exit code 3.
"""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from cerberus_trader import __version__
from cerberus_trader.config import find_file
from cerberus_trader.domain.errors import CerberusError, DataError, JournalError
from cerberus_trader.domain.events import ConfigEvent, OperatorEvent
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.replay.inputs import ReplayRequest, load_tapes
from cerberus_trader.replay.tape import Tape
from cerberus_trader.runtime.backups import Backups
from cerberus_trader.runtime.bus import Bus
from cerberus_trader.runtime.check import check_journal
from cerberus_trader.runtime.clock import Clock, FileClock, WallClock
from cerberus_trader.runtime.feeds import FileFeed, FolderWatch, StandardInput
from cerberus_trader.runtime.findings import Findings
from cerberus_trader.runtime.health import Health, limit_files
from cerberus_trader.runtime.inbox import Command, Due
from cerberus_trader.runtime.ingest import Ingest, Refusals
from cerberus_trader.runtime.load_config import Configuration, load_apart
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.marker import EmergencyLog, HaltMarker, Header
from cerberus_trader.runtime.notify import heartbeat, notify
from cerberus_trader.runtime.observer import Observer
from cerberus_trader.runtime.outside import (
    ACCOUNT,
    VenueFeed,
    check_same_side,
    client_of,
    endpoint_of,
    tell_of_move,
)
from cerberus_trader.runtime.recover import read_bests, recover, write_bests
from cerberus_trader.runtime.reload import ConfigReload
from cerberus_trader.runtime.restart import LeftBehind, entry_window_ms
from cerberus_trader.runtime.retention import Retention
from cerberus_trader.runtime.server import CheckToken, ControlServer
from cerberus_trader.runtime.shell import Shell, check_covers, config_event
from cerberus_trader.runtime.startup import Startup
from cerberus_trader.runtime.status import status_of
from cerberus_trader.runtime.trace import Trace
from cerberus_trader.runtime.watermark import Watermark

TIMERS_S = 0.25
BESTS_S = 5.0
SHUTDOWN_S = 5.0
AGAIN_S = 0.3
EXIT_JOURNAL = 3


@dataclass(frozen=True)
class Options:
    """Say what to run on; `speed` is seconds of the file per second, 0 as fast as it goes."""

    state: Path
    config: Path | None = None
    profile: str | None = None
    prices: tuple[Path, ...] = ()
    instruments: tuple[str, ...] = ()
    speed: float = 1.0
    signals: Path | None = None
    stdin: bool = False
    exit_at_end: bool = False


class Service:
    """Run the engine until it is told to stop, or its journal fails."""

    def __init__(self, options: Options, check_token: CheckToken | None = None) -> None:
        self.options = options
        self.check_token = check_token
        self.config = load_apart(options.config, options.profile)
        logging = self.config.loaded.settings.logging
        self.log = Log(logging.level, logging.form)
        self.log.behind()
        self.startup = Startup(self.log)
        self.startup.enter("config")
        self.stop = asyncio.Event()
        self.hurry = asyncio.Event()
        self.begun = False
        self.failure: BaseException | None = None
        self.feed: FileFeed | None = None
        self.feed_ended = False
        self.quotes: VenueFeed | None = None
        self.last: dict[str, Any] = {}

    # -- start-up --------------------------------------------------------------------------

    def open(self) -> None:
        """Open everything that running needs; raise `CerberusError` for what is wrong."""
        options, settings = self.options, self.config.loaded.settings
        if settings.risk.lift_all:
            raise DataError(
                "the profile research lifts every limit: it is for replays only.",
                code="PROFILE_RESEARCH", place="--profile", fix="choose dev, test or prod.",
            )  # fmt: skip
        limit_files(settings.resources.files_max)
        client_of(settings, lambda name: True)  # refused before anything is opened
        tapes = self._tapes()
        if options.signals is not None and not options.signals.is_dir():
            raise DataError(
                "there is no such folder.", place=str(options.signals),
                fix="create it; signal files (*.jsonl) are read from it.",
            )  # fmt: skip
        self.startup.enter("journal")
        loop = asyncio.get_running_loop()
        self.watermark = Watermark(loop)
        self.journal = SqliteJournal(
            options.state,
            engine_version=__version__,
            options=JournalOptions(
                settings.journal.durability, pages_max=settings.journal.pages_max
            ),
            on_durable=self.watermark,
            on_failure=lambda error: in_loop(loop, self.fail, error),
        )
        self.left = LeftBehind(HaltMarker(options.state), EmergencyLog(options.state), self.log)
        try:
            self.left.open()
            self._build(tapes)
        except (CerberusError, OSError):
            with suppress(JournalError):
                self.journal.close()
            raise

    def _tapes(self) -> list[Tape]:
        options = self.options
        if not options.prices:
            return []
        request = ReplayRequest(options.prices, instruments=options.instruments)
        return load_tapes(request, self.config.loaded, self.config.instruments)

    def _build(self, tapes: list[Tape]) -> None:
        self.startup.enter("fold")
        self.observer = Observer(self.options.state, self.log, __version__)
        state = recover(self.journal.restore(), self.observer.visit)
        place = str(self.options.config or "")
        check_covers(state, self.config.loaded.settings, self.config.instruments, place)
        check_same_side(state, self.config.loaded.settings)
        tell_of_move(state, self.config.loaded.settings, self.log)
        clock = self._clock(tapes, state.now_ns)
        paced = not tapes or self.options.speed > 0
        settings = self.config.loaded.settings
        client = client_of(settings, lambda name: name in state.instruments)
        if client is not None and tapes:
            raise DataError("a venue outside has prices of its own.", place="--prices",
                            fix="leave out --prices.")  # fmt: skip
        self.shell = Shell(
            state, self.journal, settings, clock, client=client, version=__version__,
            health_timer=paced,
        )  # fmt: skip
        self.market, self.desk = self.shell.market, self.shell.desk
        self.runner, self.trading = self.shell.runner, self.shell.trading
        self.runner.observers += [self.runner.note, Trace(self.log).take, self.observer.take]
        self.bus = Bus(self.options.state, state)
        self.runner.observers.append(self.bus.take)
        self.trading.views = self.observer.health
        findings = Findings(state, self.log, outside=client is not None)
        self.trading.found = findings.text
        self.runner.observers += [self.left.take, findings.take]
        self.runner.gate.marked = self.left.marker.is_set
        if client is not None:
            self.quotes = VenueFeed(client, self.runner.inbox, clock.now_ns)
        self.watermark.fire = self.runner.on_durable
        self.refusals = Refusals(self.options.state, self.runner.metrics, self.log)
        if tapes:
            self.feed = FileFeed(tapes, self.runner.inbox, clock.now_ns(), self.options.speed)
            self.feed.prime(self.market)
        take = self.feed.add_signal if self.feed is not None else self.runner.inbox.put_signal
        self.ingest = Ingest(
            state, clock.now_ns, take, self.refusals, live=self.feed is None
        )  # fmt: skip

    def _clock(self, tapes: list[Tape], now_ns: int) -> Clock:
        if not tapes:
            return WallClock(now_ns)
        end = max(tape.end_ns for tape in tapes)
        if now_ns > end:
            raise DataError(
                "the prices end before the state's own time.", place=str(self.options.prices[0]),
                fix="name another folder with --state, or later prices.",
            )  # fmt: skip
        return FileClock(now_ns or min(tape.start_ns for tape in tapes) - 1)

    async def begin(self) -> None:
        """Put the configuration in force where it is new, and wake what was left waiting."""
        event = self.config_event(self.config, "start")
        await self.shell.begin(event, read_bests(self.options.state))
        endpoint = endpoint_of(self.config.loaded.settings)
        window_ms = entry_window_ms(self.runner.state, self.runner.clock.now_ns())
        header = Header(self.journal.engine_id, ACCOUNT, endpoint, window_ms)
        await self.left.begin(self.trading, header)
        self.begun = True

    def config_event(self, config: Configuration, actor: str) -> ConfigEvent:
        """Make the event that puts a configuration in force."""
        return config_event(
            config.loaded.settings, config.loaded.hash, config.instruments,
            self.journal.engine_id, self.runner.clock.now_ns(), actor,
        )  # fmt: skip

    # -- running ---------------------------------------------------------------------------

    async def run(self) -> int:
        """Run until stopped; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._unhandled)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.interrupt)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._supervise(group))
        except* Stopped:
            pass
        except* Exception as errors:  # named boundary: whatever ends a task stops the engine
            self.fail(first_of(errors))
        return self.close()

    async def _supervise(self, group: asyncio.TaskGroup) -> None:
        """Start every task, wait for the stop, follow the policy, end them all."""
        self.observer.start(self.runner.state)
        self.startup.enter("preflight")
        await first(self.begin(), self._patience())
        if not self.begun:
            await self._leave()
        group.create_task(self.trading.run())
        group.create_task(self.left.watch(self.trading))
        if self.shell.link is not None and self.quotes is not None:
            group.create_task(self.shell.link.run())
            group.create_task(self.quotes.run())
        group.create_task(self.startup.follow(self.trading))
        if self.options.signals is not None:
            folder = FolderWatch(self.options.signals, self.ingest)
            if self.feed is None:
                folder.crowded = self.runner.inbox.crowded
            else:  # all that is there is known before its moment passes: it plays alike each time
                await folder.look(final=True)
            group.create_task(folder.run())
        if self.options.stdin:
            lines = StandardInput(self.runner.inbox, self.ingest)
            if self.feed is not None:
                lines.crowded = self.feed.crowded
            group.create_task(lines.run())
        group.create_task(self._play() if self.feed is not None else self._tick())
        group.create_task(self._keep_bests())
        self._watch_health(group)
        self._watch_config()
        retention = self._keep(group)
        server = ControlServer(
            self.options.state, self.trading, self.interrupt, self.check_token, retention.ask
        )
        group.create_task(server.run())
        self.log.info("started", **self.about())
        for name, strategy in self.runner.state.settings.strategies.items():
            if strategy.head != "file":  # a replay runs it
                self.log.alert("its head does not run here: it trades the signals that come in",
                               strategy=name, head=strategy.head)  # fmt: skip
        await self.stop.wait()
        if self.failure is None:
            await self._shut_down()
        await self._leave()

    async def _patience(self) -> None:
        """Wait until a start that still waits is given up: a failure, or some time after a stop."""
        await self.stop.wait()
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await self.hurry.wait()
        self.log.alert("stopped before the start was complete")

    async def _leave(self) -> NoReturn:
        """End the line to the venue, and with it all tasks."""
        if self.shell.link is not None:
            await self.shell.link.close()
        raise Stopped

    def _keep(self, group: asyncio.TaskGroup) -> Retention:
        """Start the check of the journal, backups and retention."""
        folder, runner, log = self.options.state, self.runner, self.log
        state, metrics = runner.state, runner.metrics
        group.create_task(check_journal(folder, runner.inbox, log, metrics))
        group.create_task(Backups(folder, state, log, metrics).run())
        found = Retention(folder, self.journal, runner.inbox, state, log, metrics)
        group.create_task(found.run())
        return found

    def _watch_health(self, group: asyncio.TaskGroup) -> None:
        """Watch the process; where a file is played, time is the file's and nothing is late."""
        notify("READY=1")
        group.create_task(heartbeat())
        if self.runner.clock.virtual:
            return
        state, link = self.runner.state, self.shell.link
        health = self.trading.health = Health(
            state, self.market, self.runner.clock, self.log, self.runner.inbox.put_measured,
            self.shell.forget,
        )  # fmt: skip
        if link is not None:
            link.on_latency, link.on_drift = health.on_latency, health.on_drift
        for watch in (
            health.watch_loop, health.watch_memory, health.watch_feeds, health.watch_clock
        ):  # fmt: skip
            group.create_task(watch())

    def about(self) -> dict[str, Any]:
        """Return what identifies this run."""
        return {
            "version": __version__,
            "state": str(self.options.state),
            "engine_id": self.journal.engine_id,
            "config": self.config.loaded.hash[:12],
            "row": self.journal.last_seq,
            "positions": len(self.runner.state.positions),
            "prices": self._source(),
        }

    def _source(self) -> str:
        if self.quotes is not None:
            return "the venue"
        return "file" if self.feed is not None else "standard input"

    async def _play(self) -> None:
        assert self.feed is not None
        await self.feed.run()
        self.feed_ended = True
        self.log.info("prices ended", time_ns=self.runner.clock.now_ns())
        if self.options.exit_at_end:
            self.stop.set()
        await self.feed.after_end()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TIMERS_S)
            await self.runner.inbox.put_price(Due(0))

    async def _keep_bests(self) -> None:
        kept: dict[str, Any] = {}
        while True:
            await asyncio.sleep(BESTS_S)
            self.desk.forget()
            if kept != self.desk.bests:
                kept = dict(self.desk.bests)
                self._save_bests()

    def _save_bests(self) -> None:
        try:
            write_bests(self.options.state, self.desk.bests)
        except OSError as error:
            self.log.warning("trailing bests cannot be written", reason=error.strerror)

    def _watch_config(self) -> None:
        """Follow the configuration file, if there is one."""
        options = self.options
        path = options.config or find_file(Path())
        if path is None:
            return

        def changed(config: Configuration) -> None:
            settings = config.loaded.settings
            try:
                check_covers(self.runner.state, settings, config.instruments, str(path))
                client_of(settings, lambda name: True)
            except CerberusError as error:
                return refused(error)
            try:
                self.runner.inbox.put_command(Command(self.config_event(config, "reload")))
            except DataError as error:
                return self.refusals.take(error)
            self.log.info("configuration changed", config=config.loaded.hash[:12])

        def refused(error: CerberusError) -> None:
            self.runner.metrics.config_refused += 1
            self.log.alert("configuration refused; the old one stays in force", error)

        ConfigReload(
            path, self.config, lambda: load_apart(options.config, options.profile), changed, refused
        ).start()

    # -- stopping --------------------------------------------------------------------------

    def interrupt(self) -> None:
        """Stop by the configured policy; asked twice, stop without waiting."""
        (self.hurry if self.stop.is_set() else self.stop).set()

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.fail(error if error is not None else RuntimeError(str(context.get("message"))))

    def fail(self, error: BaseException) -> None:
        """Close the gate, tell a person, and end."""
        if self.failure is not None:
            return
        self.failure = error
        self.runner.poison(error if isinstance(error, JournalError) else None)
        self.log.alert("the engine stops", error)
        self.stop.set()
        self.hurry.set()  # nothing more can be waited for

    async def _shut_down(self) -> None:
        """Follow the policy of the configuration (K-02), within a bounded time."""
        notify("STOPPING=1")
        self.ingest.closed = self.trading.stopping = True
        state = self.runner.state
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await first(self._wind_down(), self.hurry.wait())
        if state.settings.shutdown == "close" and state.positions and not self.feed_ended:
            self.log.alert("stopped before everything was closed",
                           positions=len(state.positions), orders=len(state.orders))  # fmt: skip
        self.log.info("stopped", policy=state.settings.shutdown,
                      signals_not_judged=self.trading.unjudged)  # fmt: skip

    async def _wind_down(self) -> None:
        """Ask for what the policy says until nothing of it is open."""
        state = self.runner.state
        await self._ask_to_shut_down()
        while self._open_still() and not self._over():
            await asyncio.sleep(0.02)
            if not state.closings and not state.entries:
                await self._ask_to_shut_down()  # an entry has filled, or a close failed
                await asyncio.sleep(AGAIN_S)

    async def _ask_to_shut_down(self) -> None:
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        event = OperatorEvent(0, "shutdown", "signal", "stopped")
        self.runner.inbox.put_command(Command(event, done))
        await done

    def _open_still(self) -> bool:
        """Tell whether orders, or positions that the policy closes, are still open."""
        state = self.runner.state
        held = state.settings.shutdown == "close" and bool(state.positions)
        return bool(state.closings or state.entries or held)

    def _over(self) -> bool:
        policy = self.runner.state.settings.shutdown
        return policy == "leave" or self.feed_ended or self.hurry.is_set()

    def close(self) -> int:
        """Keep the state, release the folder; return the exit code."""
        self.last = status_of(self.trading)
        if self.failure is None:
            self.runner.snapshot()
            if self.begun:  # else the desk has not taken them yet
                self._save_bests()
        try:
            self.journal.close()
        except JournalError as error:
            self.fail(error)
        self.observer.close(self.journal.durable_seq)
        if self.failure is None:
            return 0
        return self.failure.exit_code if isinstance(self.failure, CerberusError) else 1


def in_loop(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *given: object) -> None:
    """Call from another thread; once the loop has ended whoever closes tells what failed."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(call, *given)


class Stopped(Exception):
    """End the group of tasks."""


async def first(work: Coroutine[Any, Any, None], end: Coroutine[Any, Any, Any]) -> None:
    """Do some work until it is done, or until something else ends; its error is raised."""
    tasks = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if tasks[0].done():
            await tasks[0]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first error of a group, however deep."""
    found = group.exceptions[0]
    return first_of(found) if isinstance(found, BaseExceptionGroup) else found
