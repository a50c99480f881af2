"""Health: what is measured of the process is told once; time and memory are made up."""

import asyncio
import io
import json
import resource
from collections.abc import Callable
from typing import Any

import pytest

from cerberus_trader.domain.events import Measured, OperatorEvent
from cerberus_trader.runtime import health as module
from cerberus_trader.runtime.clock import FileClock
from cerberus_trader.runtime.health import Health, limit_files, resident_mb
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import POINT, Line, LiveMarket, Tick
from tests.kit import ITEMS, NOON, SECOND, Bench, D, changed, settings

HOURS = tuple(changed(i, sessions=("mon-sun 10:00-12:30",)) for i in ITEMS)
MINUTE = 60 * SECOND


class Ward:
    """Hold a watched engine: its clock, its memory, what was cleared and what was told."""

    def __init__(self, items: Any = ITEMS, deliver: bool = True, **sections: Any) -> None:
        self.bench = Bench(settings(**sections), items)
        self.clock = FileClock(NOON)
        self.market = LiveMarket()
        self.out = io.StringIO()
        self.megabytes = 100.0
        self.cleared = 0
        self.freed = 0.0
        self.deliver = deliver
        self.told: list[Measured] = []
        self.health = Health(
            self.bench.state, self.market, self.clock, Log(stream=self.out), self.put, self.clear,
            lambda: self.megabytes,
        )  # fmt: skip

    def put(self, event: Measured) -> None:
        self.told.append(event)
        if self.deliver:
            self.bench.take(changed(event, ts_ns=self.clock.now_ns()))

    def clear(self) -> None:
        self.cleared += 1
        self.megabytes -= self.freed

    def price(self, name: str = "COIN", interval_ns: int = 0) -> None:
        now = self.clock.now_ns()
        if name not in self.market.lines:
            self.market.add(name, Line(interval_ns))
        self.market.take(Tick(name, POINT, D(100), D(100), now), now)

    def wait(self, ns: int) -> None:
        self.clock.advance(self.clock.now_ns() + ns)

    def trips(self) -> list[str]:
        return list(self.bench.state.trips)

    def reset(self) -> None:
        now = self.clock.now_ns()
        self.bench.take(OperatorEvent(now, "reset_breaker", "ann", "ok", authorised=True))


def test_a_sample_within_its_limit_is_shown_and_not_told() -> None:
    ward = Ward()
    ward.health.note("loop_lag", 12.34567)
    assert ward.health.values == {"loop_lag": 12.346} and ward.told == []


@pytest.mark.req("P-04.1")
def test_drift_counts_either_way() -> None:
    ward = Ward()
    ward.health.on_drift(-1_000.0)
    assert ward.trips() == []
    ward.health.on_drift(-1_000.1)
    assert ward.trips() == ["clock_drift"]
    assert ward.told == [Measured(0, "clock_drift", 1_000.1)]


def test_a_crossing_is_told_once_while_it_is_on_its_way_and_not_again_when_latched() -> None:
    ward = Ward(deliver=False)
    for value in (6_000.0, 7_000.0, 8_000.0):
        ward.health.note("loop_lag", value)
    assert [event.value for event in ward.told] == [6_000.0]
    ward = Ward()
    for value in (6_000.0, 1.0, 7_000.0, 1.0, 8_000.0):  # swings around the limit
        ward.health.note("loop_lag", value)
    assert len(ward.told) == 1 and ward.trips() == ["loop_lag"]


def test_what_still_holds_after_a_reset_is_told_again() -> None:
    ward = Ward(breaker={"cooldown_ms": 0})
    ward.health.note("loop_lag", 6_000.0)
    ward.health.note("loop_lag", 6_000.0)
    ward.reset()
    assert ward.trips() == []
    ward.health.note("loop_lag", 6_000.0)
    assert ward.trips() == ["loop_lag"] and len(ward.told) == 2


@pytest.mark.req("P-04.2")
def test_one_slow_answer_says_nothing_three_in_a_row_trip() -> None:
    ward = Ward()
    for value in (2_500, 2_500, 10, 2_500, 2_500, 2_000):
        ward.health.on_latency(value)
    assert ward.trips() == []
    for value in (2_500, 2_500):
        ward.health.on_latency(value)
    assert ward.trips() == [] and ward.health.values["latency"] == 2_000
    ward.health.on_latency(2_600)
    assert ward.trips() == ["latency"] and ward.health.values["latency"] == 2_600


# -- memory --------------------------------------------------------------------------------


