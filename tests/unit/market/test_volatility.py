"""Volatility is a daily fraction, the larger estimate wins, and nothing later is known."""

from itertools import pairwise
from math import exp, log, sqrt
from typing import Any

import numpy as np
import pytest

from cerberus_trader.market.bars import Bar
from cerberus_trader.market.columns import Bars, Quotes, Trades
from cerberus_trader.market.volatility import (
    BARS_MIN,
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    SECOND_NS,
    UNKNOWN,
    Ewma,
    MeanSquare,
    MinuteSeries,
    MinuteSigma,
    Sigma,
    SigmaSeries,
    bar_interval,
    daily,
    decay,
    range_bars,
    rounded,
)


def walk_bars(count: int, interval: int, seed: int = 1, volatility: float = 0.002) -> Bars:
    rng = np.random.default_rng(seed)
    close = (10**6 * np.exp(np.cumsum(rng.normal(0, volatility, count)))).astype(np.int64)
    opens = np.append(10**6, close[:-1])
    high = np.maximum(opens, close) + rng.integers(0, 500, count)
    low = np.minimum(opens, close) - rng.integers(0, 500, count)
    ts = np.arange(count, dtype=np.int64) * interval
    return Bars(ts, opens, high, low, close, np.zeros(count, np.int64), 4, 0, interval)


def each(bars: Bars) -> list[Bar]:
    columns = (bars.ts_open, bars.open, bars.high, bars.low, bars.close, bars.volume)
    return [Bar(*row) for row in zip(*(c.tolist() for c in columns), strict=True)]


def test_ewma_is_seeded_by_its_first_square() -> None:
    ewma = Ewma(0.5)
    assert ewma.variance == UNKNOWN
    ewma.update(0.2)
    assert ewma.variance == pytest.approx(0.04)
    ewma.update(0.0)
    assert ewma.variance == pytest.approx(0.02)
    assert decay(4 * HOUR_NS, HOUR_NS) ** 4 == pytest.approx(0.5)


def test_a_window_forgets_without_a_trace() -> None:
    window = MeanSquare(2)
    assert (window.mean, window.full) == (UNKNOWN, False)
    for value in (5.0, 0.001, 0.003):
        window.add(value)
    assert window.full
    assert window.mean == pytest.approx(5e-6, rel=1e-10)


