"""The anchor: the last durable row's number and hash, in a file of its own.

SQLite drops a damaged tail of its log silently; a journal shorter than its anchor shows that.

The file has two slots of one page each, written in turn, each with a counter and a checksum: one
write and one fdatasync, no new file, no directory entry. Unlike write-and-rename it works on a
full disk, because its space is allocated once; a write that tears leaves the other slot.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

from cerberus_trader.domain.errors import JournalError

ANCHOR_NAME = "anchor"
SLOT_BYTES = 4096
MAGIC = b"CERBANC1"
STREAM_BYTES_MAX = 128

_slot = struct.Struct(">8sQQ32sH128s")
_crc = struct.Struct(">I")


class Anchor(NamedTuple):
    """Name the last row known to be durable; `seq` 0 with the genesis hash means none yet."""

    stream: str
    seq: int
    hash: bytes


class AnchorFile:
    """Keep the anchor of one journal; used by one thread at a time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / ANCHOR_NAME
        self._counter = 0
        existed = self.path.exists()
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not existed:
            os.pwrite(self._fd, bytes(2 * SLOT_BYTES), 0)
            os.fsync(self._fd)
            sync_folder(folder)
        else:
            slots = _read(self.path)
            self._counter = max((counter for counter, _ in slots), default=0)

    def write(self, anchor: Anchor) -> None:
        """Write the anchor into the older slot and sync it; raises OSError."""
        self._counter += 1
        stream = anchor.stream.encode()
        packed = _slot.pack(
            MAGIC, self._counter, anchor.seq, anchor.hash, len(stream), stream
        )  # fmt: skip
        page = packed + _crc.pack(zlib.crc32(packed))
        os.pwrite(self._fd, page.ljust(SLOT_BYTES, b"\0"), self._counter % 2 * SLOT_BYTES)
        os.fdatasync(self._fd)

    def close(self) -> None:
        """Close the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def sync_folder(folder: Path) -> None:
    """Sync a folder, so that files created in it survive a power loss."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_anchor(folder: Path) -> Anchor | None:
    """Read the newest anchor; None where the file is absent or was never written.

    Raises `JournalError` when neither slot can be read.
    """
    path = folder / ANCHOR_NAME
    slots = _read(path) if path.exists() else []
    return max(slots)[1] if slots else None


def unreadable_slots(folder: Path) -> int:
    """Count the written slots whose checksum fails: one is a torn write, two are damage."""
    data = (folder / ANCHOR_NAME).read_bytes()
    return sum(_parse(page) is None and any(page) for page in _pages(data))


def _pages(data: bytes) -> tuple[bytes, bytes]:
    return data[:SLOT_BYTES], data[SLOT_BYTES : 2 * SLOT_BYTES]


def _read(path: Path) -> list[tuple[int, Anchor]]:
    data = path.read_bytes()
    slots = [slot for page in _pages(data) if (slot := _parse(page)) is not None]
    if not slots and any(data):
        raise JournalError(
            "the anchor is damaged: neither slot can be read.",
            code="JOURNAL_ANCHOR",
            place=str(path),
            fix="run `cerberus journal verify --accept` once the journal is known to be whole.",
        )
    return slots


def _parse(page: bytes) -> tuple[int, Anchor] | None:
    packed, check = page[: _slot.size], page[_slot.size : _slot.size + _crc.size]
    if len(check) < _crc.size or zlib.crc32(packed) != _crc.unpack(check)[0]:
        return None
    magic, counter, seq, digest, length, stream = _slot.unpack(packed)
    if magic != MAGIC or any(page[_slot.size + _crc.size :]):
        return None
    try:
        return counter, Anchor(stream[:length].decode(), seq, digest)
    except UnicodeDecodeError:
        return None
