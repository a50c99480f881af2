"""The signal source of the design document (D-04.1), and a head dressed as one."""

from typing import Protocol

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import Account, Bar, HeadRun


class SignalSource(Protocol):
    """Give signals when asked; failures are raised as `CerberusError`."""

    async def get_signals(self) -> list[Signal]:
        """Return the signals since the last call, or raise what went wrong."""
        ...

    def source_name(self) -> str:
        """Name the source, as its signals do."""
        ...

    def is_connected(self) -> bool:
        """Tell whether asking makes sense now."""
        ...


class HeadSource:
    """Dress a head as a signal source: bars and wakes go in, signals come out.

    At most `waiting_max` signals wait; of more, the oldest are dropped and counted in `dropped`,
    since a stale signal is worth less than a fresh one.
    """

    def __init__(self, run: HeadRun, waiting_max: int = 1_000) -> None:
        self.run = run
        self.waiting_max = waiting_max
        self.waiting: list[Signal] = []
        self.dropped = 0

    def add(self, bar: Bar) -> None:
        """Take a bar that has closed."""
        self.run.add(bar)

    def wake(self, now_ns: int, bid: float, ask: float, account: Account) -> None:
        """Wake the head; what it asks for waits for the next `get_signals`."""
        self.waiting += self.run.signals(now_ns, bid, ask, account)
        surplus = max(0, len(self.waiting) - self.waiting_max)
        del self.waiting[:surplus]
        self.dropped += surplus

    async def get_signals(self) -> list[Signal]:
        """Return what waits."""
        found, self.waiting = self.waiting, []
        return found

    def source_name(self) -> str:
        return self.run.source

    def is_connected(self) -> bool:
        return self.run.warm
