"""The control socket's answers, its manners with bad clients, its file."""

import asyncio
import stat
from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import frames, server
from cerberus_trader.runtime.client import NotRunning, Refused, ask
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
        for task in self.tasks:
            task.cancel()
        await asyncio.wait(self.tasks)


@pytest.fixture
async def served(tmp_path: Path) -> Any:
    found = Served(tmp_path)
    yield found
    await found.end()


async def test_an_operator_is_answered_once_the_row_is_durable(served: Served) -> None:
    found = await served.ask(frames.Operate("halt", "me", "why"))
    assert found == {"command": "halt", "row": 2, "trading": "halted", "facts": ["state"]}
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


async def test_too_many_clients_are_turned_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "CLIENTS_MAX", 0)
    with pytest.raises(Refused, match="too many"):
        await served.ask(frames.Status())


def test_nobody_there_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NotRunning) as missing:
        ask(tmp_path, frames.Status())
    assert missing.value.exit_code == 4
    left = listen(tmp_path / "control.sock")
    left.close()
    with pytest.raises(NotRunning):
        ask(tmp_path, frames.Status())


def test_a_long_path_works_and_the_socket_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 60) / ("y" * 60)
    folder.mkdir(parents=True)
    for _ in range(2):  # a left-over file is replaced
        listening = listen(folder / "control.sock")
        assert stat.S_IMODE((folder / "control.sock").stat().st_mode) == 0o600
        listening.close()
