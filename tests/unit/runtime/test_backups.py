"""Scheduled backups: what cannot be looked at is a failed backup, never the end of trading."""

import json
import os
import time
from io import StringIO
from pathlib import Path

import pytest

from cerberus_trader.domain.settings_keep import Backup
from cerberus_trader.journal.manifest import Made, Manifest, prefix
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.runtime import backups as module
from cerberus_trader.runtime.backups import RETRY_S, Backups
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


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give a state folder, beside which the folder of its backups stands."""
    SqliteJournal(tmp_path / "state", engine_id="0123456789abcdef").close()
    (tmp_path / "kept").mkdir()
    return tmp_path / "state"


def backup_of(state: Path, stamp: str, mtime_ns: int) -> Path:
    """Leave a backup of a time in the folder."""
    path = state.parent / "kept" / f"{prefix(state)}{stamp}.backup"
    path.touch()
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return path


HOUR = 3_600 * 10**9
DAY = 24 * HOUR


@pytest.mark.req("D-12.8")
@pytest.mark.parametrize("keep", [1, 2])
async def test_a_backup_from_the_future_neither_ends_the_others_nor_takes_their_place(
    state: Path, keep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, now = StringIO(), time.time_ns()
    backups = Backups(state, Bench().state, Log(stream=out), Metrics())
    settings = Backup(enabled=True, folder=str(state.parent / "kept"), encrypt=False, keep=keep)
    future = [backup_of(state, f"2099010{n}T000000Z", now + 20_000 * DAY) for n in (1, 2)]
    made: list[Path] = []

    async def apart(*_: object) -> Made:
        made.append(backup_of(state, f"2024010{len(made)}T000000Z", now - (3 - len(made)) * DAY))
        return Made(str(made[-1]), 0, False, Manifest(
            engine_version="", engine_id="", stream="", created_ns=0, rows=0, last_seq=0,
            last_hash="", last_ts_ns=0, config="", files=(),
        ))  # fmt: skip

    monkeypatch.setattr(module, "apart", apart)
    for _ in range(3):
        await backups.look(settings)
    assert len(made) == 3
    assert backups.files(settings) == made[-keep:] + future
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    warned = [line["path"] for line in told if line["level"] == "warning"]
    assert warned == [str(path) for path in future], "once each"
    assert not backups.due(settings, now - HOUR), "the last one is a day old an hour from then"
    assert backups.due(settings, now)


def test_a_backup_of_a_clock_that_is_a_little_ahead_counts(state: Path) -> None:
    backups = Backups(state, Bench().state, Log(), Metrics())
    settings = Backup(enabled=True, folder=str(state.parent / "kept"), encrypt=False)
    now = time.time_ns()
    backup_of(state, "20240101T000000Z", now + HOUR // 2)
    assert not backups.due(settings, now) and not backups.due(settings, now + 24 * HOUR)
    assert backups.due(settings, now + 25 * HOUR)
    assert backups.due(settings, now - HOUR), "it is from the future there"


def test_a_clock_that_is_set_back_does_not_put_off_the_next_try(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backups = Backups(state, Bench().state, Log(stream=StringIO()), Metrics())
    settings = Backup(enabled=True, folder=str(state.parent / "kept"), encrypt=False)
    backups.failed(OSError(5, "Input/output error"))
    begun = time.monotonic_ns()
    assert not backups.due(settings, time.time_ns())
    monkeypatch.setattr(module.time, "monotonic_ns", lambda: begun + int(RETRY_S * 10**9))
    assert backups.due(settings, time.time_ns() - 1_000 * DAY)
