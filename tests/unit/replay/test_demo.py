"""The demonstration shows what it promises: a trip, sums of limits, liquidations avoided."""

import json
from pathlib import Path

import pytest

from cerberus_trader.replay import demo_market as dm
from cerberus_trader.replay.demo import NAIVE_LEVERAGE, demo_settings, run_demo
from cerberus_trader.replay.session import ReplayResult

CRASH_DAY_NS = dm.START_NS + dm.CRASH_DAY * 24 * dm.HOUR_NS


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReplayResult, Path]:
    out = tmp_path_factory.mktemp("demo") / "demo"
    return run_demo(out), out


@pytest.mark.req("C-17.2")
def test_the_crash_trips_the_breaker_which_closes_what_is_open(
    demo: tuple[ReplayResult, Path],
) -> None:
    result, _ = demo
    trips = [trip for trip in result.collector.trips if trip.ts_ns > CRASH_DAY_NS]
    assert trips and trips[0].condition == "day_loss" and trips[0].action == "flatten"
    crash = CRASH_DAY_NS + dm.CRASH_MINUTE * dm.MINUTE_NS
    assert crash < trips[0].ts_ns < crash + 12 * dm.HOUR_NS
    closed = [fill for fill in result.collector.fills if fill.report.reason == "breaker"]
    assert any(fill.report.ts_ns >= trips[0].ts_ns for fill in closed)
    after = [item for item in result.collector.decisions
             if trips[0].ts_ns < item.ts_ns < CRASH_DAY_NS + 24 * dm.HOUR_NS]  # fmt: skip
    assert after and all(item.verdict == "denied" for item in after if item.action != "close")


def test_limits_over_the_sum_of_both_strategies_are_seen(
    demo: tuple[ReplayResult, Path],
) -> None:
    result, _ = demo
    approved = {item.strategy for item in result.collector.decisions if item.verdict == "approved"}
    assert approved == {"breakout", "crowd"}
    assert result.summary["denied"]["POSITIONS_MAX"] > 10
    assert result.summary["denied"]["PRICE_STALE"] == len(dm.COINS)
    open_ = 0
    for fill in result.collector.fills:
        open_ += fill.report.reason == "entry"
        open_ -= fill.booked.trade is not None
        assert open_ <= demo_settings().settings.risk.positions_max


def test_the_same_signals_unguarded_are_liquidated(demo: tuple[ReplayResult, Path]) -> None:
    result, out = demo
    naive = result.naive
    assert naive is not None and result.summary["liquidations"] == 0
    assert naive.avoided == naive.liquidations > 20
    assert naive.summary["signals"] <= result.summary["signals"]
    assert float(naive.summary["final_equity"]) < float(result.summary["final_equity"])
    summary = json.loads((out / "summary.json").read_text())
    assert summary["synthetic"] is True
    assert summary["naive_30x"]["liquidations_avoided"] == naive.avoided
    assert NAIVE_LEVERAGE == 30


def test_the_page_says_that_it_is_synthetic(demo: tuple[ReplayResult, Path]) -> None:
    page = (demo[1] / "report.html").read_text(encoding="utf-8")
    assert "was never traded" in page and "liquidations avoided" in page


def test_nothing_faults_and_every_position_has_a_stop(demo: tuple[ReplayResult, Path]) -> None:
    result, _ = demo
    assert not result.collector.faults
    for fill in result.collector.fills:
        assert fill.booked.position is None or fill.booked.position.stop is not None
