"""One life of the engine's process in the simulation: from its start to its crash or stop."""

import asyncio
import math
from collections.abc import Coroutine
from random import Random
from typing import Any

from cerberus_trader.domain.errors import CerberusError, JournalError
from cerberus_trader.domain.events import ConfigEvent, OperatorEvent
from cerberus_trader.domain.signal import Signal
from cerberus_trader.runtime.clock import WallClock
from cerberus_trader.runtime.health import Health
from cerberus_trader.runtime.inbox import Command, Due, Instant
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import POINT, Tick
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.shell import Shell
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.network import SimClient
from cerberus_trader.simulation.store import Disk, SimJournal
from cerberus_trader.simulation.venue import SimVenue

TICK_S = 0.25
EXIT_S = 0.5
PRICES_MAX = 1_000
LOOK_ANSWERS = 10
"""So many answers one look may wait for before it fails."""


class SimClock(WallClock):
    """Tell virtual time with an offset that faults may step; stamps never run backwards."""

    def __init__(self, start_ns: int, wall: "Wall") -> None:
        super().__init__(start_ns)
        self.wall = wall

    def now_ns(self) -> int:
        """Return the engine's time."""
        self._last = max(self._last, self.wall.now_ns() + self.wall.offset_ns)
        return self._last


class Wall:
    """Tell true time: the venue's; `offset_ns` is by how much the engine's clock is wrong."""

    def __init__(self, epoch_ns: int) -> None:
        self.epoch_ns = epoch_ns
        self.offset_ns = 0

    def now_ns(self) -> int:
        """Return true time."""
        return self.epoch_ns + int(asyncio.get_running_loop().time() * 1e9)


class Life:
    """Run the engine's real shell on the simulated disk, network and clock.

    `failures` collects what must never happen by itself: an exception that ends a task.
    """

    def __init__(
        self, number: int, disk: Disk, venue: SimVenue, wall: Wall, config: ConfigEvent,
        faults: Faults, rng: Random, failures: list[str],
    ) -> None:  # fmt: skip
        self.number = number
        self.rng = rng
        self.faults = faults
        self.failures = failures
        self.alive = True
        self.failed = False
        self.config = config
        self.client = SimClient(venue, rng, faults)
        self.journal = SimJournal(disk, rng, self._sync_s, self._durable, self._disk_failed)
        self.found = len(disk.rows)
        state = recover(self.journal.restore())
        clock = SimClock(state.now_ns, wall)
        self.shell = Shell(
            state, self.journal, config.settings, clock, client=self.client, version="sim"
        )
        self.runner = self.shell.runner
        self.state = state
        self.tasks: list[asyncio.Task[None]] = []
        self.client.on_look = self._looked
        self.seen_s, self.waits_s = -math.inf, 0.0
        """When the account was looked at last, and how long that counts."""

    def start(self) -> None:
        """Start the engine's tasks."""
        self._spawn(self._run())

    async def _run(self) -> None:
        assert self.shell.link is not None
        await self.shell.begin(self.config)
        self._spawn(self.shell.trading.run())
        self._spawn(self.shell.link.run())
        self._spawn(self._tick())

    def watch_health(self) -> None:
        """Measure the venue's answers, its clock and the feeds, as the service does."""
        assert self.shell.link is not None
        health = Health(
            self.state, self.shell.market, self.shell.clock, Log("error", "json"),
            self.runner.inbox.put_measured, self.shell.forget, lambda: 0.0,
        )  # fmt: skip
        self.shell.trading.health = health
        self.shell.link.on_latency = health.on_latency
        self.shell.link.on_drift = health.on_drift
        self._spawn(health.watch_feeds())

    def may_wait_s(self) -> float:
        """Return how long the engine may go on without a look; the one that fails takes time."""
        limits = self.state.settings.reconcile
        most_ms = max(3 * limits.interval_ms, 5 * limits.answer_ms_max)
        return (most_ms + LOOK_ANSWERS * limits.answer_ms_max) / 1e3

    def _looked(self) -> None:
        """Keep until when this look counts; a pause that it begins ends as it is configured now."""
        self.seen_s = asyncio.get_running_loop().time()
        self.waits_s = self.may_wait_s()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            await self.runner.inbox.put_price(Due(0))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self.tasks.remove(task)
        if task.cancelled() or not self.alive:
            return
        error = task.exception()
        if error is not None and not (self.failed and isinstance(error, JournalError)):
            self.failures.append(f"life {self.number}: {type(error).__name__}: {error}")

    # -- the world's hands -----------------------------------------------------------------

    def price(self, name: str, bid: Any, ask: Any, known_ns: int) -> None:
        """Bring a price, if there is room; the next one is as good."""
        inbox = self.runner.inbox
        if self.alive and len(inbox.prices) < PRICES_MAX:
            tick = Tick(name, POINT, bid, ask, known_ns)
            self._spawn(inbox.put_price(Instant(0, (tick,))))

    def signal(self, signal: Signal) -> None:
        """Bring a signal; one that is refused is gone."""
        try:
            if self.alive:
                self.runner.inbox.put_signal(signal)
        except CerberusError:
            pass

    def operate(self, command: Any, *, target: str = "", authorised: bool = False) -> None:
        """Give an operator's command."""
        if self.alive:
            event = OperatorEvent(0, command, "sim", "simulated", target, authorised=authorised)
            self.runner.inbox.put_command(Command(event))

    def reload(self, config: ConfigEvent) -> None:
        """Give a changed configuration."""
        if self.alive:
            self.runner.inbox.put_command(Command(config))

    def change(self, order_id: str, price: Any, quantity: Any) -> None:
        """Ask for a change of a resting entry."""
        event = OperatorEvent(
            0, "modify", "sim", "simulated", order_id, amount=quantity, price=price
        )
        self.runner.inbox.put_command(Command(event))

    def crash(self) -> None:
        """Die at once: nothing more is written or sent."""
        if not self.alive:
            return
        self.alive = False
        self.client.dead = True
        self.journal.crash()
        if self.shell.link is not None:
            self.shell.link.give_up()
        for task in [*self.tasks, *self.shell.trading.answers]:
            task.cancel()

    # -- the disk --------------------------------------------------------------------------

    def _sync_s(self) -> float:
        if self.rng.random() < self.faults.disk_fails:
            raise JournalError("no space left on the device.", code="JOURNAL_WRITE")
        if self.rng.random() < self.faults.sync_stall:
            return self.rng.uniform(0.5, 9.9)
        return self.rng.uniform(0.0001, 2 * self.faults.sync_s)

    def _durable(self, seq: int) -> None:
        if self.alive:
            self.runner.on_durable(seq)

    def _disk_failed(self, error: JournalError) -> None:
        """Do what the service does: close the gate, and end within a second."""
        self.failed = True
        self.runner.poison(error)
        asyncio.get_running_loop().call_later(EXIT_S, self.crash)
