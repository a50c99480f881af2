"""Volatility as a daily fraction: EWMA, Parkinson, their maximum, and the rolling minute.

Estimators work on log prices and scale by the square root of time; a day has 24 hours. The
estimate that risk uses is the maximum of a fast EWMA, a slow EWMA and Parkinson, because
under-estimating is the expensive error. Returns across a gap are left out. Everything here is
computed outside the deterministic core, once, and journalled with the signal, rounded to nine
significant digits. -1 means unknown: too little data yet.

Sources: EWMA as in RiskMetrics (1996), ``v = lam v + (1 - lam) r^2`` with
``lam = 2^(-1 / half-life)`` and the first squared return as seed; Parkinson (1980),
``s^2 = mean(ln(H / L)^2) / (4 ln 2)``.
"""

from collections import deque
from math import log, sqrt

import numpy as np
import numpy.typing as npt

from cerberus_trader.market.bars import Bar, bars_of_points, resample
from cerberus_trader.market.columns import Bars, MarkPoints, Prices
from cerberus_trader.market.pyramid import Int64Array

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS

BAR_NS = 5 * MINUTE_NS  # points and finer bars are joined to this
FAST_NS, SLOW_NS = 4 * HOUR_NS, 2 * DAY_NS  # half-lives of the two EWMAs
RANGE_NS = DAY_NS  # Parkinson's window
BARS_MIN = 30
MINUTE_STEPS = 60  # returns of one second in the rolling minute

UNKNOWN = -1.0
PARKINSON = 4.0 * log(2.0)
# Windowed sums are kept in integers of this unit, so that what leaves a window leaves no trace.
UNIT = 1e-17


def rounded(sigma: float) -> float:
    """Round to nine significant digits: the precision that events carry."""
    return float(f"{sigma:.9g}")


def daily(variance: float, interval_ns: int) -> float:
    """Turn the variance of one interval into the standard deviation of a day."""
    return sqrt(variance * (DAY_NS / interval_ns))


def decay(half_life_ns: int, interval_ns: int) -> float:
    """Give the EWMA's weight of the past: ``2^(-interval / half-life)``."""
    return float(2.0 ** (-interval_ns / half_life_ns))


class Ewma:
    """Average squared returns with exponentially falling weights; seeded by the first."""

    __slots__ = ("_decay", "variance")

    def __init__(self, decay: float) -> None:
        self._decay = decay
        self.variance = UNKNOWN

    def update(self, log_return: float) -> None:
        """Take the next return; the variance per interval stands in `variance`."""
        square = log_return * log_return
        past = square if self.variance < 0.0 else self.variance
        self.variance = self._decay * past + (1.0 - self._decay) * square


class MeanSquare:
    """Average squares over the last `size` values, exactly, however long it runs."""

    __slots__ = ("_squares", "_sum")

    def __init__(self, size: int) -> None:
        self._squares: deque[int] = deque(maxlen=size)
        self._sum = 0

    def add(self, value: float) -> None:
        """Take the next value; the oldest leaves a full window."""
        if self.full:
            self._sum -= self._squares[0]
        self._squares.append(round(value * value / UNIT))
        self._sum += self._squares[-1]

    @property
    def full(self) -> bool:
        """Tell whether as many values have come as the window holds."""
        return len(self._squares) == self._squares.maxlen

    @property
    def mean(self) -> float:
        """Give the mean square; UNKNOWN before the first value."""
        return self._sum * UNIT / len(self._squares) if self._squares else UNKNOWN


class Sigma:
    """Estimate volatility bar by bar: the maximum of both EWMAs and Parkinson, a daily fraction.

    Unknown before `BARS_MIN` bars. Bars whose numbers contradict each other are left out.
    """

    def __init__(self, interval_ns: int) -> None:
        self.interval_ns = interval_ns
        self._fast = Ewma(decay(FAST_NS, interval_ns))
        self._slow = Ewma(decay(SLOW_NS, interval_ns))
        self._range = MeanSquare(range_bars(interval_ns))
        self._last: Bar | None = None
        self._bars = 0
        self.value = UNKNOWN

    def update(self, bar: Bar) -> float:
        """Take a closed bar; give the daily fraction known from its close on."""
        if bar.low < 1 or bar.high < max(bar.open, bar.close) or bar.low > min(bar.open, bar.close):
            return self.value
        last, self._last = self._last, bar
        if last is not None and bar.ts_open - last.ts_open == self.interval_ns:
            step = log(bar.close / last.close)
            self._fast.update(step)
            self._slow.update(step)
        self._range.add(log(bar.high / bar.low))
        self._bars += 1
        if self._bars >= BARS_MIN:
            ranges = self._range.mean / PARKINSON
            most = max(self._fast.variance, self._slow.variance, ranges)
            self.value = rounded(daily(most, self.interval_ns))
        return self.value


