"""The engine's own log: one JSON object per line on standard error.

The same fields and the same hiding of secrets as `observe/logs.py`, without structlog: that
library loads rich, and the engine's process keeps to what it needs.
"""

import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from cerberus_trader.observe.logs import LEVELS, context, error_fields, redact

_encode = msgspec.json.Encoder().encode


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
        stream = self.stream if self.stream is not None else sys.stderr
        try:
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):
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
