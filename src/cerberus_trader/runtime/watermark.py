"""The watermark's way from the journal's thread into the loop."""

import asyncio
from collections.abc import Callable


class Watermark:
    """Carry the durable watermark from its thread into the loop, one call at a time.

    `fire` is called in the loop with the newest number; numbers in between are left out.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.seq = 0
        self.fire: Callable[[int], None] = lambda seq: None
        self._called = False

    def __call__(self, seq: int) -> None:
        """Take a new number, on any thread."""
        self.seq = seq
        if not self._called:
            self._called = True
            self.loop.call_soon_threadsafe(self._arrive)

    def _arrive(self) -> None:
        self._called = False  # before reading: a number that comes now gets a call of its own
        self.fire(self.seq)
