"""The writer's threads: checkpoints, the anchor behind, endings; rows that the caller writes."""

import threading
import time
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import writer
from cerberus_trader.journal.anchor import read_anchor
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import Durability, JournalOptions, Store, wal_path
from cerberus_trader.journal.verify import verify
from cerberus_trader.journal.writer import Writer

PROCESS = JournalOptions(durability="process")


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


def test_a_row_committed_before_the_anchors_thread_runs_is_anchored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, committed = Writer._sync_until_stopped, threading.Event()

    def late(self: Writer) -> None:
        committed.wait(10.0)
        run(self)

    monkeypatch.setattr(Writer, "_sync_until_stopped", late)
    with SqliteJournal(tmp_path) as journal:
        journal.append(1, "tick", b"")
        assert journal.wait_durable(1, 10.0)
        committed.set()
    found = read_anchor(tmp_path)
    assert found is not None and found.seq == 1


def test_the_log_of_a_path_is_beside_it() -> None:
    assert wal_path(Path("a/journal.db")) == Path("a/journal.db-wal")


def writing_threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that takes the name of the thread of every write."""
    names: list[str] = []
    write = Store.write

    def noted(self: Store, batch: list) -> None:
        names.extend([threading.current_thread().name] * len(batch))
        write(self, batch)

    monkeypatch.setattr(Store, "write", noted)
    return names


def test_an_urgent_row_is_handed_over_by_the_caller_where_that_is_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, called = writing_threads(monkeypatch), []
    with SqliteJournal(tmp_path, options=PROCESS, on_durable=called.append) as journal:
        for number in range(1, 51):
            journal.append(number, "tick", b"body", urgent=True)
            assert journal.durable_seq == number
    assert set(names) == {threading.current_thread().name} and called == []
    anchor, report = read_anchor(tmp_path), verify(tmp_path)
    assert anchor is not None and anchor.seq == 50
    assert report.ok and report.rows == 50


def test_with_power_durability_no_row_is_written_by_the_caller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = writing_threads(monkeypatch)
    with SqliteJournal(tmp_path) as journal:
        for number in range(20):
            journal.append(number, "tick", b"body", urgent=True)
    assert set(names) == {"journal-writer"}


def test_an_urgent_row_never_overtakes_one_that_still_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = writing_threads(monkeypatch)
    with SqliteJournal(tmp_path, options=PROCESS) as journal:
        with journal._writer._storing:  # type: ignore[union-attr]
            journal.append(1, "tick", b"one")
            journal.append(2, "tick", b"two", urgent=True)
            assert journal.durable_seq == 0
        assert journal.wait_durable(2, 10.0)
        for number in range(3, 2_003):
            journal.append(number, "tick", b"more", urgent=number % 3 == 0)
            if number % 7 == 0:
                assert journal.wait_durable(number, 10.0)
    assert set(names) == {"journal-writer", threading.current_thread().name}
    assert verify(tmp_path).ok
    with SqliteJournal(tmp_path) as again:
        assert [row.ts_ns for row in again.rows()] == list(range(1, 2_003))


def test_rows_written_by_the_caller_are_checkpointed_too(tmp_path: Path) -> None:
    options = JournalOptions(durability="process", checkpoint_bytes=100_000)
    with SqliteJournal(tmp_path, options=options) as journal:
        for number in range(1, 1_001):
            journal.append(number, "tick", bytes(2_000), urgent=True)
            assert journal.wait_durable(number, 10.0)
        assert wal_path(tmp_path / "journal.db").stat().st_size < 1_000_000


def test_a_failed_write_of_the_caller_poisons_the_journal(tmp_path: Path) -> None:
    failures: list[JournalError] = []
    options = JournalOptions(durability="process", pages_max=30)
    journal = SqliteJournal(tmp_path, options=options, on_failure=failures.append)
    with pytest.raises(JournalError) as caught:
        for number in range(1, 1_000):
            journal.append(number, "tick", bytes(1_000), urgent=True)
    reached = journal.durable_seq
    assert caught.value.code == "JOURNAL_FULL" and failures == [caught.value]
    with pytest.raises(JournalError):
        journal.close()
    report = verify(tmp_path)
    assert report.ok and report.rows == reached == number - 2


def test_a_caller_that_is_stopped_while_it_writes_poisons_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqliteJournal(tmp_path, options=PROCESS)
    journal.append(1, "tick", b"", urgent=True)

    def stopped(self: Store, batch: list) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        journal.append(2, "tick", b"", urgent=True)
    with pytest.raises(JournalError):
        journal.append(3, "tick", b"", urgent=True)
    monkeypatch.undo()
    with pytest.raises(JournalError):
        journal.close()
    assert verify(tmp_path).rows == 1


def test_a_disk_that_never_answers_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM never ended the process, and nobody was left to hear a second one."""
    answered, told = threading.Event(), []
    monkeypatch.setattr(writer, "STOP_S", 0.3)
    write = Store.write

    def stuck(self: Store, batch: list) -> None:
        answered.wait(20.0)
        write(self, batch)

    journal = SqliteJournal(tmp_path, on_failure=told.append)
    monkeypatch.setattr(Store, "write", stuck)
    journal.append(1, "tick", b"")
    with pytest.raises(JournalError, match="does not answer"):
        journal.close()
    assert [error.code for error in told] == ["JOURNAL_IO"]
    answered.set()


@pytest.mark.parametrize("durability", ["process", "none"])
def test_upkeep_whose_asker_has_gone_is_left_out(tmp_path: Path, durability: Durability) -> None:
    """An engine that stops while retention works takes back what it asked for."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(_: Store) -> str:
        begun.set()
        go_on.wait(10.0)
        return "done"

    done: list[str] = []
    with SqliteJournal(tmp_path, options=JournalOptions(durability=durability)) as journal:
        journal.append(1, "tick", b"1")
        if durability == "none":
            go_on.set()
        first = journal.maintain(slow)
        assert begun.wait(10.0) and not first.cancel(), "it works already"
        asked = journal.maintain(lambda _: done.append("second"))
        taken_back = asked.cancel()
        go_on.set()
        assert first.result(10.0) == "done" and journal.maintain(lambda _: 3).result(10.0) == 3
        assert taken_back is (not done) is (durability == "process")
        assert journal.append(2, "tick", b"2") == 2 and journal.failure is None
    assert [row.seq for row in JournalReader(tmp_path).rows()] == [1, 2]


def test_what_a_failed_journal_gives_up_may_have_been_taken_back(tmp_path: Path) -> None:
    go_on = threading.Event()
    journal = SqliteJournal(tmp_path, options=PROCESS)

    def fails(_: Store) -> None:
        go_on.wait(10.0)
        raise OSError("the disk is gone")

    jobs = [journal.maintain(fails), *(journal.maintain(lambda _: None) for _ in range(2))]
    assert jobs[1].cancel()
    go_on.set()
    for asked, error in ((jobs[0], OSError), (jobs[2], JournalError)):
        with pytest.raises(error):
            asked.result(10.0)
    with pytest.raises(JournalError, match="the disk is gone"):
        journal.close()
