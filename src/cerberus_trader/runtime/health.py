"""The health of the process: loop lag, memory, clocks, feeds, held against the kill switch.

A measurement enters the engine only when it changes something there: the journal keeps what
mattered, not every sample. A condition that still holds after a reset trips again.
"""

import asyncio
import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import Condition, Measured
from cerberus_trader.domain.sessions import open_since
from cerberus_trader.engine import killswitch
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.clock import Clock
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.timeserver import TimeServer

LOOK_S = 0.25
MEMORY_S = 5.0
FEEDS_S = 1.0
SLOW_MAX = 3
MS = 1_000_000
CLEAR_NS = 60 * 1_000_000_000
"""Caches are cleared again after so long: collecting takes time from trading."""

Put = Callable[[Measured], None]
Clear = Callable[[], None]


class Health:
    """Watch the process around the engine; used from the engine's loop.

    `put` takes measurements that crossed a limit; `clear` empties caches when memory runs short.
    """

    def __init__(
        self, state: State, market: LiveMarket, clock: Clock, log: Log, put: Put, clear: Clear,
        memory: Callable[[], float] | None = None,
    ) -> None:  # fmt: skip
        self.state = state
        self.market = market
        self.clock = clock
        self.log = log
        self.put = put
        self.clear = clear
        self.memory = memory if memory is not None else resident_mb
        self.values: dict[str, float] = {}
        self._told: dict[tuple[str, str], None] = {}
        self._slow = 0
        self._cleared_ns = -CLEAR_NS

    def note(self, condition: Condition, value: float, scope: str = "") -> None:
        """Take a sample; tell the engine, once, if it would change something there.

        What the engine holds is asked anew with each sample: after a restart a feed that was
        silent then is heard again, after a reset what is still too much trips again.
        """
        value = round(value, 3)
        self.values[f"{condition} {scope}".strip()] = value
        key = (condition, scope)
        if not killswitch.acts(self.state, condition, value, scope):
            self._told.pop(key, None)
        elif key not in self._told:  # what is on its way to the engine is not said twice
            self._told[key] = None
            self.put(Measured(0, condition, value, scope))

    # -- samples ---------------------------------------------------------------------------

    def on_latency(self, milliseconds: float) -> None:
        """Take how long a venue's answer took; one slow answer says nothing yet."""
        self._slow = self._slow + 1 if self._over_latency(milliseconds) else 0
        if self._slow >= SLOW_MAX or not self._slow:
            self.note("latency", milliseconds)

    def _over_latency(self, milliseconds: float) -> bool:
        return killswitch.over(self.state, "latency", milliseconds)

    def on_drift(self, milliseconds: float) -> None:
        """Take by how much the clock differs from the venue's or the time server's."""
        self.note("clock_drift", abs(milliseconds))

    def on_memory(self, megabytes: float) -> None:
        """Take the resident memory: caches are cleared before anything trips (D-08.3)."""
        now = self.clock.now_ns()
        short = killswitch.over(self.state, "memory", megabytes)
        if short and now - self._cleared_ns >= CLEAR_NS:
            self._cleared_ns = now
            self.clear()
            gc.collect()
            before, megabytes = megabytes, self.memory()
            self.log.warning(
                "memory is short: caches were cleared", memory_mb=round(megabytes, 1),
                before_mb=round(before, 1),
            )  # fmt: skip
        self.note("memory", megabytes)
        self.note("memory_hard", megabytes)

    def look_at_feeds(self) -> None:
        """Find feeds that are silent in their market hours."""
        now = self.clock.now_ns()
        for name, line in self.market.lines.items():
            item = self.state.instruments.get(name)
            if item is None or line.last_ns < 0:
                continue
            since = open_since(item.sessions, now)
            age = (now - max(line.last_ns, since) - line.interval_ns) // MS if since >= 0 else 0
            self.note("feed", float(max(age, 0)), name)

    def look_at_volatility(self) -> None:
        """Take the volatility of the most volatile instrument that has a price."""
        now, most = self.clock.now_ns(), 0.0
        for line in self.market.lines.values():
            if line.last_ns >= 0:
                most = max(most, *line.sigma.at(now))
        self.note("volatility", most)

    # -- tasks -----------------------------------------------------------------------------

    async def watch_loop(self) -> None:
        """Measure by how much the loop comes too late to a timer."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            self.note("loop_lag", max(loop.time() - due, 0.0) * 1e3)

    async def watch_memory(self) -> None:
        """Measure the resident memory."""
        while True:
            self.on_memory(self.memory())
            await asyncio.sleep(MEMORY_S)

    async def watch_feeds(self) -> None:
        """Look at the feeds, and at what they tell of volatility."""
        while True:
            await asyncio.sleep(FEEDS_S)
            self.look_at_feeds()
            if self.state.settings.killswitch.volatility_max:
                self.look_at_volatility()

    async def watch_clock(self) -> None:
        """Ask the configured time server by how much the clock is wrong."""
        while True:
            limits = self.state.settings.killswitch
            if limits.time_server:
                try:
                    drift_ns = await TimeServer(limits.time_server).drift_ns()
                except (DataError, OSError, TimeoutError) as error:
                    reason = str(error) or "no answer in time"
                    self.log.warning("the time server did not tell the time", reason=reason)
                else:
                    self.on_drift(drift_ns / MS)
            await asyncio.sleep(limits.time_server_interval_ms / 1e3)


def resident_mb() -> float:
    """Return the process's resident memory in MiB."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # no such file: the peak is the best that is known
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def limit_files(files_max: int) -> None:
    """Bound the process's open files; 0 leaves the system's limit."""
    if files_max:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(files_max, hard), hard))
