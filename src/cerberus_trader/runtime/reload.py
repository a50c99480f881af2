"""Reload the configuration while running: watched and validated on a thread of its own.

The thread has its own loop, so that validating never holds up trading; what it finds is handed to
the engine's loop and becomes an event there.
"""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

from cerberus_trader.config import Loaded
from cerberus_trader.config_watch import ConfigWatcher
from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.settings import Settings
from cerberus_trader.runtime.load_config import Configuration


class ConfigReload:
    """Watch a file; call `changed` or `refused` in the loop that started the watch."""

    def __init__(
        self,
        path: Path,
        current: Configuration,
        load: Callable[[], Configuration],
        changed: Callable[[Configuration], None],
        refused: Callable[[CerberusError], None],
    ) -> None:
        self.current = current
        self._load_all = load
        self._on_changed = changed
        self._on_refused = refused
        self._loop = asyncio.get_running_loop()
        self._watcher = ConfigWatcher(
            path, current.loaded, load=self._load, changed=self._changed, refused=self._refused
        )
        self._thread = threading.Thread(target=self._watch, name="config-reload", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def _watch(self) -> None:
        async def watch() -> None:
            await self._watcher.run(asyncio.Event())  # until the process ends

        asyncio.run(watch())

    def _load(self) -> Loaded[Settings]:
        self.current = self._load_all()
        return self.current.loaded

    def _changed(self, loaded: Loaded[Settings]) -> None:
        self._loop.call_soon_threadsafe(self._on_changed, self.current)

    def _refused(self, error: CerberusError) -> None:
        self._loop.call_soon_threadsafe(self._on_refused, error)