@pytest.mark.req("D-08.3", "D-10.6")
def test_caches_are_cleared_before_anything_trips() -> None:
    ward = Ward()
    ward.megabytes, ward.freed = 256.0, 100.0
    ward.health.on_memory(ward.megabytes)
    assert ward.cleared == 0  # at the limit, not above it
    ward.megabytes = 257.0
    ward.health.on_memory(ward.megabytes)
    assert ward.cleared == 1 and ward.trips() == []
    line = json.loads(ward.out.getvalue())
    assert (line["level"], line["before_mb"], line["memory_mb"]) == ("warning", 257.0, 157.0)


@pytest.mark.req("D-08.3")
def test_where_clearing_does_not_help_memory_blocks_and_then_flattens() -> None:
    ward = Ward()
    ward.bench.open()
    ward.megabytes = 300.0
    ward.health.on_memory(ward.megabytes)
    assert ward.cleared == 1 and ward.trips() == ["memory"]
    assert not ward.bench.state.closings
    ward.megabytes = 600.0
    ward.health.on_memory(ward.megabytes)
    assert ward.trips() == ["memory", "memory_hard"]
    assert list(ward.bench.state.closings) == ["main/COIN"]


def test_clearing_takes_time_and_is_not_repeated_at_every_look() -> None:
    ward = Ward()
    ward.megabytes = 300.0
    for _ in range(5):
        ward.health.on_memory(ward.megabytes)
        ward.wait(5 * SECOND)
    assert ward.cleared == 1
    ward.wait(MINUTE)
    ward.health.on_memory(ward.megabytes)
    assert ward.cleared == 2


def test_without_a_limit_memory_is_only_shown() -> None:
    ward = Ward(killswitch={"memory_mb_max": 0, "memory_hard_mb_max": 0})
    ward.health.on_memory(1e6)
    assert ward.cleared == 0 and ward.told == []
    assert ward.health.values == {"memory": 1e6, "memory_hard": 1e6}


def test_resident_memory_is_that_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    before = resident_mb()
    held = bytearray(64 * 2**20)
    held[::4_096] = b"x" * len(held[::4_096])
    assert before > 5 and resident_mb() - before > 50
    del held

    def gone(*given: Any, **more: Any) -> str:
        raise OSError

    monkeypatch.setattr(module.Path, "read_text", gone)
    assert resident_mb() > 5


def test_open_files_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, tuple[int, int]]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (1_024, 4_096))
    monkeypatch.setattr(resource, "setrlimit", lambda kind, pair: found.append((kind, pair)))
    limit_files(0)
    assert found == []
    limit_files(128)
    limit_files(9_999)
    assert found == [(resource.RLIMIT_NOFILE, pair) for pair in ((128, 4_096), (4_096, 4_096))]


# -- volatility ----------------------------------------------------------------------------


class Wild:
    """Tell a volatility."""

    def __init__(self, wide: float, minute: float) -> None:
        self.told = wide, minute

    def at(self, t: int) -> tuple[float, float]:
        return self.told


@pytest.mark.req("P-13.2")
@pytest.mark.parametrize("told", [(5.1, -1.0), (0.2, 5.1)])
def test_the_most_volatile_instrument_with_a_price_trips_by_either_estimate(
    told: tuple[float, float],
) -> None:
    ward = Ward()
    for name, found in (("COIN", (0.3, 0.2)), ("OTHER", (5.0, 5.0)), ("THIRD", told)):
        ward.market.add(name, Line(0, Wild(*found)))
    for name in ("COIN", "OTHER"):
        ward.price(name)
    ward.health.look_at_volatility()
    assert ward.trips() == [] and ward.health.values["volatility"] == 5.0, "no price of the third"
    ward.price("THIRD")
    ward.health.look_at_volatility()
    ward.health.look_at_volatility()
    assert ward.trips() == ["volatility"] and len(ward.told) == 1
    ward.market.lines["THIRD"].sigma = Wild(0.1, 0.1)
    ward.health.look_at_volatility()
    assert ward.trips() == ["volatility"], "only a reset ends it"


# -- feeds ---------------------------------------------------------------------------------


def test_a_feed_is_silent_after_its_limit_and_speaks_with_its_next_price() -> None:
    ward = Ward()
    ward.price("COIN")
    ward.price("OTHER")
    ward.wait(MINUTE)
    ward.health.look_at_feeds()
    assert ward.told == []
    ward.price("OTHER")
    ward.wait(2_000_000)
    for _ in range(3):
        ward.health.look_at_feeds()
    assert list(ward.bench.state.silent) == ["COIN"] and len(ward.told) == 1
    assert ward.health.values["feed COIN"] == 60_002
    ward.price("COIN")
    for _ in range(3):
        ward.health.look_at_feeds()
    assert ward.bench.state.silent == {} and len(ward.told) == 2


