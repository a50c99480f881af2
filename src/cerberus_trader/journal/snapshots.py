"""State snapshots in the journal file: recovery starts from the newest one that verifies."""

import hashlib
import sqlite3
import struct
import zlib
from typing import NamedTuple

from cerberus_trader.journal.heads import hash_at
from cerberus_trader.journal.rows import Snapshot

COLUMNS = "seq, ts_ns, engine_version, state_hash, chain_hash, checksum, body"
COMPRESS_LEVEL = 1


class Request(NamedTuple):
    """Hold a snapshot on its way to the writer, which knows the chain's hash at its row."""

    seq: int
    ts_ns: int
    engine_version: str
    state_hash: bytes
    state: bytes


def _checksum(stream: str, request: Request, chain_hash: bytes, body: bytes) -> bytes:
    names = (stream.encode(), request.engine_version.encode(), request.state_hash, chain_hash)
    head = struct.pack(">Qq4I", request.seq, request.ts_ns, *(len(name) for name in names))
    found = hashlib.sha256(b"".join((head, *names)))
    found.update(body)
    return found.digest()


def save(
    connection: sqlite3.Connection, stream: str, request: Request, chain_hash: bytes, keep: int
) -> None:
    """Store a snapshot, compressed, and drop all but the newest `keep`; raises sqlite3.Error.

    The one at the end of the deleted rows stays: the rest of the history begins with it.
    """
    connection.execute("BEGIN IMMEDIATE")
    insert(connection, stream, request, chain_hash)
    connection.execute(
        "DELETE FROM snapshots WHERE stream = ?1 AND seq NOT IN"
        " (SELECT seq FROM snapshots WHERE stream = ?1 ORDER BY seq DESC LIMIT ?2) AND seq NOT IN"
        " (SELECT last_seq FROM segments WHERE stream = ?1 AND status = 'deleted')",
        (stream, keep),
    )
    connection.execute("COMMIT")


def insert(
    connection: sqlite3.Connection, stream: str, request: Request, chain_hash: bytes
) -> None:
    """Put a snapshot into its table, compressed."""
    body = zlib.compress(request.state, COMPRESS_LEVEL)
    checksum = _checksum(stream, request, chain_hash, body)
    connection.execute(
        f"INSERT OR REPLACE INTO snapshots (stream, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (stream, *request[:4], chain_hash, checksum, body),
    )


def load(
    connection: sqlite3.Connection, stream: str, through_seq: int = 2**62
) -> tuple[Snapshot | None, list[str]]:
    """Give the newest snapshot that verifies, and a sentence on each newer one that does not.

    Those after `through_seq` are passed over.
    """
    skipped: list[str] = []
    cursor = connection.execute(
        f"SELECT {COLUMNS} FROM snapshots WHERE stream = ? AND seq <= ? ORDER BY seq DESC",
        (stream, through_seq),
    )
    for values in cursor.fetchall():
        result = _verified(connection, stream, values)
        if isinstance(result, Snapshot):
            return result, skipped
        skipped.append(f"snapshot {values[0]} {result}")
    return None, skipped


def faults(connection: sqlite3.Connection, stream: str) -> list[str]:
    """Say of every snapshot that does not verify what is wrong with it."""
    found = []
    for values in connection.execute(
        f"SELECT {COLUMNS} FROM snapshots WHERE stream = ?", (stream,)
    ):
        result = _verified(connection, stream, values)
        if isinstance(result, str):
            found.append(f"snapshot {values[0]} {result}")
    return found


def _verified(
    connection: sqlite3.Connection,
    stream: str,
    values: tuple[int, int, str, bytes, bytes, bytes, bytes],
) -> Snapshot | str:
    seq, ts_ns, engine_version, state_hash, chain_hash, checksum, body = values
    try:
        request = Request(seq, ts_ns, engine_version, state_hash, b"")
        if _checksum(stream, request, chain_hash, body) != checksum:
            return "does not match its checksum."
        state = zlib.decompress(body)
    except (zlib.error, struct.error, TypeError, AttributeError) as error:
        return f"cannot be read: {error}."
    if hash_at(connection, stream, seq) != chain_hash:
        return "belongs to another history."
    return Snapshot(seq, ts_ns, engine_version, state_hash, chain_hash, state)
