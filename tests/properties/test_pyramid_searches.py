"""Searches in pyramids find what a naive walk finds (radix lowered so that levels matter)."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.market import pyramid
from cerberus_trader.market.pyramid import Pyramid, Trail

VALUES = st.lists(st.integers(1, 30), min_size=1, max_size=90)


@pytest.fixture(autouse=True, scope="module", params=[2, 3, 4])
def _small_radix(request: pytest.FixtureRequest) -> Iterator[None]:
    before = pyramid.RADIX
    pyramid.RADIX = request.param
    yield
    pyramid.RADIX = before


def column(values: list[int]) -> np.ndarray:
    return np.array(values, dtype=np.int64)


@given(VALUES, st.integers(0, 95), st.integers(-1, 32), st.none() | st.integers(0, 95))
def test_first_is_the_naive_first(values: list[int], start: int, x: int, stop: int | None) -> None:
    end = len(values) if stop is None else min(stop, len(values))
    low = next((i for i in range(start, end) if values[i] <= x), end)
    high = next((i for i in range(start, end) if values[i] >= x), end)
    assert Pyramid(column(values), "min").first_le(start, x, stop) == low
    assert Pyramid(column(values), "max").first_ge(start, x, stop) == high


@given(VALUES, st.data())
def test_extreme_is_the_naive_extreme(values: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(values) - 1))
    stop = data.draw(st.integers(start + 1, len(values)))
    assert Pyramid(column(values), "min").extreme(start, stop) == min(values[start:stop])
    assert Pyramid(column(values), "max").extreme(start, stop) == max(values[start:stop])


@given(
    VALUES,
    st.integers(0, 95),
    st.integers(1, 30),
    st.integers(1, 12),
    st.none() | st.integers(0, 95),
    st.booleans(),
)
def test_trail_of_points_is_the_naive_walk(
    values: list[int], start: int, best: int, distance: int, stop: int | None, short: bool
) -> None:
    end = len(values) if stop is None else min(stop, len(values))
    sign, row, top = (-1 if short else 1), start, best * (-1 if short else 1)
    while row < end and sign * values[row] > top - distance:
        top = max(top, sign * values[row])
        row += 1
    expected = (min(row, end) if start < end else end, sign * top)
    v = column(values)
    trail = Trail(Pyramid(v, "max"), Pyramid(v, "min"), None, short)
    assert trail.first(start, best, distance, stop) == expected


BARS = st.lists(
    st.tuples(st.integers(1, 30), st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=90
)


@given(
    BARS,
    st.integers(0, 95),
    st.integers(1, 30),
    st.integers(1, 12),
    st.none() | st.integers(0, 95),
    st.booleans(),
)
def test_trail_of_bars_is_the_naive_walk(
    bars: list[tuple[int, int, int]],
    start: int,
    best: int,
    distance: int,
    stop: int | None,
    short: bool,
) -> None:
    opens = [b[0] for b in bars]
    highs = [b[0] + b[1] for b in bars]
    lows = [b[0] - b[2] for b in bars]
    end = len(bars) if stop is None else min(stop, len(bars))
    row, top = start, best
    while row < end:
        if short and highs[row] >= min(top, opens[row]) + distance:
            break
        if not short and lows[row] <= max(top, opens[row]) - distance:
            break
        top = min(top, lows[row]) if short else max(top, highs[row])
        row += 1
    expected = (row if start < end else end, top)
    high, low = Pyramid(column(highs), "max"), Pyramid(column(lows), "min")
    assert Trail(high, low, column(opens), short).first(start, best, distance, stop) == expected
