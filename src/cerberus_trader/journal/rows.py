"""The row of a journal, and what every journal promises to its writer."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol


class Row(NamedTuple):
    """Hold one journal row: one event with all its facts, as stored.

    `seq` counts from 1 without gaps within a stream; `ts_ns` is the engine's time (UTC);
    `body` is opaque to the journal; `hash` (32 bytes) chains the row to the one before it.
    """

    stream: str
    seq: int
    ts_ns: int
    kind: str
    body: bytes
    hash: bytes


class Snapshot(NamedTuple):
    """Hold the engine's state after row `seq`, as opaque bytes.

    `state_hash` is the engine's own hash of that state; `chain_hash` is the hash of row `seq`,
    which ties the snapshot to one history.
    """

    seq: int
    ts_ns: int
    engine_version: str
    state_hash: bytes
    chain_hash: bytes
    state: bytes


class Restored(NamedTuple):
    """Hold what recovery folds: a snapshot (or None), the rows after it, and what was skipped.

    `rows` verifies the chain while it is read and raises `JournalError` at the first bad row.
    `skipped` says in one sentence each which newer snapshots did not verify, and why.
    """

    snapshot: Snapshot | None
    rows: Iterator[Row]
    skipped: tuple[str, ...]


Durable = Callable[[int], object]


class Journal(Protocol):
    """Append rows and say when they are durable; used by one engine thread."""

    engine_id: str
    stream: str

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        """Append one row and return its number; never waits for the disk.

        Of an `urgent` row somebody waits for the durable watermark, and no other row follows.
        """

    def save_snapshot(
        self, ts_ns: int, engine_version: str, state_hash: bytes, state: bytes
    ) -> None:
        """Store the state after the last appended row."""

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Wait until the row is durable; False when the time ran out first."""

    def restore(self) -> Restored:
        """Read the newest snapshot that verifies and the rows after it."""

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read the rows after `after_seq` in order."""

    def close(self) -> None:
        """Make everything appended durable and release the journal."""

    @property
    def last_seq(self) -> int:
        """Number of the last appended row; 0 when there is none."""

    @property
    def last_hash(self) -> bytes:
        """Chain hash of the last written row (the genesis hash when there is none)."""

    @property
    def durable_seq(self) -> int:
        """Durable watermark: the number of the last row that a crash cannot take away."""
