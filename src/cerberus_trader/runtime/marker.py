"""The halt marker and the emergency log: two small files that a second process may write.

Both are allocated when the engine starts and overwritten in place, so that they work with the disk
full and with the engine's loop wedged. The gate looks at the marker before each order that adds
exposure; the next start begins halted and journals what both say.
"""

import mmap
import os
from pathlib import Path
from typing import Annotated

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError

MARKER_NAME = "halt.marker"
LOG_NAME = "emergency.log"
PAGE = 4_096
LOG_BYTES = 65_536
TEXT_LENGTH_MAX = 500
Time = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
SET, UNSET = b"HALT\n", b"----\n"


class Mark(msgspec.Struct, frozen=True):
    """Say who halted, when, why; `flatten` asks the next start to close everything."""

    actor: str
    reason: str
    ts_ns: Time
    flatten: bool = False


class HaltMarker:
    """Read and write the marker of a state folder; `is_set` costs a look into memory."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / MARKER_NAME
        self._map: mmap.mmap | None = None

    def allocate(self) -> None:
        """Make the file where there is none, or one cut short, and map it; raises `OSError`."""
        page = self.path.read_bytes() if self.path.exists() else b""
        if len(page) < PAGE:  # a cut one keeps what it says
            _write(self.path, (page or UNSET).ljust(PAGE, b"\0"), create=True)
        with self.path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), PAGE, access=mmap.ACCESS_READ)

    def is_set(self) -> bool:
        """Tell whether nothing may be opened; for an engine that has allocated it."""
        return self._map is not None and self._map[: len(SET)] == SET

    def set(self, mark: Mark) -> None:
        """Write it durably; raises `OSError`."""
        plain = msgspec.structs.replace(
            mark, actor=mark.actor[:TEXT_LENGTH_MAX], reason=mark.reason[:TEXT_LENGTH_MAX]
        )
        page = (SET + msgspec.json.encode(plain)).ljust(PAGE, b"\0")
        _write(self.path, page, create=not self.path.exists())

    def read(self) -> Mark | None:
        """Return what is marked, None where nothing is; what cannot be read counts as marked."""
        try:
            page = self.path.read_bytes()
        except FileNotFoundError:
            return None
        if not page.startswith(SET):
            return None
        try:
            return msgspec.json.decode(page[len(SET) :].rstrip(b"\0"), type=Mark)
        except UNREADABLE:
            return Mark("unknown", "the marker cannot be read", 0)

    def clear(self, until_ns: int) -> None:
        """Take back a mark that was made before a time; raises `OSError`."""
        mark = self.read()
        if mark is not None and mark.ts_ns <= until_ns:
            _write(self.path, UNSET.ljust(PAGE, b"\0"))


class Header(msgspec.Struct, frozen=True):
    """Hold what acting without the engine takes; an empty endpoint is the venue inside it."""

    engine_id: str
    account: str = "main"
    endpoint: str = ""


class Deed(msgspec.Struct, frozen=True):
    """Hold one thing that was done past the engine, written before it was done."""

    ts_ns: Time
    actor: str
    text: str


class EmergencyLog:
    """Hold a header and the deeds since the last start, a line of JSON each."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME
        self._end = 0
        self._torn = False

    def allocate(self, header: Header) -> None:
        """Begin anew; raises `OSError`."""
        line = msgspec.json.encode(header) + b"\n"
        _write(self.path, line.ljust(LOG_BYTES, b"\0"), create=not self.path.exists())
        self._end, self._torn = len(line), False

    def read(self) -> tuple[Header | None, list[Deed]]:
        """Return what it holds; a torn line is left out."""
        try:
            text = self.path.read_bytes().rstrip(b"\0")
        except FileNotFoundError:
            return None, []
        self._end, self._torn = len(text), not text.endswith(b"\n")
        first, *lines = text.split(b"\n")
        deeds: list[Deed] = []
        try:
            header = msgspec.json.decode(first, type=Header)
        except UNREADABLE:
            return None, []
        for line in filter(None, lines):
            try:
                deeds.append(msgspec.json.decode(line, type=Deed))
            except UNREADABLE:
                continue
        return header, deeds

    def add(self, deed: Deed) -> None:
        """Write a deed durably behind the others; a full log raises `DataError`."""
        # a torn line ends where the next one begins
        line = b"\n" * self._torn + msgspec.json.encode(deed) + b"\n"
        if self._end + len(line) > LOG_BYTES:
            raise DataError("the emergency log is full.", place=str(self.path),
                            fix="start the engine, which imports it.")  # fmt: skip
        _write(self.path, line, at=self._end)
        self._end, self._torn = self._end + len(line), False


def _write(path: Path, data: bytes, *, at: int = 0, create: bool = False) -> None:
    """Overwrite in place and sync; only a new file needs room on the disk."""
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    fd = os.open(path, flags, 0o600)
    try:
        os.pwrite(fd, data, at)
        os.fdatasync(fd)
    finally:
        os.close(fd)
