"""Reading a journal without writing it: rows, snapshots, identity."""

from collections.abc import Iterator
from pathlib import Path

from cerberus_trader.journal import snapshots
from cerberus_trader.journal.chain import Chain, checked, genesis
from cerberus_trader.journal.rows import Restored, Row
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

    Raises `JournalError` where the file is absent, damaged, foreign, or newer.
    """

    def __init__(self, folder: Path) -> None:
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
        connection = connect_reader(self.path)
        try:
            cursor = connection.execute(
                f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND seq > ? AND seq <= ?"
                " ORDER BY seq",
                (self.meta.stream, after_seq, through_seq),
            )
            for values in cursor:
                yield Row(*values)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        finally:
            connection.close()

    def newest(self, kind: str, limit: int, through_seq: int = 2**62) -> list[Row]:
        """Read the rows of one kind, the newest first, `limit` at most."""
        connection = connect_reader(self.path)
        try:
            cursor = connection.execute(
                f"SELECT {COLUMNS} FROM journal WHERE stream = ? AND seq <= ? AND kind = ?"
                " ORDER BY seq DESC LIMIT ?",
                (self.meta.stream, through_seq, kind, limit),
            )
            return [Row(*values) for values in cursor]
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        finally:
            connection.close()

    def verified_rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read rows in order, each checked against the one before it."""
        head = genesis(self.meta.engine_id)
        if after_seq:
            head = next((row.hash for row in self.rows(after_seq - 1, after_seq)), b"")
        chain = Chain(self.meta.stream, head)
        return checked(self.rows(after_seq), chain, after_seq, str(self.path))

    def restore(self) -> Restored:
        """Read the newest snapshot that verifies and the rows after it."""
        connection = connect_reader(self.path)
        try:
            snapshot, skipped = snapshots.load(connection, self.meta.stream)
        except DAMAGE as error:
            raise failure(error, self.path, DOING) from error
        finally:
            connection.close()
        after = snapshot.seq if snapshot else 0
        return Restored(snapshot, self.verified_rows(after), tuple(skipped))
