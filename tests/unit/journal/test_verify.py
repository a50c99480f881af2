"""Verifying: every damage is reported, and a shorter journal refuses to trade."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import accept, verify


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A journal of 200 rows and one snapshot, closed in good order."""
    with SqliteJournal(tmp_path / "j", engine_id="e") as journal:
        for number in range(1, 201):
            journal.append(number, "tick", b"body of row %04d" % number)
        journal.save_snapshot(200, "1", b"h", b"state" * 20)
    return tmp_path / "j"


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A copy of a running journal's files, its 50 rows still in the log and anchored."""
    options = JournalOptions(sync_interval_s=0.01)
    with SqliteJournal(tmp_path / "live", options=options) as journal:
        for number in range(1, 51):
            journal.append(number, "tick", b"body of row %04d" % number)
        journal.wait_durable(50, 10.0)
        while (verify(tmp_path / "live").anchor or (0, 0))[1] != 50:
            pass
        shutil.copytree(tmp_path / "live", tmp_path / "copy")
    return tmp_path / "copy"


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


def test_a_whole_journal_is_whole(folder: Path) -> None:
    report = verify(folder)
    assert report.ok and report.reasons == [] and report.notes == []
    assert (report.rows, report.last_seq, report.snapshots) == (200, 200, 1)
    assert report.first_bad_seq is None
    assert report.anchor is not None and report.anchor.hash == report.last_hash
    assert report.meta is not None and report.meta.engine_id == "e"


def test_verifying_works_beside_the_running_engine(folder: Path) -> None:
    with SqliteJournal(folder) as journal:
        journal.append(1, "tick", b"")
        journal.wait_durable(201, 10.0)
        assert verify(folder).rows == 201
        assert verify(folder).ok


@pytest.mark.parametrize("seq", [1, 77, 199])
def test_a_flipped_byte_in_the_middle_is_named(folder: Path, seq: int) -> None:
    path = folder / "journal.db"
    at = path.read_bytes().index(b"body of row %04d" % seq)
    flip(path, at)
    report = verify(folder)
    assert report.first_bad_seq == seq
    assert report.reasons == [f"row {seq} does not match its hash"]
    with pytest.raises(JournalError, match=f"row {seq} does not match"):
        list(JournalReader(folder).verified_rows())


def test_every_damaged_page_byte_is_reported_or_changes_nothing(folder: Path) -> None:
    path = folder / "journal.db"
    whole = path.read_bytes()
    history = list(JournalReader(folder).rows())
    for at in range(0, len(whole), 97):
        flip(path, at, at % 8)
        report = verify(folder)
        if report.ok:
            assert list(JournalReader(folder).verified_rows()) == history, at
        path.write_bytes(whole)


def test_a_torn_log_is_found_by_the_anchor(crashed: Path) -> None:
    assert verify(crashed).ok
    flip(crashed / "journal.db-wal", (crashed / "journal.db-wal").stat().st_size - 5000)
    report = verify(crashed)
    assert "anchor names row 50" in report.reasons[0] or "names row 50" in report.reasons[0]
    with pytest.raises(JournalError) as caught:
        SqliteJournal(crashed)
    assert (caught.value.code, caught.value.exit_code) == ("JOURNAL_SHORT", 3)


@pytest.mark.parametrize("keep", [0, 32, 5000, 0.5, 0.9])
def test_a_cut_log_is_found_by_the_anchor(crashed: Path, keep: float) -> None:
    log = crashed / "journal.db-wal"
    data = log.read_bytes()
    log.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(JournalError):
        SqliteJournal(crashed)
    assert not verify(crashed).ok


def test_a_lost_log_is_found_by_the_anchor(crashed: Path) -> None:
    (crashed / "journal.db-wal").unlink()
    with pytest.raises(JournalError):
        SqliteJournal(crashed)


def test_an_older_copy_of_the_database_is_found(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "journal.db", tmp_path / "old")
    with SqliteJournal(folder) as journal:
        journal.append(1, "tick", b"")
    shutil.copy(tmp_path / "old", folder / "journal.db")
    with pytest.raises(JournalError, match="row 201"):
        SqliteJournal(folder)


def test_another_history_of_the_same_length_is_found(folder: Path, tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "k", engine_id="e") as journal:
        for number in range(1, 201):
            journal.append(number, "tick", b"another story %d" % number)
    shutil.copy(tmp_path / "k" / "journal.db", folder / "journal.db")
    with pytest.raises(JournalError, match="not the one that the anchor names"):
        SqliteJournal(folder)
    assert "anchor: row 200 is not the one" in verify(folder).reasons[0]


def test_rows_cannot_be_changed_or_removed_by_sql(folder: Path) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    for sql in ("UPDATE journal SET body = x''", "DELETE FROM journal WHERE seq = 200"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(sql)
    connection.close()
    assert verify(folder).ok


def test_a_removed_row_is_named(folder: Path) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("DROP TRIGGER journal_no_delete")
    connection.execute("DELETE FROM journal WHERE seq = 50")
    connection.commit()
    connection.close()
    report = verify(folder)
    assert report.first_bad_seq == 50
    assert "row 50 is missing" in report.reasons[0]


def test_a_row_of_another_stream_is_named(folder: Path) -> None:
    connection = sqlite3.connect(folder / "journal.db")
    connection.execute("INSERT INTO journal VALUES ('other', 1, 1, 'tick', x'', x'')")
    connection.commit()
    connection.close()
    assert "another stream" in verify(folder).reasons[0]


def test_a_missing_anchor_and_a_torn_slot_are_told_apart(folder: Path) -> None:
    flip(folder / "anchor", 20)
    assert not verify(folder).reasons
    (folder / "anchor").unlink()
    assert "missing" in verify(folder).reasons[0]


def test_no_journal_is_a_reason(tmp_path: Path) -> None:
    assert "no such file" in verify(tmp_path).reasons[0]


def test_accepting_the_shorter_history_lets_the_engine_start(crashed: Path) -> None:
    (crashed / "journal.db-wal").unlink()
    report = accept(crashed)
    assert report.ok and report.rows == 0
    with SqliteJournal(crashed) as journal:
        assert journal.last_seq == 0


def test_accepting_mends_a_damaged_anchor(folder: Path) -> None:
    (folder / "anchor").write_bytes(b"junk")
    assert "neither slot" in verify(folder).reasons[0]
    assert accept(folder).ok
    with SqliteJournal(folder) as journal:
        assert journal.last_seq == 200


def test_a_damaged_chain_is_not_accepted(folder: Path) -> None:
    path = folder / "journal.db"
    flip(path, path.read_bytes().index(b"body of row 0100"))
    with pytest.raises(JournalError, match="row 100"):
        accept(folder)
    with SqliteJournal(folder.parent / "used"), pytest.raises(JournalError, match="in use"):
        accept(folder.parent / "used")
