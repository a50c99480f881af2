"""The control socket's answers, its manners with bad clients, its file."""

import asyncio
import sqlite3
import stat
import threading
import time
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.engine.state import Trip
from cerberus_trader.runtime import frames, server
from cerberus_trader.runtime.client import NoAnswer, NotRunning, Refused, ask
from cerberus_trader.runtime.server import ControlServer, listen
from cerberus_trader.runtime.trading import Trading
from tests.unit.runtime.test_runner import Rig


class Served:
    """Serve a rig's engine in a folder."""

    def __init__(self, folder: Path) -> None:
        self.rig = Rig()
        self.folder = folder
        self.rig.journal.append = self._append  # type: ignore[method-assign]
        self.stops = 0
        self.lines: list[Line] = []
        self.unhandled: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda _, told: self.unhandled.append(told)
        )
        trading = Trading(self.rig.runner, self.rig.market, self.rig.desk)
        self.server = ControlServer(folder, trading, self._stop, self._check)
        self.tasks = [asyncio.ensure_future(x) for x in (trading.run(), self.server.run())]

    def _append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        seq = type(self.rig.journal).append(self.rig.journal, ts_ns, kind, body)
        asyncio.get_running_loop().call_later(0.001, self.rig.sync)
        return seq

    def _stop(self) -> None:
        self.stops += 1

    def _check(self, text: str) -> str:
        if text != "good":
            raise DataError("the token is not known.", code="TOKEN_UNKNOWN")
        return "0001"

    async def ask(self, request: frames.Request) -> dict[str, Any]:
        while not (self.folder / "control.sock").exists():
            await asyncio.sleep(0.001)
        return await asyncio.to_thread(ask, self.folder, request)

    async def end(self) -> None:
        for line in self.lines:
            line.writer.transport.abort()
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)
        assert not self.unhandled, "it would end the engine"


@pytest.fixture
async def served(tmp_path: Path) -> Any:
    found = Served(tmp_path)
    yield found
    await found.end()


async def test_an_operator_is_answered_once_the_row_is_durable(served: Served) -> None:
    found = await served.ask(frames.Operate("halt", "me", "why"))
    assert found == {"command": "halt", "row": 2, "trading": "halted", "breaker": [],
                     "facts": ["state"]}  # fmt: skip
    assert served.rig.journal.durable_seq == 2
    status = await served.ask(frames.Status())
    assert status["trading"] == "halted" and status["account"]["balance"] == "10000"
    assert (await served.ask(frames.Operate("resume", "me")))["trading"] == "active"


async def test_what_the_engine_refuses_is_a_failure(served: Served) -> None:
    with pytest.raises(Refused, match="no strategy 'nobody'"):
        await served.ask(frames.Operate("pause_strategy", "me", "", "nobody"))
    with pytest.raises(Refused, match="no command of this socket"):
        await served.ask(frames.Operate("withdraw", "me"))
    with pytest.raises(Refused, match="nothing is tripped"):
        await served.ask(frames.Authorise("reset_breaker", "good", "me", "why"))
    with pytest.raises(Refused, match="not known"):
        await served.ask(frames.Authorise("reset_breaker", "bad", "me", "why"))


async def test_a_freeze_takes_no_token_and_a_thaw_does(served: Served) -> None:
    assert (await served.ask(frames.Operate("freeze", "me", "odd fills")))["trading"] == "frozen"
    with pytest.raises(Refused, match="thaw it with an admin token"):
        await served.ask(frames.Operate("resume", "me"))
    with pytest.raises(Refused, match="not known"):
        await served.ask(frames.Authorise("thaw", "bad", "me", "looked"))
    found = await served.ask(frames.Authorise("thaw", "good", "me", "looked"))
    assert found["trading"] == "active"


async def test_money_moves_with_a_token_only(served: Served) -> None:
    found = await served.ask(frames.Authorise("deposit", "good", "me", "more", D("250.5")))
    assert found["facts"] == ["cash"]
    assert served.rig.state.balance == D("10250.5")
    with pytest.raises(Refused, match="the free balance is only"):
        await served.ask(frames.Authorise("withdraw", "good", "me", "all", D(99_999)))
    with pytest.raises(Refused, match="no command of this socket"):
        await served.ask(frames.Authorise("halt", "good", "me", "why"))


