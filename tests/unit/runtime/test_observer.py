"""The observer: views follow the journal, after a lag, an overflow, a fresh start."""

import io
import json
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.row import encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import State, state_bytes, state_hash
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.views import PRUNED, ViewsWriter
from cerberus_trader.runtime import observer as module
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.observer import Observer
from cerberus_trader.runtime.prune import prune as prune_journal
from cerberus_trader.runtime.recover import recover
from tests.days import write_days
from tests.kit import Bench


def journalled(folder: Path, bench: Bench, snapshot_at: int = 0) -> Engine:
    """Write a bench's events into a journal, deciding anew."""
    engine = Engine()
    with SqliteJournal(folder, engine_id="engine") as journal:
        for event, _ in bench.rows:
            step = engine.step(event)
            body = encode_row(event, step.facts)
            kind = str(type(event).__struct_config__.tag)
            seq = journal.append(event.ts_ns, kind, body)
            if seq == snapshot_at:
                journal.save_snapshot(
                    event.ts_ns, "1", bytes.fromhex(state_hash(engine.state)),
                    state_bytes(engine.state),
                )  # fmt: skip
    return engine


def traded() -> Bench:
    bench = Bench()
    for price in ("101", "99", "102"):
        bench.open(price="100")
        bench.close(price)
    return bench


def trades(folder: Path) -> tuple[int, int]:
    with Views(folder) as views:
        return len(views.find("trades_newest", 10)), views.applied_seq()


def started(folder: Path) -> tuple[Observer, Any]:
    found = Observer(folder, Log("error", stream=io.StringIO()), "1")
    with SqliteJournal(folder) as journal:
        state = recover(journal.restore(), found.visit)
    found.start(state)
    return found, state


@pytest.mark.req("D-02.2")
@pytest.mark.parametrize("snapshot_at", [0, 3, 10])
@pytest.mark.parametrize("applied", [0, 1, 3, 5, 10])
def test_views_that_lag_behind_are_brought_up_from_where_they_are(
    tmp_path: Path, snapshot_at: int, applied: int
) -> None:
    bench = traded()
    journalled(tmp_path, bench, snapshot_at)
    if applied:
        early = Observer(tmp_path, Log("error"), "1")
        early.projector = module.Projector(early.writer)
        for seq, (event, facts) in enumerate(bench.rows[:applied], 1):
            early.projector.take(seq, event, facts)
        early.projector.flush()
        early.close()
    late, _ = started(tmp_path)
    late.close()
    assert late.failure is None
    assert trades(tmp_path) == (3, len(bench.rows))


def test_an_overflowing_queue_is_made_good_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = traded()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("error"), "1")
    late.projector = module.Projector(late.writer)
    monkeypatch.setattr(module, "QUEUE_MAX", 1)
    for seq in (1, 2, 3):
        late.take(seq, *bench.rows[seq - 1])
    assert len(late._queue) == 1 and late._left_out
    late._drain(late.projector)
    assert late.projector.seq == 3 and not late._left_out, "without a row that comes after them"
    late.take(len(bench.rows), *bench.rows[-1])
    late.start(bench.state)
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))


def test_what_follows_an_overflow_is_read_once_not_row_by_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = traded()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("error"), "1")
    late.projector = projector = module.Projector(late.writer)
    monkeypatch.setattr(module, "QUEUE_MAX", 2)
    for seq in (1, 2, 3):
        late.take(seq, *bench.rows[seq - 1])
    late._queue.popleft()  # one is being written: there is room, but what follows has a gap
    late.take(4, *bench.rows[3])
    assert [seq for seq, *_ in late._queue] == [2]
    read: list[tuple[int, int]] = []
    catch_up = late._catch_up

    def reading(projector: Any, through_seq: int) -> None:
        read.append((projector.seq, through_seq))
        catch_up(projector, through_seq)

    monkeypatch.setattr(late, "_catch_up", reading)
    projector.take(1, *bench.rows[0])
    late._drain(projector)
    assert read == [(2, 4)] and projector.seq == 4
    late.take(5, *bench.rows[4])
    late._drain(projector)
    assert len(read) == 1 and projector.seq == 5
    late.close()


