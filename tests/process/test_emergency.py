"""Stopping when the engine does not answer, its disk is full, or it does not run at all."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import VenueLost
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.facts import MismatchFound
from cerberus_trader.domain.order import is_own
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.lock import holder
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import ask
from cerberus_trader.runtime.marker import HaltMarker, Mark
from tests.process.live import Live, until
from tests.process.outside import Outside

pytestmark = pytest.mark.process


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Outside]:
    found = Outside("", 1, *getattr(request, "param", ()))
    yield found
    found.end()


def cerberus(*words: object, small: bool = False) -> "subprocess.CompletedProcess[str]":
    """Run a command; a `small` one may not make any file longer."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))

    return subprocess.run(
        [sys.executable, "-m", "cerberus_trader.control.main", *map(str, words)],
        capture_output=True, text=True, timeout=60, preexec_fn=limit if small else None,
        env={k: v for k, v in os.environ.items() if not k.startswith(("CERBERUS", "COVERAGE"))},
    )  # fmt: skip


def started(folder: Path, venue: Outside) -> Live:
    """Start an engine on the venue; wait until both agree."""
    engine = Live(folder, "--config", str(venue.config(folder))).up()
    engine.wait(lambda s: s["prices"] and not s["unreconciled"], "agreement")
    return engine


def holding(folder: Path, venue: Outside) -> Live:
    """Start an engine with a position and a resting entry."""
    engine = started(folder, venue)
    engine.enter(1, lambda s: s["positions"] and len(s["orders"]) == 1)
    resting = {"instrument": "1000PEPEUSDT", "order": "limit", "limit": 0.009}
    engine.enter(2, lambda s: s["positions"] and len(s["orders"]) == 2, **resting)
    known = {"accepted"}  # the venue has both, and the engine knows that it has
    engine.wait(lambda s: {o["status"] for o in s["orders"]} == known, "the venue's word")
    return engine


def operators(state: Path) -> list[OperatorEvent]:
    """Return what people did, as it is journalled."""
    events = [decode_row(row.body).event for row in JournalReader(state).rows()]
    return [event for event in events if isinstance(event, OperatorEvent)]


