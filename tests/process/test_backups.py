"""Scheduled backups of a running engine: made, kept to a number, and told when they fail."""

import os
from pathlib import Path

import pytest

from cerberus_trader.journal.unpack import check_backup
from cerberus_trader.security.passphrase import Passphrase
from tests.process.live import Live, until

pytestmark = pytest.mark.process

CONFIG = """
[sizing]
methods = ["risk"]
[backup]
enabled = true
folder = "backups"
keep = 2
passphrase_env = "MY_PASSPHRASE"
[logging]
form = "json"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cerberus.toml"
    path.write_text(CONFIG)
    return path


@pytest.mark.req("D-12.8", "D-11.8")
def test_a_running_engine_backs_itself_up_and_keeps_so_many(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSPHRASE", "correct horse battery")
    engine = Live(tmp_path, "--config", str(config)).up()
    try:
        status = engine.wait(lambda s: s["metrics"]["upkeep"].get("backups"))
        (made,) = (tmp_path / "backups").glob("*.backup")
        manifest = check_backup(made, Passphrase("correct horse battery"))
        assert manifest.rows >= 1 and manifest.engine_id == status["engine_id"]
        assert status["metrics"]["upkeep"]["backup_last_bytes"] == made.stat().st_size
        assert status["memory_mb"]["highest"] < 128
    finally:
        assert engine.end() == 0
    begin = made.name[: len("cerberus-01234567-")]
    old = [tmp_path / "backups" / f"{begin}2001010{day}T000000Z.backup" for day in (1, 2)]
    for number, path in enumerate(old):
        path.write_bytes(b"an old one")
        os.utime(path, (number, number))
    os.utime(made, (10, 10))
    foreign = tmp_path / "backups" / "cerberus-ffffffff-20010101T000000Z.backup"
    foreign.write_bytes(b"of another journal")
    again = Live(tmp_path, "--config", str(config)).up()
    try:
        again.wait(lambda s: s["metrics"]["upkeep"].get("backups"))
        left = sorted((tmp_path / "backups").glob(f"{begin}*"))
        assert len(left) == 2 and left[0] == made and foreign.exists()
    finally:
        assert again.end() == 0
    third = Live(tmp_path, "--config", str(config)).up()  # the newest is young: none is due
    try:
        assert third.status() is not None
        assert len(list((tmp_path / "backups").glob(f"{begin}*"))) == 2
    finally:
        assert third.end() == 0


def test_a_backup_that_fails_is_told_and_trading_goes_on(tmp_path: Path, config: Path) -> None:
    engine = Live(tmp_path, "--config", str(config)).up()
    try:
        engine.wait(lambda s: s["metrics"]["upkeep"].get("backups_failed"))
        found = until(lambda: [x for x in engine.lines() if x["event"] == "the backup failed"])
        assert found[0]["alert"] and found[0]["code"] == "PASSPHRASE_MISSING"
        assert "MY_PASSPHRASE" in str(found[0])
        assert not list((tmp_path / "backups").glob("*"))
        assert engine.open(1)["positions"]
    finally:
        assert engine.end() == 0
