"""The rehearsal: a trading engine is backed up, killed, restored elsewhere, and goes on."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.journal.verify import verify
from cerberus_trader.runtime.client import ask
from cerberus_trader.runtime.frames import Operate
from tests.process.live import Live

pytestmark = pytest.mark.process

CONFIG = """
[sizing]
methods = ["risk"]
[logging]
form = "json"
"""


def cerberus(*words: str | Path, code: int = 0) -> dict[str, Any]:
    """Run `cerberus journal` and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "cerberus_trader.control.main", "journal", *map(str, words),
         "--json"],
        capture_output=True, text=True, timeout=60,
        env=os.environ | {"CERBERUS_BACKUP_PASSPHRASE": "correct horse battery"},
    )  # fmt: skip
    assert done.returncode == code, (done.stdout, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.req("D-11.8", "D-12.8")
def test_a_backup_made_while_trading_is_restored_and_traded_on(tmp_path: Path) -> None:
    config = tmp_path / "cerberus.toml"
    config.write_text(CONFIG)
    engine = Live(tmp_path / "one", "--config", str(config))
    try:
        held = engine.up().open(1, trailing_pct=1)["positions"]
        engine.signal(2)
        engine.wait(lambda s: s["metrics"]["signals"] == 2)
        made = cerberus("backup", tmp_path / "a.backup", "--state", engine.state)
        assert made["encrypted"] and made["config"] and made["rows"] == made["last_seq"] > 2
        engine.signal(3, side="close")
        gone = engine.wait(lambda s: not s["positions"] or engine.quote("0.2"))
        assert gone["row"] > made["last_seq"]
    finally:
        engine.process.kill()
        engine.finish()

    target = tmp_path / "two" / "state"
    restored = cerberus("restore", tmp_path / "a.backup", "--into", target)
    assert restored["last_hash"] == made["last_hash"] and restored["halted"]
    checked = cerberus("verify", "--state", target, "--replay")
    assert checked["ok"] and checked["rows"] == made["rows"]
    assert checked["replay"]["differences"] == 0
    cerberus("restore", tmp_path / "a.backup", "--into", target, code=2)

    again = Live(tmp_path / "two", "--config", str(config)).up()
    try:
        status = again.wait(lambda s: s["positions"])
        kept = ("id", "quantity", "entry_price", "stop", "trailing")
        assert [{name: p[name] for name in kept} for p in status["positions"]] == [
            {name: p[name] for name in kept} for p in held
        ]
        assert status["trading"] == "halted", "nothing is armed by a restore"
        again.quote("0.2")
        again.wait(lambda s: "DOGEUSDT" in s["prices"])
        again.signal(3, side="close")  # which the restored journal has never seen
        again.wait(lambda s: not s["positions"] or again.quote("0.2"))
        ask(again.state, Operate("resume", "test"))
        again.wait(lambda s: s["trading"] == "active")
        assert again.end(signal.SIGTERM) == 0
    finally:
        if again.process.poll() is None:
            again.process.kill()
            again.finish()
    report = verify(target)
    assert report.ok and report.last_seq > made["last_seq"]
