"""The journal file: creating it, refusing a wrong one, and writing batches into it.

Compiled SQL through the standard library only: the engine's process imports no ORM. A store has
one writing connection, used by one thread at a time. That connection alone checkpoints, and
readers open read-only: SQLite before 3.51.3 can damage a file when two connections commit and
checkpoint at the same moment.
"""

import os
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.chain import Chain, fault_of, genesis
from cerberus_trader.journal.heads import last_head
from cerberus_trader.journal.rows import Row

JOURNAL_NAME = "journal.db"
FORMAT_VERSION = 2
WAL_RESET_FIXED = (3, 51, 3)
STEP_ROWS = 16
COPY_BYTES = 2**20
COLUMNS = "stream, seq, ts_ns, kind, body, hash"

# What reading a damaged file raises: SQLite's errors, and texts or numbers that are none.
DAMAGE = (sqlite3.Error, ValueError)

Durability = Literal["power", "process", "none"]
Entry = tuple[int, int, str, bytes]


def _itself(value: Any) -> Any:
    return value


# Of None and bytes the library asks for an adapter each time one is bound, and where there is none
# it tries two other ways, in vain, through an exception: as dear as binding four texts.
sqlite3.register_adapter(type(None), _itself)
sqlite3.register_adapter(bytes, _itself)


@dataclass(frozen=True)
class JournalOptions:
    """Set how a journal writes.

    `durability`: power: synced before the watermark moves; process: handed to the system before,
    synced behind every `sync_interval_s`; none: big batches, one sync at close (replays).
    `pages_max` limits the file (pages of 4 KiB, 0 is off). A full queue blocks the engine for
    `block_s` and then fails.
    """

    durability: Durability = "power"
    queue_rows_max: int = 8_192
    queue_bytes_max: int = 16 * 2**20
    block_s: float = 5.0
    pages_max: int = 0
    snapshots_kept: int = 3
    sync_interval_s: float = 0.5
    checkpoint_bytes: int = 4 * 2**20


class Meta(NamedTuple):
    """Hold what a journal says of itself; `engine_id` is drawn once, at its creation."""

    stream: str
    engine_id: str
    format_version: int
    engine_version: str
    created_ns: int


def library_version() -> dict[str, str | bool]:
    """Name the SQLite library, and whether it has the fix of the log-reset race (3.51.3)."""
    return {
        "sqlite": sqlite3.sqlite_version,
        "wal_reset_fixed": sqlite3.sqlite_version_info >= WAL_RESET_FIXED,
    }


