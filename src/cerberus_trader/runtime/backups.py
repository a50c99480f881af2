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


class Backups:
    """Keep backups of a state folder; the settings in force are looked at each time."""

    def __init__(self, folder: Path, state: State, log: Log, metrics: Metrics) -> None:
        self.folder, self.state, self.log, self.metrics = folder, state, log, metrics
        self.not_before_ns = 0

    async def run(self) -> None:
        """Back up when it is time, until cancelled."""
        while True:
            await self.look(self.state.settings.backup)
            await asyncio.sleep(LOOK_S)

    async def look(self, settings: Backup) -> None:
        """Back up if it is time; a folder that cannot be looked at is a failed backup."""
        try:
            if settings.enabled and await asyncio.to_thread(self.due, settings, time.time_ns()):
                await self.make(settings)
        except OSError as error:
            self.failed(error)

    def due(self, settings: Backup, now_ns: int) -> bool:
        """Tell whether the newest backup is older than the interval, or there is none.

        The files tell, so that a restart neither repeats nor forgets one.
        """
        if now_ns < self.not_before_ns:
            return False
        newest = max((path.stat().st_mtime_ns for path in self.files(settings)), default=0)
        return now_ns - newest >= settings.every_hours * 3600 * NS

    def files(self, settings: Backup) -> list[Path]:
        """Return this journal's own backups, the oldest first."""
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
        self.not_before_ns = time.time_ns() + int(RETRY_S * NS)
        self.metrics.upkeep["backups_failed"] = self.metrics.upkeep.get("backups_failed", 0) + 1
        self.log.alert("the backup failed", error)

    def tidy(self, settings: Backup) -> int:
        """Delete the oldest backups beyond the number kept; return how many."""
        old = self.files(settings)[: -settings.keep]
        for path in old:
            path.unlink()
        return len(old)
