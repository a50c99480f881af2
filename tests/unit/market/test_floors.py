"""The floor watch counts marks, closes and instants as the simulated market's rules say."""

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cerberus_trader.market.columns import Bars, MarkPoints, Quotes, Trades
from cerberus_trader.market.floors import FloorHit, FloorWatch

D = Decimal


def ints(*values: int) -> Any:
    return np.array(values, dtype=np.int64)


def test_a_hit_carries_its_instant_sum_and_prices() -> None:
    quotes = Quotes(ints(1, 2, 3), ints(100, 90, 80), ints(102, 92, 83), 1)
    watch = FloorWatch({"X": quotes})
    watch.set_constant(D(100))
    watch.set_term("X", D(10), D(-101))  # ten, bought at 10.1
    hit = watch.next_hit(D(90), 1)
    assert hit == FloorHit(2, D("90.0"), {"X": D("9.10")})
    assert watch.next_hit(D("89.9"), 1) == FloorHit(3, D("80.50"), {"X": D("8.150")})
    assert watch.next_hit(D("89.9"), 1, 3) is None
    assert watch.next_hit(D("80.49"), 1) is None


def test_rows_of_one_time_are_one_instant() -> None:
    trades = Trades(ints(1, 2, 2, 3), ints(10, 1, 10, 10), 0)
    watch = FloorWatch({"X": trades})
    watch.set_term("X", D(1))
    assert watch.next_hit(D(5), 0) is None  # the low row is not the last of its instant


def test_all_prices_of_a_time_come_before_its_test() -> None:
    falls = Trades(ints(1, 2), ints(10, 1), 0)
    rises = Trades(ints(1, 2), ints(10, 19), 0)
    watch = FloorWatch({"A": falls, "B": rises})
    watch.set_term("A", D(1))
    watch.set_term("B", D(1))
    assert watch.next_hit(D(19), 0) is None
    assert watch.next_hit(D(20), 0) == FloorHit(1, D(20), {"A": D(10), "B": D(10)})


def test_bars_count_at_opens_and_closes_only() -> None:
    bars = Bars(ints(0, 60), ints(10, 9), ints(12, 9), ints(1, 3), ints(9, 4), ints(0, 0), 0, 0, 60)
    watch = FloorWatch({"X": bars})
    watch.set_term("X", D(1))
    assert watch.next_hit(D(3), 0) is None  # lows are insides
    hit = watch.next_hit(D(4), 0)
    assert hit is not None
    assert hit.ts == 120  # the last close is known an interval after its open


def test_marks_take_over_from_their_first_point() -> None:
    trades = Trades(ints(1, 2, 3, 5), ints(10, 4, 10, 2), 0)
    marks = MarkPoints(ints(3, 4, 7), ints(10, 9, 5), 0)
    watch = FloorWatch({"X": trades}, {"X": marks})
    watch.set_term("X", D(1))
    assert watch.next_hit(D(4), 0) == FloorHit(2, D(4), {"X": D(4)})  # no mark known yet
    assert watch.next_hit(D(5), 3) == FloorHit(7, D(5), {"X": D(5)})  # the price of 2 is no mark


def test_a_fallen_constant_is_seen_at_the_next_instant_of_any_instrument() -> None:
    watch = FloorWatch(
        {
            "A": Trades(ints(1, 9), ints(10, 10), 0),
            "B": Trades(ints(1, 5), ints(7, 7), 0),
        }
    )
    watch.set_constant(D(100))
    watch.set_term("A", D(1))
    assert watch.next_hit(D(50), 1) is None
    watch.set_constant(D(30))
    hit = watch.next_hit(D(50), 2)
    assert hit is not None
    assert (hit.ts, hit.value) == (5, D(40))
    assert watch.value_at(2) == D(40)


def test_nothing_is_tested_before_a_weighted_price_is_known() -> None:
    watch = FloorWatch(
        {
            "A": Trades(ints(1, 2), ints(10, 10), 0),
            "B": Trades(ints(4, 6), ints(7, 7), 0),
        }
    )
    watch.set_term("A", D(1))
    watch.set_term("B", D(1), D(-100))
    assert watch.value_at(2) is None
    hit = watch.next_hit(D(0), 0)
    assert hit is not None
    assert hit.ts == 4


def test_a_touch_is_decided_exactly() -> None:
    trades = Trades(ints(1, 2), ints(3, 1), 1)
    watch = FloorWatch({"X": trades})
    watch.set_term("X", D("0.1"))
    watch.set_constant(D("0.2"))
    assert watch.next_hit(D("0.21"), 0) == FloorHit(2, D("0.21"), {"X": D("0.1")})
    assert watch.next_hit(D("0.20999999999999999999"), 0) is None


@pytest.mark.parametrize("short", [False, True])
def test_long_histories_agree_with_numpy(short: bool) -> None:
    rng = np.random.default_rng(5)
    ts = np.cumsum(rng.integers(1, 5, 20_000)).astype(np.int64)
    price = (50_000 + np.cumsum(rng.integers(-20, 21, 20_000))).astype(np.int64)
    watch = FloorWatch({"X": Trades(ts, price, 0)})
    sign = -1 if short else 1
    watch.set_term("X", D(sign), D(-sign * 50_000))
    for floor in range(-1500, 1, 100):
        for start in (0, 7_000, 31_000):
            rows = np.flatnonzero((ts >= start) & (sign * (price - 50_000) <= floor))
            hit = watch.next_hit(D(floor), start)
            assert (None if hit is None else hit.ts) == (int(ts[rows[0]]) if len(rows) else None)
