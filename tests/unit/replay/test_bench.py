"""The benchmarks measure what they say: the counts are right, whatever the machine."""

import pytest

from cerberus_trader.replay import bench


def test_the_walk_is_seeded_and_its_signals_lie_on_its_times() -> None:
    series = bench.quotes(1_000)
    assert (series.ask - series.bid == 1).all()
    assert (series.bid == bench.quotes(1_000).bid).all()
    assert (series.bid != bench.quotes(1_000, seed=2).bid).any()
    made = bench.signals(series, 10)
    assert len({signal.id for signal in made}) == 10
    assert {signal.ts_ns for signal in made} <= set(series.ts.tolist())
    assert {signal.side for signal in made} == {"buy", "sell"}


def test_a_replay_is_counted_whole() -> None:
    found = bench.replay_speed(bench.quotes(20_000), 20)
    assert (found["quotes"], found["signals"]) == (20_000, 20)
    assert 10 <= found["fills"] <= 40
    assert found["cpu_seconds"] > 0 and found["quotes_per_cpu_second"] > 20_000


def test_fifty_positions_are_open_on_average() -> None:
    found = bench.many_positions(20_000, 2_000)
    assert 45 < found["open_on_average"] < 60
    assert found["quotes"] == 20_000


@pytest.mark.slow
def test_every_benchmark_runs() -> None:
    found = bench.run(quick=True)
    assert set(found) >= {"replay_few_signals", "replay_many_signals", "fifty_positions",
                          "decision", "decision_on_disk", "document_bytes"}  # fmt: skip
