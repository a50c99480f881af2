"""The writer's threads: checkpoints, the anchor behind, endings."""

import time
from pathlib import Path

from cerberus_trader.journal.anchor import read_anchor
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.writer import wal_path


def test_the_writer_checkpoints_so_that_the_log_stays_small(tmp_path: Path) -> None:
    options = JournalOptions(checkpoint_bytes=100_000)
    with SqliteJournal(tmp_path, options=options) as journal:
        for number in range(1, 1001):
            journal.append(number, "tick", bytes(2000))
            if number % 50 == 0:
                journal.wait_durable(number, 10.0)
        log = wal_path(tmp_path / "journal.db").stat().st_size
        assert log < 1_000_000
        assert (tmp_path / "journal.db").stat().st_size > 1_500_000


def test_the_anchor_follows_within_the_interval(tmp_path: Path) -> None:
    options = JournalOptions(durability="process", sync_interval_s=0.02)
    with SqliteJournal(tmp_path, options=options) as journal:
        journal.append(1, "tick", b"")
        limit = time.monotonic() + 10
        while (found := read_anchor(tmp_path)) is None or found.seq != 1:
            assert time.monotonic() < limit
            time.sleep(0.005)


def test_the_log_of_a_path_is_beside_it() -> None:
    assert wal_path(Path("a/journal.db")) == Path("a/journal.db-wal")
