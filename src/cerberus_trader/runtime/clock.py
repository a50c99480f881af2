"""Time: the wall's, or that of a played file. Stamps never run backwards."""

import time


class WallClock:
    """Tell the wall's time in nanoseconds UTC, never earlier than what was told before."""

    virtual = False

    def __init__(self, start_ns: int = 0) -> None:
        self._last = start_ns

    def now_ns(self) -> int:
        """Return the time; a clock that was set back stands still until it has caught up."""
        self._last = max(self._last, time.time_ns())
        return self._last

    def advance(self, ts_ns: int) -> int:
        """Return a stamp for something that happened at a time: that time, or the last stamp."""
        self._last = max(self._last, ts_ns)
        return self._last


class FileClock:
    """Tell the time of a played file: it moves with the prices and waits while an order waits.

    Time that stands still until commands are durable makes a played file give the same fills at
    any speed, and the same as a replay.
    """

    virtual = True

    def __init__(self, start_ns: int) -> None:
        self._now = start_ns

    def now_ns(self) -> int:
        """Return the time of the file."""
        return self._now

    def advance(self, ts_ns: int) -> int:
        """Move to a time, never back; return the stamp."""
        self._now = max(self._now, ts_ns)
        return self._now


Clock = WallClock | FileClock
