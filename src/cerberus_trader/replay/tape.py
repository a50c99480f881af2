"""The tape: one instrument's recorded history, read at a point in time and never later."""

from bisect import bisect_right
from decimal import Decimal

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.market.columns import (
    Bars,
    Funding,
    MarkBars,
    MarkPoints,
    Quotes,
    Trades,
)
from cerberus_trader.market.valuation import Valuation

Prices = Quotes | Trades | Bars
Marks = MarkPoints | MarkBars

NEAR_ROWS = 128


class Known(msgspec.Struct, frozen=True, gc=False):
    """Hold the price that a signal is judged on; `interval_ns` is 0 for points."""

    ts_ns: int
    bid: Decimal
    ask: Decimal
    interval_ns: int


class Tape:
    """Hold prices with their companions; `end_ns` is when the last price is known."""

    def __init__(
        self,
        instrument: Instrument,
        prices: Prices,
        marks: Marks | None = None,
        funding: Funding | None = None,
    ) -> None:
        if isinstance(marks, MarkBars):
            if not isinstance(prices, Bars):
                raise DataError(
                    "mark bars accompany price bars only.",
                    code="DATA_PRICES",
                    place=f"marks of {instrument.name}",
                    fix="give mark prices as points.",
                )
            marks.check_grid(prices)
        self.instrument = instrument
        self.name = instrument.name
        self.prices = prices
        self.marks = marks
        self.funding = funding
        self.bars = prices if isinstance(prices, Bars) else None
        self.points = prices if not isinstance(prices, Bars) else None
        self.interval_ns = prices.interval_ns if isinstance(prices, Bars) else 0
        self.digits = prices.digits
        self.quantum = Decimal(1).scaleb(-prices.digits)
        self.ts = prices.ts_open if isinstance(prices, Bars) else prices.ts
        self.rows = len(prices)
        self.start_ns = int(self.ts[0])
        self.end_ns = int(self.ts[-1]) + self.interval_ns
        self.valuation = Valuation(prices, marks)
        self._half = Decimal(5).scaleb(-prices.digits - 1)
        # single values come quicker out of memory views than out of NumPy
        self._times = self.ts.data
        self._bids = (prices.open if isinstance(prices, Bars) else prices.bid).data
        self._asks = self._bids if isinstance(prices, Bars) else prices.ask.data
        self._pace_ns = max((int(self.ts[-1]) - self.start_ns) // self.rows, 1)
        self._row, self._row_ns = 0, self.start_ns
        # these alone are marked at their mid; all else asks the valuation
        self._mid = self.points is not None and marks is None
        self._last = self.rows - 1

    def row_at(self, t: int) -> int:
        """Return the last row (bar open) at or before t, -1 if there is none.

        Rows come about evenly, and whoever asks goes forward by little, mostly: so the row that
        the last answer lets expect comes first, then those around it, then all.
        """
        times = self._times
        guess = self._row + (t - self._row_ns) // self._pace_ns
        if 0 <= guess < self._last and times[guess] <= t:
            if t < times[guess + 1]:
                self._row, self._row_ns = guess, times[guess]
                return guess
            low, high = guess, guess + NEAR_ROWS
        else:
            low, high = guess - NEAR_ROWS, guess
        row = low - 1
        if low >= 0 and high <= self.rows:
            row = bisect_right(times, t, low, high) - 1
        if not low <= row < high - 1:
            row = int(self.ts.searchsorted(t, "right")) - 1
        self._row = row if row > 0 else 0
        self._row_ns = times[self._row]
        return row

    def row_after(self, t: int) -> int:
        """Return the first row (bar open) later than t; the number of rows if there is none."""
        return self.row_at(t) + 1

    def known(self, t: int) -> Known | None:
        """Return the price a signal at t is judged on: last row, or last close known."""
        if self.points is not None:
            row = self.row_at(t)
            if row < 0:
                return None
            bid, ask = self.quote(row)
            return Known(self._times[row], bid, ask, 0)
        row = self.row_at(t - self.interval_ns)
        if row < 0 or self.bars is None:
            return None
        close = self.decimal(int(self.bars.close[row]))
        return Known(int(self.ts[row]) + self.interval_ns, close, close, self.interval_ns)

    def execution(self, due_ns: int) -> tuple[int, int] | None:
        """Return (time, row) of the first instant (bar open) at or after `due_ns`: its last row."""
        times, row = self._times, self.row_after(due_ns - 1)
        if row >= self.rows:
            return None
        ts = times[row]
        while row + 1 < self.rows and times[row + 1] == ts:
            row += 1
        return ts, row

    def quote(self, row: int) -> tuple[Decimal, Decimal]:
        """Return bid and ask of a row; for bars the open, twice."""
        bid, ask = self._bids[row], self._asks[row]
        low = self.decimal(bid)
        return low, low if bid == ask else self.decimal(ask)

    def size(self, row: int, side: int) -> Decimal | None:
        """Return what a row offers a buyer (+1) or seller (-1): its size, or the bar's volume.

        None where the file has no sizes: then nothing limits a fill.
        """
        prices = self.prices
        if isinstance(prices, Bars):
            return Decimal(int(prices.volume[row])).scaleb(-prices.volume_digits)
        if isinstance(prices, Quotes):
            column = prices.ask_size if side > 0 else prices.bid_size
        else:
            column = prices.size
        return None if column is None else Decimal(int(column[row])).scaleb(-prices.size_digits)

    def decimal(self, value: int) -> Decimal:
        """Return the exact price of a column's value."""
        return value * self.quantum

    def mark(self, t: int) -> Decimal | None:
        """Return the mark at t: mark price, else mid, price, latest open or close."""
        if not self._mid:
            return self.valuation.exact_at(t)
        times = self._times
        row = self._row + (t - self._row_ns) // self._pace_ns
        try:
            # below 0 it counts from the end, and what the test says of that row holds as well
            right = times[row] <= t < times[row + 1]
        except IndexError:
            right = False
        if not right:
            row = self.row_at(t)
            if row < 0:
                return None
        return (self._bids[row] + self._asks[row]) * self._half

    def last_marks(self) -> tuple[Decimal, Decimal]:
        """Return what a long and a short are worth at the end: bid and ask, or the close."""
        if self.bars is not None:
            close = self.decimal(int(self.bars.close[-1]))
            return close, close
        return self.quote(self.rows - 1)