def range_bars(interval_ns: int) -> int:
    """Give Parkinson's window in bars: a day, and never fewer than `BARS_MIN` bars."""
    return max(RANGE_NS // interval_ns, BARS_MIN)


def bar_interval(interval_ns: int) -> int:
    """Give the interval that estimates use: the least multiple that spans `BAR_NS`."""
    return -(-BAR_NS // interval_ns) * interval_ns


class SigmaSeries:
    """Hold the volatility of a whole history; what `at` gives was known at that time."""

    def __init__(self, prices: Prices | MarkPoints) -> None:
        bars = _estimation_bars(prices)
        self._known = bars.ts_open + bars.interval_ns
        squares = _returns(bars) ** 2
        fast = _ewma(squares, decay(FAST_NS, bars.interval_ns))
        slow = _ewma(squares, decay(SLOW_NS, bars.interval_ns))
        ranges = _parkinson(bars.high, bars.low, range_bars(bars.interval_ns))
        variance = np.maximum(np.maximum(fast, slow), ranges)
        self._values = np.sqrt(variance * (DAY_NS / bars.interval_ns))
        self._values[: BARS_MIN - 1] = UNKNOWN

    def at(self, t: int) -> float:
        """Give the daily fraction known at time t (ns), or -1."""
        row = int(self._known.searchsorted(t, "right")) - 1
        return rounded(float(self._values[row])) if row >= 0 else UNKNOWN


def _estimation_bars(prices: Prices | MarkPoints) -> Bars:
    if not isinstance(prices, Bars):
        return bars_of_points(prices, BAR_NS)
    interval = bar_interval(prices.interval_ns)
    return prices if interval == prices.interval_ns else resample(prices, interval)


def _returns(bars: Bars) -> npt.NDArray[np.float64]:
    """Give log returns close to close; NaN for the first bar and across gaps."""
    steps = np.full(len(bars), np.nan)
    steps[1:] = np.log(bars.close[1:] / bars.close[:-1])
    steps[1:][np.diff(bars.ts_open) != bars.interval_ns] = np.nan
    return steps


def _ewma(squares: npt.NDArray[np.float64], keep: float) -> npt.NDArray[np.float64]:
    """Run the recursion over squared returns; NaN (no return) leaves the variance as it is."""
    out: list[float] = []
    variance, fresh = UNKNOWN, 1.0 - keep
    for square in squares.tolist():
        if square == square:
            variance = square if variance < 0.0 else keep * variance + fresh * square
        out.append(variance)
    return np.array(out)


def _parkinson(high: Int64Array, low: Int64Array, window: int) -> npt.NDArray[np.float64]:
    """Give Parkinson's variance per bar over the last `window` bars, at each bar."""
    squares = np.rint(np.log(high / low) ** 2 / UNIT).astype(np.int64)
    sums = np.cumsum(squares)  # may wrap around; differences stay exact
    sums[window:] -= sums[:-window].copy()
    counts = np.minimum(np.arange(1, len(squares) + 1), window)
    return np.asarray(sums * UNIT / counts / PARKINSON)


class MinuteSigma:
    """Estimate the rolling minute's volatility from points, a daily fraction.

    Prices are sampled at whole seconds, each holding the last price known; the estimate is the
    root of the mean square of the last 60 one-second log returns, scaled to a day. Unknown before
    a full minute of history.
    """

    def __init__(self) -> None:
        self._returns = MeanSquare(MINUTE_STEPS)
        self._second = 0  # the last whole second that is sampled
        self._sampled = 0  # the price then; 0: none yet
        self._price = 0

    def update(self, ts: int, price: int) -> None:
        """Take a point (ns, price in any constant unit); the seconds before it are closed."""
        before = -(-ts // SECOND_NS) - 1
        if self._price:
            self._sample_until(before)
        else:
            self._second = before
        self._price = price

    def at(self, t: int) -> float:
        """Give the daily fraction known at time t (ns), or -1; t never runs backwards."""
        if self._price:
            self._sample_until(t // SECOND_NS)
        if not self._returns.full:
            return UNKNOWN
        return rounded(daily(self._returns.mean, SECOND_NS))

    def _sample_until(self, second: int) -> None:
        # Beyond one window of silence every further return is zero like those before it.
        for _ in range(min(second - self._second, MINUTE_STEPS + 1)):
            if self._sampled:
                self._returns.add(log(self._price / self._sampled))
            self._sampled = self._price
        self._second = max(self._second, second)


class MinuteSeries:
    """Give the rolling minute's volatility of a whole history; `at` knows nothing later.

    Points are estimated as by `MinuteSigma`; bars of at most a minute by Parkinson over those
    closed last that fill a minute; coarser bars cannot tell it, and give -1.
    """

    def __init__(self, prices: Prices | MarkPoints) -> None:
        self._prices = prices

    def at(self, t: int) -> float:
        """Give the daily fraction known at time t (ns), or -1."""
        if isinstance(self._prices, Bars):
            return self._of_bars(self._prices, t)
        ts = self._prices.ts
        last = t // SECOND_NS
        seconds = np.arange(last - MINUTE_STEPS, last + 1, dtype=np.int64) * SECOND_NS
        first = int(ts.searchsorted(seconds[0], "right")) - 1
        if first < 0:
            return UNKNOWN
        stop = int(ts.searchsorted(seconds[-1], "right"))
        rows = ts[first:stop].searchsorted(seconds, "right") + (first - 1)
        mids = self._prices.bid[rows].astype(np.float64) + self._prices.ask[rows]
        squares = np.rint(np.log(mids[1:] / mids[:-1]) ** 2 / UNIT)
        return rounded(daily(int(squares.sum()) * UNIT / MINUTE_STEPS, SECOND_NS))

    @staticmethod
    def _of_bars(bars: Bars, t: int) -> float:
        count = MINUTE_NS // bars.interval_ns
        stop = int(bars.ts_open.searchsorted(t - bars.interval_ns, "right"))
        if not count or stop < count:
            return UNKNOWN
        pick = slice(stop - count, stop)
        mean = float(np.mean(np.log(bars.high[pick] / bars.low[pick]) ** 2))
        return rounded(daily(mean / PARKINSON, bars.interval_ns))
