"""Retention: which sealed segments go, what of them stays, and how they go.

Whole segments are deleted, the oldest first, once they are older than so many days or the folder
is above its budget of bytes. Before that a snapshot of the state at the last deleted row is
stored, from which the rest of the history folds, and the rows that the audit needs are copied
into an extract, which has a longer life of its own. Each deletion is a row of the journal, durable
before the head says so, and the head says so before the file goes.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import snapshots
from cerberus_trader.journal.heads import DELETED, Head
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.sealing import DAY_NS, last_ts_ns, read_sizes
from cerberus_trader.journal.segments import (
    SEGMENTS_NAME,
    VERSION,
    Footer,
    needed,
    path_of,
    write_segment,
)
from cerberus_trader.journal.store import Store, failure

AGE, BUDGET, AUDIT_AGE = "older than the days kept", "above the disk budget", "audit days over"


class Policy(NamedTuple):
    """Say how much history is kept; 0 is no limit. Days are full UTC days, sizes bytes."""

    days: int = 0
    disk_bytes: int = 10 * 2**30
    audit_days: int = 0
    segment_rows: int = 250_000


class Removal(NamedTuple):
    """Name what goes and why: a segment's rows, or what the audit kept of one."""

    what: str
    head: Head
    reason: str


def plan_removals(reader: JournalReader, policy: Policy) -> list[Removal]:
    """Find what retention deletes now, the oldest first."""
    live, heads = read_sizes(reader)
    today = last_ts_ns(reader) // DAY_NS
    kept = [head for head in heads if not head.deleted]
    total = live + sum(head.size for head in kept) + sum(head.audit_size for head in heads)
    found = []
    for head in heads:
        too_old = today - head.last_ts_ns // DAY_NS > policy.audit_days > 0
        if head.deleted and head.audit_digest is not None and too_old:
            found.append(Removal("audit", head, AUDIT_AGE))
            total -= head.audit_size
    for head in kept:
        if policy.days and today - head.last_ts_ns // DAY_NS > policy.days:
            reason = AGE
        elif policy.disk_bytes and total > policy.disk_bytes:
            reason = BUDGET
        else:
            break
        found.append(Removal("rows", head, reason))
        total -= head.size
    return found


def extract(reader: JournalReader, removal: Removal, is_audit: Callable[[Row], bool]) -> Removal:
    """Write the rows of a segment that the audit keeps; return the removal with what was kept."""
    head = removal.head
    if removal.what == "audit":
        return removal
    path = path_of(reader.folder, head.first_seq, head.last_seq, "audit")
    meta = reader.meta
    footer = Footer(VERSION, "audit", meta.stream, meta.engine_id, head.first_seq, head.last_seq, 0)
    try:
        kept = (row for row in reader.segment(head) if is_audit(row))
        written = write_segment(path, kept, footer)
    except OSError as error:
        raise failure(error, path, "writing the extract for the audit") from error
    return removal._replace(
        head=head._replace(
            audit_rows=written.rows, audit_size=written.size, audit_digest=written.digest
        )
    )


def drop(
    store: Store, removals: Iterable[Removal], base: snapshots.Request | None, chain_hash: bytes
) -> None:
    """Record in one transaction that rows and extracts are gone, with the snapshot to fold from.

    Their rows of the journal must be durable before.
    """
    connection, stream = store.connection, store.meta.stream
    connection.execute("BEGIN IMMEDIATE")
    for what, head, _ in removals:
        gone = what == "audit"
        changed = connection.execute(
            "UPDATE segments SET status = ?, audit_rows = ?, audit_size = ?, audit_digest = ?"
            " WHERE stream = ? AND first_seq = ? AND last_hash = ?",
            (
                DELETED,
                head.audit_rows,
                0 if gone else head.audit_size,
                None if gone else head.audit_digest,
                stream,
                head.first_seq,
                head.last_hash,
            ),
        ).rowcount
        if changed != 1:
            raise JournalError(
                f"segment {head.first_seq}-{head.last_seq} is not known.", code="JOURNAL_SEGMENT",
                place=str(store.path), fix="run `cerberus journal verify`.",
            )  # fmt: skip
    if base is not None:
        snapshots.insert(connection, stream, base, chain_hash)
        connection.execute("DELETE FROM snapshots WHERE stream = ? AND seq < ?", (stream, base.seq))
    connection.execute("COMMIT")


def clean(folder: Path, heads: Iterable[Head]) -> int:
    """Delete the files that no head needs; return how many went. Raises OSError."""
    wanted, gone = needed(folder, heads), 0
    for path in sorted((folder / SEGMENTS_NAME).glob("*")):
        if path not in wanted:
            path.unlink()
            gone += 1
    return gone
