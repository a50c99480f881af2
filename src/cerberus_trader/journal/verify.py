"""Checking a whole journal: chain, segments, anchor, snapshots, and the database itself."""

import sqlite3
from pathlib import Path

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import snapshots
from cerberus_trader.journal.anchor import (
    ANCHOR_NAME,
    Anchor,
    AnchorFile,
    read_anchor,
    unreadable_slots,
)
from cerberus_trader.journal.chain import Chain, genesis
from cerberus_trader.journal.heads import Head, read_heads
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.segments import needed
from cerberus_trader.journal.store import COLUMNS, DAMAGE, Meta, connect_reader
from cerberus_trader.journal.verify_segments import Report, Walk, check_deletions, check_segments

LOOKS_MAX = 5


def verify(folder: Path) -> Report:
    """Check the whole journal of a folder; raises nothing for damage, it reports it.

    Works beside a running engine. The chain is read in the order of the table, the index is
    compared with it by the database's own integrity check. Where something is wrong and retention
    has deleted files meanwhile that this view of the journal needs, all is checked once more.
    """
    for _ in range(LOOKS_MAX):
        heads: list[Head] = []
        report = _look(folder, heads)
        if report.ok or not _gone_since(folder, heads):
            break
    return report


def refuse_newer(folder: Path) -> None:
    """Raise `JournalError` for a journal that a later release wrote: that is no damage."""
    try:
        JournalReader(folder)
    except JournalError as error:
        if error.code == "JOURNAL_NEWER":
            raise


def _gone_since(folder: Path, heads: list[Head]) -> bool:
    """Tell whether files that these heads need are needed by the journal no longer."""
    try:
        return bool(needed(folder, heads) - needed(folder, JournalReader(folder).heads()))
    except (*DAMAGE, JournalError):
        return False


def _look(folder: Path, heads: list[Head]) -> Report:
    """Check one view of the journal; `heads` takes the heads of its segments."""
    report = Report(str(folder))
    connection = None
    try:
        reader = JournalReader(folder)
        report.meta = reader.meta
        connection = connect_reader(reader.path)
        connection.execute("BEGIN")  # one view of the file for all checks
        anchor_hash = _check_rows(connection, reader.meta, report, heads)
        _check_anchor(folder, anchor_hash, report)
        _check_snapshots(connection, reader.meta, report)
        for (line,) in connection.execute("PRAGMA integrity_check(5)"):
            if line != "ok":
                report.blame(f"the database is inconsistent: {line}")
    except (*DAMAGE, JournalError) as error:
        report.blame(str(error))
        if report.first_bad_seq is None and report.meta is not None and report.rows:
            report.notes.append(f"rows up to {report.last_seq} were read")
    finally:
        if connection is not None:
            connection.close()
    return report


def accept(folder: Path) -> Report:
    """Take a journal's present end as the truth: write a new anchor for it.

    For an operator who has compared the shorter history with the venue's records. Refuses, with
    `JournalError`, a journal in use or with any fault besides its anchor.
    """
    lock = FolderLock(folder)
    try:
        report = verify(folder)
        faults = [reason for reason in report.reasons if not reason.startswith("anchor: ")]
        if faults or report.meta is None:
            raise JournalError(
                "; ".join(faults) or "there is no journal.",
                code="JOURNAL_DAMAGED",
                place=str(folder),
                fix="restore the journal from a backup.",
            )
        (folder / ANCHOR_NAME).unlink(missing_ok=True)
        file = AnchorFile(folder)
        file.write(Anchor(report.meta.stream, report.last_seq, report.last_hash))
        file.close()
    finally:
        lock.release()
    return verify(folder)


def _check_rows(
    connection: sqlite3.Connection, meta: Meta, report: Report, heads: list[Head]
) -> dict[int, bytes]:
    """Walk the chain over segments and file; return the hashes that the anchor may name."""
    anchor = _anchor_of(report)
    chain = Chain(meta.stream, genesis(meta.engine_id))
    hashes = {0: chain.head}
    report.last_hash = chain.head
    walk = Walk(Path(report.folder), meta, report, chain, anchor.seq if anchor else 0, hashes)
    heads += read_heads(connection, meta.stream)
    sealed_seq = check_segments(heads, walk)
    cursor = connection.execute(f"SELECT {COLUMNS} FROM journal NOT INDEXED ORDER BY rowid")
    left = 0
    for values in cursor:
        row = Row(*values)
        if row.stream == meta.stream and isinstance(row.seq, int) and row.seq <= sealed_seq:
            left += 1
            continue
        report.rows += 1
        if row.stream != meta.stream:
            report.blame_row(report.last_seq + 1, "belongs to another stream")
            continue
        walk.take(row)
    if left:
        report.notes.append(f"{left} rows are in segments already and wait to leave the file")
    check_deletions(heads, walk)
    return hashes


def _anchor_of(report: Report) -> Anchor | None:
    if report.anchor is None:
        try:
            report.anchor = read_anchor(Path(report.folder))
        except JournalError as error:
            report.blame(f"anchor: {error}")
    return report.anchor


def _check_anchor(folder: Path, hashes: dict[int, bytes], report: Report) -> None:
    anchor, meta = report.anchor, report.meta
    if anchor is None:
        if report.rows and report.ok:
            report.blame("anchor: it is missing, though the journal has rows")
        return
    if unreadable_slots(folder):
        report.notes.append("one slot of the anchor is torn; the other is used")
    if meta is None or anchor.stream != meta.stream:
        report.blame(f"anchor: it names stream {anchor.stream!r}")
    elif anchor.seq > report.last_seq:
        report.blame(
            f"anchor: it names row {anchor.seq}, but the journal ends at row {report.last_seq}"
        )
    elif hashes.get(anchor.seq) != anchor.hash:
        report.blame(f"anchor: row {anchor.seq} is not the one it names")


def _check_snapshots(connection: sqlite3.Connection, meta: Meta, report: Report) -> None:
    report.snapshots = connection.execute("SELECT count(*) FROM snapshots").fetchone()[0]
    for fault in snapshots.faults(connection, meta.stream):
        report.blame(fault)
