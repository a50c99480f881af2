"""Bars out of points or finer bars: one at a time for live prices, whole columns for a replay."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import Bars, MarkPoints, Quotes, Trades
from cerberus_trader.market.pyramid import Int64Array

CACHED_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Bar:
    """Hold one bar in quanta; it spans ts_open <= t < ts_open + interval."""

    ts_open: int
    open: int
    high: int
    low: int
    close: int
    volume: int


class BarBuilder:
    """Build bars of one interval from points; bars begin at multiples of the interval.

    An interval without points makes no bar. Points older than the bar under construction are
    left out and counted in `late`.
    """

    def __init__(self, interval_ns: int) -> None:
        if interval_ns < 1:
            raise ValueError("the interval must be positive")
        self.interval_ns = interval_ns
        self.late = 0
        self._bar: list[int] | None = None

    def add(self, ts: int, value: int, size: int = 0) -> Bar | None:
        """Take a point; return the bar that it ends, if any."""
        if self._bar is not None and ts < self._bar[0]:
            self.late += 1
            return None
        done = self.close(ts)
        if self._bar is None:
            self._bar = [ts - ts % self.interval_ns, value, value, value, value, size]
        else:
            bar = self._bar
            bar[2], bar[3], bar[4] = max(bar[2], value), min(bar[3], value), value
            bar[5] += size
        return done

    def close(self, now: int) -> Bar | None:
        """Return the bar under construction if it has ended by `now` (ns), and forget it."""
        if self._bar is None or now < self._bar[0] + self.interval_ns:
            return None
        done, self._bar = Bar(*self._bar), None
        return done


def groups(ts: Int64Array, interval_ns: int, phase_ns: int = 0) -> tuple[Int64Array, Int64Array]:
    """Cut ascending times into intervals that hold rows: (open times, first row of each)."""
    first = (int(ts[0]) - phase_ns) // interval_ns
    last = (int(ts[-1]) - phase_ns) // interval_ns
    if last - first < len(ts):
        opens = np.arange(first, last + 1, dtype=np.int64) * interval_ns + phase_ns
        starts = ts.searchsorted(opens)
        filled = np.diff(starts, append=len(ts)) > 0
        return opens[filled], starts[filled]
    opens = (ts - phase_ns) // interval_ns * interval_ns + phase_ns
    starts = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    return opens[starts], starts


def bars_of_points(series: Quotes | Trades | MarkPoints, interval_ns: int) -> Bars:
    """Build bars from points: of prices, or of the mids of quotes (one decimal more, no volume)."""
    opens, starts = groups(series.ts, interval_ns)
    size = series.size if isinstance(series, Trades) else None
    volume = np.zeros(len(opens), np.int64) if size is None else np.add.reduceat(size, starts)
    volume_digits = series.size_digits if isinstance(series, Trades) else 0
    ends = np.append(starts[1:], len(series)) - 1
    if not isinstance(series, Quotes):
        price, digits = series.bid, series.digits
        high, low = np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts)
        first, last = price[starts], price[ends]
    else:
        digits = series.digits + 1
        high, low = _mid_ranges(series, starts)
        first, last = ((series.bid[at] + series.ask[at]) * 5 for at in (starts, ends))
    return Bars(opens, first, high, low, last, volume, digits, volume_digits, interval_ns)


def _mid_ranges(quotes: Quotes, starts: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Give the highest and lowest mid of each group, in tenths of the quotes' quantum."""
    if max(int(quotes.bid.max()), int(quotes.ask.max())) > (2**63 - 1) // 10:
        raise DataError(
            "the mid of the quotes does not fit 64 bits.",
            code="DATA_PRICES",
            place="columns bid, ask",
            fix="round the prices to fewer decimals.",
        )
    high, low = np.empty_like(starts), np.empty_like(starts)
    # Some rows at a time: sums that stay in the processor's cache cost a third.
    cuts = starts.searchsorted(np.arange(0, len(quotes), CACHED_ROWS))
    for a, b in pairwise(np.unique(np.append(cuts, len(starts))).tolist()):
        row, stop = starts[a], starts[b] if b < len(starts) else len(quotes)
        both = quotes.bid[row:stop] + quotes.ask[row:stop]
        high[a:b] = np.maximum.reduceat(both, starts[a:b] - row)
        low[a:b] = np.minimum.reduceat(both, starts[a:b] - row)
    return high * 5, low * 5


def resample(bars: Bars, interval_ns: int) -> Bars:
    """Join bars into coarser ones, on the grid of the first bar's own phase.

    `interval_ns` is a multiple of the bars' interval. A coarse bar holds the bars that end in
    it, even if some are missing, so that all of it is known at its end; where none ends, none is
    made. (Bars off the grid may open before the coarse bar that holds them.)
    """
    if interval_ns < bars.interval_ns or interval_ns % bars.interval_ns:
        raise ValueError(f"{interval_ns} ns is no multiple of {bars.interval_ns} ns")
    phase = int(bars.ts_open[0]) % bars.interval_ns
    opens, starts = groups(bars.ts_open + (bars.interval_ns - 1), interval_ns, phase)
    return Bars(
        opens,
        bars.open[starts],
        np.maximum.reduceat(bars.high, starts),
        np.minimum.reduceat(bars.low, starts),
        bars.close[np.append(starts[1:], len(bars)) - 1],
        np.add.reduceat(bars.volume, starts),
        bars.digits,
        bars.volume_digits,
        interval_ns,
    )
