"""A journal in memory: the default of a replay, and of tests."""

from collections.abc import Iterator

from cerberus_trader.journal.chain import Chain, genesis
from cerberus_trader.journal.rows import Restored, Row, Snapshot


class MemoryJournal:
    """Keep chained rows in a list; every row counts as durable at once.

    Given the same engine id, stream and rows, the hashes equal those of a journal on disk.
    """

    def __init__(self, *, stream: str = "main", engine_id: str = "memory") -> None:
        self.stream = stream
        self.engine_id = engine_id
        self._chain = Chain(stream, genesis(engine_id))
        self._rows: list[tuple[int, str, bytes, bytes]] = []
        self._snapshot: Snapshot | None = None

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        """Append one row and return its number."""
        rows = self._rows
        seq = len(rows) + 1
        rows.append((ts_ns, kind, body, self._chain.link(seq, ts_ns, kind, body)))
        return seq

    def save_snapshot(
        self, ts_ns: int, engine_version: str, state_hash: bytes, state: bytes
    ) -> None:
        """Keep the state after the last row; an older one is dropped."""
        self._snapshot = Snapshot(
            len(self._rows), ts_ns, engine_version, state_hash, self._chain.head, state
        )

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Tell whether the row exists: memory has nothing to wait for."""
        return seq <= len(self._rows)

    def restore(self) -> Restored:
        """Give the last snapshot and the rows after it."""
        snapshot = self._snapshot
        return Restored(snapshot, self.rows(snapshot.seq if snapshot else 0), ())

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read the rows after `after_seq` in order."""
        for index in range(after_seq, len(self._rows)):
            ts_ns, kind, body, digest = self._rows[index]
            yield Row(self.stream, index + 1, ts_ns, kind, body, digest)

    def close(self) -> None:
        """Do nothing: the rows stay readable."""

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def last_seq(self) -> int:
        """Number of the last row; 0 when there is none."""
        return len(self._rows)

    @property
    def last_hash(self) -> bytes:
        """Chain hash of the last row."""
        return self._chain.head

    @property
    def durable_seq(self) -> int:
        """Number of the last row."""
        return len(self._rows)
