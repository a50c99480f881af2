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
UNSETTLED = ("TIMEOUT", "CLIENTS_MAX")
"""The failures after which a command may still be carried out."""
LATE_S = 1.0
"""How much longer than its client waits a command may be carried out."""
ABSENT = (FileNotFoundError, NotADirectoryError, ConnectionError)
WAYS_OUT = ("flatten", "cancel_all")
PAST_IT = "`cerberus flatten --without-journal` closes everything at the venue without the engine"


class NotRunning(DataError):
    """Say that no engine runs in a folder: the request reached nobody."""

    exit_code = 4


class NoAnswer(DataError):
    """Say that an engine did not answer: what came of the request is not known."""

    exit_code = 4


class Refused(DataError):
    """Say that the engine refused a request."""

    exit_code = 4


def ask(folder: Path, request: frames.Request, timeout_s: float = TIMEOUT_S) -> dict[str, Any]:
    """Send one request and return the reply's values; the whole takes at most `timeout_s`.

    Raises `NotRunning` where there is no engine, `NoAnswer` where one says nothing, `Refused` with
    the engine's reason.
    """
    decoder: frames.Decoder[frames.Answer] = frames.Decoder(frames.Answer)
    end = time.monotonic() + timeout_s
    # an engine that wakes later than its client waits must not do what the client may repeat
    until_ns = time.time_ns() + int((timeout_s + LATE_S) * 1e9)
    sent = False
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
            line.settimeout(timeout_s)
            _connect(line, folder / SOCKET_NAME, end)
            sent = True
            line.sendall(frames.encode(frames.until(request, until_ns)))
            while True:
                line.settimeout(max(end - time.monotonic(), PAUSE_S))
                data = line.recv(READ_BYTES)
                if not data:
                    raise ConnectionResetError
                for answer in decoder.feed(data):
                    return _values(request, answer)
    except OSError as error:
        if isinstance(error, ABSENT) and not sent:
            raise _not_running(folder, request) from None
        raise _no_answer(folder, request, sent) from None


def _not_running(folder: Path, request: frames.Request) -> NotRunning:
    """Make the error of a folder without an engine; who wants out needs none."""
    fix = "start it with `cerberus run`, or name its folder with --state."
    if isinstance(request, frames.Operate) and request.command in WAYS_OUT:
        fix = f"{PAST_IT}; or {fix}"
    return NotRunning("the engine is not running.", code="NOT_RUNNING", place=str(folder), fix=fix)


def _no_answer(folder: Path, request: frames.Request, sent: bool) -> NoAnswer:
    """Make the error of an engine that is there and silent; say what may still happen."""
    then, once = "", frames.again(request) if sent else ""
    if not isinstance(request, frames.ASKS):
        what = "the command may still be carried out" if sent else "the command was not sent"
        then = f": {what}"
    return NoAnswer(
        f"the engine did not answer{then}.", code="NO_ANSWER", place=str(folder),
        fix=f"{once}`cerberus halt` also ends an engine that hangs; {PAST_IT}.",
    )  # fmt: skip


def _connect(line: socket.socket, path: Path, end: float) -> None:
    """Connect, also after a wait: an engine that accepts nobody has its queue full in the end."""
    while True:
        try:
            return with_short_path(path, line.connect)
        except BlockingIOError:
            if time.monotonic() >= end:
                raise
            time.sleep(PAUSE_S)


def _values(request: frames.Request, answer: frames.Answer) -> dict[str, Any]:
    if isinstance(answer, frames.Failure):
        once = frames.again(request) if answer.code in UNSETTLED else ""
        raise Refused(answer.message, code=answer.code, fix=f"{once}{answer.fix}")
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
