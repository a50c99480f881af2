"""Retention on a stopped engine's folder: what goes, what stays, and a crash at every step."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.errors import CerberusError, JournalError
from cerberus_trader.domain.events import RetentionEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.engine.state import state_from, state_hash
from cerberus_trader.journal import backup, sealing, verify_segments
from cerberus_trader.journal import view_rows as rows
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.segments import path_of
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.unpack import restore
from cerberus_trader.journal.verify import verify
from cerberus_trader.journal.views import TABLES, VIEWS_NAME, ViewsWriter
from cerberus_trader.observe.audit import is_audit
from cerberus_trader.observe.projector import Projector, rebuild
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime import prune as module
from cerberus_trader.runtime.decisions import explained, find
from cerberus_trader.runtime.prune import prune
from cerberus_trader.runtime.recover import recover
from tests.days import write_days

KEEP_ALL = Policy(days=0, disk_bytes=0, audit_days=0, segment_rows=10_000)


def live(folder: Path) -> int:
    """Count the rows that are in the file itself."""
    with sqlite3.connect(folder / "journal.db") as connection:
        (count,) = connection.execute("SELECT count(*) FROM journal").fetchone()
    connection.close()
    return int(count)


def history(folder: Path) -> list[Row]:
    return list(JournalReader(folder).verified_rows())


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the journal of eight days once."""
    folder = tmp_path_factory.mktemp("eight") / "state"
    write_days(folder, 8)
    return folder


@pytest.fixture
def state(eight: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(eight, tmp_path / "state"))


