"""The estimators give the known values on a real month of one-minute bars."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from cerberus_trader.market.bars import Bar, resample
from cerberus_trader.market.columns import Bars
from cerberus_trader.market.volatility import (
    DAY_NS,
    HOUR_NS,
    MINUTE_NS,
    PARKINSON,
    Ewma,
    MeanSquare,
    Sigma,
    SigmaSeries,
)
from cerberus_trader.replay.price_files import load_prices

pytestmark = pytest.mark.real
MINUTES = 1440


@pytest.fixture(scope="module")
def pepe(data_dir: Path) -> Bars:
    name = "binance_perp_1000PEPEUSDT_1m_2026-01-04_2026-02-06.csv.gz"
    bars = load_prices(data_dir / "market" / name)
    assert isinstance(bars, Bars)
    return bars


def test_parkinson_of_the_first_day(pepe: Bars) -> None:
    window = MeanSquare(MINUTES)
    for high, low in zip(pepe.high[:MINUTES], pepe.low[:MINUTES], strict=True):
        window.add(float(np.log(high / low)))
    assert sqrt(window.mean * MINUTES / PARKINSON) == pytest.approx(0.095989, abs=5e-7)


def test_close_to_close_and_ewma_of_the_first_day(pepe: Bars) -> None:
    steps = np.diff(np.log(pepe.close[:MINUTES]))
    assert sqrt(float((steps**2).sum())) == pytest.approx(0.094902, abs=5e-7)
    ewma = Ewma(0.94)
    for step in steps.tolist():
        ewma.update(step)
    assert sqrt(ewma.variance) == pytest.approx(0.00175355, abs=5e-9)


def test_hourly_parkinson_of_the_whole_file(pepe: Bars) -> None:
    hours = resample(pepe, HOUR_NS)
    mean = float(np.mean(np.log(hours.high / hours.low) ** 2))
    assert sqrt(mean / PARKINSON * 24) == pytest.approx(0.0632, abs=5e-5)
    steps = np.diff(np.log(hours.close))
    assert float(np.std(steps)) * sqrt(24) == pytest.approx(0.0564, abs=5e-5)


def test_columns_equal_the_stream(pepe: Bars) -> None:
    five = resample(pepe, 5 * MINUTE_NS)
    series, stream = SigmaSeries(pepe), Sigma(5 * MINUTE_NS)
    columns = (five.ts_open, five.open, five.high, five.low, five.close, five.volume)
    for row in zip(*(c.tolist() for c in columns), strict=True):
        value = stream.update(Bar(*row))
        assert series.at(row[0] + 5 * MINUTE_NS) == pytest.approx(value, rel=1e-8)
    assert 0.02 < series.at(int(pepe.ts_open[0]) + 30 * DAY_NS) < 0.5
