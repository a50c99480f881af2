"""Price histories as immutable int64 columns, checked once, whatever their source.

A value v of a column means the decimal ``v * 10**-digits``: the precision of the source, its
quantum. Times are int64 nanoseconds UTC. Every class refuses bad rows with `DataError` naming the
data row (1-based) and the column; a loader adds the file's name. Pyramids for searches are built
on first use and kept beside the columns.
"""

from dataclasses import dataclass, fields
from decimal import Decimal
from functools import cached_property
from typing import NoReturn, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import ONE, ceil_to, floor_to
from cerberus_trader.market.pyramid import Int64Array, Pyramid, Trail

DIGITS_MAX = 18


def refuse(row: int, column: str, message: str, fix: str) -> NoReturn:
    """Raise `DataError` for a data row (0-based here, 1-based in the message) and its column."""
    raise DataError(message, code="DATA_PRICES", place=f"row {row + 1}, column {column}", fix=fix)


def to_decimal(value: int, digits: int) -> Decimal:
    """Give the exact decimal of a column's value."""
    return Decimal(value).scaleb(-digits)


def quanta_at_most(price: Decimal, digits: int) -> int:
    """Give the largest column value that is <= price (for searches with `first_le`)."""
    return int(floor_to(price.scaleb(digits), ONE))


def quanta_at_least(price: Decimal, digits: int) -> int:
    """Give the smallest column value that is >= price (for `first_ge`, and for distances)."""
    return int(ceil_to(price.scaleb(digits), ONE))


def _first(flags: npt.NDArray[np.bool_]) -> int | None:
    at = int(flags.argmax())
    return at if flags[at] else None


def _check_times(ts: Int64Array, column: str) -> None:
    if len(ts) > 1 and (row := _first(ts[1:] < ts[:-1])) is not None:
        refuse(row + 1, column, "time runs backwards.", "sort the rows by time.")
    if ts[0] < 0:
        refuse(0, column, "the time lies before 1970.", "check the unit of the time column.")


def _check_least(values: Int64Array, column: str, least: int) -> None:
    if values.min() < least:
        word = "not positive" if least else "negative"
        row = int((values < least).argmax())
        refuse(row, column, f"the value is {word}.", "correct or remove the row.")


class _Columns:
    """Freeze and check the columns of a subclass; the length is the number of rows."""

    def __post_init__(self) -> None:
        length = -1
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                length = self._freeze(field.name, value, length)
            elif field.name.endswith("digits") and not 0 <= value <= DIGITS_MAX:
                raise DataError(
                    f"{field.name} is {value}.",
                    code="DATA_PRICES",
                    place=field.name,
                    fix=f"use 0 to {DIGITS_MAX} decimals.",
                )
        if length == 0:
            raise DataError(
                "there are no rows.",
                code="DATA_PRICES",
                place="row 1",
                fix="give at least one row of data.",
            )
        self._check()

    def _freeze(self, name: str, value: Int64Array, length: int) -> int:
        if value.dtype != np.int64 or value.ndim != 1 or length not in (-1, len(value)):
            raise DataError(
                f"a column of {value.dtype} values with shape {value.shape} does not fit.",
                code="DATA_PRICES",
                place=f"column {name}",
                fix="give one-dimensional int64 columns of equal length.",
            )
        view = value.view()
        view.flags.writeable = False
        object.__setattr__(self, name, view)
        return len(value)

    def _check(self) -> None:
        raise NotImplementedError

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))  # type: ignore[arg-type]


