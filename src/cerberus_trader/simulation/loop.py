"""Virtual time: an event loop whose clock jumps to the next timer, and whose ties a seed breaks.

Waiting costs nothing, so that hours pass in seconds; a loop in which nothing can ever happen any
more is a deadlock, and says so. Ready callbacks run in an order drawn from the seed: whatever
depends on their order shows.
"""

import asyncio
import selectors
from collections import deque
from random import Random
from typing import Any


class Deadlock(Exception):
    """Say that every task waits for something that nobody will do."""


class _Selector(selectors.BaseSelector):
    """Wait by moving the clock; there are no files to wait for."""

    def __init__(self, loop: "VirtualLoop") -> None:
        self.loop = loop

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return selectors.SelectorKey(fileobj, 0, 0, None)

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Deadlock(f"nothing can happen any more at {self.loop.now:.6f} s")
        self.loop.now += max(timeout, 0.0)
        return []

    def get_map(self) -> dict[Any, Any]:
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    """Run tasks in virtual time: `now` is in seconds since the loop's beginning."""

    def __init__(self, rng: Random) -> None:
        self.now = 0.0
        self.rng = rng
        super().__init__(_Selector(self))
        self._clock_resolution = 1e-9

    def time(self) -> float:
        """Return the virtual time."""
        return self.now

    def _run_once(self) -> None:
        """Shuffle what is ready, then run it: private to asyncio, pinned by a test."""
        ready: deque[Any] = self._ready  # type: ignore[attr-defined]
        if len(ready) > 1:
            items = list(ready)
            self.rng.shuffle(items)
            ready.clear()
            ready.extend(items)
        super()._run_once()  # type: ignore[misc]


def run(main: Any, rng: Random) -> Any:
    """Run a coroutine to its end in virtual time; every task that is left is cancelled."""
    loop = VirtualLoop(rng)
    try:
        return loop.run_until_complete(main)
    finally:
        left = list(asyncio.all_tasks(loop))
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
        loop.close()
