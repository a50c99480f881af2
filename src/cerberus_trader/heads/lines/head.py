"""The head `file`: signals out of a file of JSON lines, each at its own time."""

from collections.abc import Iterator

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import View, head, on_times
from cerberus_trader.heads.lines.files import read_signals


class FileConfig(msgspec.Struct, frozen=True):
    """Name the file; `instrument` of the view filters what it gives."""

    path: str


@head("file", FileConfig, wakes=on_times())
class FileHead:
    """Give the file's signals of one instrument; `refusals` holds what was refused."""

    def __init__(self, config: FileConfig) -> None:
        self.all, self.refusals = read_signals(config.path)
        self.at = 0

    def next_ns(self, after_ns: int) -> int | None:
        """Return the time of the next signal later than a time, None after the last."""
        while self.at < len(self.all) and self.all[self.at].ts_ns <= after_ns:
            self.at += 1
        return self.all[self.at].ts_ns if self.at < len(self.all) else None

    def signals(self, view: View) -> Iterator[Signal]:
        """Yield the signals of this time and instrument."""
        at = self.at
        while at < len(self.all) and self.all[at].ts_ns == view.now_ns:
            if self.all[at].instrument == view.instrument:
                yield self.all[at]
            at += 1

    def save(self) -> bytes:
        """Remember how far the file has been given."""
        return msgspec.msgpack.encode(self.at)

    def load(self, blob: bytes) -> None:
        """Go on behind what was given; a file that became shorter is refused."""
        at = msgspec.msgpack.decode(blob, type=int)
        if not 0 <= at <= len(self.all):
            raise DataError(
                "the file is shorter than what was given of it.", code="HEAD_STATE",
                fix="start without the saved state.",
            )  # fmt: skip
        self.at = at
