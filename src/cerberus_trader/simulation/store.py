"""The simulated store: rows become durable in transactions, and a crash loses what was not.

It models what SQLite promises (its own safety is tested with the real thing): a transaction is
there or it is not. A crash keeps any number of whole transactions that were under way.
"""

import asyncio
from collections.abc import Callable, Iterator
from random import Random

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.chain import Chain, genesis
from cerberus_trader.journal.rows import Restored, Row, Snapshot


class Disk:
    """Keep what is durable, across the lives of the engine."""

    def __init__(self, engine_id: str) -> None:
        self.engine_id = engine_id
        self.rows: list[Row] = []
        self.snapshot: Snapshot | None = None
        self.syncs = 0
        self.times: list[float] = []
        """When each row became durable, in virtual seconds."""
        self.appended: list[float] = []
        """When each of them was written."""
        self.lost: list[Row] = []
        """The rows that a restored backup did not have."""

    def restore_backup(self, rows: int) -> None:
        """Go back to a history of so many rows; the venue does not."""
        self.lost += self.rows[rows:]
        for listed in (self.rows, self.times, self.appended):
            del listed[rows:]
        if self.snapshot is not None and self.snapshot.seq > rows:
            self.snapshot = None


class SimJournal:
    """Write for one life of the engine.

    `delay` draws how long a sync takes in seconds; it may raise `JournalError` for a disk that
    fails. `before_sync` and `after_sync` are called around each one: the places of crashes.
    """

    stream = "main"

    def __init__(
        self, disk: Disk, rng: Random, delay: Callable[[], float],
        on_durable: Callable[[int], None], on_failure: Callable[[JournalError], None],
    ) -> None:  # fmt: skip
        self.disk = disk
        self.rng = rng
        self.delay = delay
        self.on_durable = on_durable
        self.on_failure = on_failure
        self.before_sync: Callable[[], None] = _nothing
        self.after_sync: Callable[[], None] = _nothing
        self.engine_id = disk.engine_id
        head = disk.rows[-1].hash if disk.rows else genesis(disk.engine_id)
        self._chain = Chain(self.stream, head)
        self._pending: list[Row] = []
        self._written: list[float] = []
        self._snapshot: Snapshot | None = None
        self._syncing: asyncio.Task[None] | None = None
        self._dead = False

    # -- the journal's promises ------------------------------------------------------------

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        """Append a row to the transaction that is gathering."""
        if self._is_dead():
            raise JournalError("the journal is dead.", code="JOURNAL_DEAD")
        seq = self.last_seq + 1
        digest = self._chain.link(seq, ts_ns, kind, body)
        self._pending.append(Row(self.stream, seq, ts_ns, kind, body, digest))
        self._written.append(asyncio.get_running_loop().time())
        if self._syncing is None:
            self._syncing = asyncio.ensure_future(self._sync())
        return seq

    def save_snapshot(
        self, ts_ns: int, engine_version: str, state_hash: bytes, state: bytes
    ) -> None:
        """Keep a snapshot once its row is durable."""
        self._snapshot = Snapshot(
            self.last_seq, ts_ns, engine_version, state_hash, self._chain.head, state
        )
        self._keep_snapshot()

    def _keep_snapshot(self) -> None:
        if self._snapshot is not None and self._snapshot.seq <= self.durable_seq:
            self.disk.snapshot, self._snapshot = self._snapshot, None

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Tell whether the row is durable."""
        return seq <= self.durable_seq

    def restore(self) -> Restored:
        """Give the newest snapshot and the rows after it."""
        snapshot = self.disk.snapshot
        return Restored(snapshot, self.rows(snapshot.seq if snapshot else 0), ())

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read the durable rows after a number."""
        return iter(self.disk.rows[after_seq:])

    def close(self) -> None:
        """Make everything appended durable."""
        self._commit(self._pending)
        self._pending = []

    @property
    def last_seq(self) -> int:
        return len(self.disk.rows) + len(self._pending)

    @property
    def last_hash(self) -> bytes:
        return self._chain.head

    @property
    def durable_seq(self) -> int:
        return len(self.disk.rows)

    # -- the disk --------------------------------------------------------------------------

    async def _sync(self) -> None:
        """Write batch after batch while there are any."""
        while self._pending and not self._is_dead():
            try:
                delay = self.delay()
            except JournalError as error:
                self._dead = True
                self.on_failure(error)
                return
            batch = len(self._pending)
            self.before_sync()
            await asyncio.sleep(delay)
            if self._is_dead():
                return
            done, self._pending = self._pending[:batch], self._pending[batch:]
            self._commit(done)
            self.after_sync()
            if self._is_dead():
                return
            self.on_durable(self.durable_seq)
        self._syncing = None

    def _commit(self, rows: list[Row]) -> None:
        self.disk.rows.extend(rows)
        self.disk.appended.extend(self._written[: len(rows)])
        del self._written[: len(rows)]
        self._keep_snapshot()
        now = asyncio.get_running_loop().time()
        self.disk.times.extend([now] * len(rows))
        self.disk.syncs += 1

    def _is_dead(self) -> bool:
        return self._dead

    def crash(self) -> None:
        """Die: of what was pending, any number of the oldest rows may have reached the disk."""
        if self._is_dead():
            return
        self._dead = True
        if self._syncing is not None:
            self._syncing.cancel()
        self._commit(self._pending[: self.rng.randint(0, len(self._pending))])
        self._pending = []


def _nothing() -> None:
    """Do nothing."""