class PointSeries(Protocol):
    """Describe a series of points: what quotes, trades and mark points have in common."""

    @property
    def ts(self) -> Int64Array: ...
    @property
    def bid(self) -> Int64Array: ...
    @property
    def ask(self) -> Int64Array: ...
    @property
    def digits(self) -> int: ...
    @property
    def bid_min(self) -> Pyramid: ...
    @property
    def bid_max(self) -> Pyramid: ...
    @property
    def ask_min(self) -> Pyramid: ...
    @property
    def ask_max(self) -> Pyramid: ...
    @property
    def trail_long(self) -> Trail: ...
    @property
    def trail_short(self) -> Trail: ...
    def __len__(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Quotes(_Columns):
    """Hold best bid and ask over time, with optional sizes (both or none).

    `crossed` counts the rows whose bid lies above their ask; they are legal.
    """

    ts: Int64Array
    bid: Int64Array
    ask: Int64Array
    digits: int
    bid_size: Int64Array | None = None
    ask_size: Int64Array | None = None
    size_digits: int = 0

    def _check(self) -> None:
        _check_times(self.ts, "ts")
        _check_least(self.bid, "bid", 1)
        _check_least(self.ask, "ask", 1)
        if (self.bid_size is None) != (self.ask_size is None):
            raise DataError(
                "one of the two size columns is missing.",
                code="DATA_PRICES",
                place="columns bid_size, ask_size",
                fix="give both or none.",
            )
        if self.bid_size is not None and self.ask_size is not None:
            _check_least(self.bid_size, "bid_size", 0)
            _check_least(self.ask_size, "ask_size", 0)

    @cached_property
    def crossed(self) -> int:
        return int(np.count_nonzero(self.bid > self.ask))

    @cached_property
    def bid_min(self) -> Pyramid:
        return Pyramid(self.bid, "min")

    @cached_property
    def bid_max(self) -> Pyramid:
        return Pyramid(self.bid, "max")

    @cached_property
    def ask_min(self) -> Pyramid:
        return Pyramid(self.ask, "min")

    @cached_property
    def ask_max(self) -> Pyramid:
        return Pyramid(self.ask, "max")

    @cached_property
    def trail_long(self) -> Trail:
        return Trail(self.bid_max, self.bid_min, None, short=False)

    @cached_property
    def trail_short(self) -> Trail:
        return Trail(self.ask_max, self.ask_min, None, short=True)


class _OnePrice(_Columns):
    """Let a series of single prices be searched like quotes: bid = ask = price."""

    price: Int64Array

    @property
    def bid(self) -> Int64Array:
        return self.price

    @property
    def ask(self) -> Int64Array:
        return self.price

    @cached_property
    def bid_min(self) -> Pyramid:
        return Pyramid(self.price, "min")

    @cached_property
    def bid_max(self) -> Pyramid:
        return Pyramid(self.price, "max")

    @property
    def ask_min(self) -> Pyramid:
        return self.bid_min

    @property
    def ask_max(self) -> Pyramid:
        return self.bid_max

    @cached_property
    def trail_long(self) -> Trail:
        return Trail(self.bid_max, self.bid_min, None, short=False)

    @cached_property
    def trail_short(self) -> Trail:
        return Trail(self.bid_max, self.bid_min, None, short=True)


@dataclass(frozen=True, eq=False)
class Trades(_OnePrice):
    """Hold trade prices over time, with optional sizes."""

    ts: Int64Array
    price: Int64Array
    digits: int
    size: Int64Array | None = None
    size_digits: int = 0

    def _check(self) -> None:
        _check_times(self.ts, "ts")
        _check_least(self.price, "price", 1)
        if self.size is not None:
            _check_least(self.size, "size", 0)


@dataclass(frozen=True, eq=False)
class MarkPoints(_OnePrice):
    """Hold mark prices at points in time."""

    ts: Int64Array
    price: Int64Array
    digits: int

    def _check(self) -> None:
        _check_times(self.ts, "ts")
        _check_least(self.price, "price", 1)


class _BarColumns(_Columns):
    """Check bars, list their gaps, and build their pyramids."""

    ts_open: Int64Array
    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array
    interval_ns: int

    def _check(self) -> None:
        _check_times(self.ts_open, "ts")
        for name in ("open", "high", "low", "close"):
            _check_least(getattr(self, name), name, 1)
        if (row := _first(self.high < self.low)) is not None:
            refuse(row, "high", "high lies below low.", "correct or remove the bar.")
        for name in ("open", "close"):
            values = getattr(self, name)
            if (row := _first((values < self.low) | (values > self.high))) is not None:
                refuse(row, name, f"{name} lies outside low to high.", "correct the bar.")
        if self.interval_ns < 1:
            raise DataError(
                f"the interval is {self.interval_ns} ns.",
                code="DATA_PRICES",
                place="interval_ns",
                fix="give a positive interval.",
            )
        if len(self) > 1 and (row := _first(np.diff(self.ts_open) < self.interval_ns)) is not None:
            refuse(
                row + 1,
                "ts",
                f"the bar opens less than {self.interval_ns} ns after the last.",
                "give bars of one interval, each time once.",
            )

    @cached_property
    def gaps(self) -> Int64Array:
        """List gaps as rows (open time before, open time after), shape (n, 2)."""
        at = np.flatnonzero(np.diff(self.ts_open) > self.interval_ns)
        return np.stack([self.ts_open[at], self.ts_open[at + 1]], axis=1)

    @cached_property
    def low_min(self) -> Pyramid:
        return Pyramid(self.low, "min")

    @cached_property
    def high_max(self) -> Pyramid:
        return Pyramid(self.high, "max")

    @cached_property
    def trail_long(self) -> Trail:
        return Trail(self.high_max, self.low_min, self.open, short=False)

    @cached_property
    def trail_short(self) -> Trail:
        return Trail(self.high_max, self.low_min, self.open, short=True)


@dataclass(frozen=True, eq=False)
class Bars(_BarColumns):
    """Hold bars of one interval; `ts_open` is the open time, the close is known an interval later.

    Rows that are missing are gaps: legal, listed in `gaps`, never filled in.
    """

    ts_open: Int64Array
    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array
    volume: Int64Array
    digits: int
    volume_digits: int
    interval_ns: int

    def _check(self) -> None:
        super()._check()
        _check_least(self.volume, "volume", 0)


@dataclass(frozen=True, eq=False)
class MarkBars(_BarColumns):
    """Hold bars of mark prices, of the interval of the price bars they accompany."""

    ts_open: Int64Array
    open: Int64Array
    high: Int64Array
    low: Int64Array
    close: Int64Array
    digits: int
    interval_ns: int

    def check_grid(self, bars: Bars) -> None:
        """Refuse mark bars of another interval than the price bars', or off their grid."""
        if self.interval_ns != bars.interval_ns:
            raise DataError(
                f"the mark bars span {self.interval_ns} ns, the price bars {bars.interval_ns} ns.",
                code="DATA_PRICES",
                place="mark bars",
                fix="give both in one interval.",
            )
        off = (self.ts_open - bars.ts_open[0]) % self.interval_ns != 0
        if (row := _first(off)) is not None:
            refuse(row, "ts", "the mark bar lies off the price bars' grid.", "align the bars.")


@dataclass(frozen=True, eq=False)
class Funding(_Columns):
    """Hold funding rates; a positive rate is paid by longs."""

    ts: Int64Array
    rate: Int64Array
    digits: int

    def _check(self) -> None:
        _check_times(self.ts, "ts")


Prices: TypeAlias = Quotes | Trades | Bars
