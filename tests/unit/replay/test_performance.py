"""Performance figures against values computed by hand."""

from decimal import Decimal
from math import sqrt

import numpy as np
import pytest

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.market.columns import Bars, Quotes, Trades
from cerberus_trader.replay import performance as p
from cerberus_trader.replay.tape import Tape

D = Decimal
DAY = p.DAY_NS


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_daily_returns_take_the_last_value_of_each_day() -> None:
    times = ints(0, DAY // 2, DAY, 3 * DAY - 1, 4 * DAY)
    equity = np.array([100.0, 110.0, 121.0, 121.0, 60.5])
    # day 0 ends at 110, day 1 at 121, day 2 at 121, day 3 has none, day 4 at 60.5
    assert p.daily_returns(times, equity).tolist() == pytest.approx([0.1, 0.1, 0.0, 0.0, -0.5])
    assert len(p.daily_returns(ints(), np.empty(0))) == 0


def test_sharpe_and_sortino() -> None:
    returns = np.array([0.02, -0.01, 0.03, 0.0])
    # mean 0.01; deviations 0.01 -0.02 0.02 -0.01: sample variance 0.001 / 3
    assert p.sharpe(returns) == pytest.approx(0.01 / sqrt(0.001 / 3) * sqrt(365))
    # downside: sqrt(0.0001 / 4) = 0.005
    assert p.sortino(returns) == pytest.approx(0.01 / 0.005 * sqrt(365))
    assert p.sharpe(returns[:1]) is None and p.sortino(returns[:1]) is None
    assert p.sharpe(np.array([0.01, 0.01])) is None
    assert p.sortino(np.array([0.01, 0.02])) is None


def test_max_drawdown_names_peak_and_trough() -> None:
    curve = np.array([100.0, 120.0, 90.0, 130.0, 104.0, 140.0])
    assert p.max_drawdown(curve) == p.Drawdown(pytest.approx(0.25), 1, 2)
    assert p.max_drawdown(np.array([1.0, 2.0])) == p.Drawdown(0.0, 0, 0)
    assert p.max_drawdown(np.empty(0)) == p.Drawdown(0.0, 0, 0)


def test_profit_factor_and_expectancy() -> None:
    assert p.profit_factor([10.0, -4.0, 2.0, -2.0]) == pytest.approx(2.0)
    assert p.profit_factor([1.0]) is None
    assert p.expectancy([10.0, -4.0, 2.0, -2.0]) == pytest.approx(1.5)
    assert p.expectancy([]) is None


def test_exposure_counts_overlaps_once_and_stays_inside() -> None:
    assert p.exposure([(10, 30), (20, 40), (60, 200)], 0, 100) == pytest.approx(0.7)
    assert p.exposure([(10, 90), (20, 30)], 0, 100) == pytest.approx(0.8)
    assert p.exposure([], 0, 100) == 0.0 and p.exposure([(0, 1)], 5, 5) == 0.0


def test_buy_and_hold_weighs_equally_and_waits_in_cash() -> None:
    one = Tape(Instrument("A"), Trades(ints(0, 10, 20), ints(100, 150, 200), 2))
    two = Tape(Instrument("B"), Trades(ints(10, 20), ints(400, 200), 2))
    growth = p.buy_and_hold([one, two], ints(0, 10, 20))
    assert growth.tolist() == pytest.approx([1.0, 1.25, 1.25])


def bars() -> Tape:
    opens, closes = ints(100, 101, 99, 103), ints(101, 99, 103, 104)
    highs, lows = ints(102, 101, 110, 120), ints(95, 98, 97, 90)
    series = Bars(ints(0, 10, 20, 30), opens, highs, lows, closes, ints(1, 1, 1, 1), 0, 0, 10)
    return Tape(Instrument("A"), series)


def test_excursions_of_bars_count_whole_bars_and_the_exit() -> None:
    # long from the second bar's open, out at 103 at the fourth's: bars 2 and 3 are whole
    found = p.excursion(bars(), 1, 101.0, 103.0, 10, 30)
    assert found == (pytest.approx(-4 / 101), pytest.approx(9 / 101))
    # a short over the same
    found = p.excursion(bars(), -1, 101.0, 103.0, 10, 30)
    assert found == (pytest.approx(-9 / 101), pytest.approx(4 / 101))
    # stopped inside its entry bar: no whole bar, only the exit
    assert p.excursion(bars(), 1, 101.0, 98.5, 10, 19) == (pytest.approx(-2.5 / 101), 0.0)


def test_excursions_of_quotes_use_the_side_that_closes() -> None:
    tape = Tape(Instrument("A"), Quotes(ints(0, 1, 2, 3), ints(99, 97, 105, 90),
                                        ints(100, 98, 106, 91), 0))  # fmt: skip
    assert p.excursion(tape, 1, 100.0, 105.0, 0, 2) == (pytest.approx(-0.03), pytest.approx(0.05))
    assert p.excursion(tape, -1, 99.0, 106.0, 0, 2) == (
        pytest.approx(-7 / 99), pytest.approx(1 / 99),
    )  # fmt: skip
