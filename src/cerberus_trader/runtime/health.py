"""The health of the process: loop lag, memory, clocks, feeds, held against the kill switch.

A measurement enters the engine only when it crosses its limit, either way: the journal keeps what
mattered, not every sample. What a measurement leads to, the engine decides.
"""

import asyncio
import gc
import os
import resource
from collections.abc import Callable
from pathlib import Path

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import Condition, Measured
from cerberus_trader.domain.sessions import in_session
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

Put = Callable[[Measured], None]
Clear = Callable[[], None]


class Health:
    """Watch the process around the engine; used from the engine's loop.

    `put` takes measurements that crossed a limit; `clear` empties caches when memory runs short.
    """

    def __init__(
        self, state: State, market: LiveMarket, clock: Clock, log: Log, put: Put, clear: Clear
    ) -> None:
        self.state = state
        self.market = market
        self.clock = clock
        self.log = log
        self.put = put
        self.clear = clear
        self.values: dict[str, float] = {}
        self._beyond: dict[tuple[str, str], bool] = {}
        self._slow = 0

    def note(self, condition: Condition, value: float, scope: str = "") -> None:
        """Take a sample; tell the engine if it lies on the other side of its limit."""
        value = round(value, 3)
        self.values[f"{condition} {scope}".strip()] = value
        beyond = killswitch.over(self.state, condition, value)
        if self._beyond.get((condition, scope), False) != beyond:
            self._beyond[condition, scope] = beyond
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
        if killswitch.over(self.state, "memory", megabytes):
            self.clear()
            gc.collect()
            megabytes = resident_mb()
            self.log.warning("memory is short: caches were cleared", memory_mb=megabytes)
        self.note("memory", megabytes)
        self.note("memory_hard", megabytes)

    def look_at_feeds(self) -> None:
        """Find feeds that are silent in their market hours."""
        now = self.clock.now_ns()
        for name, line in self.market.lines.items():
            item = self.state.instruments.get(name)
            if item is None or line.last_ns < 0:
                continue
            open_now = in_session(item.sessions, now)
            age = (now - line.last_ns - line.interval_ns) // MS if open_now else 0
            self.note("feed", float(max(age, 0)), name)

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
            self.on_memory(resident_mb())
            await asyncio.sleep(MEMORY_S)

    async def watch_feeds(self) -> None:
        """Look at the feeds."""
        while True:
            await asyncio.sleep(FEEDS_S)
            self.look_at_feeds()

    async def watch_clock(self) -> None:
        """Ask the configured time server by how much the clock is wrong."""
        while True:
            limits = self.state.settings.killswitch
            if limits.time_server:
                try:
                    offset_ns = await TimeServer(limits.time_server).offset_ns()
                except (DataError, OSError, TimeoutError) as error:
                    self.log.warning("the time server did not tell the time", reason=str(error))
                else:
                    self.on_drift(offset_ns / MS)
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
