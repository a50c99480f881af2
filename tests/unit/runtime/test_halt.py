"""Halt past an engine that does not answer: whatever its socket does, the process is ended."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cerberus_trader.control.main import app
from cerberus_trader.domain.errors import DataError, SystemFailure
from cerberus_trader.journal.lock import FolderLock, holder
from cerberus_trader.runtime import emergency, frames
from cerberus_trader.runtime.client import (
    SOCKET_NAME,
    NoAnswer,
    NotRunning,
    Refused,
    ask,
    with_short_path,
)
from cerberus_trader.runtime.marker import HaltMarker, Mark

WAIT_S = 0.05


def engine_that_accepts_nobody(folder: Path) -> list[socket.socket]:
    """Listen for an engine whose loop is wedged, with its queue of connections full."""
    lines = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)]
    with_short_path(folder / SOCKET_NAME, lines[0].bind)
    lines[0].listen(0)
    while True:
        lines.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        lines[-1].setblocking(False)
        try:
            with_short_path(folder / SOCKET_NAME, lines[-1].connect)
        except BlockingIOError:
            return lines


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give the folder of an engine that holds it; ending it frees the folder."""
    lock = FolderLock(tmp_path)
    monkeypatch.setattr(emergency, "end_process", lambda folder, pid: lock.release())
    yield tmp_path
    lock.release()


@pytest.fixture
def wedged(folder: Path) -> Iterator[Path]:
    lines = engine_that_accepts_nobody(folder)
    yield folder
    for line in lines:
        line.close()


def test_an_engine_whose_queue_of_connections_is_full_did_not_answer(wedged: Path) -> None:
    with pytest.raises(NoAnswer, match="did not answer"):
        ask(wedged, frames.Status(), WAIT_S)
    with pytest.raises(NoAnswer, match="the command was not sent"):
        ask(wedged, frames.Operate("resume", "anna"), WAIT_S)


@pytest.mark.req("E-9.1.1", "C-17.4", "D-09.13")
def test_halt_ends_an_engine_whose_queue_of_connections_is_full(wedged: Path) -> None:
    done = CliRunner().invoke(app, ["halt", "--state", str(wedged), "--wait", "0.1"])
    assert done.exit_code == 0, done.output
    assert "the engine was ended" in done.output and "it starts halted" in done.output
    assert "entries resting at the venue stay live" in done.output
    assert "flatten --without-journal" in done.output
    assert HaltMarker(wedged).read() is not None
    again = CliRunner().invoke(app, ["halt", "--state", str(wedged), "--wait", "0.1"])
    assert "the engine was not running" in again.output, "nobody holds the folder now"


def test_resume_does_not_take_the_marker_back_past_an_engine_that_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise NotRunning("the engine did not answer.", code="NOT_RUNNING")

    monkeypatch.setattr(emergency.client, "ask", silent)
    emergency.mark(folder, Mark("anna", "news", 1))
    done = CliRunner().invoke(app, ["resume", "--state", str(folder)])
    assert done.exit_code == NotRunning.exit_code
    assert HaltMarker(folder).read() is not None
    emergency.end_process(folder, 0)
    assert CliRunner().invoke(app, ["resume", "--state", str(folder)]).exit_code == 0
    assert HaltMarker(folder).read() is None


@pytest.mark.parametrize("error", [PermissionError(13, "no"), OSError(24, "too many files")])
def test_whatever_the_connection_fails_with_the_process_is_ended(
    folder: Path, error: OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(path: Path, use: Callable[[str], None]) -> None:
        raise error

    monkeypatch.setattr("cerberus_trader.runtime.client.with_short_path", fails)
    assert emergency.halt(folder, "anna", "news", WAIT_S)["engine"].startswith("ended")


def test_an_answer_that_cannot_be_read_is_none_and_a_refusal_is_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object) -> None:
        raise Refused("too many wait.", code="BUSY")

    def garbles(*_: object) -> None:
        raise DataError("not a frame.", code="FRAME_REFUSED")

    monkeypatch.setattr(emergency.client, "ask", refuses)
    with pytest.raises(Refused):
        emergency.halt(folder, "anna", "news", WAIT_S)
    monkeypatch.setattr(emergency.client, "ask", garbles)
    assert emergency.halt(folder, "anna", "news", WAIT_S)["engine"].startswith("ended")