def test_daily_scales_with_the_root_of_time() -> None:
    assert daily(0.0001, DAY_NS) == pytest.approx(0.01)
    assert daily(0.0001, DAY_NS // 100) == pytest.approx(0.1)
    assert rounded(0.1234567891234) == 0.123456789


@pytest.mark.req("C-05.4")
def test_sigma_is_unknown_before_enough_bars_and_then_the_maximum() -> None:
    sigma = Sigma(5 * MINUTE_NS)
    bars = each(walk_bars(600, 5 * MINUTE_NS))
    values = [sigma.update(bar) for bar in bars]
    assert values[: BARS_MIN - 1] == [UNKNOWN] * (BARS_MIN - 1)
    assert values[BARS_MIN - 1] > 0
    fast, slow = Ewma(2 ** (-1 / 48)), Ewma(2 ** (-1 / 576))
    for last, bar in pairwise(bars):
        fast.update(log(bar.close / last.close))
        slow.update(log(bar.close / last.close))
    ranges = sum(log(b.high / b.low) ** 2 for b in bars[-288:]) / 288 / (4 * log(2))
    most = max(fast.variance, slow.variance, ranges)
    assert values[-1] == pytest.approx(sqrt(most * 288), rel=1e-8)


def test_contradicting_bars_and_gaps_are_left_out() -> None:
    bars = each(walk_bars(100, 5 * MINUTE_NS))
    clean, odd = Sigma(5 * MINUTE_NS), Sigma(5 * MINUTE_NS)
    for bar in bars:
        clean.update(bar)
        odd.update(bar)
        odd.update(Bar(bar.ts_open, bar.open, bar.low - 1, bar.low, bar.close, 0))
        odd.update(Bar(bar.ts_open, bar.open, bar.high, 0, bar.close, 0))
    assert odd.value == clean.value
    late = bars[-1].ts_open + DAY_NS
    before = clean.value
    far = bars[-1].close * 3  # across the gap the price trebled; that is no 5-minute return
    after = clean.update(Bar(late, far, far, far, far, 0))
    assert after == pytest.approx(before, rel=0.02)


@pytest.mark.parametrize("interval", [MINUTE_NS, 3 * MINUTE_NS, 5 * MINUTE_NS, HOUR_NS, DAY_NS])
def test_columns_equal_the_stream(interval: int) -> None:
    bars = walk_bars(700, interval)
    series = SigmaSeries(bars)
    step = bar_interval(interval)
    stream, known = Sigma(step), {}
    per = step // interval
    for at in range(0, len(bars), per):
        some = each(bars)[at : at + per]
        joined = Bar(
            some[0].ts_open,
            some[0].open,
            max(b.high for b in some),
            min(b.low for b in some),
            some[-1].close,
            0,
        )
        known[joined.ts_open + step] = stream.update(joined)
    for t, value in known.items():
        assert series.at(t) == pytest.approx(value, rel=1e-8)
    assert series.at(0) == UNKNOWN
    assert max(known.values()) > 0


def test_windows_and_intervals() -> None:
    assert range_bars(5 * MINUTE_NS) == 288
    assert range_bars(HOUR_NS) == BARS_MIN
    assert bar_interval(MINUTE_NS) == 5 * MINUTE_NS
    assert bar_interval(2 * MINUTE_NS) == 6 * MINUTE_NS
    assert bar_interval(HOUR_NS) == HOUR_NS


@pytest.mark.parametrize("kind", ["bars", "gappy", "quotes"])
def test_nothing_later_is_known(kind: str) -> None:
    bars = walk_bars(400, MINUTE_NS)
    keep = np.flatnonzero(np.random.default_rng(3).random(400) < 0.8)
    ts = bars.ts_open[keep] + (17 if kind == "gappy" else 0) * np.arange(len(keep))
    columns = [getattr(bars, n)[keep] for n in ("open", "high", "low", "close", "volume")]

    def upto(rows: int) -> Any:
        if kind == "quotes":
            return Quotes(ts[:rows], columns[0][:rows], columns[0][:rows] + 2, 4)
        return Bars(ts[:rows], *(c[:rows] for c in columns), 4, 0, MINUTE_NS)

    whole, minute = SigmaSeries(upto(len(ts))), MinuteSeries(upto(len(ts)))
    delay = 0 if kind == "quotes" else MINUTE_NS
    for rows in range(200, len(ts), 7):
        t = int(ts[rows]) + delay - 1  # the next row is not known yet
        cut = upto(rows)
        assert SigmaSeries(cut).at(t) == whole.at(t)
        assert MinuteSeries(cut).at(t) == minute.at(t)
    assert whole.at(int(ts[-1])) > 0


@pytest.mark.req("P-09.2")
def test_the_rolling_minute_is_the_root_mean_square_of_seconds() -> None:
    ts = np.arange(0, 200, dtype=np.int64) * SECOND_NS
    price = np.array([10**6, round(10**6 * exp(0.001))] * 100, dtype=np.int64)
    series, stream = MinuteSeries(Trades(ts, price, 2)), MinuteSigma()
    assert series.at(59 * SECOND_NS) == UNKNOWN
    assert series.at(60 * SECOND_NS) == pytest.approx(0.001 * sqrt(86_400), rel=1e-3)
    for t, p in zip(ts.tolist(), price.tolist(), strict=True):
        stream.update(t, p)
        assert stream.at(t) == pytest.approx(series.at(t), rel=1e-8)
    silent = int(ts[-1]) + 30 * SECOND_NS
    assert series.at(silent) == pytest.approx(0.001 * sqrt(86_400 / 2), rel=1e-3)
    assert stream.at(silent) == pytest.approx(series.at(silent), rel=1e-8)
    assert stream.at(silent + DAY_NS) == series.at(silent + DAY_NS) == 0.0


def test_the_rolling_minute_of_irregular_points() -> None:
    rng = np.random.default_rng(9)
    ts = 5 + np.cumsum(rng.integers(0, 3 * SECOND_NS, 400)).astype(np.int64)
    bid = 10**6 + np.cumsum(rng.integers(-50, 51, 400)).astype(np.int64)
    series, stream = MinuteSeries(Quotes(ts, bid, bid + 3, 4)), MinuteSigma()
    assert stream.at(0) == UNKNOWN
    for row, t in enumerate(ts.tolist()):
        stream.update(t, int(bid[row]) * 2 + 3)
        if row + 1 == len(ts) or ts[row + 1] > t:
            assert stream.at(t) == pytest.approx(series.at(t), rel=1e-8)


def test_the_rolling_minute_of_bars() -> None:
    bars = walk_bars(10, MINUTE_NS)
    series = MinuteSeries(bars)
    wide = log(bars.high[3] / bars.low[3])
    t = int(bars.ts_open[3]) + MINUTE_NS
    assert series.at(t) == pytest.approx(sqrt(wide**2 / (4 * log(2)) * 1440), rel=1e-8)
    assert series.at(t - 1) != series.at(t)
    assert series.at(MINUTE_NS - 1) == UNKNOWN
    assert MinuteSeries(walk_bars(50, HOUR_NS)).at(DAY_NS) == UNKNOWN
