"""Ask a running engine over its control socket."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import frames

SOCKET_NAME = "control.sock"
PATH_BYTES_MAX = 100
TIMEOUT_S = 20.0
READ_BYTES = 1 << 16


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
            with_short_path(folder / SOCKET_NAME, line.connect)
            line.sendall(frames.encode(request))
            while True:
                data = line.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError
                for answer in decoder.feed(data):
                    return _values(answer)
    except (FileNotFoundError, ConnectionError, TimeoutError, NotADirectoryError) as error:
        reason = "did not answer" if isinstance(error, TimeoutError) else "is not running"
        raise NotRunning(
            f"the engine {reason}.", code="NOT_RUNNING", place=str(folder),
            fix="start it with `cerberus run`, or name its folder with --state.",
        ) from None  # fmt: skip


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
