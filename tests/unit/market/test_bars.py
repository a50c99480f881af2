"""Bars are built alike from live points, from columns of points, and from finer bars."""

from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market import bars as bars_module
from cerberus_trader.market.bars import Bar, BarBuilder, bars_of_points, resample
from cerberus_trader.market.columns import Bars, Quotes, Trades


def ints(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def rows(bars: Bars) -> list[Bar]:
    columns = (bars.ts_open, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [Bar(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def test_a_builder_gives_a_bar_when_it_ends() -> None:
    builder = BarBuilder(10)
    assert builder.add(12, 5, 1) is None
    assert builder.add(12, 7, 2) is None
    assert builder.add(19, 4) is None
    assert builder.close(19) is None
    assert builder.add(20, 6) == Bar(10, 5, 7, 4, 4, 3)
    assert builder.close(30) == Bar(20, 6, 6, 6, 6, 0)
    assert builder.close(99) is None


def test_a_builder_leaves_out_late_points_and_counts_them() -> None:
    builder = BarBuilder(10)
    builder.add(25, 5)
    assert builder.add(19, 1) is None
    assert builder.late == 1
    assert builder.add(45, 6) == Bar(20, 5, 5, 5, 5, 0)
    with pytest.raises(ValueError, match="positive"):
        BarBuilder(0)


@pytest.mark.parametrize("far", [0, 10**6])
def test_columns_of_points_make_the_builders_bars(far: int) -> None:
    rng = np.random.default_rng(2)
    ts = np.cumsum(rng.integers(0, 9, 300)).astype(np.int64)
    ts[150:] += far  # many empty intervals take another path
    trades = Trades(ts, rng.integers(50, 99, 300), 1, rng.integers(0, 5, 300), 2)
    assert trades.size is not None
    builder = BarBuilder(20)
    points = zip(ts.tolist(), trades.price.tolist(), trades.size.tolist(), strict=True)
    built = [bar for point in points if (bar := builder.add(*point))]
    last = builder.close(10**9)
    assert last is not None
    bars = bars_of_points(trades, 20)
    assert rows(bars) == [*built, last]
    assert (bars.digits, bars.volume_digits, bars.interval_ns) == (1, 2, 20)


def test_quotes_make_bars_of_mids() -> None:
    bars = bars_of_points(Quotes(ints(0, 1, 11), ints(10, 13, 9), ints(11, 14, 10), 1), 10)
    assert bars.digits == 2
    assert rows(bars) == [Bar(0, 105, 135, 105, 135, 0), Bar(10, 95, 95, 95, 95, 0)]
    big = ints(2**62)
    with pytest.raises(DataError, match="64 bits"):
        bars_of_points(Quotes(ints(0), big, big, 1), 10)


def test_finer_bars_join_on_their_own_phase() -> None:
    ts = ints(5, 15, 25, 35, 65)  # one missing, then a gap
    fine = Bars(
        ts,
        ints(1, 2, 3, 4, 5),
        ints(9, 2, 3, 8, 6),
        ints(1, 1, 3, 2, 5),
        ints(2, 2, 3, 4, 6),
        ints(1, 2, 3, 4, 5),
        0,
        0,
        10,
    )
    coarse = resample(fine, 30)
    assert rows(coarse) == [Bar(5, 1, 9, 1, 3, 6), Bar(35, 4, 8, 2, 4, 4), Bar(65, 5, 6, 5, 6, 5)]
    assert coarse.interval_ns == 30
    stray = Bars(ints(0, 25), *[ints(1, 1)] * 4, ints(1, 1), 0, 0, 10)
    assert resample(stray, 30).ts_open.tolist() == [0, 30]  # it ends at 35, so not in 0 to 30
    with pytest.raises(ValueError, match="multiple"):
        resample(fine, 25)
    with pytest.raises(ValueError, match="multiple"):
        resample(fine, 5)


@pytest.mark.parametrize("cached", [1, 3, 40, 10**6])
def test_long_quotes_are_joined_piece_by_piece(
    cached: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bars_module, "CACHED_ROWS", cached)
    rng = np.random.default_rng(4)
    ts = np.cumsum(rng.integers(0, 9, 100)).astype(np.int64)
    bid, ask = (rng.integers(50, 99, 100) for _ in range(2))
    mids = bars_of_points(Trades(ts, (bid + ask) * 5, 2), 20)
    assert rows(bars_of_points(Quotes(ts, bid, ask, 1), 20)) == rows(mids)
