"""Sealed segments: finished stretches of the journal in compressed files of their own.

A segment holds rows with their hashes, in blocks of about 1 MiB, each compressed and with its own
checksum, and ends with a footer that names what it holds. It is written once, synced, read back,
and never changed; the journal file keeps its head (`journal/heads.py`).
"""

import hashlib
import os
import struct
import zlib
from collections.abc import Iterable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, JournalError
from cerberus_trader.journal.anchor import sync_folder
from cerberus_trader.journal.heads import Head
from cerberus_trader.journal.rows import Row

SEGMENTS_NAME = "segments"
MAGIC = b"CERBSEG1"
VERSION = 1
BLOCK_BYTES = 2**20
BLOCK_BYTES_MAX = 2**28
LEVEL = 6

_block = struct.Struct(">QIII")  # first row, rows, raw bytes, packed bytes
_crc = struct.Struct(">I")
_row = struct.Struct(">QqHI32s")  # seq, ts_ns, bytes of kind and body, hash


class Footer(msgspec.Struct, frozen=True):
    """Say what a segment holds; `kind` is rows (without gaps) or audit (a selection)."""

    version: int
    kind: str
    stream: str
    engine_id: str
    first_seq: int
    last_seq: int
    rows: int


class Written(NamedTuple):
    """Hold size and SHA-256 of a written segment, and its number of rows."""

    size: int
    digest: bytes
    rows: int


def path_of(folder: Path, first_seq: int, last_seq: int, suffix: str = "seg") -> Path:
    """Name the file of a segment of a state folder; the suffix is seg or audit."""
    return folder / SEGMENTS_NAME / f"{first_seq}-{last_seq}.{suffix}"


def needed(folder: Path, heads: Iterable[Head]) -> set[Path]:
    """Name the files that heads refer to: rows that are kept, and what the audit keeps."""
    found = set()
    for head in heads:
        if not head.deleted:
            found.add(path_of(folder, head.first_seq, head.last_seq))
        elif head.audit_digest is not None:
            found.add(path_of(folder, head.first_seq, head.last_seq, "audit"))
    return found


def damaged(path: Path, what: str) -> JournalError:
    """Make the error of a segment that is not as it was sealed."""
    return JournalError(
        f"the segment {what}.", code="JOURNAL_SEGMENT", place=str(path),
        fix="restore this file from a backup.",
    )  # fmt: skip


