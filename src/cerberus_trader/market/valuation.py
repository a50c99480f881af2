"""What one instrument is worth at a time: its mark, else its mid, price, open or close.

Before the first mark the price series values the instrument, from then on the latest mark. A
time counts after all its rows: of rows of equal time the last one is known, and of a bar that
opens when the one before it closes, the open.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from cerberus_trader.market.columns import Bars, MarkBars, MarkPoints, Quotes, Trades
from cerberus_trader.market.pyramid import Int64Array

FloatArray: TypeAlias = npt.NDArray[np.float64]
Series: TypeAlias = Quotes | Trades | Bars | MarkPoints | MarkBars

INT64_MAX = 2**63 - 1
ROWS_PER_BUCKET = 512


class _Points:
    """Value points at (bid + ask) / 2."""

    def __init__(self, series: Quotes | Trades | MarkPoints) -> None:
        self.ts = series.ts
        self._bid, self._ask, self._digits = series.bid, series.ask, series.digits
        self._scale = 0.5 * 10.0**-series.digits

    def instants(self, start: int, stop: int) -> list[Int64Array]:
        return [self.ts[self.ts.searchsorted(start) : self.ts.searchsorted(stop)]]

    def exact(self, row: int, t: int) -> Decimal:
        return Decimal((int(self._bid[row]) + int(self._ask[row])) * 5).scaleb(-self._digits - 1)

    def floats(self, rows: Int64Array, times: Int64Array) -> FloatArray:
        both = self._bid[rows].astype(np.float64) + self._ask[rows]
        return np.asarray(both * self._scale, dtype=np.float64)

    def extreme(self, ufunc: np.ufunc, cuts: Int64Array) -> FloatArray:
        bid = _bucket_extreme(ufunc, self._bid, cuts)
        ask = bid if self._ask is self._bid else _bucket_extreme(ufunc, self._ask, cuts)
        return (bid + ask) * self._scale


class _Bars:
    """Value bars at their open, from their end on at their close."""

    def __init__(self, series: Bars | MarkBars) -> None:
        self.ts = series.ts_open
        self._open, self._close = series.open, series.close
        self._digits, self._interval = series.digits, series.interval_ns
        self._scale = 10.0**-series.digits

    def instants(self, start: int, stop: int) -> list[Int64Array]:
        first, last = self.ts.searchsorted(start), self.ts.searchsorted(stop)
        ends = self.ts[max(first - 1, 0) : last] + self._interval
        return [self.ts[first:last], ends[(ends >= start) & (ends < stop)]]

    def exact(self, row: int, t: int) -> Decimal:
        ended = t >= int(self.ts[row]) + self._interval
        return Decimal(int((self._close if ended else self._open)[row])).scaleb(-self._digits)

    def floats(self, rows: Int64Array, times: Int64Array) -> FloatArray:
        ended = times - self.ts[rows] >= self._interval
        return np.where(ended, self._close[rows], self._open[rows]) * self._scale

    def extreme(self, ufunc: np.ufunc, cuts: Int64Array) -> FloatArray:
        opens = _bucket_extreme(ufunc, self._open, cuts)
        closes = _bucket_extreme(ufunc, self._close, cuts)
        return np.asarray(ufunc(opens, closes) * self._scale, dtype=np.float64)


def _bucket_extreme(ufunc: np.ufunc, column: Int64Array, cuts: Int64Array) -> FloatArray:
    """Reduce rows cuts[j] <= i < cuts[j + 1], and the row before them, which is still known.

    Gives NaN where nothing is known; `cuts` ends with the number of rows.
    """
    found = np.full(len(cuts) - 1, np.nan)
    filled = cuts[1:] > cuts[:-1]
    found[filled] = ufunc.reduceat(column, cuts[:-1][filled])
    carried = np.where(cuts[:-1] > 0, column[np.maximum(cuts[:-1] - 1, 0)], np.nan)
    return np.asarray((np.fmin if ufunc is np.minimum else np.fmax)(found, carried))


class Valuation:
    """Value one instrument by its marks where given, else by its prices."""

    def __init__(self, prices: Series, marks: MarkPoints | MarkBars | None = None) -> None:
        self._prices = _adapt(prices)
        self._marks = None if marks is None else _adapt(marks)
        # From this time on the marks are known, and only they count.
        self._switch = INT64_MAX if self._marks is None else int(self._marks.ts[0])

    def edges(self) -> Iterable[Int64Array]:
        """Give times that cut the series into pieces of `ROWS_PER_BUCKET` rows."""
        for source in (self._prices, self._marks):
            if source is not None:
                yield source.ts[::ROWS_PER_BUCKET]

    def instants(self, start: int, stop: int) -> list[Int64Array]:
        """Give the times from start to before stop at which a price or a mark arrives."""
        found = self._prices.instants(start, stop)
        return found if self._marks is None else found + self._marks.instants(start, stop)

    def exact_at(self, t: int) -> Decimal | None:
        """Give the exact value known after all rows of time t, or None before the first."""
        source = self._marks if self._marks is not None and t >= self._switch else self._prices
        row = int(source.ts.searchsorted(t, "right")) - 1
        return source.exact(row, t) if row >= 0 else None

    def floats_at(self, times: Int64Array) -> FloatArray:
        """Give the nearest floats of the values known at times; NaN where unknown."""
        values = _floats(self._prices, times)
        if self._marks is None:
            return values
        return np.where(times >= self._switch, _floats(self._marks, times), values)

    def extremes(self, edges: Int64Array) -> tuple[FloatArray, FloatArray]:
        """Bound the values known between edges (the last bucket is open): (low, high)."""
        low, high = _extremes(self._prices, edges)
        if self._marks is not None:
            marked = edges >= self._switch  # the switch is itself an edge
            mark_low, mark_high = _extremes(self._marks, edges)
            low, high = np.where(marked, mark_low, low), np.where(marked, mark_high, high)
        return low, high


def _adapt(series: Series) -> _Points | _Bars:
    return _Bars(series) if isinstance(series, Bars | MarkBars) else _Points(series)


def _floats(source: _Points | _Bars, times: Int64Array) -> FloatArray:
    rows = source.ts.searchsorted(times, "right") - 1
    return np.where(rows >= 0, source.floats(np.maximum(rows, 0), times), np.nan)


def _extremes(source: _Points | _Bars, edges: Int64Array) -> tuple[FloatArray, FloatArray]:
    cuts = np.append(source.ts.searchsorted(edges), len(source.ts))
    return source.extreme(np.minimum, cuts), source.extreme(np.maximum, cuts)
