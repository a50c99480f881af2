"""What a second process left: put in force at the start, and taken over while the engine runs."""

import asyncio
from pathlib import Path

import pytest

from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.runtime import restart
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.marker import EmergencyLog, HaltMarker, Mark
from cerberus_trader.runtime.restart import LeftBehind
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
    await looks()
    event = inbox.operator.popleft().event
    assert isinstance(event, OperatorEvent)
    assert (event.command, event.actor, event.reason) == ("halt", "anna", "halt marker: news")
    loop.rig.runner.commit(event)
    inbox.operator.clear()
    await looks()
    assert loop.state.trading == "halted" and not inbox.operator
    watching.cancel()
