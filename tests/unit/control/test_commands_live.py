"""The commands of a running engine: words, output, exit codes."""

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from cerberus_trader.control import commands_live, commands_stop
from cerberus_trader.control.engine_process import reset_tokens
from cerberus_trader.control.tokens import TokenStore
from cerberus_trader.domain.errors import DataError
from cerberus_trader.engine.state import Target
from cerberus_trader.runtime import client, emergency, frames
from cerberus_trader.runtime.marker import HaltMarker, Mark
from cerberus_trader.runtime.status import status_of
from cerberus_trader.runtime.trading import Trading
from tests.kit import Bench, D
from tests.unit.runtime.test_observer import journalled
from tests.unit.runtime.test_trading import Loop

DAY_MS = 86_400_000


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    commands_live.register(made)
    commands_stop.register(made)
    return made


def invoke(app: typer.Typer, *arguments: object, **more: Any) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments], **more)


def test_run_becomes_the_engines_own_process(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda path, words: became.append(words))
    done = invoke(app, "run", "--prices", "a.csv", "--prices", "b.csv", "--speed", "max",
                  "--signals", "s", "--config", "c.toml", "--exit-at-end", "--json")  # fmt: skip
    assert done.exit_code == 0
    assert became[0][1:] == [
        "-m", "cerberus_trader.control.engine_process", "--state", "state", "--speed", "max",
        "--prices", "a.csv", "--prices", "b.csv", "--config", "c.toml", "--signals", "s",
        "--exit-at-end", "--json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [("status",), ("halt",), ("resume",), ("flatten",),
     ("reset-breaker", "--token", "t", "--reason", "r")],
)  # fmt: skip
def test_without_an_engine_the_exit_code_is_4(
    app: typer.Typer, tmp_path: Path, words: tuple[str, ...]
) -> None:
    done = invoke(app, *words, "--state", tmp_path)
    assert done.exit_code == 4 and "is not running" in done.stderr
    done = invoke(app, *words, "--state", tmp_path, "--json")
    assert done.exit_code == 4
    assert json.loads(done.stdout)["error"]["code"] == "NOT_RUNNING"


def test_a_command_says_who_why_and_what_came_of_it(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a halt sets its marker in ./state, where an engine has run
    asked: list[frames.Request] = []

    def ask(state: Path, request: frames.Request, wait_s: float = 0.0) -> dict[str, Any]:
        asked.append(request)
        return {"command": "halt", "row": 7, "trading": "halted", "facts": ["state"]}

    monkeypatch.setattr(client, "ask", ask)
    done = invoke(app, "halt", "--reason", "news")
    assert done.stdout == "halt: row 7 (state); trading is halted\n"
    assert asked == [frames.Operate("halt", commands_live.actor(), "news")]
    invoke(app, "reset-breaker", "--reason", "ok", "--token", "-", input="secret\n")
    assert asked[1] == frames.Authorise("reset_breaker", "secret", commands_live.actor(), "ok")
    invoke(app, "reset-breaker", "--reason", "ok", env={"CERBERUS_TOKEN": "other"})
    assert asked[2] == frames.Authorise("reset_breaker", "other", commands_live.actor(), "ok")


def test_a_move_has_an_id_given_or_drawn(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frames.Authorise] = []

    def ask(state: Path, request: frames.Authorise, wait_s: float = 0.0) -> dict[str, Any]:
        asked.append(request)
        return {"command": "deposit", "row": 7, "trading": "active", "facts": ["repeated"],
                "id": request.command_id, "done_ns": 1_704_067_200_000_000_000}  # fmt: skip

    monkeypatch.setattr(client, "ask", ask)
    words = ("--token", "t", "--reason", "r")
    done = invoke(app, "deposit", "5", *words, "--id", "a1")
    assert done.exit_code == 0 and asked[0].command_id == "a1"
    assert done.stdout == (
        "deposit: done already at 2024-01-01 00:00:00 UTC (the engine's clock) under the id a1; it"
        " counts once, and nothing was done again\n"
    )
    for _ in range(2):
        invoke(app, "withdraw", "5", *words)
    drawn = [request.command_id for request in asked[1:]]
    assert drawn[0] != drawn[1]
    for name in drawn:
        frames.check_id(name)
    invoke(app, "thaw", *words)
    assert asked[3].command_id == ""
    done = invoke(app, "deposit", "5", *words, "--id", "")  # of a variable that is not set
    assert done.exit_code == 2 and "'' is no id" in done.stderr and len(asked) == 4


async def test_status_is_told_in_lines() -> None:
    loop = Loop(paper={"latency_ms": 0})
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2))
    await loop.price("100", 1)
    assert isinstance(loop.trading, Trading)
    found = json.loads(json.dumps(status_of(loop.trading)))
    text = "\n".join(commands_live.status_lines(found))
    assert "trade: trading active, breaker closed" in text
    assert "long" in text and "COIN at 100.0" in text and "stop 98.02" in text
    assert "approved 1" in text and "flags" not in text and "to close" not in text
    (position,) = loop.state.positions.values()
    loop.state.targets["main/COIN"] = Target(position.id, D(4), D(4), tries=2)
    again = commands_live.status_lines(json.loads(json.dumps(status_of(loop.trading))))
    assert any("; 4 to close, sent again 2 times" in line for line in again)
    found["flags"] = {"Latency": True, "Consecutive_Losses": False, "HALT": True}
    assert commands_live.status_lines(found)[1] == "flags: Latency, HALT"
    found["unreconciled"] = {"main": "no connection for 60 s: refused"}
    told = "nothing new is opened on main: no connection for 60 s: refused"
    assert commands_live.status_lines(found)[1] == told


