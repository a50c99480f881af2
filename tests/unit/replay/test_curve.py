"""The curve equals equity computed by hand at each time; thinning keeps what matters."""

from decimal import Decimal

import numpy as np
import pytest

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.market.columns import Bars, Trades
from cerberus_trader.replay.collector import Step
from cerberus_trader.replay.curve import equity_curve, grid, thin, thin_extremes
from cerberus_trader.replay.tape import Tape

D = Decimal


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_equity_is_cash_plus_open_quantity_at_its_mark() -> None:
    tape = Tape(Instrument("A"), Trades(ints(0, 10, 20, 30), ints(100, 110, 90, 95), 0))
    steps = [
        Step(10, "A", D(-1), D(2), D(220)),  # bought 2 at 110 for a fee of 1
        Step(30, "A", D(-31), D(-2), D(-220)),  # sold 2 at 95 for a fee of 1
    ]
    times = grid([tape], steps)
    assert times.tolist() == [0, 10, 20, 30]
    curve = equity_curve(D(1000), [tape], steps, times)
    assert curve.tolist() == pytest.approx([1000, 999, 959, 968])


def test_a_short_and_two_instruments_add_up() -> None:
    one = Tape(Instrument("A"), Trades(ints(0, 10), ints(100, 90), 0))
    two = Tape(Instrument("B"), Trades(ints(0, 10), ints(50, 60), 0))
    steps = [Step(0, "A", D(0), D(-1), D(-100)), Step(0, "B", D(0), D(3), D(150))]
    curve = equity_curve(D(0), [one, two], steps, ints(0, 10))
    assert curve.tolist() == pytest.approx([0, 10 + 30])


def test_the_grid_takes_closes_bookings_and_midnights_and_is_bounded() -> None:
    flat = ints(*[5] * 4)
    bars = Bars(ints(0, 10, 20, 30), flat, flat, flat, flat, flat, 0, 0, 10)
    tape = Tape(Instrument("A"), bars)
    assert grid([tape], [Step(13, "A", D(0), D(0), D(0))]).tolist() == [0, 10, 13, 20, 30, 40]
    many = Tape(Instrument("A"), Trades(np.arange(100_000) * 10**12, np.ones(100_000, int), 0))
    times = grid([many], [], limit=2000)
    assert len(times) <= 2000 + 2 + 100_000 * 10**12 // (86_400 * 10**9) + 1
    assert 86_400 * 10**9 in times


def test_thinning_keeps_ends_lows_and_highs() -> None:
    values = np.zeros(10_000)
    values[1234], values[8765] = 9.0, -9.0
    rows = thin_extremes(values, 300)
    assert len(rows) <= 300 and {0, 1234, 8765, 9999} <= set(rows.tolist())
    assert thin(10_000, 300)[[0, -1]].tolist() == [0, 9999] and len(thin(10_000, 300)) <= 300
    assert thin(3, 300).tolist() == thin_extremes(values[:3], 300).tolist() == [0, 1, 2]
