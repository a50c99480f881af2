"""Reload the configuration while running: validate first, then hand over one whole new value.

The watcher never changes anything itself. What it hands over becomes an event, so that every
reader sees the old configuration or the new one, never a mixture.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from cerberus_trader.config import Loaded
from cerberus_trader.config_schema import changed_keys
from cerberus_trader.domain.errors import CerberusError, ConfigError, SystemFailure

T = TypeVar("T", bound=msgspec.Struct)
Stamp = tuple[int, int, int] | None

DEBOUNCE_MS = 50
POLL_MS = 1_000
RESTED_MS = 100


class ConfigWatcher(Generic[T]):
    """Watch a configuration file and report valid changes and faults.

    `load` reads and validates anew; `changed` gets each accepted new configuration; `refused`
    gets every fault of one that is not accepted, and the old one stays in force. A load that fails
    by itself is told in the same way, and tried again a second later.
    """

    def __init__(
        self,
        path: Path,
        current: Loaded[T],
        *,
        load: Callable[[], Loaded[T]],
        changed: Callable[[Loaded[T]], None],
        refused: Callable[[CerberusError], None],
    ) -> None:
        self.path = path
        self.current = current
        self._load = load
        self._changed = changed
        self._refused = refused
        self._last_fault = ""
        self._again = False

    def check(self) -> None:
        """Load once and hand over the outcome, if it is news."""
        self._again = False
        try:
            loaded = self._load()
            self._refuse_cold(loaded)
        except ConfigError as error:
            return self._refuse(error)
        except (CerberusError, OSError) as error:  # the file may be right all the same
            self._again = True
            return self._refuse(error)
        self._last_fault = ""
        if loaded.hash != self.current.hash:
            self.current = loaded
            self._changed(loaded)

    def _refuse(self, error: CerberusError | OSError) -> None:
        """Report a fault, if it is another one than before."""
        if isinstance(error, OSError):
            error = SystemFailure(
                f"the configuration could not be loaded: {error}.", code="CONFIG_LOAD",
                place=str(self.path), fix="it is tried again; see to the system's resources.",
            )  # fmt: skip
        if str(error) != self._last_fault:
            self._last_fault = str(error)
            self._refused(error)

    def _refuse_cold(self, loaded: Loaded[T]) -> None:
        """Refuse a change of settings that need a restart."""
        differences = changed_keys(self.current.settings, loaded.settings)
        faults = [
            f"{key}: cannot change while running; restart to change it"
            for key, cold in differences
            if cold
        ]
        if faults:
            raise ConfigError(faults, place=str(self.path))

    async def run(self, stop: asyncio.Event, *, poll: bool = False) -> None:
        """Watch until `stop` is set; `poll` asks for modification times only.

        The folder is watched, not the file: editors replace files by renaming others onto them.
        """
        seen = self._stamp()
        await self._rested()
        self.check()  # what changed between loading and watching was notified to nobody
        source = self._polled(stop, seen) if poll else self._notified(stop, seen)
        async for _ in source:
            await self._rested()
            self.check()

    async def _rested(self) -> None:
        """Wait until the file has rested: half of a file is valid too, with the limits missing."""
        before, now = None, self._stamp()
        while now != before:
            await asyncio.sleep(RESTED_MS / 1000)
            before, now = now, self._stamp()

    async def _notified(self, stop: asyncio.Event, seen: Stamp) -> AsyncIterator[None]:
        """Yield at each notification of the operating system, or fall back to polling.

        Once a second the file itself is looked at too: a watch takes a moment to begin.
        """
        try:
            from watchfiles import awatch

            folder = self.path.resolve().parent
            watch = awatch(
                folder,
                stop_event=stop,
                debounce=DEBOUNCE_MS,
                step=DEBOUNCE_MS // 2,
                rust_timeout=POLL_MS,
                yield_on_timeout=True,
                recursive=False,
            )
            async for changes in watch:
                now = self._stamp()
                named = any(Path(name).name == self.path.name for _, name in changes)
                if named or now != seen or self._again:
                    seen = now
                    yield
        except (ImportError, OSError):
            async for _ in self._polled(stop, seen):
                yield

    async def _polled(self, stop: asyncio.Event, seen: Stamp) -> AsyncIterator[None]:
        """Yield whenever the file's time, size or identity differs, looking once a second."""
        while not stop.is_set():
            try:
                await asyncio.wait_for(stop.wait(), POLL_MS / 1000)
            except TimeoutError:
                now = self._stamp()
                if now != seen or self._again:
                    seen = now
                    yield

    def _stamp(self) -> Stamp:
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_mtime_ns, stat.st_size, stat.st_ino
