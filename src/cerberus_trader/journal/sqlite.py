"""The journal on disk: one SQLite file, one writer, a durable watermark, an anchor."""

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import snapshots
from cerberus_trader.journal.anchor import (
    STREAM_BYTES_MAX,
    Anchor,
    AnchorFile,
    read_anchor,
    sync_folder,
)
from cerberus_trader.journal.chain import genesis
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Restored, Row
from cerberus_trader.journal.store import (
    JOURNAL_NAME,
    Entry,
    JournalOptions,
    Store,
    failure,
    open_store,
)
from cerberus_trader.journal.writer import Writer, run_job

T = TypeVar("T")

DIRECT_ROWS = 512
DIRECT_BYTES = 2**20


class SqliteJournal:
    """Append rows to a folder's journal.db; called by one engine thread.

    Opening refuses, with `JournalError` (exit code 3), a folder in use, a damaged or newer
    file, and a journal shorter than its anchor. With durability "none" the engine's thread
    writes big batches itself, and the journal is durable once closed.
    """

    def __init__(
        self,
        folder: Path,
        *,
        stream: str = "main",
        engine_id: str | None = None,
        engine_version: str = "",
        options: JournalOptions | None = None,
        on_durable: Callable[[int], object] | None = None,
        on_failure: Callable[[JournalError], object] | None = None,
    ) -> None:
        self._options = options or JournalOptions()
        self._folder = folder
        self._closed = False
        _check_stream(stream, folder)
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise failure(error, folder, "opening the folder") from error
        try:
            self._store, self._anchor = _open_anchored(
                folder, stream, engine_id, engine_version, self._options
            )
        except OSError as error:
            self._lock.release()
            raise failure(error, folder, "opening the journal") from error
        except JournalError:
            self._lock.release()
            raise
        self.stream = stream
        self.engine_id = self._store.meta.engine_id
        self.meta = self._store.meta
        self._seq = self._store.last_seq
        self._bytes = 0
        self._direct: list[Entry] = []
        self._writer: Writer | None = None
        self._failure: JournalError | None = None
        if self._options.durability != "none":
            self._writer = Writer(self._store, self._anchor, self._options, on_durable, on_failure)
            self._put = self._writer.put
        self._at_once = self._options.durability == "process"
        self._seq_limit = self._seq + self._options.queue_rows_max
        self._bytes_limit = self._options.queue_bytes_max

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        """Queue one row and return its number; does not wait for the disk.

        With durability "process" an urgent row is handed to the system at once, if the writer is
        idle: it is then durable when this returns, and `on_durable` is not called for it.
        A full queue blocks for `block_s` and then raises `JournalError`, as does every append
        after a failed write.
        """
        seq = self._seq + 1
        writer = self._writer
        if writer is None:
            return self._append_direct(ts_ns, kind, body)
        if writer.failure is not None:
            raise writer.failure
        size = self._bytes + len(body)
        if seq > self._seq_limit or size > self._bytes_limit:
            self._make_room(writer, seq, size)
        self._bytes = size
        self._seq = seq
        entry = (seq, ts_ns, kind, body)
        if not (urgent and self._at_once and writer.write_at_once(entry)):
            self._put(entry)
        return seq

    def _make_room(self, writer: Writer, seq: int, size: int) -> None:
        """Move the queue's limits up to what is written by now; wait where that is not enough."""
        options = self._options

        def fits() -> bool:
            self._seq_limit = writer.durable_seq + options.queue_rows_max
            self._bytes_limit = writer.bytes_written + options.queue_bytes_max
            # a single row above the limit passes alone, once everything before it is written
            alone = writer.durable_seq == seq - 1
            return seq <= self._seq_limit and (size <= self._bytes_limit or alone)

        if not fits() and not writer.wait(fits, options.block_s):
            error = TimeoutError(f"the queue stayed full for {options.block_s} s")
            writer.poison(error, "writing the journal")
            assert writer.failure is not None
            raise writer.failure

    def _append_direct(self, ts_ns: int, kind: str, body: bytes) -> int:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise _closed(self._folder)
        self._seq = seq = self._seq + 1
        self._bytes += len(body)
        self._direct.append((seq, ts_ns, kind, body))
        if len(self._direct) >= DIRECT_ROWS or self._bytes >= DIRECT_BYTES:
            self._write_direct()
        return seq

    def _write_direct(self) -> None:
        if not self._direct or self._failure is not None:
            return
        try:
            self._store.write(self._direct)
            if self._store.bytes_since_checkpoint > self._options.checkpoint_bytes:
                self._store.checkpoint()
        except (sqlite3.Error, OSError) as error:
            self._failure = failure(error, self._store.path, "writing the journal")
            raise self._failure from error
        self._direct, self._bytes = [], 0

    def save_snapshot(
        self, ts_ns: int, engine_version: str, state_hash: bytes, state: bytes
    ) -> None:
        """Queue the state after the last appended row; stored once that row is committed."""
        if self._seq == 0:
            return
        request = snapshots.Request(self._seq, ts_ns, engine_version, state_hash, state)
        if self._writer is not None:
            self._writer.snapshot(request)
            return
        self._write_direct()
        store = self._store
        snapshots.save(
            store.connection, self.stream, request, store.chain.head, self._options.snapshots_kept
        )

    def maintain(self, job: Callable[[Store], T]) -> "Future[T]":
        """Run a job on the writing connection, between batches; it must be short.

        A `JournalError` of the job is its result; an error of the database or disk poisons the
        journal like any other failed write.
        """
        if self._closed:
            raise _closed(self._folder)
        done: Future[T] = Future()
        if self._writer is not None:
            self._writer.maintain(job, done)
            return done
        self._write_direct()
        run_job(self._store, job, done)
        return done

    def wait_durable(self, seq: int, timeout_s: float) -> bool:
        """Wait until the row is durable; False after the timeout; raises after a failure."""
        writer = self._writer
        if writer is None:
            return seq <= self.durable_seq
        return writer.wait(lambda: writer.durable_seq >= seq, timeout_s)

    def restore(self) -> Restored:
        """Read the newest snapshot that verifies and the rows after it (closed journals too)."""
        self._flush()
        return JournalReader(self._folder).restore()

    def rows(self, after_seq: int = 0) -> Iterator[Row]:
        """Read the committed rows after `after_seq`, through a connection of their own."""
        self._flush()
        return JournalReader(self._folder).rows(after_seq)

    def _flush(self) -> None:
        if self._writer is None and not self._closed:
            self._write_direct()

    def close(self) -> None:
        """Write, sync and anchor everything appended, then release the folder.

        Raises `JournalError` when the journal failed before or does now; the folder is released
        all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            self._finish()
        finally:
            self._anchor.close()
            self._lock.release()

    def _finish(self) -> None:
        ended = True
        if self._writer is not None:
            ended = self._writer.stop()
            self._failure = self._writer.failure
        else:
            self._write_direct_at_close()
        if self._failure is not None:
            if ended:
                self._store.abandon()
            raise self._failure
        try:
            self._store.finish()
            if self._writer is None:
                self._anchor.write(Anchor(self.stream, self._store.last_seq, self.last_hash))
        except (sqlite3.Error, OSError) as error:
            self._failure = failure(error, self._store.path, "closing the journal")
            raise self._failure from error
        if self._writer is not None:
            self._writer.failure = _closed(self._folder)

    def _write_direct_at_close(self) -> None:
        try:
            self._write_direct()
        except JournalError:
            return  # recorded; close raises it once the file is abandoned

    def __enter__(self) -> "SqliteJournal":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def last_seq(self) -> int:
        """Number of the last appended row; 0 when there is none."""
        return self._seq

    @property
    def last_hash(self) -> bytes:
        """Chain hash of the last row written so far."""
        if self._writer is not None:
            return self._writer.committed[1]
        self._flush()
        return self._store.chain.head

    @property
    def durable_seq(self) -> int:
        """Durable watermark; with durability "none" the last row, until a write fails."""
        if self._writer is not None:
            return self._writer.durable_seq
        return self._seq if self._failure is None else self._store.last_seq

    @property
    def failure(self) -> JournalError | None:
        """The error that poisoned the journal, if any."""
        return self._failure if self._writer is None else self._writer.failure


def _check_stream(stream: str, folder: Path) -> None:
    if not 0 < len(stream.encode()) <= STREAM_BYTES_MAX:
        raise JournalError(
            f"a stream's name has 1 to {STREAM_BYTES_MAX} bytes.",
            code="JOURNAL_STREAM",
            place=str(folder),
            fix="choose another name for the account's stream.",
        )


def _closed(folder: Path) -> JournalError:
    return JournalError(
        "the journal is closed.", code="JOURNAL_CLOSED", place=str(folder), fix="open it again."
    )


def _open_anchored(
    folder: Path, stream: str, engine_id: str | None, engine_version: str, options: JournalOptions
) -> tuple[Store, AnchorFile]:
    anchor = read_anchor(folder)
    path = folder / JOURNAL_NAME
    if anchor is not None and (not path.exists() or not path.stat().st_size):
        raise shorter(path, 0, anchor)
    store = open_store(
        folder, stream, engine_id, engine_version, options, anchored=anchor is not None
    )
    try:
        check_anchor(store, anchor)
        # The log exists from here on, in its folder's entry too, whatever the durability.
        sync_folder(folder)
        file = AnchorFile(folder)
        if anchor is None:
            file.write(Anchor(stream, 0, genesis(store.meta.engine_id)))
    except (JournalError, OSError):
        store.connection.close()
        raise
    return store, file


def check_anchor(store: Store, anchor: Anchor | None) -> None:
    """Raise `JournalError` unless the journal continues the history that its anchor names."""
    path, meta = store.path, store.meta
    if anchor is None:
        if store.last_seq:
            raise JournalError(
                f"the journal has {store.last_seq} rows but no anchor.",
                code="JOURNAL_ANCHOR",
                place=str(path),
                fix="restore the anchor, or run `cerberus journal verify --accept`.",
            )
        return
    if anchor.seq > store.last_seq:
        raise shorter(path, store.last_seq, anchor)
    digest = genesis(meta.engine_id)
    if anchor.seq:
        digest = JournalReader(path.parent).hash_at(anchor.seq) or b""
    if anchor.stream != meta.stream or digest != anchor.hash:
        raise JournalError(
            f"row {anchor.seq} is not the one that the anchor names.",
            code="JOURNAL_ANCHOR",
            place=str(path),
            fix="journal and anchor belong to different histories: restore both from one backup.",
        )


def shorter(path: Path, last_seq: int, anchor: Anchor) -> JournalError:
    """Say that rows known to be durable are gone."""
    return JournalError(
        f"the journal ends at row {last_seq}, but its anchor names row {anchor.seq}.",
        code="JOURNAL_SHORT",
        place=str(path),
        fix="restore the journal from a backup; `cerberus journal verify --accept` takes the"
        " shorter history, after the venue's records were compared.",
    )