def write_segment(path: Path, rows: Iterable[Row], footer: Footer) -> Written:
    """Write rows as a segment: beside its name, synced, read back, then renamed.

    `footer.rows` is set from what was written. A file that a crash left is replaced. Raises
    OSError, and `JournalError` where the file reads back differently.
    """
    path.parent.mkdir(exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            count = _write(file, rows, footer)
            file.flush()
            os.fsync(file.fileno())
        for _ in read_segment(temporary, footer.stream):
            pass
        with temporary.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").digest()
        temporary.rename(path)
        sync_folder(path.parent)
        sync_folder(path.parent.parent)
    finally:
        temporary.unlink(missing_ok=True)
    return Written(path.stat().st_size, digest, count)


def _write(file: BinaryIO, rows: Iterable[Row], footer: Footer) -> int:
    file.write(MAGIC)
    parts: list[bytes] = []
    first = held = size = total = 0
    for row in rows:
        kind = row.kind.encode()
        first = first or row.seq
        parts += (_row.pack(row.seq, row.ts_ns, len(kind), len(row.body), row.hash), kind, row.body)
        size += _row.size + len(kind) + len(row.body)
        held += 1
        if size >= BLOCK_BYTES:
            _write_block(file, first, held, b"".join(parts))
            total += held
            first, held, size, parts = 0, 0, 0, []
    if held:
        _write_block(file, first, held, b"".join(parts))
    total += held
    _write_block(file, 0, 0, msgspec.json.encode(msgspec.structs.replace(footer, rows=total)))
    return total


def _write_block(file: BinaryIO, first: int, rows: int, raw: bytes) -> None:
    packed = zlib.compress(raw, LEVEL)
    head = _block.pack(first, rows, len(raw), len(packed))
    file.write(head + _crc.pack(zlib.crc32(packed, zlib.crc32(head))) + packed)


def read_segment(
    path: Path, stream: str, after_seq: int = 0, through_seq: int = 2**62
) -> Iterator[Row]:
    """Read rows of a segment in order; blocks without a wanted row are passed over.

    Raises `JournalError` (JOURNAL_SEGMENT) where the file is absent, cut, changed, or of another
    stream; to the end of what is wanted, and to the end of the file where that is all.
    """
    try:
        with path.open("rb") as file:
            yield from _read(file, path, stream, after_seq, through_seq)
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error


def _read(
    file: BufferedReader, path: Path, stream: str, after_seq: int, through_seq: int
) -> Iterator[Row]:
    if file.read(len(MAGIC)) != MAGIC:
        raise damaged(path, "is no segment of Cerberus")
    held: tuple[int, int, int, int, bytes] | None = None
    total = 0
    while True:
        block = _next_block(file, path)
        if held is not None and (block[1] == 0 or block[0] > after_seq + 1):
            yield from _rows(held, path, stream, after_seq, through_seq)
        if block[1] == 0:
            break
        total += block[1]
        if block[0] > through_seq:
            return
        held = block
    footer = _footer(_raw(block, path), path)
    if file.read(1):
        raise damaged(path, "has something after its end")
    if footer.stream != stream or footer.rows != total:
        raise damaged(path, "is not what its footer says")


def _next_block(file: BufferedReader, path: Path) -> tuple[int, int, int, int, bytes]:
    """Read a block as (first row, rows, raw bytes, place in the file, packed bytes)."""
    place = file.tell()
    head = file.read(_block.size + _crc.size)
    if len(head) < _block.size + _crc.size:
        raise damaged(path, "is cut short")
    first, rows, raw, size = _block.unpack_from(head)
    if max(raw, size) > BLOCK_BYTES_MAX:
        raise damaged(path, f"is damaged at byte {place}")
    packed = file.read(size)
    (check,) = _crc.unpack_from(head, _block.size)
    if len(packed) < size:
        raise damaged(path, "is cut short")
    if zlib.crc32(packed, zlib.crc32(head[: _block.size])) != check:
        raise damaged(path, f"is damaged at byte {place}")
    return first, rows, raw, place, packed


def _raw(block: tuple[int, int, int, int, bytes], path: Path) -> bytes:
    """Decompress a block, no further than it says."""
    _, _, size, place, packed = block
    try:
        opened = zlib.decompressobj()
        raw = opened.decompress(packed, size or 1)
        if len(raw) == size and not opened.decompress(opened.unconsumed_tail, 1):
            return raw
    except zlib.error:
        pass
    raise damaged(path, f"is damaged at byte {place}")


def _rows(
    block: tuple[int, int, int, int, bytes], path: Path, stream: str, after: int, through: int
) -> Iterator[Row]:
    raw, at = _raw(block, path), 0
    try:
        for _ in range(block[1]):
            seq, ts_ns, kind_size, body_size, digest = _row.unpack_from(raw, at)
            at += _row.size
            kind = raw[at : at + kind_size].decode()
            at += kind_size
            body = raw[at : at + body_size]
            at += body_size
            if after < seq <= through:
                yield Row(stream, seq, ts_ns, kind, body, digest)
    except (struct.error, UnicodeDecodeError):
        at = -1
    if at != len(raw):
        raise damaged(path, f"is damaged at byte {block[3]}")


def _footer(raw: bytes, path: Path) -> Footer:
    try:
        footer = msgspec.json.decode(raw, type=Footer)
    except UNREADABLE:
        raise damaged(path, "has a footer that cannot be read") from None
    if footer.version > VERSION:
        raise JournalError(
            f"the segment has format {footer.version}; this release reads {VERSION}.",
            code="JOURNAL_NEWER", place=str(path), fix="use the release that wrote it.",
        )  # fmt: skip
    return footer


def digest_of(path: Path) -> bytes:
    """Return the SHA-256 of a file; raises `JournalError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise damaged(path, f"cannot be read: {error.strerror or error}") from error
