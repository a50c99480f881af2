"""The inbox: what waits to be taken, in lanes of different rank, each bounded.

Reports and operators come before signals, signals before prices; where both wait, reports and
operators take turns, so that no flood of words keeps a halt from being heard, and after so many
signals a price has its turn: stops and limits are tested behind any backlog. What a lane does when
it is full is named: reports are never lost (what we say ourselves is bounded by our orders, and the
link breaks the line of a venue that says more than is taken), an operator is refused, a signal from
outside is refused and counted, files and the price feed wait. Measurements go with the operators'
commands, and are never refused: each is said once.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import (
    ConfigEvent,
    Event,
    Measured,
    OperatorEvent,
    RetentionEvent,
)
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.settings_guard import Resources
from cerberus_trader.domain.signal import Signal
from cerberus_trader.runtime.prices import Tick

OPERATOR_MAX = 256
SIGNALS_RUNNING = 16
"""So many signals are taken one after the other where prices wait."""
HELD_S = 0.01


class Outcome(NamedTuple):
    """Hold what an operator's command came to, once its row is durable."""

    seq: int
    facts: tuple[Fact, ...]


@dataclass(slots=True)
class Command:
    """Hold an operator's command or a new configuration, and who waits for the outcome."""

    event: OperatorEvent | ConfigEvent | RetentionEvent
    done: "asyncio.Future[Outcome] | None" = None


class Instant(NamedTuple):
    """Hold all ticks of one moment, in the order of the venue's rules."""

    ts_ns: int
    ticks: tuple[Tick, ...]


class Timed(NamedTuple):
    """Hold a signal with the moment it is judged at (0: now)."""

    ts_ns: int
    signal: Signal


class Due(NamedTuple):
    """Say that time has come to look at timers; `barrier` is set once it was looked at."""

    ts_ns: int
    barrier: asyncio.Event | None = None


Item = Command | Instant | Timed | Due | Event
Lane = Literal["reports", "operator", "signals", "prices"]


class Inbox:
    """Hold the lanes; one consumer takes, any task of the same loop puts."""

    def __init__(self) -> None:
        self.limits = {"operator": OPERATOR_MAX}
        self.bound(Resources())
        self.reports: deque[Event] = deque()
        self.operator: deque[Command | Measured] = deque()
        self.signals: deque[Timed] = deque()
        self.prices: deque[Instant | Timed | Due] = deque()
        self.held: Callable[[], bool] = bool
        """Whether the journal has no room for more than what must be taken."""
        self._reported = False
        self._running = 0
        self._ready = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def bound(self, resources: Resources) -> None:
        """Let so many signals and prices wait; what waits already is not dropped."""
        self.limits |= {"signals": resources.signals_max, "prices": resources.prices_max}

    def put_report(self, report: Event) -> None:
        """Take a word of the venue, the link or the gate."""
        self.reports.append(report)
        self._ready.set()

    def put_command(self, command: Command) -> None:
        """Take an operator's command; raise `DataError` when too many wait."""
        if len(self.operator) >= self.limits["operator"]:
            raise full("operator", self.limits["operator"])
        self.operator.append(command)
        self._ready.set()

    def put_measured(self, event: Measured) -> None:
        """Take a measurement for the kill switch, however many commands wait."""
        self.operator.append(event)
        self._ready.set()

    def put_signal(self, signal: Signal) -> None:
        """Take a signal to judge now; raise `DataError` when too many wait."""
        if len(self.signals) >= self.limits["signals"]:
            raise full("signals", self.limits["signals"])
        self.signals.append(Timed(0, signal))
        self._ready.set()

    def crowded(self) -> bool:
        """Tell whether so many signals wait that whoever can wait should: half of the most.

        The rest is for those that cannot.
        """
        return 2 * len(self.signals) >= self.limits["signals"]

    async def put_price(self, item: Instant | Timed | Due) -> None:
        """Take something of the price feed's timeline, waiting for room."""
        while len(self.prices) >= self.limits["prices"]:
            self._room.clear()
            await self._room.wait()
        self.prices.append(item)
        self._ready.set()

    async def take(self) -> Item:
        """Take the next item: the oldest of the highest lane that holds any."""
        while True:
            first, second = self.reports, self.operator
            for lane in (second, first) if self._reported else (first, second):
                if lane:
                    self._reported = lane is self.reports
                    item: Item = lane.popleft()
                    return item
            if (self.signals or self.prices) and self.held():
                await asyncio.sleep(HELD_S)
            elif self.signals and not (self.prices and self._running >= SIGNALS_RUNNING):
                self._running += 1
                return self.signals.popleft()
            elif self.prices:
                self._running = 0
                taken = self.prices.popleft()
                if len(self.prices) < self.limits["prices"]:
                    self._room.set()
                return taken
            else:
                self._ready.clear()
                await self._ready.wait()

    def depth(self) -> dict[str, int]:
        """Return how many items wait in each lane."""
        return {
            "reports": len(self.reports),
            "operator": len(self.operator),
            "signals": len(self.signals),
            "prices": len(self.prices),
        }


def full(lane: str, most: int) -> DataError:
    """Make the error of a lane that is full."""
    return DataError(
        f"{most} items wait already.", code="INBOX_FULL", place=f"inbox {lane}",
        fix="send fewer, or send them again later.",
    )  # fmt: skip