def test_bars_add_their_interval() -> None:
    ward = Ward()
    ward.price("COIN", interval_ns=5 * MINUTE)
    ward.wait(6 * MINUTE)
    ward.health.look_at_feeds()
    assert not ward.bench.state.silent
    ward.wait(SECOND)
    ward.health.look_at_feeds()
    assert list(ward.bench.state.silent) == ["COIN"]


def test_a_feed_that_was_silent_before_a_restart_is_heard_after_it() -> None:
    ward = Ward()
    ward.bench.take(Measured(NOON, "feed", 1e6, "COIN"))
    assert list(ward.bench.state.silent) == ["COIN"]
    ward.health.look_at_feeds()  # nothing was heard yet
    assert list(ward.bench.state.silent) == ["COIN"]
    ward.price("COIN")
    ward.health.look_at_feeds()
    assert ward.bench.state.silent == {}


def test_silence_counts_within_market_hours_only() -> None:
    ward = Ward(HOURS)
    ward.price("COIN")  # at 12:00; the market closes at 12:30 and opens at 10:00
    ward.wait(30 * MINUTE)
    ward.price("COIN")
    ward.wait(12 * 60 * MINUTE)
    ward.health.look_at_feeds()
    assert ward.told == [] and ward.health.values["feed COIN"] == 0
    ward.wait(9 * 60 * MINUTE + 30 * MINUTE)  # 10:00: open, and nothing was due before
    ward.health.look_at_feeds()
    assert ward.told == []
    ward.wait(MINUTE + SECOND)
    ward.health.look_at_feeds()
    assert list(ward.bench.state.silent) == ["COIN"]


def test_an_instrument_that_is_not_configured_has_no_feed_to_fall_silent() -> None:
    ward = Ward()
    ward.price("ELSE")
    ward.market.add("OTHER", Line())  # known, but no price yet
    ward.wait(60 * MINUTE)
    ward.health.look_at_feeds()
    assert ward.health.values == {}


# -- tasks ---------------------------------------------------------------------------------


async def until(ready: Callable[[], Any]) -> None:
    while not ready():
        await asyncio.sleep(0.001)


@pytest.mark.req("P-04.1")
async def test_the_tasks_take_their_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOOK_S", "MEMORY_S", "FEEDS_S"):
        monkeypatch.setattr(module, name, 0.001)
    ward = Ward()
    ward.price("COIN")
    ward.megabytes = 300.0
    health = ward.health
    tasks = [
        asyncio.ensure_future(watch())
        for watch in (health.watch_loop, health.watch_memory, health.watch_feeds)
    ]
    await until(lambda: len(health.values) == 5)
    for task in tasks:
        task.cancel()
    told = {"loop_lag", "memory", "memory_hard", "feed COIN", "volatility"}
    assert set(health.values) == told
    assert ward.trips() == ["memory"]


async def test_a_loop_that_was_held_up_shows_by_how_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    ward = Ward(killswitch={"loop_lag_ms_max": 100})
    watching = asyncio.ensure_future(ward.health.watch_loop())
    await until(lambda: ward.health.values)
    loop = asyncio.get_running_loop()
    end = loop.time() + 0.3
    while loop.time() < end:  # somebody computes and does not let go of the loop
        pass
    await until(ward.trips)
    watching.cancel()
    assert ward.trips() == ["loop_lag"] and ward.told[0].value > 100


class Server:
    """Answer as a time server would."""

    answers: list[Any]

    def __init__(self, name: str) -> None:
        assert name == "somewhere"

    async def drift_ns(self) -> int:
        answer = self.answers.pop(0) if self.answers else 0
        if isinstance(answer, Exception):
            raise answer
        return int(answer)


@pytest.mark.req("P-04.1")
async def test_a_time_server_that_fails_is_logged_and_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Server.answers = [OSError("no way"), TimeoutError(), module.DataError("nonsense."), 2 * SECOND]
    monkeypatch.setattr(module, "TimeServer", Server)
    ward = Ward(killswitch={"time_server": "somewhere", "time_server_interval_ms": 1})
    watching = asyncio.ensure_future(ward.health.watch_clock())
    await until(ward.trips)
    watching.cancel()
    assert ward.trips() == ["clock_drift"]
    lines = [json.loads(line) for line in ward.out.getvalue().splitlines()]
    assert [line["reason"] for line in lines] == ["no way", "no answer in time", "nonsense."]


async def test_without_a_time_server_nobody_is_asked() -> None:
    ward = Ward(killswitch={"time_server_interval_ms": 1})
    watching = asyncio.ensure_future(ward.health.watch_clock())
    await asyncio.sleep(0.01)
    assert not watching.done() and ward.health.values == {}
    watching.cancel()
