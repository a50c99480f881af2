"""A short soak: the real process under load, watched from outside, its journal verified after."""

from pathlib import Path

import pytest

from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from scripts import soak


@pytest.mark.req("C-17.3", "C-19.4", "D-09.12", "D-10.9", "E-13.3.3", "D-09.11")
def test_a_steady_load_is_judged_whole_and_nothing_grows(tmp_path: Path) -> None:
    minutes, rate = 1.0, 1_000
    work = soak.Soak(tmp_path, minutes, rate)
    try:
        work.run(lambda: work.sent > 2_500)  # in a few seconds, however slow the machine
        work.end()
    finally:
        work.process.kill()
    found = soak.verdict(work, work.samples[-1]["s"] / 60)
    assert found["missed"] == []
    assert found["rss_mb_max"] < soak.RSS_MB_MAX < 256
    rows = JournalReader(tmp_path / "state").rows()
    judged = [
        event.signal.id
        for event in (decode_row(row.body, place="row").event for row in rows)
        if isinstance(event, SignalEvent)
    ]
    # a slow machine leaves the last ones waiting for their moment of the file: never one between
    assert judged == [f"k{number}" for number in range(1, len(judged) + 1)]
    assert len(judged) > 100
