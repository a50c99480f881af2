"""Pyramids search as told, over several levels, and refuse the wrong question."""

import numpy as np
import pytest

from cerberus_trader.market.pyramid import RADIX, Pyramid, Trail


@pytest.fixture(scope="module")
def walk() -> np.ndarray:
    steps = np.random.default_rng(7).integers(-3, 4, 3 * RADIX * RADIX + 5)
    return np.asarray(1_000_000 + np.cumsum(steps), dtype=np.int64)


@pytest.mark.parametrize("depth", [3, 60, 900, 10**9])
def test_first_over_three_levels(walk: np.ndarray, depth: int) -> None:
    low, high = Pyramid(walk, "min"), Pyramid(walk, "max")
    assert len(low.levels) == 3
    for start in (0, 1, RADIX - 1, RADIX, 70_000, len(walk) - 3):
        x, y = int(walk[start]) - depth, int(walk[start]) + depth
        below, above = np.flatnonzero(walk[start:] <= x), np.flatnonzero(walk[start:] >= y)
        assert low.first_le(start, x) == (start + below[0] if len(below) else len(walk))
        assert high.first_ge(start, y) == (start + above[0] if len(above) else len(walk))


def test_bounds_beyond_int64_are_legal(walk: np.ndarray) -> None:
    assert Pyramid(walk, "min").first_le(5, 10**30) == 5
    assert Pyramid(walk, "min").first_le(5, -(10**30), 77) == 77
    assert Pyramid(walk, "max").first_ge(5, 10**30) == len(walk)


@pytest.mark.parametrize("count", [1, RADIX - 1, RADIX, RADIX + 1, RADIX * RADIX])
def test_extreme_at_the_edges_of_blocks(walk: np.ndarray, count: int) -> None:
    part = walk[:count]
    assert Pyramid(part, "min").extreme(0, count) == part.min()
    assert Pyramid(part, "max").extreme(count - 1, count) == part[-1]


def test_wrong_questions_are_refused(walk: np.ndarray) -> None:
    low, high = Pyramid(walk, "min"), Pyramid(walk, "max")
    with pytest.raises(ValueError, match="maxima"):
        low.first_ge(0, 1)
    with pytest.raises(ValueError, match="minima"):
        high.first_le(0, 1)
    with pytest.raises(ValueError, match="range"):
        low.extreme(3, 3)
    with pytest.raises(ValueError, match="quantum"):
        Trail(high, low, None, short=False).first(0, 1, 0)


@pytest.mark.parametrize("short", [False, True])
@pytest.mark.parametrize("distance", [4, 40, 700, 10**9])
def test_trail_over_three_levels(walk: np.ndarray, distance: int, short: bool) -> None:
    trail = Trail(Pyramid(walk, "max"), Pyramid(walk, "min"), None, short)
    values = -walk if short else walk
    for start in (0, RADIX - 1, 70_001):
        best = np.maximum.accumulate(values[start:])[:-1]
        hits = np.flatnonzero(values[start + 1 :] <= best - distance)
        row = start + 1 + int(hits[0]) if len(hits) else len(walk)
        top = int(values[start:row].max()) * (-1 if short else 1)
        assert trail.first(start, int(walk[start]), distance) == (row, top)