def alerts(stream: io.StringIO) -> list[dict[str, Any]]:
    return [
        line for text in stream.getvalue().splitlines() if (line := json.loads(text)).get("alert")
    ]


def until(ready: Callable[[], Any]) -> None:
    end = time.monotonic() + 15.0
    while not ready():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_S", 0.01)
    monkeypatch.setattr(module, "WAIT_S", 0.01)
    monkeypatch.setattr(module, "CHECK_S", 0.02)


@pytest.mark.req("C-02.5")
def test_views_that_cannot_be_written_are_tried_again_and_caught_up_from_the_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None
) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    write, failing = ViewsWriter.write, [True]

    def full(self: ViewsWriter, *given: Any, **more: Any) -> int:
        if failing:
            raise module.JournalError("the disk is full.", code="JOURNAL_FULL")
        return write(self, *given, **more)

    monkeypatch.setattr(ViewsWriter, "write", full)
    late.projector = module.Projector(late.writer)  # type: ignore[arg-type]
    late.start(State())
    for seq, (event, facts) in enumerate(bench.rows[:3], 1):
        late.take(seq, event, facts)
    until(lambda: late.failure is not None and late._pause_s > 0.02)
    assert late.health() == {"row": 0, "behind": 3, "failure": "the disk is full."}
    for seq, (event, facts) in enumerate(bench.rows[3:], 4):  # not kept: the journal has them
        late.take(seq, event, facts)
    assert not late._queue
    failing.clear()
    until(lambda: late.failure is None)
    assert late._pause_s == 0.01
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))
    assert late.health() == {"row": len(bench.rows), "behind": 0, "failure": ""}
    assert len(alerts(stream)) == 1 and "follow the journal again" in stream.getvalue()


@pytest.mark.req("C-02.5", "D-09.15")
@pytest.mark.parametrize("damage", ["text", "pages"])
def test_a_damaged_file_is_set_aside_and_built_again_at_start(tmp_path: Path, damage: str) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench)
    first, _ = started(tmp_path)
    first.close()
    path = tmp_path / "views.db"
    content = path.read_bytes()
    spoilt = b"no database at all, " * 500 if damage == "text" else (
        content[:100] + bytes(len(content) - 100)
    )  # fmt: skip
    path.write_bytes(spoilt)
    again = Observer(tmp_path, Log("info", stream=stream), "1")
    with SqliteJournal(tmp_path) as journal:
        state = recover(journal.restore(), again.visit)
    again.start(state)
    again.close()
    assert again.failure is None and trades(tmp_path) == (3, len(bench.rows))
    assert (tmp_path / "views.db.damaged").read_bytes() == spoilt
    (alert,) = alerts(stream)
    assert alert["event"] == "the views are damaged; they are built again"


@pytest.mark.req("C-02.5")
def test_a_file_that_breaks_while_running_is_built_again_and_nothing_is_missing(
    tmp_path: Path, hasty: None
) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    late.projector = module.Projector(late.writer)  # type: ignore[arg-type]
    late.start(State())
    for seq, (event, facts) in enumerate(bench.rows[:4], 1):
        late.take(seq, event, facts)
    until(lambda: late.health()["row"] == 4)
    for name in ("views.db", "views.db-wal"):  # every page is other than it was
        with (
            suppress(FileNotFoundError),
            (tmp_path / name).open("r+b") as file,
        ):  # set aside already
            size = file.seek(0, 2)
            file.seek(0)
            file.write(b"\xff" * size)
    for seq, (event, facts) in enumerate(bench.rows[4:], 5):
        late.take(seq, event, facts)
    until(lambda: (tmp_path / "views.db.damaged").exists())
    until(lambda: late.failure is None and late.health()["behind"] == 0)
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))
    assert any(line["event"].startswith("the views failed") for line in alerts(stream))


@pytest.mark.req("C-02.5")
def test_a_file_that_is_deleted_while_running_comes_back_whole(tmp_path: Path, hasty: None) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench)
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    late.start(bench.state)
    until(lambda: late.health()["row"] == len(bench.rows))
    for name in ("views.db-shm", "views.db-wal", "views.db"):  # the last one is what is missed
        (tmp_path / name).unlink(missing_ok=True)
    until(lambda: (tmp_path / "views.db").exists())
    until(lambda: late.failure is None and late.health()["behind"] == 0)
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))
    assert len(alerts(stream)) == 1


