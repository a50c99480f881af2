"""Columns refuse what no market can show, count what is odd but legal, and never change."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import (
    Bars,
    Funding,
    MarkBars,
    MarkPoints,
    Quotes,
    Trades,
    quanta_at_least,
    quanta_at_most,
    to_decimal,
)


def ints(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def bars(**changes: Any) -> Bars:
    columns: dict[str, Any] = {
        "ts_open": ints(0, 60, 120),
        "open": ints(10, 11, 12),
        "high": ints(12, 12, 13),
        "low": ints(9, 10, 11),
        "close": ints(11, 12, 12),
        "volume": ints(1, 0, 5),
        "digits": 2,
        "volume_digits": 0,
        "interval_ns": 60,
    }
    return Bars(**(columns | changes))


@pytest.mark.req("P-09.4")
def test_values_are_exact_decimals() -> None:
    assert to_decimal(12345, 4) == Decimal("1.2345")
    assert (quanta_at_most(Decimal("1.239"), 2), quanta_at_least(Decimal("1.231"), 2)) == (123, 124)
    assert quanta_at_most(Decimal("1.23"), 2) == quanta_at_least(Decimal("1.23"), 2) == 123


def test_crossed_quotes_are_counted() -> None:
    quotes = Quotes(ints(1, 1, 2), ints(10, 12, 11), ints(11, 11, 11), 1)
    assert quotes.crossed == 1
    assert len(quotes) == 3


def test_gaps_are_listed() -> None:
    gapped = bars(ts_open=ints(0, 60, 180))
    assert gapped.gaps.tolist() == [[60, 180]]
    assert bars().gaps.tolist() == []


def test_columns_cannot_be_written() -> None:
    given = ints(1, 2)
    trades = Trades(given, ints(5, 6), 0)
    with pytest.raises(ValueError, match="read-only"):
        trades.price[0] = 7
    given[0] = 0  # the caller's own array stays writable
    assert trades.bid is trades.price
    assert trades.ask is trades.price


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"ts_open": ints(0, 60, 119)}, "row 3, column ts", "less than"),
        ({"ts_open": ints(0, 0, 120)}, "row 2, column ts", "less than"),
        ({"ts_open": ints(60, 0, 120)}, "row 2, column ts", "backwards"),
        ({"ts_open": ints(-60, 0, 120)}, "row 1, column ts", "1970"),
        ({"low": ints(9, 0, 11)}, "row 2, column low", "not positive"),
        ({"open": ints(-10, 11, 12)}, "row 1, column open", "not positive"),
        ({"high": ints(12, 9, 13)}, "row 2, column high", "below low"),
        ({"open": ints(10, 11, 14)}, "row 3, column open", "outside"),
        ({"close": ints(8, 12, 12)}, "row 1, column close", "outside"),
        ({"volume": ints(1, 1, -5)}, "row 3, column volume", "negative"),
        ({"interval_ns": 0}, "interval_ns", "interval"),
        ({"digits": 19}, "digits", "19"),
        ({"volume": ints(1, 1)}, "column volume", "shape"),
        ({"close": np.array([11.0, 12.0, 12.0])}, "column close", "float64"),
    ],
)
def test_bad_bars_are_refused_by_row_and_column(
    changes: dict[str, Any], place: str, words: str
) -> None:
    with pytest.raises(DataError, match=words) as caught:
        bars(**changes)
    assert caught.value.place == place
    assert caught.value.fix


@pytest.mark.parametrize(
    ("make", "place"),
    [
        (lambda: Quotes(ints(1, 2), ints(0, 1), ints(1, 1), 0), "row 1, column bid"),
        (lambda: Quotes(ints(1, 2), ints(1, 1), ints(1, -1), 0), "row 2, column ask"),
        (lambda: Quotes(ints(2, 1), ints(1, 1), ints(1, 1), 0), "row 2, column ts"),
        (lambda: Quotes(ints(1), ints(1), ints(1), 0, ints(-1), ints(1)), "row 1, column bid_size"),
        (lambda: Quotes(ints(1), ints(1), ints(1), 0, ints(1)), "columns bid_size, ask_size"),
        (lambda: Trades(ints(1), ints(0), 0), "row 1, column price"),
        (lambda: Trades(ints(1), ints(1), 0, ints(-1)), "row 1, column size"),
        (lambda: MarkPoints(ints(1), ints(0), 0), "row 1, column price"),
        (lambda: Funding(ints(2, 1), ints(0, 0), 8), "row 2, column ts"),
        (lambda: Trades(ints(), ints(), 0), "row 1"),
    ],
)
def test_bad_points_are_refused_by_row_and_column(make: Any, place: str) -> None:
    with pytest.raises(DataError) as caught:
        make()
    assert caught.value.place == place


def test_mark_bars_keep_to_the_prices_grid() -> None:
    def marks(interval: int, *ts: int) -> MarkBars:
        flat = ints(*[10] * len(ts))
        return MarkBars(ints(*ts), flat, flat, flat, flat, 2, interval)

    marks(60, 0, 60, 240).check_grid(bars())  # one without a price bar is legal
    with pytest.raises(DataError, match="grid") as caught:
        marks(60, 0, 90).check_grid(bars())
    assert caught.value.place == "row 2, column ts"
    with pytest.raises(DataError, match="span"):
        marks(120, 0, 120).check_grid(bars())


def test_searches_on_columns() -> None:
    quotes = Quotes(ints(1, 2, 3, 4), ints(10, 14, 12, 9), ints(11, 15, 13, 10), 0)
    assert quotes.bid_min.first_le(0, 12) == 0
    assert quotes.bid_min.first_le(1, 12) == 2
    assert quotes.ask_max.first_ge(0, 15) == 1
    assert quotes.trail_long.first(0, 10, 2) == (2, 14)
    assert quotes.trail_short.first(1, 15, 4) == (4, 10)
    assert bars().trail_long.first(0, 10, 2) == (1, 12)  # its low 10 against the first bar's high
    assert bars().trail_long.first(2, 9, 1) == (2, 9)  # its own open counts for its own low


def test_one_price_series_share_their_pyramids() -> None:
    marks = MarkPoints(ints(1, 2), ints(5, 6), 0)
    assert marks.ask_min is marks.bid_min
    assert marks.ask_max is marks.bid_max
    assert marks.trail_short.first(0, 5, 1) == (1, 5)