@pytest.mark.parametrize(("comes_up", "words"), [(True, "halted"), (False, "ended")])
def test_an_engine_that_still_starts_has_the_time_in_which_others_answer(
    folder: Path, comes_up: bool, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frames.Request] = []

    def starts(folder: Path, request: frames.Request, wait_s: float) -> dict[str, Any]:
        asked.append(request)
        if comes_up and len(asked) > 3:
            return {"trading": "halted"}
        raise NotRunning("no socket yet.", code="NOT_RUNNING")

    monkeypatch.setattr(emergency, "LOOK_S", 0)
    monkeypatch.setattr(emergency.client, "ask", starts)
    found = emergency.halt(folder, "anna", "news", 1.0 if comes_up else WAIT_S)
    assert found["engine"].startswith(words) and HaltMarker(folder).read() is not None
    assert len(asked) > 3 and (holder(folder) is None) != comes_up


def test_where_no_marker_could_be_set_an_engine_that_starts_is_ended_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[frames.Request] = []

    def starts(folder: Path, request: frames.Request, wait_s: float) -> dict[str, Any]:
        asked.append(request)
        raise NotRunning("no socket yet.", code="NOT_RUNNING")

    monkeypatch.setattr(emergency, "mark", lambda folder, mark: False)
    monkeypatch.setattr(emergency.client, "ask", starts)
    assert emergency.halt(folder, "anna", "news")["engine"].startswith("ended")
    assert len(asked) == 1


class Engine:
    """An engine that refuses a halt, and says what its trading is when asked."""

    def __init__(self, code: str, *trading: str) -> None:
        self.code, self.trading = code, list(trading)
        self.asked: list[frames.Request] = []

    def ask(self, folder: Path, request: frames.Request, wait_s: float) -> dict[str, Any]:
        assert wait_s > 0
        self.asked.append(request)
        if isinstance(request, frames.Status) and self.trading:
            return {"trading": self.trading.pop(0)}
        raise Refused("writing the journal failed.", code=self.code)


def halt(folder: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[int, str]:
    """Give the command; return its exit code and all that it printed."""
    monkeypatch.setattr(emergency, "LOOK_S", 0)
    monkeypatch.setattr(emergency.client, "ask", engine.ask)
    done = CliRunner().invoke(app, ["halt", "--state", str(folder), "--wait", "0.1"])
    return done.exit_code, done.output


CANNOT = ["TIMEOUT", "CLIENTS_MAX", "INBOX_FULL", "JOURNAL_FULL", "JOURNAL_IO"]


@pytest.mark.req("E-9.1.1", "C-17.4")
@pytest.mark.parametrize("code", CANNOT)
def test_an_engine_that_cannot_halt_now_is_ended(
    folder: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "MOMENT_S", 0.05)
    engine = Engine(code, "active")
    exit_code, output = halt(folder, engine, monkeypatch)
    assert exit_code == 0, output
    assert "writing the journal failed" in output and "the engine was ended" in output
    assert "it starts halted" in output and "entries resting at the venue stay live" in output
    assert HaltMarker(folder).read() is not None and holder(folder) is None
    assert len(engine.asked) > 2, "it was looked at while there was time"


@pytest.mark.req("E-9.1.1", "C-17.4")
@pytest.mark.parametrize("code", CANNOT)
def test_an_engine_that_obeys_the_marker_goes_on_halted(
    folder: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "MOMENT_S", 60.0)
    exit_code, output = halt(folder, Engine(code, "active", "halted"), monkeypatch)
    assert exit_code == 0 and "it runs, and trading is halted" in output
    assert "ended" not in output and holder(folder) is not None


def test_an_engine_that_ends_by_itself_is_not_ended_twice(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "MOMENT_S", 60.0)
    end, engine = emergency.end_process, Engine("JOURNAL_FULL", "active")

    def ask(where: Path, request: frames.Request, wait_s: float) -> dict[str, Any]:
        if len(engine.asked) == 3:
            end(folder, 0)  # the lock goes
        return Engine.ask(engine, where, request, wait_s)

    def never(*_: object) -> None:
        raise AssertionError("it has ended")

    monkeypatch.setattr(engine, "ask", ask)
    monkeypatch.setattr(emergency, "end_process", never)
    for _ in range(2):  # and one that is gone when it is looked for
        exit_code, output = halt(folder, engine, monkeypatch)
        assert exit_code == 0, output
        assert "the engine was gone by itself; it starts halted" in output


def test_a_refusal_that_means_the_command_itself_stays_one(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine("COMMAND_REFUSED", "active")
    exit_code, _ = halt(folder, engine, monkeypatch)
    assert exit_code == Refused.exit_code and len(engine.asked) == 1
    assert holder(folder) is not None


def test_another_persons_process_is_told_as_one_that_does_not_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(pid: int, number: int) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(emergency.os, "kill", kill)
    monkeypatch.setattr(emergency, "TERM_S", 0.0)
    monkeypatch.setattr(emergency, "KILL_S", 0.0)
    with pytest.raises(SystemFailure, match="does not end"):
        emergency.end_process(tmp_path, 1)