def test_explain_reads_a_stopped_engines_journal(app: typer.Typer, tmp_path: Path) -> None:
    bench = Bench()
    bench.signal(confidence=0.7)
    bench.signal(instrument="OTHER", ts_ns=bench.now - DAY_MS * 10**6)
    journalled(tmp_path, bench)
    done = invoke(app, "explain", "d2", "--state", tmp_path)
    assert done.exit_code == 0 and done.stdout.startswith("d2 default: Approved to buy COIN")
    assert "<- binding" in done.stdout
    last = json.loads(invoke(app, "explain", "--last", "--json", "--state", tmp_path).stdout)
    assert (last["id"], last["code"]) == ("d3", "SIGNAL_STALE")
    why = invoke(app, "explain", "--why-not", "--state", tmp_path)
    assert "SIGNAL_STALE: age of the signal, ms 86400000, at most 10000" in why.stdout
    approved = invoke(app, "explain", "d2", "--why-not", "--state", tmp_path)
    assert "nothing had to differ" in approved.stdout


@pytest.mark.parametrize("words", [(), ("d2", "--last"), ("d99",)])
def test_explain_refuses_what_it_cannot_answer(
    app: typer.Typer, tmp_path: Path, words: tuple[str, ...]
) -> None:
    journalled(tmp_path, Bench())
    done = invoke(app, "explain", *words, "--state", tmp_path)
    assert done.exit_code == 2 and done.stderr.startswith("error: ")


def test_explain_of_a_journal_without_decisions_does_not_tell_to_ask_for_the_last(
    app: typer.Typer, tmp_path: Path
) -> None:
    journalled(tmp_path, Bench())
    said = invoke(app, "explain", "--last", "--state", tmp_path).stderr
    assert "no decision yet" in said and "send a signal" in said and "--last" not in said
    assert "use --last" in invoke(app, "explain", "d99", "--state", tmp_path).stderr


