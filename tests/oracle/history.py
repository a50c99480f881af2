"""An instrument's history as plain rows, for the oracle: what is known and tested at each time."""

from fractions import Fraction
from typing import Any, NamedTuple

from cerberus_trader.market.columns import Bars, Funding, MarkBars, MarkPoints, Quotes, Trades


class Row(NamedTuple):
    """A point: what can be sold at and bought at."""

    bid: Fraction
    ask: Fraction


class Bar(NamedTuple):
    """A bar's prices."""

    open: Fraction
    high: Fraction
    low: Fraction
    close: Fraction


class History:
    """Prices, marks and funding of one instrument, looked up by exact time."""

    def __init__(self, item: Any, prices: Quotes | Trades | Bars,
                 marks: MarkPoints | MarkBars | None = None,
                 funding: Funding | None = None) -> None:  # fmt: skip
        self.item = item
        self.tick = Fraction(item.tick)
        self.marked = marks is not None
        self.rows: dict[int, list[Row]] = {}  # points and opens: what orders execute on
        self.knowledge: dict[int, Row] = {}  # what signals are judged on
        self.spoken: dict[int, Fraction] = {}  # mid, price, or latest open or close
        self.bar_inside: dict[int, Bar] = {}
        self.mark_rows: dict[int, list[Fraction]] = {}
        self.mark_spoken: dict[int, Fraction] = {}
        self.mark_inside: dict[int, Bar] = {}
        self.rates: dict[int, list[Fraction]] = {}
        if isinstance(prices, Bars):
            self._bars(prices)
        else:
            self._points(prices)
        self.end_ns = max(self.knowledge)
        self.last = self.knowledge[self.end_ns]
        if isinstance(marks, MarkBars):
            self._mark_bars(marks)
        elif marks is not None:
            for ts, price in zip(marks.ts.tolist(), marks.price.tolist(), strict=True):
                mark = Fraction(price, 10**marks.digits)
                self.mark_rows.setdefault(ts, []).append(mark)
                self.mark_spoken[ts] = mark
        if funding is not None:
            for ts, rate in zip(funding.ts.tolist(), funding.rate.tolist(), strict=True):
                self.rates.setdefault(ts, []).append(Fraction(rate, 10**funding.digits))

    def _points(self, prices: Quotes | Trades) -> None:
        asks = prices.ask if isinstance(prices, Quotes) else prices.price
        bids = prices.bid if isinstance(prices, Quotes) else prices.price
        unit = 10**prices.digits
        for ts, bid, ask in zip(prices.ts.tolist(), bids.tolist(), asks.tolist(), strict=True):
            row = Row(Fraction(bid, unit), Fraction(ask, unit))
            self.rows.setdefault(ts, []).append(row)
            self.knowledge[ts] = row
            self.spoken[ts] = (row.bid + row.ask) / 2

    def _bars(self, prices: Bars) -> None:
        for ts, bar in bars_of(prices):
            self.rows[ts] = [Row(bar.open, bar.open)]
            self.spoken[ts] = bar.open
            self.bar_inside[ts + prices.interval_ns - 1] = bar
            self.knowledge[ts + prices.interval_ns] = Row(bar.close, bar.close)
            self.spoken[ts + prices.interval_ns] = bar.close

    def _mark_bars(self, marks: MarkBars) -> None:
        for ts, bar in bars_of(marks):
            self.mark_rows[ts] = [bar.open]
            self.mark_spoken[ts] = bar.open
            self.mark_inside[ts + marks.interval_ns - 1] = bar
            self.mark_spoken[ts + marks.interval_ns] = bar.close

    def times(self) -> set[int]:
        """Every time at which something happens."""
        found: set[int] = set()
        for lookup in (self.rows, self.knowledge, self.bar_inside, self.mark_rows,
                       self.mark_inside, self.rates):  # fmt: skip
            found |= set(lookup)  # type: ignore[call-overload]
        return found

    def known(self, now: int) -> Row | None:
        """The last instant at or before a time: of bars, the last close."""
        return last(self.knowledge, now)

    def funding_price(self, now: int) -> Fraction | None:
        """The last known mark, else the last known price."""
        return last(self.mark_spoken, now) or last(self.spoken, now)


def bars_of(columns: Bars | MarkBars) -> list[tuple[int, Bar]]:
    """Read bars as rows."""
    unit = 10**columns.digits
    sides = (columns.open, columns.high, columns.low, columns.close)
    cols = [[Fraction(value, unit) for value in side.tolist()] for side in sides]
    return [(ts, Bar(*row)) for ts, *row in zip(columns.ts_open.tolist(), *cols, strict=True)]


def last(lookup: dict[int, Any], now: int) -> Any:
    """The value of the latest time at or before now."""
    times = [ts for ts in lookup if ts <= now]
    return lookup[max(times)] if times else None