async def test_money_given_again_under_its_id_is_moved_once(served: Served) -> None:
    request = frames.Authorise("deposit", "good", "me", "more", D(250), command_id="a1")
    found = await served.ask(request)
    assert (found["facts"], found["id"]) == (["cash"], "a1") and "done_ns" not in found
    again = await served.ask(request)
    assert again["facts"] == ["repeated"]
    assert again["done_ns"] == served.rig.state.commands["a1"][0]
    assert served.rig.state.balance == D(10_250)
    for _ in range(2):  # without an id each of them counts
        await served.ask(msgspec.structs.replace(request, command_id=""))
    assert served.rig.state.balance == D(10_750)


async def test_a_move_of_unknown_outcome_says_how_it_is_given_again(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row is not durable in time, and is in the end: given again, it must not count twice."""
    monkeypatch.setattr(server, "ANSWER_S", 0.5)
    synced, served.rig.sync = served.rig.sync, lambda: None  # type: ignore[method-assign]
    request = frames.Authorise("deposit", "good", "me", "more", D(250), command_id="a1")
    with pytest.raises(Refused, match="no answer in") as caught:
        await served.ask(request)
    assert caught.value.code == "TIMEOUT"
    assert "repeat it with --id a1 and a fresh token: it will be counted once" in caught.value.fix
    with pytest.raises(Refused) as caught:
        await served.ask(frames.Operate("resume", "me"))
    assert "--id" not in caught.value.fix
    monkeypatch.setattr(server, "ANSWER_S", 15.0)
    served.rig.sync = synced  # type: ignore[method-assign]
    assert (await served.ask(request))["facts"] == ["repeated"]
    assert served.rig.state.balance == D(10_250)


@pytest.mark.parametrize("name", ["a b", "x" * 65, "\x1b[2J", "a1\n"])
async def test_an_id_that_is_none_is_refused(served: Served, name: str) -> None:
    with pytest.raises(Refused, match="no id of a command"):
        await served.ask(frames.Authorise("deposit", "good", "me", "more", D(250), command_id=name))
    assert served.rig.state.balance == D(10_000)


LATE = 1
"""A moment of 1970: whoever asked then waits no more."""


@pytest.mark.parametrize(
    "request_",
    [
        frames.Authorise("deposit", "good", "me", "more", D(250), LATE),
        frames.Authorise("withdraw", "good", "me", "less", D(250), LATE),
        frames.Authorise("reset_breaker", "good", "me", "why", not_after_ns=LATE),
        frames.Authorise("thaw", "good", "me", "why", not_after_ns=LATE),
        frames.Operate("resume", "me", not_after_ns=LATE),
        frames.Operate("resume_strategy", "me", "", "default", not_after_ns=LATE),
        frames.Operate("modify", "me", "", "o1", D(1), not_after_ns=LATE),
    ],
)
async def test_what_adds_risk_or_moves_money_is_not_done_late(
    served: Served, request_: frames.Request
) -> None:
    """Who gave it heard nothing, and may have given it again: it must not count twice."""
    await served.ask(frames.Operate("halt", "me"))
    before = served.rig.journal.last_seq
    with pytest.raises(Refused, match="came too late and was not carried out") as caught:
        await served.ask(request_)
    assert caught.value.code == "TOO_LATE"
    assert served.rig.journal.last_seq == before
    assert served.rig.state.trading == "halted" and served.rig.state.balance == D(10_000)


@pytest.mark.parametrize(
    "command",
    ["halt", "flatten", "cancel_all", "freeze", "pause_strategy", "stop_strategy"],
)
async def test_what_reduces_is_done_however_late(served: Served, command: str) -> None:
    target = "default" if command.endswith("_strategy") else ""
    found = await served.ask(frames.Operate(command, "me", "", target, not_after_ns=LATE))
    assert found["command"] == command


async def test_the_deadline_is_looked_at_again_after_the_tokens_file(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    end_ns = time.time_ns() + 10**12

    def slow(text: str) -> str:
        monkeypatch.setattr(server.time, "time_ns", lambda: end_ns + 1)
        return "0001"

    served.server.check_token = slow
    answer = await served.server.answer(
        frames.Authorise("deposit", "good", "me", "more", D(250), end_ns)
    )
    assert isinstance(answer, frames.Failure) and answer.code == "TOO_LATE"
    assert served.rig.state.balance == D(10_000)


async def test_a_command_of_an_older_client_has_no_deadline(served: Served) -> None:
    """It sends fewer fields; so does a newer client that an older engine reads."""
    found = await served.server.answer(frames.Operate("resume", "me"))
    assert isinstance(found, frames.Reply)
    decoder: frames.Decoder[frames.Request] = frames.Decoder(frames.Request)
    body = msgspec.msgpack.encode((1, ["operate", "resume", "me"]))
    (request,) = decoder.feed(len(body).to_bytes(4, "big") + body)
    assert request == frames.Operate("resume", "me")


async def test_what_is_active_but_held_back_by_a_breaker_is_told(served: Served) -> None:
    served.rig.state.trips["losses"] = Trip(1, "", "5", "5", "block")
    assert (await served.ask(frames.Operate("resume", "me")))["breaker"] == ["losses"]


async def test_shutdown_asks_for_a_stop(served: Served) -> None:
    assert await served.ask(frames.Shutdown("me")) == {"stopping": True}
    assert served.stops == 1


async def test_a_client_that_talks_nonsense_gets_one_failure_and_is_dropped(
    served: Served,
) -> None:
    await served.ask(frames.Status())
    reader, writer = await asyncio.open_unix_connection(str(served.folder / "control.sock"))
    writer.write(b"\xff\xff\xff\xff and more")
    answer: frames.Decoder[frames.Answer] = frames.Decoder(frames.Answer)
    (failure,) = answer.feed(await reader.read())
    assert isinstance(failure, frames.Failure) and failure.code == "FRAME_REFUSED"
    writer.close()
    assert (await served.ask(frames.Status()))["trading"] == "active"


class Line:
    """A connection that stays open."""

    @classmethod
    async def to(cls, served: Served) -> "Line":
        line = cls()
        served.lines.append(line)
        path = str(served.folder / "control.sock")
        line.reader, line.writer = await asyncio.open_unix_connection(path)
        line.answers = frames.Decoder(frames.Answer)
        return line

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    answers: frames.Decoder[frames.Answer]

    async def ask(self, request: frames.Request) -> frames.Answer:
        self.writer.write(frames.encode(request))
        return await self.answer()

    async def answer(self) -> frames.Answer:
        (answer,) = self.answers.feed(await self.reader.read(1 << 16))
        return answer


async def test_of_too_many_clients_the_longest_idle_one_is_dropped(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 3)
    await served.ask(frames.Status())
    lines = [await Line.to(served) for _ in range(3)]
    for line in (lines[1], lines[0], lines[2]):
        assert isinstance(await line.ask(frames.Status()), frames.Reply)
    assert (await served.ask(frames.Operate("flatten", "me")))["command"] == "flatten"
    told = await lines[1].answer()
    assert isinstance(told, frames.Failure) and told.code == "CLIENTS_MAX"
    assert await lines[1].reader.read() == b""
    for line in (lines[0], lines[2]):
        assert isinstance(await line.ask(frames.Status()), frames.Reply)


async def test_where_all_clients_wait_for_the_disk_a_command_is_taken_all_the_same(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 2)
    await served.ask(frames.Status())
    sync = served.rig.sync
    served.rig.sync = lambda: None  # type: ignore[method-assign,assignment]
    lines = [await Line.to(served) for _ in range(2)]
    for number, line in enumerate(lines):
        line.writer.write(frames.encode(frames.Operate("cancel_all", f"greedy {number}")))
        while served.rig.journal.last_seq < 2 + number:
            await asyncio.sleep(0)
    last = await Line.to(served)
    last.writer.write(frames.encode(frames.Operate("halt", "me")))
    told = await lines[0].answer()
    assert isinstance(told, frames.Failure) and told.code == "CLIENTS_MAX"
    assert "may still be carried out" in told.fix
    while served.rig.state.trading != "halted":
        await asyncio.sleep(0)
    sync()
    assert isinstance(await last.answer(), frames.Reply)
    assert isinstance(await lines[1].answer(), frames.Reply)


async def test_a_client_that_does_not_read_is_cut_off(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 1)
    await served.ask(frames.Status())
    deaf = await Line.to(served)
    await deaf.ask(frames.Status())
    (client,) = served.server.clients
    while not client.writer.transport.get_write_buffer_size():
        deaf.writer.write(frames.encode(frames.Status()) * 100)
        await asyncio.sleep(0.001)
    assert (await served.ask(frames.Status()))["trading"] == "active"
    while client.task is not None and not client.task.done():
        await asyncio.sleep(0)
    assert client.writer.transport.get_write_buffer_size() == 0, "nothing waits for it"


async def test_what_the_disk_refuses_is_a_failure_and_no_closed_line(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(text: str) -> str:
        raise OSError(28, "No space left on device", "/state/tokens.tmp")

    monkeypatch.setattr(served.server, "check_token", full)
    with pytest.raises(Refused, match=r"/state/tokens\.tmp: No space left") as raised:
        await served.ask(frames.Authorise("thaw", "good", "me", "looked"))
    assert raised.value.code == "OS_ERROR" and raised.value.fix


def test_nobody_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as missing:
        ask(tmp_path, frames.Status())
    assert missing.value.exit_code == 4
    left = listen(tmp_path / "control.sock")
    left.close()
    with pytest.raises(NotRunning):
        ask(tmp_path, frames.Status())


@pytest.mark.parametrize("command", ["flatten", "cancel_all"])
def test_who_wants_out_is_told_the_way_past_the_engine(tmp_path: Path, command: str) -> None:
    with pytest.raises(NotRunning) as caught:
        ask(tmp_path, frames.Operate(command, "me"))
    assert "`cerberus flatten --without-journal`" in caught.value.fix
    with pytest.raises(NotRunning) as caught:
        ask(tmp_path, frames.Operate("resume", "me"))
    assert "--without-journal" not in caught.value.fix


@pytest.mark.parametrize("closes", [True, False])
def test_an_engine_that_hears_and_says_nothing_may_still_do_it(
    tmp_path: Path, closes: bool
) -> None:
    """Its socket takes the command; it hangs, or it ends before it answers."""
    heard: list[frames.Request] = []
    asked_ns = time.time_ns()
    with listen(tmp_path / "control.sock") as listening:
        listening.setblocking(True)

        def take() -> None:
            line, _ = listening.accept()
            heard.extend(frames.Decoder(frames.Request).feed(line.recv(4096)))
            gone.wait() if not closes else None
            line.close()

        gone = threading.Event()
        engine = threading.Thread(target=take)
        engine.start()
        try:
            with pytest.raises(NoAnswer, match="may still be carried out") as caught:
                ask(tmp_path, frames.Authorise("deposit", "t", "me", "more", D(5),
                                               command_id="a1"), 0.05)  # fmt: skip
        finally:
            gone.set()
            engine.join()
    assert caught.value.code == "NO_ANSWER" and caught.value.exit_code == 4
    assert not isinstance(caught.value, NotRunning | Refused)
    assert caught.value.fix.startswith("repeat it with --id a1 and a fresh token: it will be")
    assert "`cerberus halt`" in caught.value.fix and "--without-journal" in caught.value.fix
    (request,) = heard
    assert isinstance(request, frames.Authorise) and request.not_after_ns is not None
    assert 0 <= request.not_after_ns - asked_ns - 1_050_000_000 < 10**10


def test_a_question_without_an_answer_speaks_of_no_command(tmp_path: Path) -> None:
    with (
        listen(tmp_path / "control.sock"),
        pytest.raises(NoAnswer, match=r"did not answer\. Fix") as caught,
    ):
        ask(tmp_path, frames.Status(), 0.05)
    assert "carried out" not in str(caught.value)


def test_a_long_path_works_and_the_socket_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 60) / ("y" * 60)
    folder.mkdir(parents=True)
    for _ in range(2):  # a left-over file is replaced
        listening = listen(folder / "control.sock")
        assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o600
        listening.close()


async def test_a_damaged_file_that_a_question_reads_does_not_end_the_engine(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(folder: Path, decision: str) -> Any:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(server, "explained", damaged)
    with pytest.raises(Refused, match="malformed") as raised:
        await served.ask(frames.Explain("d1"))
    assert raised.value.code == "FOLDER_UNREADABLE" and "verify" in raised.value.fix
