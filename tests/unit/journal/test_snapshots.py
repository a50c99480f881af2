"""Snapshots: the newest that verifies, else an older one, else none."""

import sqlite3
import threading
from pathlib import Path

import pytest

from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import Durability, JournalOptions, Store
from cerberus_trader.journal.verify import verify


def state_after(seq: int) -> bytes:
    return b"the state after row %d " % seq * 50


def change(folder: Path, sql: str, *values: object) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute(sql, values)
    connection.commit()
    connection.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of 50 rows with snapshots after rows 30, 40, 50; 10 and 20 are dropped."""
    with SqliteJournal(tmp_path) as journal:
        for number in range(1, 51):
            journal.append(number, "tick", b"%d" % number)
            if number % 10 == 0:
                journal.save_snapshot(number, "1.2", b"hash%d" % number, state_after(number))
    return tmp_path


def restored(folder: Path) -> tuple[int, bytes, list[int], tuple[str, ...]]:
    with SqliteJournal(folder) as journal:
        snapshot, rows, skipped = journal.restore()
        seqs = [row.seq for row in rows]
        return (
            (snapshot.seq, snapshot.state, seqs, skipped) if snapshot else (0, b"", seqs, skipped)
        )


@pytest.mark.parametrize("durability", ["power", "process", "none"])
def test_the_newest_is_restored_with_the_rows_after_it(
    tmp_path: Path, durability: Durability
) -> None:
    with SqliteJournal(tmp_path, options=JournalOptions(durability=durability)) as journal:
        journal.save_snapshot(0, "1.2", b"", b"before any row: nothing to store")
        for number in range(1, 26):
            journal.append(number, "tick", b"%d" % number)
            if number in (10, 20):
                journal.save_snapshot(number, "1.2", b"hash", state_after(number))
    seq, state, seqs, skipped = restored(tmp_path)
    assert (seq, state, seqs, skipped) == (20, state_after(20), [21, 22, 23, 24, 25], ())
    assert verify(tmp_path).snapshots == 2


def test_only_the_last_are_kept_and_their_fields_come_back(folder: Path) -> None:
    assert verify(folder).snapshots == 3
    with SqliteJournal(folder) as journal:
        snapshot = journal.restore().snapshot
        assert snapshot is not None
        last = next(journal.rows(49))
    assert snapshot[:3] == (50, 50, "1.2")
    assert (snapshot.state_hash, snapshot.chain_hash) == (b"hash50", last.hash)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", b"\x00" * 20),
        ("checksum", b"\x00" * 32),
        ("state_hash", b"other"),
        ("chain_hash", b"\x01" * 32),
        ("ts_ns", 51),
        ("engine_version", "9"),
    ],
)
def test_a_changed_one_is_skipped_and_named(folder: Path, column: str, value: object) -> None:
    change(folder, f"UPDATE snapshots SET {column} = ? WHERE seq = 50", value)
    seq, state, seqs, skipped = restored(folder)
    assert (seq, state, seqs) == (40, state_after(40), list(range(41, 51)))
    assert len(skipped) == 1 and "snapshot 50" in skipped[0]
    assert "snapshot 50" in verify(folder).reasons[0]


def test_without_any_that_verifies_the_whole_journal_is_folded(folder: Path) -> None:
    change(folder, "UPDATE snapshots SET body = x'00'")
    seq, _, seqs, skipped = restored(folder)
    assert (seq, seqs, len(skipped)) == (0, list(range(1, 51)), 3)


def test_one_of_another_history_is_skipped(folder: Path, tmp_path_factory: object) -> None:
    other = folder / "other"
    with SqliteJournal(other) as journal:
        for number in range(1, 61):
            journal.append(number, "tick", b"%d" % number)
        journal.save_snapshot(60, "1.2", b"hash", b"foreign")
    change(folder, "DELETE FROM snapshots")
    change(other, "UPDATE snapshots SET seq = 50")
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("ATTACH ? AS other", (str(other / "journal.db"),))
    connection.execute("INSERT INTO snapshots SELECT * FROM other.snapshots")
    connection.commit()
    connection.close()
    assert restored(folder)[0] == 0


def test_a_snapshot_in_the_middle_of_a_batch_gets_its_own_rows_hash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, batch: (go.wait(10), write(self, batch)))
    with SqliteJournal(tmp_path) as journal:
        for number in range(1, 31):
            journal.append(number, "tick", b"%d" % number)
            if number == 17:
                journal.save_snapshot(number, "1.2", b"hash", b"state")
        go.set()
    assert restored(tmp_path)[:3] == (17, b"state", list(range(18, 31)))
