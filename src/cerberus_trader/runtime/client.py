"""Ask a running engine over its control socket."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import frames

SOCKET_NAME = "control.sock"
PATH_BYTES_MAX = 100
TIMEOUT_S = 20.0
READ_BYTES = 1 << 16
PAUSE_S = 0.02
ABSENT = (FileNotFoundError, NotADirectoryError, ConnectionError)


class NotRunning(DataError):
    """Say that no engine answers in a folder."""

    exit_code = 4


class Refused(DataError):
    """Say that the engine refused a request."""

    exit_code = 4


def ask(folder: Path, request: frames.Request, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Send one request and return the reply's values.

    Raises `NotRunning` where no engine answers, `Refused` with the engine's reason.
    """
    decoder: frames.Decoder[frames.Answer] = frames.Decoder(frames.Answer)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(timeout_s)
            _connect(line, folder / SOCKET_NAME, timeout_s)
            line.sendall(frames.encode(request))
            while True:
                data = line.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError
                for answer in decoder.feed(data):
                    return _values(answer)
    except OSError as error:
        reason = "is not running" if isinstance(error, ABSENT) else "did not answer"
        raise NotRunning(
            f"the engine {reason}.", code="NOT_RUNNING", place=str(folder),
            fix="start it with `cerberus run`, or name its folder with --state.",
        ) from None  # fmt: skip


def _connect(line: socket.socket, path: Path, timeout_s: float) -> None:
    """Connect, also after a wait: an engine that accepts nobody has its queue full in the end."""
    end = time.monotonic() + timeout_s
    while True:
        try:
            return with_short_path(path, line.connect)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)


def _values(answer: frames.Answer) -> dict[str, Any]:
    if isinstance(answer, frames.Failure):
        raise Refused(answer.message, code=answer.code, fix=answer.fix)
    return answer.data


def with_short_path(path: Path, use: Callable[[str], None]) -> None:
    """Call with a path that fits a socket's address: a long one goes through its open folder."""
    if len(os.fsencode(path)) <= PATH_BYTES_MAX:
        use(str(path))
        return
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        use(f"/proc/self/fd/{folder}/{path.name}")
    finally:
        os.close(folder)