@pytest.mark.req("T-15.2")
def test_finished_days_are_sealed_and_nothing_is_missed(state: Path) -> None:
    before, whole = history(state), verify(state)
    done = prune(state, KEEP_ALL, "ann")
    report = verify(state)
    assert report.ok and report.notes == [] and report.segments == done.segments_sealed == 5
    assert live(state) == len(before) - done.rows_sealed < len(before) / 2
    assert history(state) == list(JournalReader(state).rows()) == before
    assert (report.rows, report.last_hash) == (whole.rows, whole.last_hash)
    assert redecide(state)["differences"] == 0 and redecide(state)["rows"] == len(before)
    for row in before[::5]:
        assert JournalReader(state).row(row.seq) == row
    for kind in ("operator", "config", "signal"):
        expected = [row for row in reversed(before) if row.kind == kind]
        assert list(JournalReader(state).newest(kind)) == expected
    middle = before[len(before) // 2].seq
    assert next(r.seq for r in JournalReader(state).verified_rows(middle)) == middle + 1
    assert prune(state, KEEP_ALL, "ann").segments_sealed == 0
    with SqliteJournal(state) as journal:
        recover(journal.restore())
        assert journal.append(10**19 // 6, "timer", b"") == len(before) + 1


def test_each_segment_is_a_day_unless_it_has_too_many_rows(state: Path) -> None:
    prune(state, KEEP_ALL._replace(segment_rows=4), "ann")
    heads = JournalReader(state).heads()
    assert {head.rows for head in heads} >= {4} and max(head.rows for head in heads) == 4
    assert all(h.first_ts_ns // sealing.DAY_NS == h.last_ts_ns // sealing.DAY_NS for h in heads)
    assert verify(state).ok


def test_without_snapshots_nothing_leaves_the_file(state: Path) -> None:
    with sqlite3.connect(state / "journal.db") as connection:
        connection.execute("DELETE FROM snapshots")
    connection.close()
    assert prune(state, KEEP_ALL, "ann").segments_sealed == 0


@pytest.mark.req("D-11.7", "T-15.2", "E-11.2.3")
def test_old_days_are_deleted_and_the_rest_folds_and_decides_as_before(state: Path) -> None:
    before = history(state)
    final = state_hash(recover(JournalReader(state).restore()))
    done = prune(state, KEEP_ALL._replace(days=4), "ann")
    assert done.segments_deleted == 3 and done.rows_deleted > 20
    report = verify(state)
    assert report.ok, report.reasons
    assert report.deleted_seq == done.rows_deleted
    after = history(state)
    told = [decode_row(row.body).event for row in after if row.kind == "retention"]
    assert [event.last_seq for event in told if isinstance(event, RetentionEvent)] == [
        head.last_seq for head in JournalReader(state).heads() if head.deleted
    ]
    assert all(isinstance(e, RetentionEvent) and e.actor == "ann" for e in told)
    assert after[: len(before) - done.rows_deleted] == before[done.rows_deleted :]
    assert len(after) == len(before) - done.rows_deleted + 3
    assert redecide(state)["differences"] == 0
    # the state is the same, but for its number: deletions are rows
    again = recover(JournalReader(state).restore())
    again.seq -= 3
    assert state_hash(again) == final
    base = JournalReader(state).beginning()
    assert base.snapshot is not None and base.snapshot.seq == done.rows_deleted
    folded = recover(base)
    folded.seq -= 3
    assert state_hash(folded) == final
    assert len(list((state / "segments").glob("*.seg"))) == report.segments


def test_a_disk_budget_deletes_the_oldest_until_it_holds(state: Path) -> None:
    prune(state, KEEP_ALL, "ann")
    size, heads = sealing.read_sizes(JournalReader(state))
    budget = size + sum(head.size for head in heads[2:])
    done = prune(state, KEEP_ALL._replace(disk_bytes=budget), "ann")
    assert done.segments_deleted == 2
    assert verify(state).ok


@pytest.mark.req("D-11.6", "D-11.7")
def test_the_audit_outlives_what_was_deleted(state: Path) -> None:
    before = history(state)
    prune(state, KEEP_ALL._replace(days=2), "ann")
    reader = JournalReader(state)
    gone = [head for head in reader.heads() if head.deleted]
    kept = [row for head in gone for row in reader.audit(head)]
    lost = before[: gone[-1].last_seq]
    assert kept == [row for row in lost if is_audit(row)] and 0 < len(kept) < len(lost)
    kinds = {row.kind for row in kept}
    assert {"config", "operator", "fill"} <= kinds
    operators = [row.seq for row in before if row.kind == "operator"]
    assert [row.seq for row in reader.newest("operator")] == operators[::-1]
    approved = next(row for row in kept if row.kind == "signal")
    assert reader.row(approved.seq) == approved
    assert explained(state, f"d{approved.seq}")["verdict"] == "approved"
    denied = next(row for row in lost if row.kind == "signal" and row not in kept)
    assert reader.row(denied.seq) is None
    with pytest.raises(CerberusError, match="no decision"):
        find(state, f"d{denied.seq}")
    assert find(state)[0].verdict == "denied"


@pytest.mark.req("D-11.7")
def test_the_audit_has_its_own_longer_days(state: Path) -> None:
    prune(state, KEEP_ALL._replace(days=2), "ann")
    done = prune(state, KEEP_ALL._replace(days=2, audit_days=5), "bob")
    assert done.audits_deleted == 2
    assert verify(state).ok
    heads = JournalReader(state).heads()
    assert [head.audit_digest is None for head in heads if head.deleted][:3] == [True, True, False]
    names = {path.name for path in (state / "segments").glob("*.audit")}
    assert len(names) == sum(h.deleted and h.audit_digest is not None for h in heads)
    told = [decode_row(row.body).event for row in history(state) if row.kind == "retention"]
    assert [getattr(e, "what", "") for e in told][-2:] == ["audit", "audit"]
    assert redecide(state)["differences"] == 0


def test_views_are_rebuilt_from_what_is_left(state: Path) -> None:
    with ViewsWriter(state) as writer:
        rebuild(history(state), writer)
    with Views(state) as views:
        whole = views.find("equity_newest", "all")[0]
    prune(state, KEEP_ALL._replace(days=3), "ann")
    start = JournalReader(state).beginning()
    assert start.snapshot is not None
    with ViewsWriter(state) as writer:
        rebuild(start.rows, writer, "", state_from(start.snapshot.state))
    with Views(state) as views:
        again = views.find("equity_newest", "all")[0]
    assert (again.equity, again.balance) == (whole.equity, whole.balance)


def shown(folder: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Read all that the views show, by table."""
    connection = sqlite3.connect(folder / VIEWS_NAME)
    found = {table: sorted(connection.execute(f"SELECT * FROM {table}"))
             for table, _ in TABLES.values()}  # fmt: skip
    connection.close()
    return found


@pytest.mark.req("D-11.7")
def test_the_views_keep_what_the_journal_keeps(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are then those that are built from what is left, but for deployments, which stay."""
    monkeypatch.setattr("cerberus_trader.journal.views.PRUNE_ROWS", 3)  # several steps
    with ViewsWriter(state) as writer:
        rebuild(history(state), writer)
    before = shown(state)
    prune(state, KEEP_ALL, "ann")  # sealed is not deleted
    assert shown(state) == before
    pages = (state / VIEWS_NAME).stat().st_size
    prune(state, KEEP_ALL._replace(days=3), "ann")
    with ViewsWriter(state) as writer:  # the rows that tell of the deletions
        rest = Projector(writer)
        for row in JournalReader(state).rows(writer.applied_seq()):
            body = decode_row(row.body)
            rest.take(row.seq, body.event, body.facts)
        rest.flush()
    kept = shown(state)
    start = JournalReader(state).beginning()
    assert start.snapshot is not None
    with ViewsWriter(tmp_path / "anew") as writer:
        rebuild(start.rows, writer, "", state_from(start.snapshot.state))
    wanted = shown(tmp_path / "anew")
    assert kept.pop("strategy_deployments") == before["strategy_deployments"] != []
    del wanted["strategy_deployments"]
    assert kept == wanted
    for table in ("signals", "decision_log", "orders", "executions", "trades", "ledger", "equity"):
        assert 0 < len(kept[table]) < len(before[table]), table
    assert (state / VIEWS_NAME).stat().st_size <= pages


def test_what_is_open_stays_in_the_views_however_old(tmp_path: Path) -> None:
    order = ("o", "a", "s", "WIF", "buy", "limit", "entry", "1", "0", "1", "1", 0, None, "s", "d")
    place = ("WIF", "long", 1.0, 2, 1.0, None, None, 0.5)
    with ViewsWriter(tmp_path) as writer:
        writer.write(
            [
                (rows.OrderRow, [
                    (status, *order[1:], status, 1, at)
                    for status, at in (
                        ("accepted", 1), ("unknown", 1), ("filled", 1), ("canceled", 6),
                        ("expired", 7),
                    )
                ]),
                (rows.PositionRow, [("1", *place, "open", 1, None), ("2", *place, "closed", 1, 6),
                                    ("3", *place, "closed", 1, 7)]),
                (rows.DecisionRow, [(1, "h1", "{}", 1, 6), (2, "h2", "{}", 1, 9)]),
            ],
            through_seq=9,
        )  # fmt: skip
        assert sum(writer.prune(5, 7)) == 4
    found = shown(tmp_path)
    assert [row[0] for row in found["orders"]] == ["accepted", "expired", "unknown"]
    assert [row[0] for row in found["positions"]] == ["1", "3"]
    assert [row[0] for row in found["decisions"]] == [2]


def test_a_prune_without_views_makes_none_and_broken_ones_are_told(state: Path) -> None:
    policy = KEEP_ALL._replace(days=3)
    prune(state, policy, "ann")
    assert not (state / VIEWS_NAME).exists()
    (state / VIEWS_NAME).write_bytes(b"no database at all, " * 500)
    with pytest.raises(JournalError, match="views") as caught:
        prune(state, policy, "ann")
    assert "rebuild-views" in caught.value.fix and verify(state).ok


def test_a_backup_holds_segments_and_audit(state: Path, tmp_path: Path) -> None:
    prune(state, KEEP_ALL._replace(days=4), "ann")
    made = backup.back_up(state, tmp_path / "one", None)
    names = {Path(entry.name).suffix for entry in made.manifest.files}
    assert names == {".db", "", ".seg", ".audit"}
    restore(tmp_path / "one", tmp_path / "again", None)
    assert history(tmp_path / "again") == history(state)
    assert redecide(tmp_path / "again")["differences"] == 0
    (path,) = list((state / "segments").glob("*.seg"))[:1]
    path.unlink()
    with pytest.raises(JournalError, match="does not verify"):
        backup.back_up(state, tmp_path / "two", None)


def damage(folder: Path, sql: str) -> None:
    with sqlite3.connect(folder / "journal.db") as connection:
        connection.executescript(sql)
    connection.close()


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "UPDATE segments SET status = 'deleted' WHERE first_seq = 1",
            "no row of the journal tells",
        ),
        ("UPDATE segments SET last_hash = x'00' WHERE first_seq = 1", "does not end"),
        ("UPDATE segments SET digest = x'00' WHERE first_seq = 1", "checksum"),
        ("UPDATE segments SET rows = rows + 1", "segment 1-"),
        ("DELETE FROM segments WHERE first_seq = 1", "does not begin at row 1"),
        ("DELETE FROM segments", "missing"),
        ("UPDATE segments SET status = 'deleted' WHERE first_seq > 1", "deleted before"),
    ],
)
def test_heads_that_do_not_fit_are_reported(state: Path, sql: str, words: str) -> None:
    prune(state, KEEP_ALL, "ann")
    damage(state, sql)
    report = verify(state)
    assert not report.ok and words in " ".join(report.reasons)


def test_a_missing_or_damaged_segment_is_reported_unless_it_is_deleted(state: Path) -> None:
    prune(state, KEEP_ALL._replace(days=5), "ann")
    head = next(head for head in JournalReader(state).heads() if not head.deleted)
    gone = JournalReader(state).heads()[0]
    path = path_of(state, head.first_seq, head.last_seq)
    whole = path.read_bytes()
    for at in range(0, len(whole), 11):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        report = verify(state)
        assert report.first_bad_seq is not None and not report.ok
    path.unlink()
    report = verify(state)
    assert report.first_bad_seq == head.first_seq and "cannot be read" in report.reasons[0]
    with pytest.raises(JournalError):
        history(state)
    path.write_bytes(whole)
    audit = path_of(state, gone.first_seq, gone.last_seq, "audit")
    audit.write_bytes(audit.read_bytes()[:-1])
    assert "audit" in verify(state).reasons[0]


def meanwhile(monkeypatch: pytest.MonkeyPatch, act: Callable[[int], object]) -> None:
    """Let something happen before each file that verifying reads, told its number."""
    count, digest_of = 0, verify_segments.digest_of

    def counted(path: Path) -> bytes:
        nonlocal count
        count += 1
        act(count)
        return digest_of(path)

    monkeypatch.setattr(verify_segments, "digest_of", counted)


@pytest.mark.req("D-11.7")
@pytest.mark.parametrize("at", [1, 2, 4])
@pytest.mark.parametrize("first", [KEEP_ALL, KEEP_ALL._replace(days=4)])
def test_what_retention_deletes_while_the_journal_is_verified_is_no_damage(
    state: Path, monkeypatch: pytest.MonkeyPatch, at: int, first: Policy
) -> None:
    prune(state, first, "ann")
    left = []

    def act(number: int) -> None:
        if number == at:
            left.append(prune(state, KEEP_ALL._replace(days=2, audit_days=4), "bob"))

    meanwhile(monkeypatch, act)
    report = verify(state)
    assert left and left[0].segments_deleted
    assert report.ok, report.reasons
    assert report.deleted_seq == [h for h in JournalReader(state).heads() if h.deleted][-1].last_seq


def test_damage_is_reported_also_while_retention_deletes(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prune(state, KEEP_ALL, "ann")
    newest = JournalReader(state).heads()[-1]
    path = path_of(state, newest.first_seq, newest.last_seq)

    def act(number: int) -> None:
        if number == 1:
            prune(state, KEEP_ALL._replace(days=4), "bob")
            path.write_bytes(path.read_bytes()[:-1])

    meanwhile(monkeypatch, act)
    (reason,) = verify(state).reasons
    assert f"{path}: the segment does not match" in reason


def test_a_damaged_snapshot_at_the_beginning_is_told(state: Path) -> None:
    prune(state, KEEP_ALL._replace(days=4), "ann")
    base = JournalReader(state).base()[0]
    damage(state, f"UPDATE snapshots SET body = x'00' WHERE seq = {base}")
    assert not verify(state).ok
    recover(JournalReader(state).restore())  # newer ones are there
    with pytest.raises(JournalError, match="where the history begins"):
        JournalReader(state).beginning()
    damage(state, "UPDATE snapshots SET body = x'00'")
    with pytest.raises(JournalError, match="no snapshot after them"):
        JournalReader(state).restore()


def test_only_sealed_rows_may_leave_the_table(state: Path) -> None:
    prune(state, KEEP_ALL, "ann")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        damage(state, "DELETE FROM journal")


def test_pruning_takes_a_stopped_engine_and_an_existing_journal(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path / "state"), pytest.raises(JournalError, match="in use"):
        prune(tmp_path / "state", KEEP_ALL, "ann")
    with pytest.raises(JournalError, match="no such file"):
        prune(tmp_path / "none", KEEP_ALL, "ann")
    assert not (tmp_path / "none").exists()


STEPS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (Path, "rename"),
    (Path, "unlink"),
    (module, "record"),
    (module, "sweep"),
    (module, "drop_prepared"),
)


def fail_at(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the numbered operation on the disk fail."""
    count = 0

    def stepped(call: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            if count == number:
                raise OSError(28, "No space left on device")
            return call(*arguments, **named)

        return step

    for owner, name in STEPS:
        monkeypatch.setattr(owner, name, stepped(getattr(owner, name)))


def test_a_disk_that_fails_at_any_step_leaves_a_valid_journal(tmp_path: Path) -> None:
    policy, six = KEEP_ALL._replace(days=3), tmp_path / "six"
    write_days(six, 6)
    before = history(six)
    whole = Path(shutil.copytree(six, tmp_path / "whole"))
    end = prune(whole, policy, "ann").rows_deleted
    number = 0
    while True:
        number += 1
        folder = Path(shutil.copytree(six, tmp_path / "state"))
        with pytest.MonkeyPatch.context() as patch:
            fail_at(patch, number)
            try:
                prune(folder, policy, "ann")
                break
            except CerberusError as error:
                assert "No space left" in error.message and error.fix
        report = verify(folder)
        assert report.ok, (number, report.reasons)
        rows = [row for row in history(folder) if row.kind != "retention"]
        assert rows == before[len(before) - len(rows) :]
        prune(folder, policy, "bob")
        report = verify(folder)
        assert report.ok and report.notes == [] and report.deleted_seq == end
        assert redecide(folder)["differences"] == 0
        left = {path.name for path in (folder / "segments").iterdir()}
        heads = JournalReader(folder).heads()
        assert len(left) == report.segments + sum(head.deleted for head in heads)
        shutil.rmtree(folder)
    assert number > 20
