"""The journal file: creation, identity, names of failures."""

import os
import shutil
import sqlite3
from pathlib import Path
from types import NoneType

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.store import (
    FORMAT_VERSION,
    JOURNAL_NAME,
    JournalOptions,
    connect_reader,
    failure,
    library_version,
    open_store,
)


def test_a_fresh_file_has_its_identity_and_format(tmp_path: Path) -> None:
    store = open_store(tmp_path, "main", None, "it's 1.0", JournalOptions())
    assert len(store.meta.engine_id) == 32
    assert store.meta.format_version == FORMAT_VERSION
    assert store.meta.engine_version == "it's 1.0"
    assert store.connection.execute("PRAGMA user_version").fetchone() == (FORMAT_VERSION,)
    store.finish()


def test_a_creation_that_crashed_is_done_again(tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / JOURNAL_NAME)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    assert (tmp_path / JOURNAL_NAME).stat().st_size
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    assert store.last_seq == 0
    store.finish()


@pytest.mark.req("D-09.6", "E-13.2.3")
def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    store.write([(1, 1, "tick", b"")])
    head = [(seq, seq, "tick", b"") for seq in range(2, 40)]
    with pytest.raises(sqlite3.IntegrityError):
        store.write([*head, (1, 1, "tick", b"a number that is taken")])
    store.abandon()
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    assert store.last_seq == 1
    assert store.connection.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    store.finish()


def test_a_checkpoint_empties_the_account_of_the_log(tmp_path: Path) -> None:
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    store.write([(1, 1, "tick", bytes(5000))])
    assert store.bytes_since_checkpoint > 5000
    store.checkpoint()
    assert store.bytes_since_checkpoint == 0
    store.finish()
    assert not (tmp_path / (JOURNAL_NAME + "-wal")).exists()


def test_the_library_is_named() -> None:
    found = library_version()
    assert found["sqlite"] == sqlite3.sqlite_version
    assert found["wal_reset_fixed"] is (sqlite3.sqlite_version_info >= (3, 51, 3))


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OSError(28, "No space left on device"), "JOURNAL_FULL"),
        (OSError(5, "Input/output error"), "JOURNAL_IO"),
        (sqlite3.DatabaseError("Could not decode to UTF-8 column"), "JOURNAL_DAMAGED"),
    ],
)
def test_failures_have_codes(error: Exception, code: str) -> None:
    assert failure(error, Path("journal.db"), "writing").code == code


def test_none_and_bytes_are_bound_as_they_are_without_a_search(tmp_path: Path) -> None:
    assert {
        kind: adapt(b"x")
        for (kind, _), adapt in sqlite3.adapters.items()
        if kind in (bytes, NoneType)
    } == {bytes: b"x", NoneType: b"x"}
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    found = store.connection.execute("SELECT typeof(?), typeof(?)", (None, b"\0x")).fetchone()
    assert found == ("null", "blob")
    store.finish()


def left_behind(folder: Path) -> None:
    """Leave rows in the log, as a process whose sync failed does."""
    store = open_store(folder, "main", "e", "1", JournalOptions("process"))
    store.write([(1, 1, "tick", b"")])
    reader = connect_reader(folder / JOURNAL_NAME)
    reader.execute("SELECT count(*) FROM journal").fetchone()
    store.write([(2, 2, "tick", b"")])
    store.abandon()
    reader.close()


def test_what_is_recovered_from_the_log_is_in_the_file_before_it_counts(tmp_path: Path) -> None:
    left_behind(tmp_path)
    store = open_store(tmp_path, "main", "e", "1", JournalOptions("process"))
    assert store.last_seq == 2
    # the system may take pages of the log for written that are not: they are written elsewhere
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / JOURNAL_NAME, tmp_path / "copy")
    copied = sqlite3.connect(tmp_path / "copy" / JOURNAL_NAME)
    assert copied.execute("SELECT count(*) FROM journal").fetchone() == (2,)
    copied.close()
    assert store.connection.execute("PRAGMA synchronous").fetchone() == (1,)
    store.finish()


def busy(folder: Path) -> sqlite3.Connection:
    """Leave rows in the log, and a reader who still reads an older state."""
    store = open_store(folder, "main", "e", "1", JournalOptions("process"))
    store.write([(1, 1, "tick", b"")])
    reader = connect_reader(folder / JOURNAL_NAME)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    store.write([(2, 2, "tick", b"")])
    store.abandon()
    return reader


def test_a_reader_does_not_keep_what_is_recovered_from_being_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = busy(tmp_path)
    log = tmp_path / (JOURNAL_NAME + "-wal")
    before, synced, fsync = log.read_bytes(), [], os.fsync

    def note(fd: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", note)
    store = open_store(tmp_path, "main", "e", "1", JournalOptions())
    assert synced == [str(log)] and log.read_bytes() == before
    assert store.last_seq == 2
    assert reader.execute("SELECT count(*) FROM journal").fetchone() == (1,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT count(*) FROM journal").fetchone() == (2,)
    reader.close()
    store.finish()


def test_a_log_that_cannot_be_synced_ends_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = busy(tmp_path)

    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", broken)
    with pytest.raises(JournalError, match="Input/output") as found:
        open_store(tmp_path, "main", "e", "1", JournalOptions())
    assert found.value.code == "JOURNAL_IO"
    reader.close()
