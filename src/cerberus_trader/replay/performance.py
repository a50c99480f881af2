"""Performance figures, as pure functions of curves and trades.

Equity is an array of values at ascending times (int ns UTC); returns are fractions. These are
figures for reading, in floats; nothing that trades depends on them.
"""

from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cerberus_trader.market.columns import Bars
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.replay.tape import Tape

FloatArray: TypeAlias = npt.NDArray[np.float64]

DAY_NS = 86_400_000_000_000
YEAR_DAYS = 365.0  # these markets never close


class Drawdown(NamedTuple):
    """Hold the deepest fall: fraction of the peak, and the rows of peak and trough."""

    fraction: float
    peak: int
    trough: int


class Excursion(NamedTuple):
    """Hold how far a trade went against and for us, as fractions of the entry price."""

    worst: float
    best: float


def daily_returns(times: Int64Array, equity: FloatArray) -> FloatArray:
    """Return the equity's return over each UTC day that the curve touches.

    A day's equity is its last value; a day without one keeps the former. The first return counts
    from the curve's first value.
    """
    if not len(times):
        return np.empty(0)
    days = np.arange(times[0] // DAY_NS, times[-1] // DAY_NS + 1)
    rows = times.searchsorted((days + 1) * DAY_NS, "left") - 1
    values = np.concatenate([equity[:1], equity[rows]])
    before = values[:-1]
    safe = np.where(before > 0.0, before, 1.0)
    return np.asarray(np.where(before > 0.0, np.diff(values) / safe, 0.0))


def sharpe(returns: FloatArray) -> float | None:
    """Return mean over sample standard deviation, times sqrt(365); W. F. Sharpe, 1994.

    The risk-free rate is 0. None with fewer than two days or without any variation.
    """
    if len(returns) < 2:
        return None
    deviation = float(np.std(returns, ddof=1))
    return float(np.mean(returns)) / deviation * YEAR_DAYS**0.5 if deviation > 0.0 else None


def sortino(returns: FloatArray) -> float | None:
    """Return mean over downside deviation, times sqrt(365); F. A. Sortino and L. Price, 1994.

    The target is 0; the deviation is the root of the mean square of min(return, 0) over all
    days. None with fewer than two days or without a losing one.
    """
    if len(returns) < 2:
        return None
    downside = float(np.sqrt(np.mean(np.minimum(returns, 0.0) ** 2)))
    return float(np.mean(returns)) / downside * YEAR_DAYS**0.5 if downside > 0.0 else None


def drawdowns(equity: FloatArray) -> FloatArray:
    """Return the fall from the running peak at each row, as a fraction of the peak."""
    peaks = np.maximum.accumulate(equity)
    safe = np.where(peaks > 0.0, peaks, 1.0)
    return np.asarray(np.where(peaks > 0.0, (peaks - equity) / safe, 0.0))


def max_drawdown(equity: FloatArray) -> Drawdown:
    """Return the deepest fall from a peak; all zero for an empty or rising curve."""
    if not len(equity):
        return Drawdown(0.0, 0, 0)
    falls = drawdowns(equity)
    trough = int(falls.argmax())
    return Drawdown(float(falls[trough]), int(equity[: trough + 1].argmax()), trough)


def profit_factor(pnls: Sequence[float]) -> float | None:
    """Return gross profit over gross loss; None where nothing was lost."""
    loss = -sum(pnl for pnl in pnls if pnl < 0.0)
    return sum(pnl for pnl in pnls if pnl > 0.0) / loss if loss > 0.0 else None


def expectancy(results: Sequence[float]) -> float | None:
    """Return the mean result per trade, in the unit given (money or R); None without trades."""
    return sum(results) / len(results) if results else None


def exposure(spans: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> float:
    """Return the share of start to end in which at least one span is open."""
    if end_ns <= start_ns:
        return 0.0
    covered, reach = 0, start_ns
    for begin, end in sorted(spans):
        begin, end = max(begin, reach), min(end, end_ns)
        if end > begin:
            covered += end - begin
            reach = end
    return covered / (end_ns - start_ns)


def buy_and_hold(tapes: Sequence[Tape], times: Int64Array) -> FloatArray:
    """Return the growth (1 is unchanged) of equal shares held in every instrument, at times.

    A share is cash until its instrument's first price. Nothing is rebalanced; no fee, no
    funding, no leverage.
    """
    growth = np.zeros(len(times))
    for tape in tapes:
        values = tape.valuation.floats_at(times)
        first = tape.valuation.floats_at(np.array([tape.start_ns], dtype=np.int64))[0]
        growth += np.where(np.isnan(values), 1.0, values / first)
    return growth / max(len(tapes), 1)


def excursion(
    tape: Tape, sign: int, entry: float, exit_price: float, opened_ns: int, closed_ns: int
) -> Excursion:
    """Return the worst and best excursion of a trade, from the price columns.

    A long is valued at bid, a short at ask. Of bars, those count with their extremes that open
    at or after the entry and close before the exit; the exit itself counts with its price.
    """
    low, high = _range(tape, sign, opened_ns, closed_ns)
    scale = 10.0**-tape.digits
    lows = [exit_price] if low is None else [exit_price, low * scale]
    highs = [exit_price] if high is None else [exit_price, high * scale]
    worst, best = (min(lows), max(highs)) if sign > 0 else (max(highs), min(lows))
    return Excursion(
        min(sign * (worst - entry) / entry, 0.0), max(sign * (best - entry) / entry, 0.0)
    )


def _range(tape: Tape, sign: int, opened_ns: int, closed_ns: int) -> tuple[int | None, int | None]:
    """Return lowest and highest quanta while a trade was open; None where no whole row lies."""
    start = int(tape.ts.searchsorted(opened_ns, "left"))
    prices = tape.prices
    if isinstance(prices, Bars):
        stop = int(tape.ts.searchsorted(closed_ns - tape.interval_ns, "right"))
        lows, highs = prices.low_min, prices.high_max
    else:
        stop = int(tape.ts.searchsorted(closed_ns, "right"))
        long = sign > 0
        lows = prices.bid_min if long else prices.ask_min
        highs = prices.bid_max if long else prices.ask_max
    if stop <= start:
        return None, None
    return lows.extreme(start, stop), highs.extreme(start, stop)