@pytest.mark.req("E-9.1.1", "C-17.4", "D-09.13")
def test_a_wedged_engine_is_ended_by_halt_and_starts_halted(tmp_path: Path, venue: Outside) -> None:
    engine = holding(tmp_path, venue)
    engine.process.send_signal(signal.SIGSTOP)
    words = ("halt", "--state", engine.state, "--reason", "it hangs", "--wait", "0.5")
    done = cerberus(*words, "--json", small=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["marker"] and found["engine"] == f"ended, it was process {engine.process.pid}"
    assert engine.finish() == -signal.SIGKILL and holder(engine.state) is None
    view, _, _ = venue.held()
    assert any(order.reduce_only for order in view.orders), "the stop stays at the venue"
    assert cerberus(*words).returncode == 0  # again, with nothing running
    again = started(tmp_path, venue)
    status = again.wait(lambda s: s["trading"] == "halted" and len(s["orders"]) == 1)
    assert len(status["positions"]) == 1, "a halt closes nothing, and its entry is cancelled"
    halts = [event for event in operators(again.state) if event.command == "halt"]
    assert halts[-1].reason == "halt marker: it hangs" and halts[-1].actor
    again.signal(3, instrument="1000PEPEUSDT")
    again.wait(lambda s: s["metrics"]["denied"])
    assert cerberus("resume", "--state", again.state).returncode == 0
    until(lambda: HaltMarker(again.state).read() is None, "the marker to go")
    assert again.wait(lambda s: True)["trading"] == "active"
    again.signal(4, side="close")
    again.wait(lambda s: not s["positions"])
    assert again.end() == 0


@pytest.mark.parametrize("venue", [("--instrument", "1000SHIBUSDT=0.01")], indirect=True)
def test_the_marker_alone_holds_back_what_adds_and_lets_exits_pass(
    tmp_path: Path, venue: Outside
) -> None:
    engine = holding(tmp_path, venue)
    engine.wait(lambda s: "1000SHIBUSDT" in s["prices"], "a price of the third instrument")
    before = len(venue.held()[2].accepted)
    HaltMarker(engine.state).set(Mark("test", "past the engine", 1))
    engine.signal(5, instrument="1000SHIBUSDT")  # first: soon the engine halts by itself
    engine.signal(3, instrument="1000PEPEUSDT", side="close")
    engine.signal(4, side="close")
    engine.wait(lambda s: not s["positions"], "the exit")
    engine.wait(lambda s: s["metrics"]["not_sent"] == 1, "a refusal of the gate")
    assert len(venue.held()[2].accepted) <= before + 2
    until(lambda: "the halt marker is set" in engine.log.read_text(), "the gate's words")
    done = cerberus("cancel-all", "--state", engine.state, "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["command"] == "cancel_all"
    assert engine.end() == 0


@pytest.mark.req("C-10.4", "D-08.4", "D-09.13", "E-9.1.1")
@pytest.mark.parametrize("alive", [False, True])
def test_flatten_without_the_journal_closes_all_and_the_next_start_knows_of_it(
    tmp_path: Path, venue: Outside, alive: bool
) -> None:
    engine = holding(tmp_path, venue)
    engine_id = engine.wait(lambda s: True)["engine_id"]
    engine.process.send_signal(signal.SIGSTOP if alive else signal.SIGKILL)
    words = ("flatten", "--without-journal", "--state", engine.state, "--json")
    done = cerberus(*words, small=True)
    assert done.returncode == 0, done.stderr
    deeds = json.loads(done.stdout)["done"]
    kinds = [deed.split(" ")[0] + " " + deed.split(" ")[1] for deed in deeds]
    assert kinds.index("cancel entry") < next(i for i, d in enumerate(deeds) if "close" in d[:5])
    assert deeds[-1] == "verified flat" or "cancel protective" in kinds[-1]
    view, bookings, sums = venue.held()
    assert not view.positions and not view.orders
    assert sums.accepted and set(sums.accepted.values()) == {1}
    closing = [name for name in sums.accepted if name.endswith("x")]
    assert len(closing) == 1 and is_own(engine_id, closing[0])
    assert cerberus(*words).returncode == 0, "once more changes nothing"
    assert len(venue.held()[1]) == len(bookings)
    engine.process.kill()
    engine.finish()
    again = started(tmp_path, venue)
    status = again.wait(lambda s: not s["positions"] and not s["orders"], "flat books")
    assert status["trading"] == "halted", "not frozen: nothing is a mystery"
    journalled = operators(again.state)[0]
    assert closing[0] in journalled.reason and "without the engine" in journalled.actor
    wrong = [
        fact.action
        for row in JournalReader(again.state).rows()
        for fact in decode_row(row.body).facts
        if isinstance(fact, MismatchFound)
    ]
    assert "frozen" not in wrong
    assert again.end() == 0


def test_an_emergency_that_was_resumed_from_halts_no_later_start(
    tmp_path: Path, venue: Outside
) -> None:
    engine = holding(tmp_path, venue)
    assert cerberus("flatten", "--without-journal", "--state", engine.state).returncode == 0
    engine.wait(lambda s: s["trading"] == "halted" and not s["positions"], "the halt")
    assert cerberus("resume", "--state", engine.state).returncode == 0
    engine.wait(lambda s: s["trading"] == "active", "the resume")
    engine.process.kill()
    engine.finish()
    again = started(tmp_path, venue)
    again.wait(lambda s: s["trading"] == "active", "trading")
    told = [
        (event.command, "without the engine" in event.actor) for event in operators(again.state)
    ]
    assert told == [("halt", False), ("halt", True), ("resume", False)]
    assert again.end() == 0


def test_a_resume_without_an_engine_says_what_still_halts(tmp_path: Path, venue: Outside) -> None:
    engine = holding(tmp_path, venue)
    engine.process.kill()
    engine.finish()
    assert cerberus("flatten", "--without-journal", "--state", engine.state).returncode == 0
    done = cerberus("resume", "--state", engine.state)
    assert done.returncode == 0 and "halts the next start" in done.stdout
    again = started(tmp_path, venue)
    again.wait(lambda s: s["trading"] == "halted", "the halt")
    assert again.end() == 0


def test_the_paper_venue_is_flattened_by_the_next_start(tmp_path: Path) -> None:
    config = tmp_path / "paper.toml"
    config.write_text('shutdown = "leave"\n[sizing]\nmethods = ["risk"]\n')
    engine = Live(tmp_path, "--config", str(config)).up()
    engine.open(1)
    engine.process.kill()
    engine.finish()
    done = cerberus("flatten", "--without-journal", "--state", engine.state)
    assert done.returncode == 0 and "next start closes every position" in done.stderr
    again = Live(tmp_path, "--config", str(config)).up()

    def closed(status: dict[str, object]) -> bool:
        again.quote("0.2")
        return not status["positions"] and status["trading"] == "halted"

    again.wait(closed)
    assert again.end() == 0
    mark = HaltMarker(again.state).read()
    assert mark is not None and not mark.flatten


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_leaves_what_the_policy_leaves_at_the_venue(
    tmp_path: Path, venue: Outside, number: signal.Signals
) -> None:
    engine = holding(tmp_path, venue)
    second = Live(tmp_path, "--config", str(tmp_path / "remote.toml"))
    assert second.finish() == 3, "two engines on one folder"
    assert engine.end(number) == 0
    view, _, _ = venue.held()
    assert len(view.positions) == 1 and len(view.orders) == 2
    again = started(tmp_path, venue)
    assert len(again.wait(lambda s: True)["positions"]) == 1
    ask(again.state, frames.Operate("flatten", "test"))
    again.wait(lambda s: not s["positions"] and not s["orders"], "flat")
    assert again.end() == 0


def test_a_venue_that_goes_and_comes_back_blocks_only_meanwhile(
    tmp_path: Path, venue: Outside
) -> None:
    engine = started(tmp_path, venue)
    assert venue.end() == 0
    engine.wait(lambda s: s["unreconciled"], "the loss")
    with pytest.raises((VenueLost, TimeoutError)):
        venue.held()
    venue.start()
    engine.wait(lambda s: not s["unreconciled"], "agreement again")
    assert engine.end() == 0


def test_real_money_is_refused_with_one_sentence(tmp_path: Path) -> None:
    config = tmp_path / "live.toml"
    config.write_text('stage = "prod"\n[venues.x]\nkind = "remote"\nenvironment = "live"\n'
                      'endpoint = "unix:/tmp/x"\n')  # fmt: skip
    engine = Live(tmp_path, "--config", str(config))
    assert engine.finish() == 2
    assert "must be paper or demo" in engine.log.read_text()