def failure(error: BaseException, place: Path, doing: str) -> JournalError:
    """Turn a database or disk error into a `JournalError` with a code and a fix."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    text = f"{doing} failed: {error} ({name})."
    code, fix = "JOURNAL_IO", "check the disk, then restart; nothing after the watermark counts."
    if "FULL" in name or getattr(error, "errno", 0) == 28:
        code, fix = "JOURNAL_FULL", "free disk space or raise journal.pages_max, then restart."
    elif "CONSTRAINT" in name or "BUSY" in name or "LOCKED" in name:
        code, fix = "JOURNAL_COLLISION", "find and stop the other process that writes this journal."
    elif (
        "NOTADB" in name
        or "CORRUPT" in name
        or "decode" in str(error)
        or isinstance(error, ValueError)
    ):
        code, fix = "JOURNAL_DAMAGED", "restore the journal from a backup."
    return JournalError(text, code=code, place=str(place), fix=fix)


def connect_reader(path: Path) -> sqlite3.Connection:
    """Open a file read-only; raises `JournalError` where it is absent."""
    if not path.is_file():
        raise JournalError(
            "there is no such file.",
            code="JOURNAL_ABSENT",
            place=str(path),
            fix="name the folder of an existing journal.",
        )
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=1.0)
    connection.isolation_level = None
    return connection


@cache
def _insert(count: int) -> str:
    values = ", ".join(["(?, ?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO journal ({COLUMNS}) VALUES {values}"


class Store:
    """Write rows and snapshots of one stream through one connection.

    Methods raise sqlite3.Error and OSError as they come; the caller decides what they mean.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, meta: Meta) -> None:
        self.connection = connection
        self.path = path
        self.meta = meta
        self.last_seq, head = last_row(connection, meta, path)
        self.chain = Chain(meta.stream, head)
        self.bytes_since_checkpoint = 0

    def write(self, batch: Sequence[Entry]) -> None:
        """Chain and commit a batch of (seq, ts_ns, kind, body) in one transaction."""
        execute, stream, link = self.connection.execute, self.meta.stream, self.chain.link
        flat: list[object] = []
        size = 0
        for seq, ts_ns, kind, body in batch:
            flat += (stream, seq, ts_ns, kind, body, link(seq, ts_ns, kind, body))
            size += len(body)
        # A small batch is one statement, which commits itself: each statement more is one more
        # time that this thread gives the interpreter away and has to wait for it.
        if len(batch) <= STEP_ROWS:
            execute(_insert(len(batch)), flat)
        else:
            execute("BEGIN IMMEDIATE")
            width = 6 * STEP_ROWS
            for start in range(0, len(flat), width):
                part = flat[start : start + width]
                execute(_insert(len(part) // 6), part)
            execute("COMMIT")
        self.last_seq = batch[-1][0]
        self.bytes_since_checkpoint += size + 128 * len(batch)

    def checkpoint(self) -> None:
        """Move the log into the database as far as readers allow."""
        self.connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.bytes_since_checkpoint = 0

    def sync(self) -> None:
        """Sync the log, whatever the durability: what is committed outlasts a loss of power."""
        log = os.open(wal_path(self.path), os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fdatasync(log)
        finally:
            os.close(log)

    def finish(self) -> None:
        """Move the whole log into the database, synced whatever the durability, and close."""
        self.connection.execute("PRAGMA synchronous = FULL")
        self.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.connection.close()

    def abandon(self) -> None:
        """Close after a failed write without checkpointing: a failed sync is never repeated.

        The last connection to close would checkpoint; a reader held open meanwhile prevents it.
        """
        guard = None
        try:
            guard = connect_reader(self.path)
            guard.execute("SELECT count(*) FROM meta").fetchone()
        except (sqlite3.Error, OSError, JournalError):
            guard = None  # without a guard the file is left to the end of the process
        if guard is not None:
            self.connection.close()
            guard.close()


def last_row(connection: sqlite3.Connection, meta: Meta, path: Path) -> tuple[int, bytes]:
    """Give number and hash of the last row, verified against the row or segment before it."""
    rows = [
        Row(*values)
        for values in connection.execute(
            f"SELECT {COLUMNS} FROM journal WHERE stream = ? ORDER BY seq DESC LIMIT 2",
            (meta.stream,),
        )
    ]
    if not rows:
        return 0, genesis(meta.engine_id)
    last = rows[0]
    before, seq = genesis(meta.engine_id), 0
    if len(rows) > 1:
        before, seq = rows[1].hash, rows[1].seq
    elif (head := last_head(connection, meta.stream)) is not None:
        before, seq = head.last_hash, head.last_seq
    fault = fault_of(last, Chain(meta.stream, before), seq + 1)
    if fault:
        raise JournalError(
            f"the last row, {last.seq}, {fault}.",
            code="JOURNAL_DAMAGED",
            place=str(path),
            fix="run `cerberus journal verify`, then restore the journal from a backup.",
        )
    return last.seq, last.hash


def open_store(
    folder: Path,
    stream: str,
    engine_id: str | None,
    engine_version: str,
    options: JournalOptions,
    *,
    anchored: bool = False,
) -> Store:
    """Open or create the journal file of a folder; raises `JournalError`.

    `engine_id` is drawn when a new journal gets none; an existing journal keeps its own. A
    journal that is `anchored` existed before and is never begun anew.
    """
    path = folder / JOURNAL_NAME
    _refuse_wrong(path, anchored)
    connection = sqlite3.connect(path, timeout=1.0, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _create(connection, stream, engine_id or secrets.token_hex(16), engine_version)
        meta = read_meta(connection, path)
        _refuse_older(meta, path)
        if meta.stream != stream:
            raise JournalError(
                f"the journal holds stream {meta.stream!r}, not {stream!r}.",
                code="JOURNAL_STREAM",
                place=str(path),
                fix="use one folder for each stream.",
            )
        store = Store(connection, path, meta)
        _keep_recovered(connection, path)
        _configure(connection, options)
        return store
    except (*DAMAGE, OSError) as error:
        connection.close()
        raise failure(error, path, "opening the journal") from error
    except JournalError:
        connection.close()
        raise


def _refuse_wrong(path: Path, anchored: bool) -> None:
    """Look at an existing file through a reader first: a wrong one must not be changed."""
    if not path.exists() or not path.stat().st_size:
        return
    connection = connect_reader(path)
    try:
        if anchored or connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            _refuse_older(read_meta(connection, path), path)
    except DAMAGE as error:
        raise failure(error, path, "opening the journal") from error
    finally:
        connection.close()


def _refuse_older(meta: Meta, path: Path) -> None:
    """Refuse to write a journal of an older format; reading it is fine."""
    if meta.format_version < FORMAT_VERSION:
        raise JournalError(
            f"the journal has format {meta.format_version}; this engine writes {FORMAT_VERSION}.",
            code="JOURNAL_OLDER",
            place=str(path),
            fix=f"stop its engine, then run `cerberus journal migrate --state {path.parent}`.",
        )


def wal_path(path: Path) -> Path:
    """Name the write-ahead log of a database file."""
    return path.with_name(path.name + "-wal")


def _keep_recovered(connection: sqlite3.Connection, path: Path) -> None:
    """Make durable what the log holds: what can be read may never have reached the disk.

    After a failed sync the system takes lost pages for written, so that syncing them again does
    nothing: the rows go into the database, or where a reader holds that up, the log is written
    over with its own bytes. The database itself is not opened here: closing it would drop the
    locks that SQLite holds on it.
    """
    ((busy, _, _),) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if not busy:
        return
    with wal_path(path).open("r+b") as log:
        while part := log.read(COPY_BYTES):
            log.seek(-len(part), os.SEEK_CUR)
            log.write(part)
            log.flush()
        os.fsync(log.fileno())


def _configure(connection: sqlite3.Connection, options: JournalOptions) -> None:
    synchronous = {"power": "FULL", "process": "NORMAL", "none": "OFF"}[options.durability]
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA mmap_size = 0")
    connection.execute("PRAGMA cache_size = -2048")
    connection.execute(f"PRAGMA journal_size_limit = {64 * 2**20}")
    if options.pages_max:
        connection.execute(f"PRAGMA max_page_count = {options.pages_max}")


def _create(
    connection: sqlite3.Connection, stream: str, engine_id: str, engine_version: str
) -> None:
    """Make tables and identity in one transaction, so that a crash leaves all or nothing."""
    script = Path(__file__).with_name("schema.sql").read_text(encoding="utf-8")
    meta = Meta(stream, engine_id, FORMAT_VERSION, engine_version, time.time_ns())
    values = ", ".join(
        f"('{name}', '{str(value).replace(chr(39), chr(39) * 2)}')"
        for name, value in meta._asdict().items()
    )
    connection.executescript(
        f"BEGIN IMMEDIATE;\n{script}\nINSERT INTO meta (name, value) VALUES {values};\nCOMMIT;"
    )
    # Into the file itself, so that a lost log costs rows, not the journal's identity.
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def read_meta(connection: sqlite3.Connection, path: Path) -> Meta:
    """Read what the journal says of itself; refuse a newer format or a foreign file."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    found = {}
    if "meta" in tables:
        found = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    user_version = connection.execute("PRAGMA user_version").fetchone()[0]
    ours = {"journal", "snapshots"} <= tables and set(Meta._fields) <= set(found)
    # one flipped bit makes a text of SQLite's a blob, or a digit a letter
    texts = ours and all(isinstance(found[name], str) for name in Meta._fields)
    if not texts or not (found["format_version"] + found["created_ns"]).isdecimal():
        raise JournalError(
            "this database is no journal of Cerberus, or what it says of itself is damaged.",
            code="JOURNAL_DAMAGED",
            place=str(path),
            fix="name the right folder, or restore the journal from a backup.",
        )
    version = max(int(found["format_version"]), user_version)
    if version > FORMAT_VERSION:
        raise JournalError(
            f"the journal has format {version}, written by engine {found['engine_version']};"
            f" this engine knows formats up to {FORMAT_VERSION}.",
            code="JOURNAL_NEWER",
            place=str(path),
            fix="start the release that wrote it, or a newer one.",
        )
    return Meta(
        found["stream"],
        found["engine_id"],
        int(found["format_version"]),
        found["engine_version"],
        int(found["created_ns"]),
    )