@pytest.mark.req("C-06.3")
def test_only_an_admins_reset_token_passes(tmp_path: Path) -> None:
    store, check, now = TokenStore(tmp_path), reset_tokens(tmp_path), time.time_ns()
    text, token = store.create("admin", scope="reset", now_ns=now)
    operator, _ = store.create("operator", now_ns=now)
    for wrong in ("", operator, text + "x"):
        with pytest.raises(DataError):
            check(wrong)
    assert check(text) == token.id
    with pytest.raises(DataError, match="used"):
        check(text)


@pytest.mark.parametrize(
    ("words", "said"),
    [(("cancel-all",), "interrupted; the command may still be carried out: see `cerberus status`"),
     (("flatten",), "interrupted; the command may still be carried out: see `cerberus status`"),
     (("resume",), "interrupted; the command may still be carried out: see `cerberus status`"),
     (("modify", "o1"), "interrupted; the command may still be carried out: see `cerberus status`"),
     (("deposit", "5", "--token", "t", "--reason", "r", "--id", "a1"),
      "interrupted; repeat it with --id a1 and a fresh token: it will be counted once; "
      "the command may still be carried out: see `cerberus status`"),
     (("halt",), "interrupted; the halt marker may be set"),
     (("status",), "interrupted")],
)  # fmt: skip
def test_an_interrupt_says_what_may_have_happened(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    said: str,
) -> None:  # fmt: skip
    """Who reads "nothing was written" gives a deposit again, and has it twice."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(client, "ask", stop)
    done = invoke(app, *words, "--state", tmp_path)
    assert done.exit_code == 130 and done.stderr == said + "\n"


@pytest.mark.parametrize("marked", [True, False])
def test_a_flatten_that_is_cut_short_says_whether_trading_is_halted(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, marked: bool
) -> None:
    def stop(folder: Path, *_: object) -> None:
        if marked:
            HaltMarker(folder).set(Mark("anna", "flatten", 1))
        raise KeyboardInterrupt

    monkeypatch.setattr(emergency, "flatten", stop)
    done = invoke(app, "flatten", "--without-journal", "--state", tmp_path)
    halted = "trading is halted by the marker" if marked else "THE HALT MARKER IS NOT SET"
    assert done.exit_code == 130
    assert done.stderr == (
        f"interrupted; not verified flat; {halted}; run it again, nothing is doubled\n"
    )


def test_status_waits_for_three_seconds_and_a_command_for_longer(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def silent(state: Path, request: frames.Request, timeout_s: float) -> None:
        waited.append(timeout_s)
        raise client.NoAnswer("the engine did not answer.", code="NO_ANSWER")

    monkeypatch.setattr(client, "ask", silent)
    assert invoke(app, "status").exit_code == 4
    assert invoke(app, "cancel-all").exit_code == 4
    assert waited == [3.0, client.TIMEOUT_S]


@pytest.mark.parametrize("command", ["flatten", "cancel-all"])
def test_who_wants_out_is_told_the_way_past_the_engine(
    app: typer.Typer, tmp_path: Path, command: str
) -> None:
    done = invoke(app, command, "--state", tmp_path)
    assert "`cerberus flatten --without-journal`" in done.stderr


def test_resumed_is_not_all_where_a_breaker_is_open(
    app: typer.Typer, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {"command": "resume", "row": 7, "trading": "active", "facts": ["state"],
             "breaker": ["losses"]}  # fmt: skip
    monkeypatch.setattr(client, "ask", lambda *_: found)
    text = invoke(app, "resume").stdout
    assert "trading is active, but the breaker still holds entries back (losses)" in text
    assert "cerberus reset-breaker" in text
    found["breaker"] = []
    assert invoke(app, "resume").stdout == "resume: row 7 (state); trading is active\n"


@pytest.mark.parametrize("words", [("resume",), ("flatten", "--without-journal")])
def test_a_folder_that_cannot_be_read_is_told_in_one_sentence(
    app: typer.Typer, tmp_path: Path, words: tuple[str, ...]
) -> None:
    (tmp_path / "file").touch()
    done = invoke(app, *words, "--state", tmp_path / "file")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ") and "Not a directory" in done.stderr
