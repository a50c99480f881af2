"""Scheduled backups: what cannot be looked at is a failed backup, never the end of trading."""

import json
import time
from io import StringIO
from pathlib import Path

import pytest

from cerberus_trader.domain.settings_keep import Backup
from cerberus_trader.runtime.backups import Backups
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from tests.kit import Bench


@pytest.mark.req("D-12.8")
async def test_a_folder_whose_disk_fails_is_told_and_looked_at_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, metrics = StringIO(), Metrics()
    backups = Backups(tmp_path, Bench().state, Log(stream=out), metrics)
    settings = Backup(enabled=True, folder=str(tmp_path), encrypt=False)

    def broken(settings: Backup) -> list[Path]:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(backups, "files", broken)
    await backups.look(settings)
    (line,) = [json.loads(text) for text in out.getvalue().splitlines()]
    assert line["alert"] and "Input/output error" in str(line)
    assert metrics.upkeep["backups_failed"] == 1
    assert not backups.due(settings, time.time_ns()), "not again at once"
