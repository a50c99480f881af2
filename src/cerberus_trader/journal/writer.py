"""The journal's two threads: one commits what arrived, one syncs behind and moves the anchor.

The batch is whatever arrived during the last commit; nothing lingers. Where durability is a
hand-over to the system, a single row that somebody waits for is written by the caller itself while
the writer is idle: waking a thread and being woken by it costs more. The first error of any thread
poisons the journal: the watermark never moves again, nothing is retried, and every later
append raises.
"""

import os
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import snapshots
from cerberus_trader.journal.anchor import Anchor, AnchorFile
from cerberus_trader.journal.store import Entry, JournalOptions, Store, failure, wal_path

T = TypeVar("T")

BATCH_ROWS_MAX = 1_024
IDLE_CHECKPOINT_SHARE = 4
STOP_POLL_S = 0.2
STOP_S = 30.0
"""How long a disk may take to answer at the end."""


class Writer:
    """Commit rows in groups on a thread of its own.

    `on_durable(seq)` and `on_failure(error)` are called on the writer's threads; they must be
    quick and thread-safe (`loop.call_soon_threadsafe` is what they are for).
    """

    def __init__(
        self,
        store: Store,
        anchor: AnchorFile,
        options: JournalOptions,
        on_durable: Callable[[int], object] | None,
        on_failure: Callable[[JournalError], object] | None,
    ) -> None:
        self._store, self._anchor, self._options = store, anchor, options
        self._on_durable, self._on_failure = on_durable, on_failure
        self._queue: SimpleQueue[Entry | None] = SimpleQueue()
        self._snapshots: deque[snapshots.Request] = deque()
        self._jobs: deque[tuple[Callable[[], None], Future[Any]]] = deque()
        self._changed = threading.Condition()
        self._storing = threading.Lock()
        self._stopping = threading.Event()
        self.committed: tuple[int, bytes] = (store.last_seq, store.chain.head)
        self._anchored = self.committed  # taken here: a row may be committed before a thread runs
        self.bytes_written = 0
        self.failure: JournalError | None = None
        self.put = self._queue.put
        self._threads = [
            threading.Thread(target=self._guarded, args=(run, doing), name=name, daemon=True)
            for run, doing, name in (
                (self._write_until_stopped, "writing the journal", "journal-writer"),
                (self._sync_until_stopped, "syncing the journal", "journal-sync"),
            )
        ]
        for thread in self._threads:
            thread.start()

    @property
    def durable_seq(self) -> int:
        """Number of the last durable row."""
        return self.committed[0]

    def snapshot(self, request: snapshots.Request) -> None:
        """Store a snapshot once its row is committed."""
        self._snapshots.append(request)
        self.put(None)

    def maintain(self, job: Callable[[Store], T], done: "Future[T]") -> None:
        """Run a job on the writer's thread, between batches; fails once the writer has ended."""
        self._jobs.append((lambda: run_job(self._store, job, done), done))
        self.put(None)
        if self.failure is not None or not self._threads[0].is_alive():
            self._give_up_jobs()

    def _give_up_jobs(self) -> None:
        while self._jobs:
            _, done = self._jobs.popleft()
            error = self.failure or failure(RuntimeError("closed"), self._store.path, "upkeep")
            if done.set_running_or_notify_cancel():
                done.set_exception(error)

    def write_at_once(self, entry: Entry) -> bool:
        """Write a row on the calling thread, if the writer has nothing to do; tell whether.

        A failure poisons the journal, as on the writer's thread.
        """
        if not self._storing.acquire(blocking=False):
            return False
        try:
            overdue = self._checkpoint_wanted(idle=False)
            if overdue or self._store.last_seq != entry[0] - 1 or self.failure is not None:
                return False
            self._guarded(lambda: self._write([entry]), "writing the journal")
            if self._checkpoint_wanted(idle=True):
                self.put(None)  # the writer's thread does that
        finally:
            self._storing.release()
        return True

    def wait(self, ready: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until a condition on the watermark holds; raises the journal's failure."""
        with self._changed:
            self._changed.wait_for(lambda: ready() or self.failure is not None, timeout_s)
        if ready():
            return True
        if self.failure is not None:
            raise self.failure
        return False

    def stop(self) -> bool:
        """Commit everything that was put, sync it, anchor it, and end both threads.

        After a failure a thread may be stuck in the disk: then give up soon and return False. A
        disk that does not answer for `STOP_S` has failed: nobody is left to hear another signal.
        """
        self._stopping.set()
        self.put(None)
        until_s = time.monotonic() + STOP_S
        for thread in self._threads:
            while thread.is_alive() and self.failure is None:
                thread.join(STOP_POLL_S)
                if time.monotonic() > until_s:
                    self.poison(TimeoutError("the disk does not answer"), "stopping")
        for thread in self._threads:
            thread.join(STOP_POLL_S)
        return not any(thread.is_alive() for thread in self._threads)

    def poison(self, error: BaseException, doing: str) -> None:
        """Record the first failure; everything waiting wakes up, and nothing moves again."""
        with self._changed:
            if self.failure is not None:
                return
            self.failure = failure(error, self._store.path, doing)
            self._changed.notify_all()
        if self._on_failure is not None:
            self._on_failure(self.failure)

    def _guarded(self, run: Callable[[], object], doing: str) -> None:
        ended = False
        try:
            run()
            ended = True
        except (sqlite3.Error, OSError) as error:
            self.poison(error, doing)
        finally:
            # Anything else is a fault of ours: the thread's hook reports it, and the journal is
            # poisoned all the same, because nobody writes any more.
            if not ended and self.failure is None:
                self.poison(RuntimeError("the thread ended unexpectedly"), doing)
            if self.failure is not None:
                self._give_up_jobs()

    def _write_until_stopped(self) -> None:
        queue, store = self._queue, self._store
        while True:
            first = queue.get()
            waiting = min(queue.qsize(), BATCH_ROWS_MAX - 1)
            taken = [first, *(queue.get_nowait() for _ in range(waiting))]
            batch = [entry for entry in taken if entry is not None]
            if self.failure is not None:
                return
            with self._storing:
                if batch and self._write(batch) and self._on_durable is not None:
                    self._on_durable(self.committed[0])
                self._save_snapshots()
                while self._jobs:
                    self._jobs.popleft()[0]()
                idle = queue.empty()
                if idle and self._stopping.is_set():
                    return
                if self._checkpoint_wanted(idle):
                    store.checkpoint()

    def _checkpoint_wanted(self, idle: bool) -> bool:
        """Tell whether it is time; rather while nobody waits for the watermark."""
        share = IDLE_CHECKPOINT_SHARE if idle else 1
        return self._store.bytes_since_checkpoint * share > self._options.checkpoint_bytes

    def _write(self, batch: list[Entry]) -> bool:
        """Write a batch and move the watermark; tell whether it moved: nothing may have failed."""
        self._store.write(batch)
        with self._changed:
            if self.failure is not None:
                return False
            self.bytes_written += sum(len(entry[3]) for entry in batch)
            self.committed = (self._store.last_seq, self._store.chain.head)
            self._changed.notify_all()
        return True

    def _save_snapshots(self) -> None:
        while self._snapshots and self._snapshots[0].seq <= self._store.last_seq:
            request = self._snapshots.popleft()
            if request.seq < self._store.last_seq:
                chain_hash = self._hash_of(request.seq)
            else:
                chain_hash = self._store.chain.head
            snapshots.save(
                self._store.connection,
                self._store.meta.stream,
                request,
                chain_hash,
                self._options.snapshots_kept,
            )

    def _hash_of(self, seq: int) -> bytes:
        row = self._store.connection.execute(
            "SELECT hash FROM journal WHERE stream = ? AND seq = ?",
            (self._store.meta.stream, seq),
        ).fetchone()
        return bytes(row[0])

    def _sync_until_stopped(self) -> None:
        log = os.open(wal_path(self._store.path), os.O_RDWR | os.O_CLOEXEC)
        try:
            while True:
                stopping = self._stopping.wait(self._options.sync_interval_s)
                while stopping and self.failure is None and self._threads[0].is_alive():
                    self._threads[0].join(STOP_POLL_S)
                if self.failure is not None:
                    return
                reached = self.committed
                if reached != self._anchored:
                    if self._options.durability == "process":
                        os.fdatasync(log)
                    self._anchor.write(Anchor(self._store.meta.stream, *reached))
                    self._anchored = reached
                if stopping:
                    return
        finally:
            os.close(log)


def run_job(store: Store, job: Callable[[Store], T], done: "Future[T]") -> None:
    """Run a job and hand over its result; only a `JournalError` may pass without consequences.

    One whose asker has gone (an engine that stops during upkeep) is left out.
    """
    if not done.set_running_or_notify_cancel():
        return
    try:
        done.set_result(job(store))
    except (JournalError, sqlite3.Error, OSError) as error:
        if store.connection.in_transaction:
            store.connection.execute("ROLLBACK")
        done.set_exception(error)
        if not isinstance(error, JournalError):
            raise
    finally:
        if not done.done():
            fault = RuntimeError("the job ended unexpectedly")
            done.set_exception(failure(fault, store.path, "upkeep of the journal"))
