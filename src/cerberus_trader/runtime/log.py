"""The engine's own log: one JSON object per line on standard error.

The same fields and the same hiding of secrets as `observe/logs.py`, without structlog: that
library loads rich, and the engine's process keeps to what it needs.
"""

import atexit
import os
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from queue import SimpleQueue
from typing import Any, TextIO

import msgspec

from cerberus_trader.observe.logs import LEVELS, context, error_fields, redact

_encode = msgspec.json.Encoder().encode
LINES_MAX = 10_000
"""So many lines wait for whoever reads them; further ones are lost, and counted."""
CLOSE_S = 1.0


class Log:
    """Write lines with time, level, event, what the context carries, and fields.

    `alert` lines are those that a person must see: they carry `alert: true`.
    """

    def __init__(
        self, level: str = "info", form: str = "json", stream: TextIO | None = None
    ) -> None:
        self.least = LEVELS[level]
        self.form = form
        self.stream = stream
        self.counts: dict[str, int] = {}
        self._behind: Behind | None = None

    def behind(self) -> None:
        """Write to standard error from a thread: a pipe that nobody reads holds up nothing else."""
        try:
            fd = sys.stderr.fileno()
        except (OSError, ValueError, AttributeError):
            return  # it is no file: nothing to wait for
        self._behind = Behind(fd, self._lose)
        atexit.register(self._behind.close)

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        """Write one line if its level is wanted; a stream that is gone loses it."""
        self.counts[level] = self.counts.get(level, 0) + 1
        if LEVELS[level] < self.least:
            return
        time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        line = {"time": time, "level": level, "event": event, **context(), **fields}
        shown = redact(line)
        if self.form == "console":
            rest = " ".join(f"{key}={value}" for key, value in list(shown.items())[3:])
            text = f"{time} {level:<7} {event} {rest}".rstrip()
        else:
            text = _encode(shown).decode()
        if self._behind is not None and self.stream is None:
            return self._behind.put(text + "\n")
        stream = self.stream if self.stream is not None else sys.stderr
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
            self._lose()

    def _lose(self) -> None:
        self.counts["lost"] = self.counts.get("lost", 0) + 1

    def debug(self, event: str, **fields: Any) -> None:
        self.write("debug", event, fields)

    def info(self, event: str, **fields: Any) -> None:
        self.write("info", event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        self.write("warning", event, fields)

    def alert(self, event: str, error: BaseException | None = None, **fields: Any) -> None:
        """Write an error that a person must see."""
        found = error_fields(error) if error is not None else {}
        self.write("error", event, {"alert": True, **found, **fields})


class Behind:
    """Write lines to a file descriptor in their order, from a thread that may wait for ever."""

    def __init__(self, fd: int, lose: Callable[[], None]) -> None:
        self._fd = fd
        self._lose = lose
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        # its own writes: one that waits inside of a Python stream would hold that stream's lock
        self._thread = threading.Thread(target=self._run, name="log", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Let a line be written; of too many that wait the newest is lost."""
        if self._lines.qsize() >= LINES_MAX:
            return self._lose()
        self._lines.put(line)

    def close(self) -> None:
        """Wait until what was put is written, for a second at most."""
        self._lines.put(None)
        self._thread.join(CLOSE_S)

    def _run(self) -> None:
        while (line := self._lines.get()) is not None:
            left = line.encode()
            try:
                while left:
                    left = left[os.write(self._fd, left) :]
            except OSError:
                self._lose()
