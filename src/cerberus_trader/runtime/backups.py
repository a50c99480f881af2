"""Scheduled backups: made by a process apart at the configured interval, the oldest deleted."""

import asyncio
import time
from pathlib import Path

from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.settings_keep import Backup
from cerberus_trader.engine.state import State
from cerberus_trader.journal.manifest import SUFFIX, Made, prefix
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.upkeep import BackupOrder, apart

LOOK_S = 30.0
RETRY_S = 900.0
NS = 1_000_000_000
AHEAD_NS = 3600 * NS
"""How far ahead of our clock a backup may say it was made before it is left out of account."""


class Backups:
    """Keep backups of a state folder; the settings in force are looked at each time."""

    def __init__(self, folder: Path, state: State, log: Log, metrics: Metrics) -> None:
        self.folder, self.state, self.log, self.metrics = folder, state, log, metrics
        self.not_before_ns = 0  # of the monotonic clock: the wall's may be set back
        self.ahead: set[Path] = set()
        self.told: set[Path] = set()

    async def run(self) -> None:
        """Back up when it is time, until cancelled."""
        while True:
            await self.look(self.state.settings.backup)
            await asyncio.sleep(LOOK_S)

    async def look(self, settings: Backup) -> None:
        """Back up if it is time; a folder that cannot be looked at is a failed backup."""
        try:
            due = settings.enabled and await asyncio.to_thread(self.due, settings, time.time_ns())
            for path in sorted(self.ahead - self.told):
                self.log.warning("a backup from the future does not count", path=str(path))
            self.told = self.ahead
            if due:
                await self.make(settings)
        except OSError as error:
            self.failed(error)

    def due(self, settings: Backup, now_ns: int) -> bool:
        """Tell whether the newest backup is older than the interval, or there is none.

        The files tell, so that a restart neither repeats nor forgets one.
        """
        if time.monotonic_ns() < self.not_before_ns:
            return False
        made = self.made_ns(settings, now_ns)
        return now_ns - max(made.values(), default=0) >= settings.every_hours * 3600 * NS

    def made_ns(self, settings: Backup, now_ns: int) -> dict[Path, int]:
        """Return when each backup that counts was made, the oldest first.

        One from the future was made under a clock that was ahead: until then it would keep the
        next one from being made, and deleted in its place.
        """
        made = {path: path.stat().st_mtime_ns for path in self.files(settings)}
        self.ahead = {path for path, at_ns in made.items() if at_ns > now_ns + AHEAD_NS}
        return {path: at_ns for path, at_ns in made.items() if path not in self.ahead}

    def files(self, settings: Backup) -> list[Path]:
        """Return this journal's own backups in the order of their names."""
        begin = prefix(self.folder)
        return sorted(Path(settings.folder).glob(f"{begin}*{SUFFIX}"))

    async def make(self, settings: Backup) -> None:
        """Make a backup and delete those beyond the number kept; a failure is told and counted."""
        order = BackupOrder(settings.folder, settings.passphrase_env if settings.encrypt else "")
        try:
            await asyncio.to_thread(Path(settings.folder).mkdir, parents=True, exist_ok=True)
            made = await apart("backup", self.folder, order, Made)
            gone = await asyncio.to_thread(self.tidy, settings)
        except (CerberusError, OSError) as error:
            return self.failed(error)
        self.metrics.upkeep["backups"] = self.metrics.upkeep.get("backups", 0) + 1
        self.metrics.upkeep["backup_last_ns"] = made.manifest.created_ns
        self.metrics.upkeep["backup_last_bytes"] = made.bytes
        self.log.info(
            "backed up", path=made.path, bytes=made.bytes, row=made.manifest.last_seq,
            encrypted=made.encrypted, deleted=gone,
        )  # fmt: skip

    def failed(self, error: CerberusError | OSError) -> None:
        """Tell and count a failure, and wait a while before the next try."""
        self.not_before_ns = time.monotonic_ns() + int(RETRY_S * NS)
        self.metrics.upkeep["backups_failed"] = self.metrics.upkeep.get("backups_failed", 0) + 1
        self.log.alert("the backup failed", error)

    def tidy(self, settings: Backup) -> int:
        """Delete the oldest backups beyond the number kept; return how many."""
        old = list(self.made_ns(settings, time.time_ns()))[: -settings.keep]
        for path in old:
            path.unlink()
        return len(old)
