"""Metrics: a bounded window, a histogram of everything, latency from decision to fill."""

import pytest

from cerberus_trader.runtime.metrics import EDGES_US, OPEN_MAX, WINDOW, Metrics, Times
from tests.kit import Bench, D


def test_times_keep_a_window_and_count_everything() -> None:
    times = Times()
    for ns in range(1, 2 * WINDOW + 1):
        times.add(ns * 1_000)
    assert len(times.window) == WINDOW and min(times.window) == (WINDOW + 1) * 1_000
    found = times.summary()
    assert found["count"] == 2 * WINDOW == sum(found["histogram_us"].values())
    assert found["histogram_us"]["10"] == 10
    assert found["histogram_us"][str(EDGES_US[1])] == 10
    assert found["p50_us"] == WINDOW + WINDOW // 2 + 1
    assert Times().summary()["p99_us"] == 0.0


@pytest.mark.req("D-05.3")
def test_system_metrics_have_the_documented_fields() -> None:
    bench, metrics = Bench(), Metrics()
    bench.open(price="100")
    bench.close("110")
    bench.open(price="100")
    bench.close("99")
    bench.signal(instrument="NONE")
    metrics.decisions.add(2_000_000)
    found = metrics.system(bench.state)
    assert (found.total_signals, found.successful_trades, found.failed_trades) == (3, 1, 1)
    assert found.success_rate == 0.5
    assert found.decision_times == (2.0,)
    assert found.current_balance == bench.state.balance
    assert found.daily_pnl == bench.state.balance - D(10_000)
    summary = metrics.summary(bench.state, {"prices": 3})
    assert summary["approved"] == 2 and sum(summary["denied"].values()) == 1
    assert summary["queue_depth"] == {"prices": 3}


def test_execution_is_timed_from_the_decision_to_the_fill_and_bounded() -> None:
    metrics = Metrics()
    metrics.submitted("a", 1_000)
    metrics.submitted("b", 1_000)
    metrics.ended("b")
    metrics.filled("a", 51_000)
    metrics.filled("b", 99_000)
    assert list(metrics.executions.window) == [50_000]
    for number in range(OPEN_MAX + 5):
        metrics.submitted(str(number), 0)
    metrics.filled(str(OPEN_MAX + 1), 7)
    assert metrics.executions.count == 1


def test_refusals_count_by_code() -> None:
    metrics = Metrics()
    metrics.refuse("A")
    metrics.refuse("A", 2)
    assert metrics.refused == {"A": 3}
