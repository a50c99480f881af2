"""Sealing: finished stretches of rows move from the journal file into segments.

In steps that a crash may part anywhere: the segment is written, synced and read back; one small
transaction records its head, and from then on the rows are read from the segment; the rows then
leave the file in small batches, so that the writer is never held up for long. Rows stay in the
file from the oldest kept snapshot on, and from the anchor's row on.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import heads as heads_module
from cerberus_trader.journal.anchor import read_anchor
from cerberus_trader.journal.chain import Chain, checked, genesis
from cerberus_trader.journal.heads import Head, last_head, read_heads
from cerberus_trader.journal.reader import DOING, JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.segments import VERSION, Footer, path_of, write_segment
from cerberus_trader.journal.store import DAMAGE, Store, connect_reader, failure

DAY_NS = 86_400_000_000_000
SWEEP_ROWS = 512
"""Rows that leave the file in one transaction."""


class Stretch(NamedTuple):
    """Name the rows that become one segment."""

    first_seq: int
    last_seq: int


def plan_seals(reader: JournalReader, rows_max: int) -> list[Stretch]:
    """Find the stretches that may be sealed: whole UTC days, and any `rows_max` rows.

    A day is finished once a row of a later day follows it.
    """
    stream = reader.meta.stream
    anchor = read_anchor(reader.folder)
    try:
        with closing(connect_reader(reader.path)) as connection:
            connection.execute("BEGIN")
            head = last_head(connection, stream)
            first = head.last_seq + 1 if head is not None else 1
            limit = _boundary(connection, stream, first, anchor.seq if anchor is not None else 0)
            return list(_stretches(connection, stream, first, limit, rows_max))
    except DAMAGE as error:
        raise failure(error, reader.path, DOING) from error


def _boundary(connection: sqlite3.Connection, stream: str, first: int, anchor_seq: int) -> int:
    """Return the last row that may leave the file: those from a kept snapshot on stay."""
    (oldest,) = connection.execute(
        "SELECT min(seq) FROM snapshots WHERE stream = ? AND seq >= ?", (stream, first)
    ).fetchone()
    return min(oldest or 0, anchor_seq) - 1


def _stretches(
    connection: sqlite3.Connection, stream: str, first: int, limit: int, rows_max: int
) -> Iterator[Stretch]:
    while first <= limit:
        day_end = _end_of_day(connection, stream, first, limit)
        last = min(day_end, first + rows_max - 1)
        if last == limit and last - first + 1 < rows_max and not _day_ends_at(
            connection, stream, last
        ):  # fmt: skip
            return
        yield Stretch(first, last)
        first = last + 1


def _day(connection: sqlite3.Connection, stream: str, seq: int) -> int:
    (ts_ns,) = connection.execute(
        "SELECT ts_ns FROM journal WHERE stream = ? AND seq = ?", (stream, seq)
    ).fetchone()
    return int(ts_ns) // DAY_NS


def _day_ends_at(connection: sqlite3.Connection, stream: str, seq: int) -> bool:
    return _day(connection, stream, seq) != _day(connection, stream, seq + 1)


def _end_of_day(connection: sqlite3.Connection, stream: str, first: int, limit: int) -> int:
    """Find the last row, up to the limit, of the day of the first one: time never runs back."""
    day, low, high = _day(connection, stream, first), first, limit
    while low < high:
        middle = (low + high + 1) // 2
        if _day(connection, stream, middle) == day:
            low = middle
        else:
            high = middle - 1
    return low


def seal(reader: JournalReader, stretch: Stretch) -> Head:
    """Write a stretch as a segment, checked against the chain; return its head.

    Changes nothing in the journal file. Raises `JournalError` for rows that do not verify, or a
    disk that refuses.
    """
    first, last = stretch
    before = reader.hash_at(first - 1) if first > 1 else None
    prev_hash = before or genesis(reader.meta.engine_id)
    chain = Chain(reader.meta.stream, prev_hash)
    source = checked(reader.rows(first - 1, last), chain, first - 1, str(reader.path))
    times: list[int] = []

    def seen() -> Iterator[Row]:
        for row in source:
            times[1:] = [row.ts_ns] if times else [row.ts_ns, row.ts_ns]
            yield row

    path = path_of(reader.folder, first, last)
    meta = reader.meta
    footer = Footer(VERSION, "rows", meta.stream, meta.engine_id, first, last, 0)
    try:
        written = write_segment(path, seen(), footer)
    except OSError as error:
        raise failure(error, path, "sealing a segment") from error
    if written.rows != last - first + 1:
        raise JournalError(
            f"rows {first} to {last} are not all there.", code="JOURNAL_DAMAGED",
            place=str(reader.path), fix="run `cerberus journal verify`.",
        )  # fmt: skip
    return Head(
        first, last, written.rows, prev_hash, chain.head, times[0], times[-1], written.size,
        written.digest,
    )  # fmt: skip


def record(store: Store, head: Head) -> None:
    """Commit a head: from here on its rows are read from the segment.

    Raises `JournalError` where it does not continue the heads before it, or does not end like
    the rows in the file.
    """
    connection, stream = store.connection, store.meta.stream
    before = last_head(connection, stream)
    expected = before.last_seq + 1 if before is not None else 1
    prev_hash = before.last_hash if before is not None else None
    prev_hash = prev_hash or genesis(store.meta.engine_id)
    fault = heads_module.fault_of_head(head, expected, prev_hash)
    if not fault and heads_module.hash_at(connection, stream, head.last_seq) != head.last_hash:
        fault = f"row {head.last_seq} is not the one that the segment ends with"
    if fault:
        raise JournalError(
            f"{fault}.", code="JOURNAL_SEGMENT", place=str(store.path),
            fix="run `cerberus journal verify`.",
        )  # fmt: skip
    marks = ", ".join("?" * (len(head) + 1))
    connection.execute(
        f"INSERT INTO segments (stream, {heads_module.COLUMNS}) VALUES ({marks})", (stream, *head)
    )


def sweep(store: Store, rows_max: int = SWEEP_ROWS) -> int:
    """Take some rows that are in segments out of the file; return how many went."""
    connection, stream = store.connection, store.meta.stream
    head = last_head(connection, stream)
    if head is None:
        return 0
    found = connection.execute(
        "SELECT min(seq), max(seq) FROM (SELECT seq FROM journal WHERE stream = ? AND seq <= ?"
        " ORDER BY seq LIMIT ?)",
        (stream, head.last_seq, rows_max),
    ).fetchone()
    if found[0] is None:
        return 0
    gone = connection.execute(
        "DELETE FROM journal WHERE stream = ? AND seq BETWEEN ? AND ?", (stream, *found)
    ).rowcount
    store.bytes_since_checkpoint += 256 * gone
    return gone


def live_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the journal file that are in use: freed pages are used again."""
    (pages,), (free,), (size,) = (
        connection.execute(f"PRAGMA {name}").fetchone()
        for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def read_sizes(reader: JournalReader) -> tuple[int, list[Head]]:
    """Return the bytes in use of the file, and every head."""
    try:
        with closing(connect_reader(reader.path)) as connection:
            connection.execute("BEGIN")
            return live_bytes(connection), read_heads(connection, reader.meta.stream)
    except DAMAGE as error:
        raise failure(error, reader.path, DOING) from error


def last_ts_ns(reader: JournalReader) -> int:
    """Return the engine's time of the newest row; 0 without rows."""
    try:
        with closing(connect_reader(reader.path)) as connection:
            found = connection.execute(
                "SELECT ts_ns FROM journal WHERE stream = ? ORDER BY seq DESC LIMIT 1",
                (reader.meta.stream,),
            ).fetchone()
    except DAMAGE as error:
        raise failure(error, reader.path, DOING) from error
    return int(found[0]) if found is not None else 0
