"""Reading a journal without writing it: rows, snapshots, identity.

Where rows have left the file for sealed segments, reading goes over the segments first; callers
do not notice. What retention deleted is passed over: reading begins with the row after it.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import heads, snapshots
from cerberus_trader.journal.chain import Chain, checked
from cerberus_trader.journal.heads import Head, base_of, read_heads
from cerberus_trader.journal.rows import Restored, Row, Snapshot
from cerberus_trader.journal.segments import path_of, read_segment
from cerberus_trader.journal.store import (
    COLUMNS,
    DAMAGE,
    JOURNAL_NAME,
    connect_reader,
    failure,
    read_meta,
)

DOING = "reading the journal"


class JournalReader:
    """Read a folder's journal; works beside a running engine and takes no lock.

    Raises `JournalError` where the file is absent, damaged, foreign, or newer, and where a
    segment is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / JOURNAL_NAME
        connection = connect_reader(self.path)
        try:
            self.meta = read_meta(connection, self.path)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        finally:
            connection.close()

    def rows(self, after_seq: int = 0, through_seq: int = 2**62) -> Iterator[Row]:
        """Read rows in order, as stored and unverified."""
        at = after_seq
        try:
            while at < through_seq:
                with closing(connect_reader(self.path)) as connection:
                    connection.execute("BEGIN")  # one view of heads and rows
                    sealed = [h for h in self._heads(connection) if h.last_seq > at]
                    if not sealed:
                        yield from self._live(connection, at, through_seq)
                        return
                # Rows may be sealed while segments are read: then look again.
                for head in sealed:
                    if head.first_seq > through_seq:
                        return
                    if not head.deleted:
                        yield from self.segment(head, at, through_seq)
                    at = head.last_seq
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error

    def _live(self, connection: sqlite3.Connection, after: int, through: int) -> Iterator[Row]:
        cursor = connection.execute(
            f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND seq > ? AND seq <= ? ORDER BY seq",
            (self.meta.stream, after, through),
        )
        for values in cursor:
            yield Row(*values)

    def _heads(self, connection: sqlite3.Connection) -> list[Head]:
        return read_heads(connection, self.meta.stream)

    def segment(self, head: Head, after_seq: int = 0, through_seq: int = 2**62) -> Iterator[Row]:
        """Read rows of one sealed segment in order."""
        path = path_of(self.folder, head.first_seq, head.last_seq)
        return read_segment(path, self.meta.stream, after_seq, through_seq)

    def audit(self, head: Head) -> Iterator[Row]:
        """Read the rows that are kept of a deleted segment."""
        if head.audit_digest is None:
            return iter(())
        path = path_of(self.folder, head.first_seq, head.last_seq, "audit")
        return read_segment(path, self.meta.stream)

    def heads(self) -> list[Head]:
        """Read the heads of every segment, deleted ones too."""
        try:
            with closing(connect_reader(self.path)) as connection:
                return self._heads(connection)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error

    def row(self, seq: int) -> Row | None:
        """Read one row, also where only the audit's extract still has it; None for none."""
        found = next(self.rows(seq - 1, seq), None)
        if found is not None:
            return found
        for head in self.heads():
            if head.deleted and head.first_seq <= seq <= head.last_seq:
                return next((row for row in self.audit(head) if row.seq == seq), None)
        return None

    def newest(self, kind: str, through_seq: int = 2**62) -> Iterator[Row]:
        """Read the rows of one kind, the newest first, those kept for the audit too."""
        try:
            with closing(connect_reader(self.path)) as connection:
                connection.execute("BEGIN")
                known = self._heads(connection)
                cursor = connection.execute(
                    f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND seq <= ? AND seq > ?"
                    " AND kind = ? ORDER BY seq DESC",
                    (self.meta.stream, through_seq, known[-1].last_seq if known else 0, kind),
                )
                for values in cursor:
                    yield Row(*values)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        for head in reversed(known):
            if head.first_seq <= through_seq:
                source = self.audit(head) if head.deleted else self.segment(head)
                found = [row for row in source if row.kind == kind and row.seq <= through_seq]
                yield from reversed(found)

    def hash_at(self, seq: int) -> bytes | None:
        """Give the hash of a row, wherever it is; None where there is none."""
        try:
            with closing(connect_reader(self.path)) as connection:
                found = heads.hash_at(connection, self.meta.stream, seq)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        if found is None:
            found = next((row.hash for row in self.rows(seq - 1, seq) if row.seq == seq), None)
        return found

    def base(self) -> tuple[int, bytes]:
        """Give number and hash of the row after which reading begins: 0 unless rows are deleted."""
        return base_of(self.heads(), self.meta.engine_id)

    def verified_rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read rows in order, each checked against the one before it."""
        after, head = self.base()
        if after_seq > after:
            after, head = after_seq, self.hash_at(after_seq) or b""
        chain = Chain(self.meta.stream, head)
        return checked(self.rows(after), chain, after, str(self.path))

    def restore(self) -> Restored:
        """Read the newest snapshot that verifies and the rows after it."""
        snapshot, skipped = self._load(2**62)
        after = snapshot.seq if snapshot else 0
        return Restored(snapshot, self.verified_rows(after), tuple(skipped))

    def beginning(self) -> Restored:
        """Read what the whole readable history folds from, and all of it.

        The snapshot is None for a whole journal, and the one at the end of the deleted rows
        otherwise; raises `JournalError` where that one does not verify.
        """
        base = self.base()[0]
        snapshot, skipped = self._load(base)
        if base and (snapshot is None or snapshot.seq != base):
            raise JournalError(
                f"the snapshot at row {base}, where the history begins, does not verify.",
                code="JOURNAL_SNAPSHOT", place=str(self.path),
                fix="restore the journal from a backup.",
            )  # fmt: skip
        return Restored(snapshot, self.verified_rows(base), tuple(skipped))

    def _load(self, through_seq: int) -> tuple[Snapshot | None, list[str]]:
        try:
            with closing(connect_reader(self.path)) as connection:
                snapshot, skipped = snapshots.load(connection, self.meta.stream, through_seq)
                base = base_of(self._heads(connection), self.meta.engine_id)[0]
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        if snapshot is None and base and through_seq > base:
            raise JournalError(
                f"rows to {base} are deleted, and no snapshot after them verifies.",
                code="JOURNAL_SNAPSHOT", place=str(self.path),
                fix="restore the journal from a backup.",
            )  # fmt: skip
        return snapshot, skipped
