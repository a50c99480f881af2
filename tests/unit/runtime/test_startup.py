"""The start-up: its steps in order, what each waits for, and the phase that status shows."""

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.events import LinkEvent, Measured, OperatorEvent
from cerberus_trader.engine.state import Trip
from cerberus_trader.runtime import startup as module
from cerberus_trader.runtime.link import Link
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import Line
from cerberus_trader.runtime.startup import STEPS, Startup, fresh, phase_of
from cerberus_trader.runtime.status import status_of
from tests.kit import NOON, SECOND, D
from tests.unit.runtime.test_trading import Loop

ROOT = Path(__file__).resolve().parents[3]


def remote(loop: Loop) -> Link:
    """Let the runner speak with a venue outside of the process."""
    link: Any = Link.__new__(Link)
    link.connected = False
    loop.rig.runner.venue = link
    return link  # type: ignore[no-any-return]


async def take(loop: Loop, event: Any) -> None:
    await loop.rig.runner.take(event)


@pytest.mark.req("C-14.4", "P-21.3")
async def test_each_step_waits_for_its_own_check_in_order() -> None:
    loop = Loop()
    link = remote(loop)
    await take(loop, LinkEvent(NOON, "main", "connecting", "not yet reconciled"))
    assert phase_of(loop.trading) == "preflight"
    link.connected = True
    assert phase_of(loop.trading) == "reconcile"
    del loop.state.unreconciled["main"]
    assert phase_of(loop.trading) == "prices"
    await loop.price("100", 0)
    assert phase_of(loop.trading) == "trade"
    link.connected = False
    assert phase_of(loop.trading) == "preflight"  # what no longer holds is waited for again


async def test_a_price_must_be_fresh_and_its_feed_must_speak() -> None:
    loop = Loop(intake={"data_age_ms_max": 5_000})
    assert not fresh(loop.trading)
    loop.rig.market.add("OTHER", Line())
    assert not fresh(loop.trading)
    await loop.price("100", 0)
    loop.rig.clock.advance(NOON + 5 * SECOND)
    assert fresh(loop.trading)
    loop.rig.clock.advance(NOON + 5 * SECOND + 1)
    assert not fresh(loop.trading)
    await loop.price("100", 6_000)
    await take(loop, Measured(NOON + 6 * SECOND, "feed", 1e6, "COIN"))
    assert not fresh(loop.trading)


@pytest.mark.req("P-04.3")
async def test_what_stops_trading_is_shown_whoever_stopped_it() -> None:
    loop = Loop()
    await loop.price("100", 0)
    await take(loop, OperatorEvent(NOON, "halt", "ann"))
    assert phase_of(loop.trading) == "stopped"
    await take(loop, OperatorEvent(NOON, "resume", "ann"))
    assert phase_of(loop.trading) == "trade"
    await take(loop, Measured(NOON, "latency", 1e6))
    assert phase_of(loop.trading) == "stopped"
    status = status_of(loop.trading)
    assert status["flags"] == {"Latency": True, "Consecutive_Losses": False, "HALT": True}
    assert status["phase"] == "stopped" and status["breaker"]["latency"]["action"] == "block"
    loop.rig.runner.poison()
    assert phase_of(loop.trading) == "failed"


async def test_a_strategys_own_trip_does_not_stop_the_others() -> None:
    loop = Loop(breaker={"losses_max": 0, "day_loss_action": "off"})
    await loop.price("100", 0)
    loop.state.trips["strategy_day_loss:a"] = Trip(NOON, "a", "1", "1", "block")
    assert phase_of(loop.trading) == "trade"


@pytest.mark.req("C-14.4")
async def test_the_log_has_a_line_for_each_step_and_ends_with_trading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.001)
    out = io.StringIO()
    startup, loop = Startup(Log(stream=out)), Loop()
    for phase in ("config", "journal", "fold", "preflight", "preflight"):
        startup.enter(phase)
    following = asyncio.ensure_future(startup.follow(loop.trading))
    while startup.phase != "prices":
        await asyncio.sleep(0)
    await loop.price("100", 0)
    await asyncio.wait_for(following, 10.0)
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(line["phase"], line["step"]) for line in lines] == [
        ("config", 1), ("journal", 2), ("fold", 3), ("preflight", 4), ("prices", 6), ("trade", 7),
    ]  # fmt: skip
    assert all(line["check"] == STEPS[line["phase"]] and line["of"] == 7 for line in lines)


async def test_a_phase_that_is_no_step_has_no_number() -> None:
    out = io.StringIO()
    Startup(Log(stream=out)).enter("stopped")
    assert (json.loads(out.getvalue())["step"], json.loads(out.getvalue())["check"]) == (0, "")


def test_the_steps_are_written_down_as_they_are() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    places = [text.index(f"`{step}`: {words}") for step, words in STEPS.items()]
    assert places == sorted(places)


async def test_status_shows_health_and_views_where_they_are_watched() -> None:
    loop = Loop()
    found = status_of(loop.trading)
    assert found["health"] == {} and found["views"] == {} and found["phase"] == "prices"
    health: Any = type("H", (), {"values": {"memory": 50.0}})()
    loop.trading.health = health
    loop.trading.views = lambda: {"row": 1, "behind": 0, "failure": ""}
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2))
    found = status_of(loop.trading)
    assert found["health"] == {"memory": 50.0}
    assert found["views"] == {"row": 1, "behind": 0, "failure": ""}
    assert found["prices"]["COIN"]["age_ms"] == 0 and found["phase"] == "trade"
