"""A file of signal lines that may grow, dressed as the design document's signal source."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.lines.files import REFUSALS_MAX
from cerberus_trader.heads.lines.parse import LINE_BYTES_MAX, parse_signal, refuse

READ_BYTES_MAX = 1 << 20

Parse = Callable[[bytes, str], Signal]


def parse_at(line: bytes, place: str) -> Signal:
    """Read a signal line with the limits that hold by default."""
    return parse_signal(line, place=place)


class FileSource:
    """Give the lines that were appended since the last call, in the file's order.

    A line counts when its line break is there. Broken lines are kept in `refusals` (the first
    1,000), and the rest is given. `parse(line, place)` reads a line.
    """

    def __init__(self, path: str | Path, parse: Parse = parse_at) -> None:
        self.path = Path(path)
        self.parse = parse
        self.offset = 0
        self.number = 0
        self.refusals: list[DataError] = []

    async def get_signals(self) -> list[Signal]:
        """Return the new signals; raise `DataError` where the file cannot be read."""
        found, before = await self.next_signals(), 0
        while self.offset != before:
            before = self.offset
            found += await self.next_signals()
        return found

    async def next_signals(self) -> list[Signal]:
        """Return the signals of the next block (1 MiB), so that few wait at a time."""
        return await asyncio.to_thread(self._read)

    def start_again(self) -> None:
        """Read from the file's beginning next: it is another one."""
        self.offset = self.number = 0

    def source_name(self) -> str:
        return self.path.stem

    def is_connected(self) -> bool:
        return self.path.is_file()

    def _read(self) -> list[Signal]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset)
                block = stream.read(READ_BYTES_MAX)
        except OSError as error:
            refuse(str(self.path), f"the file cannot be read ({error.strerror}).", "check it.")
        stop = block.rfind(b"\n") + 1
        if not stop and len(block) > LINE_BYTES_MAX:
            stop = len(block)  # a line longer than any that would be taken
        self.offset += stop
        return self._parse(block[:stop])

    def _parse(self, block: bytes) -> list[Signal]:
        found = []
        for line in block.splitlines():
            self.number += 1
            if not line.strip():
                continue
            try:
                found.append(self.parse(line, f"{self.path}:{self.number}"))
            except DataError as error:
                if len(self.refusals) < REFUSALS_MAX:
                    self.refusals.append(error)
        return found
