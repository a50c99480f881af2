"""Retention beside a trading engine: rows leave its file, are deleted, and trading goes on."""

import signal
from pathlib import Path

import pytest

from cerberus_trader.domain.events import RetentionEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sealing import plan_seals
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from tests.process.live import Live, until
from tests.process.test_backup import cerberus

pytestmark = pytest.mark.process

CONFIG = """
[sizing]
methods = ["risk"]
[journal]
snapshot_rows = 100
[retention]
segment_rows = 100
disk_bytes = 1
[logging]
form = "json"
"""


@pytest.mark.req("D-11.7", "E-11.2.3", "T-15.2")
def test_a_running_engine_seals_and_deletes_and_survives_a_kill(tmp_path: Path) -> None:
    config = tmp_path / "cerberus.toml"
    config.write_text(CONFIG)
    engine = Live(tmp_path, "--config", str(config))
    try:
        held = engine.up().open(1)["positions"]
        for number in range(2, 700):
            engine.signal(number)
        engine.wait(lambda s: s["metrics"]["signals"] == 699)
        # rows may go once a snapshot and the anchor are past them: both follow a while behind
        until(lambda: len(plan_seals(JournalReader(engine.state), 100)) >= 3, "rows to seal")
        assert cerberus("prune", "--state", engine.state) == {"pruning": True}
        counts = engine.wait(lambda s: s["metrics"]["upkeep"].get("segments_deleted"))
        upkeep = counts["metrics"]["upkeep"]
        assert upkeep["rows_deleted"] == upkeep["rows_sealed"] >= 300
        assert "retention_failed" not in upkeep
        engine.signal(700)
        engine.wait(lambda s: s["metrics"]["signals"] == 700)
    finally:
        engine.process.kill()
        engine.finish()
    report = verify(engine.state)
    assert report.ok, report.reasons
    assert report.deleted_seq == upkeep["rows_deleted"] and report.segments == 0
    rows = list(JournalReader(engine.state).verified_rows())
    assert rows[0].seq == report.deleted_seq + 1
    told = [decode_row(row.body).event for row in rows if row.kind == "retention"]
    assert len(told) == upkeep["segments_deleted"]
    assert all(isinstance(event, RetentionEvent) and event.actor for event in told)
    assert redecide(engine.state)["differences"] == 0
    kept = {row.kind for head in JournalReader(engine.state).heads()
            for row in JournalReader(engine.state).audit(head)}  # fmt: skip
    assert {"config", "fill"} <= kept
    again = Live(tmp_path, "--config", str(config)).up()
    try:
        status = again.wait(lambda s: s["positions"])
        assert status["positions"][0]["id"] == held[0]["id"]
        assert status["metrics"]["signals"] == 700
        assert again.end(signal.SIGTERM) == 0
    finally:
        if again.process.poll() is None:
            again.process.kill()
            again.finish()
    assert verify(engine.state).ok
