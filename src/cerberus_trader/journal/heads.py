"""The heads of sealed segments: what the journal file keeps of rows that have left it.

Heads lie end to end from row 1: each begins where the one before it ended, in number and in hash,
and the rows in the file go on after the last. Deleted segments are the oldest ones; their heads
stay, so that the chain holds across them.
"""

import sqlite3
from typing import NamedTuple

from cerberus_trader.journal.chain import genesis

SEALED, DELETED = "sealed", "deleted"


class Head(NamedTuple):
    """Hold what is known of a segment without its file; times are the engine's (UTC, ns).

    `prev_hash` is the hash that its first row follows; `digest` is the SHA-256 of its file, and
    `size` its bytes.
    `audit_digest` is None where no extract for the audit is kept.
    """

    first_seq: int
    last_seq: int
    rows: int
    prev_hash: bytes
    last_hash: bytes
    first_ts_ns: int
    last_ts_ns: int
    size: int
    digest: bytes
    status: str = SEALED
    audit_rows: int = 0
    audit_size: int = 0
    audit_digest: bytes | None = None

    @property
    def deleted(self) -> bool:
        """Tell whether the rows are gone."""
        return self.status == DELETED


COLUMNS = ", ".join(Head._fields)


def has_heads(connection: sqlite3.Connection) -> bool:
    """Tell whether the file knows segments: those of the first format do not."""
    found = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'segments'").fetchone()
    return found is not None


def read_heads(connection: sqlite3.Connection, stream: str) -> list[Head]:
    """Read every head of a stream, the oldest first."""
    if not has_heads(connection):
        return []
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM segments WHERE stream = ? ORDER BY first_seq", (stream,)
    )
    return [Head(*values) for values in cursor]


def last_head(connection: sqlite3.Connection, stream: str) -> Head | None:
    """Read the newest head."""
    found = connection.execute(
        f"SELECT {COLUMNS} FROM segments WHERE stream = ? ORDER BY first_seq DESC LIMIT 1",
        (stream,),
    ).fetchone()
    return Head(*found) if found is not None else None


def hash_at(connection: sqlite3.Connection, stream: str, seq: int) -> bytes | None:
    """Give the hash of a row that is in the file, or the last one of a segment."""
    row = connection.execute(
        "SELECT hash FROM journal WHERE stream = ? AND seq = ?", (stream, seq)
    ).fetchone()
    if row is None and has_heads(connection):
        row = connection.execute(
            "SELECT last_hash FROM segments WHERE stream = ? AND last_seq = ?", (stream, seq)
        ).fetchone()
    return row[0] if row is not None else None


def fault_of_head(head: Head, expected_seq: int, expected_hash: bytes) -> str:
    """Say how a head fails to continue what is before it, empty where it does not."""
    if head.first_seq != expected_seq or head.last_seq < head.first_seq:
        return f"segment {head.first_seq}-{head.last_seq} does not begin at row {expected_seq}"
    if head.prev_hash != expected_hash:
        return f"segment {head.first_seq}-{head.last_seq} does not follow from the row before it"
    if head.rows != head.last_seq - head.first_seq + 1:
        return f"segment {head.first_seq}-{head.last_seq} has {head.rows} rows"
    return ""


def last_deleted(heads: list[Head]) -> Head | None:
    """Return the newest head whose rows are deleted."""
    return next((head for head in reversed(heads) if head.deleted), None)


def base_of(heads: list[Head], engine_id: str) -> tuple[int, bytes]:
    """Give number and hash of the last deleted row; 0 and genesis where none is."""
    gone = last_deleted(heads)
    return (gone.last_seq, gone.last_hash) if gone is not None else (0, genesis(engine_id))
