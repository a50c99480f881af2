"""The journal on disk: watermark, poison, refusals, damage."""

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import writer as writer_module
from cerberus_trader.journal.anchor import read_anchor
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import Durability, JournalOptions, Meta, Store
from cerberus_trader.journal.verify import verify

FAST = JournalOptions(sync_interval_s=0.01)
NONE = JournalOptions(durability="none")


def fill(journal: SqliteJournal, count: int, body: bytes = b"body") -> None:
    for number in range(count):
        journal.append(number, "tick", body + b" %d" % number)


def refusal(folder: Path, code: str, **options: object) -> JournalError:
    with pytest.raises(JournalError) as caught:
        SqliteJournal(folder, **options)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert caught.value.exit_code == 3
    assert caught.value.place and caught.value.fix
    return caught.value


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A journal of 100 rows, closed in good order, without a log beside it."""
    with SqliteJournal(tmp_path, engine_id="e") as journal:
        fill(journal, 100)
    yield tmp_path


@pytest.mark.req("D-10.11", "E-6.1.3")
@pytest.mark.parametrize("durability", ["power", "process", "none"])
def test_rows_survive_and_have_the_hashes_of_a_journal_in_memory(
    tmp_path: Path, durability: Durability
) -> None:
    memory = MemoryJournal(engine_id="e")
    with SqliteJournal(
        tmp_path, engine_id="e", options=JournalOptions(durability=durability)
    ) as journal:
        fill(journal, 2000)
        for number in range(2000):
            memory.append(number, "tick", b"body %d" % number)
        if durability != "none":
            assert journal.wait_durable(2000, 10.0)
        assert journal.durable_seq == journal.last_seq == 2000
        assert journal.last_hash == memory.last_hash
    assert list(JournalReader(tmp_path).rows()) == list(memory.rows())
    anchor = read_anchor(tmp_path)
    assert anchor is not None and (anchor.seq, anchor.hash) == (2000, memory.last_hash)
    assert verify(tmp_path).ok


def test_a_second_opening_continues_the_chain(folder: Path) -> None:
    with SqliteJournal(folder, engine_id="ignored") as journal:
        assert journal.engine_id == "e"
        assert journal.last_seq == 100
        assert journal.append(7, "more", b"") == 101
    report = verify(folder)
    assert report.ok and report.rows == 101


def test_engine_ids_are_drawn_once_for_each_journal(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "a") as one, SqliteJournal(tmp_path / "b") as two:
        assert one.engine_id != two.engine_id
        drawn = one.engine_id
    with SqliteJournal(tmp_path / "a") as again:
        assert again.engine_id == drawn


@pytest.mark.req("C-02.1", "D-10.2")
def test_the_connection_has_its_settings(tmp_path: Path) -> None:
    for durability, level in (("power", 2), ("process", 1), ("none", 0)):
        options = JournalOptions(durability=durability, pages_max=5000)  # type: ignore[arg-type]
        with SqliteJournal(tmp_path / durability, options=options) as journal:
            ask = journal._store.connection.execute
            assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
            assert ask("PRAGMA synchronous").fetchone() == (level,)
            assert ask("PRAGMA wal_autocheckpoint").fetchone() == (0,)
            assert ask("PRAGMA mmap_size").fetchone() == (0,)
            assert ask("PRAGMA max_page_count").fetchone() == (5000,)


def test_the_watermark_calls_back_on_the_writers_thread(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []
    with SqliteJournal(
        tmp_path, on_durable=lambda seq: seen.append((seq, threading.current_thread().name))
    ) as journal:
        fill(journal, 300)
        journal.wait_durable(300, 10.0)
    assert seen[-1] == (300, "journal-writer")
    assert [seq for seq, _ in seen] == sorted({seq for seq, _ in seen})


@pytest.mark.req("D-10.11")
def test_what_arrives_during_a_commit_is_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go, sizes = threading.Event(), threading.Event(), []
    write = Store.write

    def slow(self: Store, batch: list[tuple[int, int, str, bytes]]) -> None:
        sizes.append(len(batch))
        entered.set()
        go.wait(10)
        write(self, batch)

    monkeypatch.setattr(Store, "write", slow)
    with SqliteJournal(tmp_path) as journal:
        journal.append(0, "tick", b"")
        assert entered.wait(10)
        fill(journal, 500)
        assert journal.durable_seq == 0
        go.set()
        assert journal.wait_durable(501, 10.0)
    assert sizes == [1, 500]


def test_wait_durable_times_out_while_the_disk_stalls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, batch: (go.wait(10), write(self, batch)))
    with SqliteJournal(tmp_path) as journal:
        journal.append(0, "tick", b"")
        assert not journal.wait_durable(1, 0.05)
        go.set()
        assert journal.wait_durable(1, 10.0)


@pytest.mark.parametrize("limit", [{"queue_rows_max": 4}, {"queue_bytes_max": 40}])
def test_a_full_queue_blocks_and_then_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: dict[str, int]
) -> None:
    go = threading.Event()
    write = Store.write
    monkeypatch.setattr(Store, "write", lambda self, batch: (go.wait(10), write(self, batch)))
    journal = SqliteJournal(tmp_path, options=JournalOptions(block_s=0.05, **limit))
    for number in range(4):
        journal.append(number, "tick", b"x" * 10)
    with pytest.raises(JournalError, match="stayed full"):
        journal.append(4, "tick", b"x" * 10)
    with pytest.raises(JournalError, match="stayed full"):
        journal.append(5, "tick", b"")
    go.set()
    with pytest.raises(JournalError):
        journal.close()
    assert verify(tmp_path).rows <= 4


def test_a_full_queue_only_slows_the_engine_while_the_disk_keeps_up(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path, options=JournalOptions(queue_rows_max=8)) as journal:
        fill(journal, 1000)
    assert verify(tmp_path).rows == 1000


def test_a_row_larger_than_the_queue_passes_alone(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path, options=JournalOptions(queue_bytes_max=100)) as journal:
        journal.append(0, "tick", b"small")
        journal.append(1, "big", bytes(5000))
        journal.append(2, "tick", b"small")
    assert verify(tmp_path).rows == 3


@pytest.mark.parametrize("durability", ["power", "process", "none"])
def test_a_full_disk_poisons_the_journal(tmp_path: Path, durability: Durability) -> None:
    failures: list[JournalError] = []
    journal = SqliteJournal(
        tmp_path,
        options=JournalOptions(durability=durability, pages_max=60, sync_interval_s=0.01),
        on_failure=failures.append,
    )
    with pytest.raises(JournalError) as caught:
        for number in range(10_000):
            journal.append(number, "tick", bytes(1000))
            journal.wait_durable(number + 1, 10.0)
    assert caught.value.code == "JOURNAL_FULL"
    reached = journal.durable_seq
    for _ in range(2):
        with pytest.raises(JournalError):
            journal.append(0, "tick", b"")
    if durability != "none":
        assert failures == [caught.value]
        assert journal.durable_seq == reached
        with pytest.raises(JournalError):
            journal.wait_durable(reached + 1, 1.0)
    with pytest.raises(JournalError):
        journal.close()
    report = verify(tmp_path)
    assert report.ok and report.rows == reached
    with SqliteJournal(tmp_path) as again:
        assert again.last_seq == report.rows


def test_after_a_failed_write_nothing_is_written_synced_or_anchored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path, options=FAST)
    fill(journal, 10)
    assert journal.wait_durable(10, 10.0)
    calls = []

    def broken(self: Store, batch: object) -> None:
        calls.append(batch)
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Store, "write", broken)
    journal.append(10, "tick", b"")
    with pytest.raises(JournalError) as caught:
        journal.wait_durable(11, 10.0)
    assert caught.value.code == "JOURNAL_IO"
    log = writer_module.wal_path(tmp_path / "journal.db")
    size = log.stat().st_size
    with pytest.raises(JournalError):
        journal.close()
    assert len(calls) == 1
    assert log.stat().st_size == size, "closing must not checkpoint after a failure"
    anchor = read_anchor(tmp_path)
    assert anchor is not None and anchor.seq <= 10
    assert verify(tmp_path).rows == 10


def test_a_failed_sync_behind_poisons_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    options = JournalOptions(durability="process", sync_interval_s=0.01)
    failed = threading.Event()
    journal = SqliteJournal(tmp_path, options=options, on_failure=lambda _: failed.set())
    monkeypatch.setattr(os, "fdatasync", broken)
    journal.append(0, "tick", b"")
    assert failed.wait(10)
    with pytest.raises(JournalError, match="syncing"):
        journal.append(1, "tick", b"")
    with pytest.raises(JournalError):
        journal.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_fault_of_a_callback_poisons_the_journal(tmp_path: Path) -> None:
    def raises(seq: int) -> None:
        raise ValueError(seq)

    journal = SqliteJournal(tmp_path, on_durable=raises)
    journal.append(0, "tick", b"")
    journal._writer._threads[0].join(10)  # type: ignore[union-attr]
    with pytest.raises(JournalError, match="ended unexpectedly"):
        journal.append(1, "tick", b"")
    with pytest.raises(JournalError):
        journal.close()


@pytest.mark.parametrize("options", [FAST, NONE])
def test_a_closed_journal_refuses_rows(tmp_path: Path, options: JournalOptions) -> None:
    journal = SqliteJournal(tmp_path, options=options)
    journal.append(0, "tick", b"")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(1, "tick", b"")


def test_a_second_engine_is_refused_and_told_who_holds_the_folder(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path):
        error = refusal(tmp_path, "JOURNAL_LOCKED")
        assert str(os.getpid()) in error.message
        code = (
            "import sys; from pathlib import Path\n"
            "from cerberus_trader.journal.sqlite import SqliteJournal\n"
            "from cerberus_trader.domain.errors import JournalError\n"
            "try: SqliteJournal(Path(sys.argv[1]))\n"
            "except JournalError as error: print(error); sys.exit(error.exit_code)\n"
        )
        other = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert other.returncode == 3
        assert str(os.getpid()) in other.stdout
    with SqliteJournal(tmp_path) as free:
        assert free.last_seq == 0


def test_a_writer_that_lost_its_lock_collides(tmp_path: Path) -> None:
    zombie = SqliteJournal(tmp_path)
    zombie._lock.release()
    heir = SqliteJournal(tmp_path)
    heir.append(0, "tick", b"heir")
    assert heir.wait_durable(1, 10.0)
    zombie.append(0, "tick", b"zombie")
    with pytest.raises(JournalError) as caught:
        zombie.wait_durable(1, 10.0)
    assert caught.value.code == "JOURNAL_COLLISION"
    with pytest.raises(JournalError):
        zombie.close()
    heir.close()
    assert [row.body for row in JournalReader(tmp_path).rows()] == [b"heir"]


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "state"):
        with pytest.raises(JournalError, match="opening the folder failed"):
            SqliteJournal(place)


def test_a_newer_journal_is_refused_and_left_alone(folder: Path) -> None:
    path = folder / "journal.db"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE meta SET value = '3' WHERE name = 'format_version'")
        connection.execute("UPDATE meta SET value = '9.9.9' WHERE name = 'engine_version'")
    connection.close()
    before = path.read_bytes()
    error = refusal(folder, "JOURNAL_NEWER")
    assert "9.9.9" in error.message
    assert path.read_bytes() == before
    assert "format 3" in verify(folder).reasons[0]


@pytest.mark.parametrize(
    "content", [b"not a database at all" * 400, b"SQLite format 3\0", b"\0" * 8192]
)
def test_a_file_that_is_no_database_is_refused(folder: Path, content: bytes) -> None:
    (folder / "journal.db").write_bytes(content)
    refusal(folder, "JOURNAL_DAMAGED")
    assert not verify(folder).ok


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE recipes (name TEXT)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    refusal(tmp_path, "JOURNAL_DAMAGED")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "value"),
    [(name, "CAST(value AS BLOB)") for name in Meta._fields]
    + [(name, "'1A'") for name in ("format_version", "created_ns")],
)
def test_a_damaged_description_of_itself_is_refused(folder: Path, name: str, value: str) -> None:
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.execute(f"UPDATE meta SET value = {value} WHERE name = ?", (name,))
    connection.close()
    refusal(folder, "JOURNAL_DAMAGED")
    assert not verify(folder).ok


def test_a_truncated_file_is_refused(folder: Path) -> None:
    path = folder / "journal.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(JournalError):
        SqliteJournal(folder)
    assert not verify(folder).ok


@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_journal_that_is_gone_is_not_begun_anew(folder: Path, how: str) -> None:
    path = folder / "journal.db"
    path.unlink() if how == "removed" else path.write_bytes(b"")
    assert "row 100" in refusal(folder, "JOURNAL_SHORT").message


def test_another_stream_is_refused(folder: Path) -> None:
    refusal(folder, "JOURNAL_STREAM", stream="other")
    refusal(folder, "JOURNAL_STREAM", stream="")


def test_a_missing_anchor_is_refused(folder: Path) -> None:
    (folder / "anchor").unlink()
    refusal(folder, "JOURNAL_ANCHOR")


def test_a_damaged_last_row_is_refused(folder: Path) -> None:
    path = folder / "journal.db"
    data = path.read_bytes()
    assert data.count(b"body 99") == 1
    path.write_bytes(data.replace(b"body 99", b"body 98"))
    assert "row, 100" in refusal(folder, "JOURNAL_DAMAGED").message


def test_opening_the_engines_journal_imports_no_orm(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from cerberus_trader.journal.sqlite import SqliteJournal\n"
        "SqliteJournal(Path(sys.argv[1])).close()\n"
        "sys.exit(any(name in sys.modules for name in ('sqlalchemy', 'alembic')))\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