@pytest.mark.req("D-11.7")
def test_what_retention_deletes_goes_from_the_views_too(
    tmp_path: Path, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cerberus_trader.journal.views.PRUNE_ROWS", 2)
    monkeypatch.setattr("cerberus_trader.runtime.prune._prune_views", lambda folder: None)
    state = tmp_path / "state"
    write_days(state, 8)
    late, _ = started(state)

    def numbers() -> list[int]:
        with Views(state) as views:
            return [row.seq for row in views.find("decision_log_up_to", 1_000, 1_000)]

    until(lambda: late.health()["behind"] == 0 and late.health()["row"])
    before = numbers()
    prune_journal(state, Policy(days=3, disk_bytes=0), "ann")
    until(lambda: 0 < len(numbers()) < len(before))
    base = JournalReader(state).base()[0]
    until(lambda: numbers() == [seq for seq in before if seq > base])
    assert late.failure is None
    late.close()
    prune_journal(state, Policy(days=2, disk_bytes=0), "ann")
    assert numbers() == [seq for seq in before if seq > base] != []
    again, _ = started(state)  # deleted while no engine ran
    until(lambda: numbers() == [seq for seq in before if seq > JournalReader(state).base()[0]])
    again.close()
    assert again.failure is None and JournalReader(state).base()[0] > base


def test_views_are_pruned_no_further_than_they_are_written(tmp_path: Path) -> None:
    state = tmp_path / "state"
    write_days(state, 6)
    prune_journal(state, Policy(days=2, disk_bytes=0), "ann")
    late = Observer(state, Log("error"), "1")
    assert late.writer is not None
    projector = late.projector = module.Projector(late.writer)
    late._plan_pruning(projector)
    assert list(late._pruning) == []
    projector.written = JournalReader(state).base()[0]
    late._plan_pruning(projector)
    assert len(list(late._pruning)) == len(PRUNED)
    late._plan_pruning(projector)  # once
    assert list(late._pruning) == []
    late.close()


def test_a_file_that_was_put_back_to_an_older_one_is_noticed(tmp_path: Path) -> None:
    bench = traded()
    journalled(tmp_path, bench)
    late, _ = started(tmp_path)
    late.close()
    late._check(len(bench.rows))
    with pytest.raises(module.JournalError, match="say row 10 where 11"):
        late._check(11)


def test_views_of_another_release_are_left_alone_and_said_so_once(
    tmp_path: Path, hasty: None
) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench)
    ViewsWriter(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / "views.db")) as views:
        views.execute("PRAGMA user_version = 99")
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    with SqliteJournal(tmp_path) as journal:
        state = recover(journal.restore(), late.visit)
    late.start(state)
    late.take(11, *bench.rows[-1])
    until(lambda: late._pause_s > 0.02)
    late.close()
    assert late.failure is not None and late.failure.code == "JOURNAL_NEWER"
    assert len(alerts(stream)) == 1 and not (tmp_path / "views.db.damaged").exists()


def test_views_that_fail_while_recovery_shows_its_rows_do_not_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hasty: None
) -> None:
    bench, stream = traded(), io.StringIO()
    journalled(tmp_path, bench, snapshot_at=1)
    early = Observer(tmp_path, Log("error"), "1")
    early.projector = module.Projector(early.writer)  # type: ignore[arg-type]
    early.projector.take(1, *bench.rows[0])
    early.projector.flush()
    early.close()
    monkeypatch.setattr("cerberus_trader.observe.projector.BATCH_ROWS", 2)
    write, failing = ViewsWriter.write, [True]

    def busy(self: ViewsWriter, *given: Any, **more: Any) -> int:
        if failing:
            failing.clear()
            raise module.JournalError("it is locked.", code="JOURNAL_COLLISION")
        return write(self, *given, **more)

    monkeypatch.setattr(ViewsWriter, "write", busy)
    late = Observer(tmp_path, Log("info", stream=stream), "1")
    with SqliteJournal(tmp_path) as journal:
        state = recover(journal.restore(), late.visit)
    assert late.failure is not None and late.writer is None
    late.start(state)
    until(lambda: late.failure is None)
    late.close()
    assert trades(tmp_path) == (3, len(bench.rows))
