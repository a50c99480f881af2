"""What a second process left: put in force at the start, and taken over while the engine runs."""

import asyncio
import time
from pathlib import Path

import pytest

from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.facts import CommandRefused
from cerberus_trader.runtime import restart
from cerberus_trader.runtime.inbox import Command
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.marker import Deed, EmergencyLog, HaltMarker, Header, Mark
from cerberus_trader.runtime.restart import LeftBehind
from cerberus_trader.runtime.trading import Trading
from tests.unit.runtime.test_runner import Rig
from tests.unit.runtime.test_trading import Loop


async def looks() -> None:
    """Let a few looks go by."""
    await asyncio.sleep(0.05)


@pytest.mark.req("C-10.4")
async def test_a_marker_set_past_a_running_engine_becomes_its_own_halt_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "LOOK_S", 0.01)
    marker, loop = HaltMarker(tmp_path), Loop()
    marker.allocate()
    left = LeftBehind(marker, EmergencyLog(tmp_path), Log("error", "json"))
    inbox = loop.rig.runner.inbox
    watching = asyncio.ensure_future(left.watch(loop.trading))
    await looks()
    assert not inbox.operator
    marker.set(Mark("anna", "news", 50))
    async with asyncio.timeout(10.0):
        while not inbox.operator:
            await looks()
    event = inbox.operator.popleft().event
    assert isinstance(event, OperatorEvent)
    assert (event.command, event.actor, event.reason) == ("halt", "anna", "halt marker: news")
    loop.rig.runner.commit(event)
    inbox.operator.clear()
    await looks()
    assert loop.state.trading == "halted" and not inbox.operator
    watching.cancel()


async def test_a_resume_whose_row_waits_for_the_disk_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restart, "LOOK_S", 0.01)
    marker, rig = HaltMarker(tmp_path), Rig()
    marker.allocate()
    left = LeftBehind(marker, EmergencyLog(tmp_path), Log("error", "json"))
    trading = Trading(rig.runner, rig.market, rig.desk)
    rig.runner.observers.append(left.take)
    rig.runner.commit(OperatorEvent(rig.clock.now_ns(), "halt", "anna"))
    rig.sync()
    marker.set(Mark("anna", "news", 50))
    watching = asyncio.ensure_future(left.watch(trading))
    rig.runner.commit(OperatorEvent(rig.clock.now_ns(), "resume", "anna"))
    await looks()
    assert marker.is_set() and not rig.runner.inbox.operator
    rig.sync()
    await looks()
    assert not marker.is_set() and not rig.runner.inbox.operator
    assert rig.state.trading == "active"
    watching.cancel()


@pytest.mark.req("C-10.4")
async def test_a_resume_takes_the_mark_back_whatever_the_clock_said_when_it_was_made(
    tmp_path: Path,
) -> None:
    # the time of a played file lies years before the wall's, by which marks are dated
    marker, loop = HaltMarker(tmp_path), Loop()
    marker.allocate()
    left = LeftBehind(marker, EmergencyLog(tmp_path), Log("error", "json"))
    year_ns = 365 * 86_400_000_000_000
    marker.set(Mark("anna", "under a clock that was set back since", time.time_ns() + year_ns))
    await left.begin(loop.trading, Header("engine"))
    assert loop.state.trading == "halted" and marker.is_set()
    resume = OperatorEvent(loop.rig.clock.now_ns(), "resume", "anna")
    left.take(9, resume, (CommandRefused("resume", "anna", "frozen"),))
    assert marker.is_set()
    left.take(9, OperatorEvent(loop.rig.clock.now_ns(), "thaw", "anna", authorised=True), ())
    assert marker.is_set(), "a thaw ends no halt"
    left.take(9, resume, ())
    assert not marker.is_set()


@pytest.mark.req("C-10.4", "C-16.3")
async def test_what_was_done_past_a_running_engine_is_journalled_before_it_is_resumed_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The next start was halted for an emergency that had been answered long before."""
    marker, emergency, loop = HaltMarker(tmp_path), EmergencyLog(tmp_path), Loop()
    marker.allocate()
    left = LeftBehind(marker, emergency, Log("error", "json"))
    loop.rig.runner.observers.append(left.take)
    await left.begin(loop.trading, Header("engine"))
    other = EmergencyLog(tmp_path)
    other.read()
    other.add(Deed(7, "anna", "close 3 COIN"))
    await loop.trading.on_command(Command(OperatorEvent(0, "resume", "anna", "looked")))
    loop.rig.sync()
    assert not emergency.all_deeds() and loop.state.trading == "active"
    assert "close 3 COIN" in capsys.readouterr().err
    other.add(Deed(8, "anna", "past what was begun anew"))
    assert [deed.actor for deed in emergency.all_deeds()] == ["unknown"], "halts the next start"


async def test_what_is_done_while_a_resume_waits_for_the_disk_halts_the_next_start(
    tmp_path: Path,
) -> None:
    emergency, loop = EmergencyLog(tmp_path), Loop()
    left = LeftBehind(HaltMarker(tmp_path), emergency, Log("error", "json"))
    await left.begin(loop.trading, Header("engine"))
    other = EmergencyLog(tmp_path)
    other.read()
    other.add(Deed(7, "anna", "close 3 COIN"))
    assert [event.command for event in left.before_resume()] == ["halt"]
    other.add(Deed(8, "anna", "close 4 COIN"))
    left.take(9, OperatorEvent(9, "resume", "anna"), ())
    assert len(emergency.all_deeds()) == 2
