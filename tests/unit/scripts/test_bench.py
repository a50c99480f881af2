"""The table of figures: each beside its target, judged in the right direction."""

import os
import subprocess
import sys
from typing import Any

import pytest

from scripts import bench, bench_peers, bench_process


def found() -> dict[str, Any]:
    """Make one number for every figure."""
    made: dict[str, Any] = {}
    for place, figure in enumerate(bench.FIGURES, 1):
        *folders, name = figure.path.split(".")
        inner = made
        for folder in folders:
            inner = inner.setdefault(folder, {})
        inner[name] = place
    return made


@pytest.mark.parametrize(
    ("target", "floor", "reached", "words"),
    [
        (10, True, 10, "met"), (10, True, 9.9, "missed"), (10, False, 10, "met"),
        (10, False, 10.1, "missed"), (None, False, 5, ""),
    ],
)  # fmt: skip
def test_a_floor_and_a_ceiling(target: float | None, floor: bool, reached: float, words: str):
    assert bench.verdict(bench.Figure("", "", "", target, floor), reached) == words


def test_every_figure_stands_in_the_table_once() -> None:
    table = list(bench.lines(found()))
    assert len(table) == len(bench.FIGURES) + 1
    assert table[1].split()[-4:] == ["quotes/s", "≥", "25,000,000", "missed"]
    judged = bench.judged(found())
    assert [one["reached"] for one in judged] == list(range(1, len(bench.FIGURES) + 1))


def test_live_figures_follow_where_there_are_any() -> None:
    table = list(bench.lines({**found(), "live": {"power": {"p50_us": 1234.5}, "note": "x"}}))
    assert [line.split() for line in table[-4:]] == [
        ["live"], ["power"], ["p50", "us", "1,234.5"], ["note", "x"],
    ]  # fmt: skip


def test_a_watched_process_tells_its_cpu_and_memory() -> None:
    busy = "x = bytearray(60_000_000)\nfor _ in range(2_000_000): pass"
    spent, peak = bench_process.watched([sys.executable, "-c", busy], dict(os.environ))
    idle, little = bench_process.watched([sys.executable, "-S", "-c", ""], dict(os.environ))
    assert spent > idle > 0
    assert peak > little + 40


def test_a_process_that_fails_is_no_figure() -> None:
    with pytest.raises(SystemExit, match="failed"):
        bench_process.watched([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ))


def test_one_more_order_costs_the_difference_of_two_cases() -> None:
    few: dict[str, Any] = {"orders": 100, "ours": {"cpu_seconds": 1.0}}
    many: dict[str, Any] = {"orders": 1_100, "ours": {"cpu_seconds": 1.05}}
    assert bench_peers.per_order(few, many, "ours") == 50.0


def test_orders_behind_fills() -> None:
    fills = [[0, "buy", "1", "entry"], [1, "sell", "1", "signal"],
             [2, "buy", "1", "entry"], [3, "sell", "1", "stop_loss"]]  # fmt: skip
    assert bench_peers.orders_of(fills) == 7


def test_a_process_tells_its_own_peak_and_not_its_parents() -> None:
    held = bytearray(200_000_000)
    code = "from scripts.bench_memory import peak_mb; print(peak_mb())"
    done = subprocess.run([sys.executable, "-c", code], cwd=bench_peers.ROOT, text=True,
                          capture_output=True, check=True)  # fmt: skip
    assert 1 < float(done.stdout) < 60 < len(held) / 2**20
