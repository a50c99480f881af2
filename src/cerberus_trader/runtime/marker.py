"""The halt marker and the emergency log: two small files that a second process may write.

Both are allocated when the engine starts and overwritten in place, so that they work with the disk
full and with the engine's loop wedged. The gate looks at the marker before each order that adds
exposure; the next start begins halted and journals what both say.
"""

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError

MARKER_NAME = "halt.marker"
LOG_NAME = "emergency.log"
COPY_NAME = "emergency.header"
PAGE = 4_096
LOG_BYTES = 65_536
LOGS_MAX = 10
TEXT_LENGTH_MAX = 500
Natural = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
SET = b"HALT\n"
UNSET = b"----\n".ljust(PAGE, b"\0")


class Mark(msgspec.Struct, frozen=True):
    """Say who halted, when, why; `flatten` asks the next start to close everything."""

    actor: str
    reason: str
    ts_ns: Natural
    flatten: bool = False


class HaltMarker:
    """Read and write the marker of a state folder; `is_set` costs a look into memory.

    Anything but the unset form is a mark: a damaged page halts.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / MARKER_NAME
        self._map: mmap.mmap | None = None

    def allocate(self) -> None:
        """Make the file where there is none, or one cut short, and map it; raises `OSError`."""
        if not self.path.exists():
            self._make()
        page = self.path.read_bytes()
        if len(page) < PAGE:  # a cut one keeps what it says
            _write(self.path, page.ljust(PAGE, b"\0"))
        with self.path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), PAGE, access=mmap.ACCESS_READ)

    def _make(self) -> None:
        """Make the file whole or not at all: half a page would be a mark."""
        new = self.path.with_suffix(".new")
        _write(new, UNSET, create=True)
        with suppress(FileExistsError):  # a mark that came in between stays
            os.link(new, self.path)
        new.unlink()

    def is_set(self) -> bool:
        """Tell whether nothing may be opened; for an engine that has allocated it."""
        return self._map is not None and self._map[:] != UNSET

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
        if page.ljust(PAGE, b"\0") == UNSET:
            return None
        if page.startswith(SET):
            with suppress(*UNREADABLE):
                return msgspec.json.decode(page[len(SET) :].rstrip(b"\0"), type=Mark)
        return Mark("unknown", "the marker cannot be read", 0)

    def clear(self, until_ns: int) -> None:
        """Take back a mark that was made before a time; raises `OSError`."""
        mark = self.read()
        if mark is not None and mark.ts_ns <= until_ns:
            _write(self.path, UNSET)


class Header(msgspec.Struct, frozen=True):
    """Hold what acting without the engine takes; an empty endpoint is the venue inside it.

    `entry_window_ms` is how long after it was sent the venue may still take an entry.
    """

    engine_id: str
    account: str = "main"
    endpoint: str = ""
    entry_window_ms: Natural = 6_000


class Deed(msgspec.Struct, frozen=True):
    """Hold one thing that was done past the engine, written before it was done."""

    ts_ns: Natural
    actor: str
    text: str


class EmergencyLog:
    """Hold a header and the deeds since the last start, a line of JSON each.

    The header stands in a file of its own too: a log may be torn when it is needed.
    """

    def __init__(self, folder: Path, name: str = LOG_NAME) -> None:
        self.path = folder / name
        self._end = 0
        self._torn = False

    def allocate(self, header: Header) -> None:
        """Begin anew, one log in place of all; raises `OSError`."""
        # one after the other: a crash tears one of the two at most
        self.copy(header)
        self._begin(msgspec.json.encode(header) + b"\n")
        for log in self._beside():
            log.path.unlink()

    def copy(self, header: Header) -> None:
        """Write the header's own file alone, past the deeds of a log; raises `OSError`."""
        copy = self.path.with_name(COPY_NAME)
        page = (msgspec.json.encode(header) + b"\n").ljust(PAGE, b"\0")
        _write(copy, page, create=not copy.exists())

    def _begin(self, line: bytes) -> None:
        _write(self.path, line.ljust(LOG_BYTES, b"\0"), create=not self.path.exists())
        self._end, self._torn = len(line), False

    def _beside(self) -> list["EmergencyLog"]:
        """Return the logs that were begun beside this one, the oldest first."""
        return [log for log in self._places() if log.path.exists()]

    def _places(self) -> list["EmergencyLog"]:
        folder = self.path.parent
        return [EmergencyLog(folder, f"emergency-{n}.log") for n in range(1, LOGS_MAX)]

    def whole(self) -> tuple["EmergencyLog", Header | None, list[Path]]:
        """Return a log to go on with, the header, and the logs whose own header is torn.

        Where this one is torn, a fresh one is begun beside it; without a header there is none.
        """
        torn: list[Path] = []
        copy = _first_of(self.path.with_name(COPY_NAME))
        for log in (self, *self._beside()):
            with suppress(OSError):
                header, _ = log.read()
                if header is not None:
                    return log, _longer(header, copy), torn
            torn.append(log.path)
        header = copy
        fresh = next((log for log in self._places() if not log.path.exists()), self)
        if header is not None and fresh is not self:
            with suppress(OSError):  # a log that fails stops nothing
                fresh._begin(msgspec.json.encode(header) + b"\n")
        return fresh, header, [path for path in torn if path.exists()]

    def all_deeds(self) -> list[Deed]:
        """Return the deeds of this log and of those begun beside it; raises `OSError`."""
        return [deed for log in (self, *self._beside()) for deed in log.read()[1]]

    def read(self) -> tuple[Header | None, list[Deed]]:
        """Return what it holds; a torn line is a deed that nobody knows, a torn header is None."""
        try:
            text = self.path.read_bytes().rstrip(b"\0")
        except FileNotFoundError:
            return None, []
        self._end, self._torn = len(text), not text.endswith(b"\n")
        first, *lines = text.split(b"\n")
        deeds: list[Deed] = []
        try:
            header: Header | None = msgspec.json.decode(first, type=Header)
        except UNREADABLE:
            header = None
        for line in filter(None, lines):
            try:
                deeds.append(msgspec.json.decode(line, type=Deed))
            except UNREADABLE:  # torn, or damaged: who did something is not known any more
                deeds.append(Deed(0, "unknown", "something that cannot be read any more"))
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


def _longer(header: Header, copy: Header | None) -> Header:
    """Take the copy's window where it is the longer one: a reload writes the copy alone."""
    if copy is None or copy.entry_window_ms <= header.entry_window_ms:
        return header
    return msgspec.structs.replace(header, entry_window_ms=copy.entry_window_ms)


def _first_of(path: Path) -> Header | None:
    """Read the header's copy, None where there is none to read."""
    try:
        return msgspec.json.decode(path.read_bytes().rstrip(b"\0"), type=Header)
    except (OSError, *UNREADABLE):
        return None


def _write(path: Path, data: bytes, *, at: int = 0, create: bool = False) -> None:
    """Overwrite in place and sync; only a new file needs room on the disk."""
    flags = os.O_WRONLY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    fd = os.open(path, flags, 0o600)
    try:
        os.pwrite(fd, data, at)
        os.fdatasync(fd)
    finally:
        os.close(fd)
