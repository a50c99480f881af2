"""The equity curve of a replay: bookings laid over the prices, vectorised.

Between two bookings equity moves with the prices alone. It is valued on a grid of at most
`GRID_MAX` times, taken evenly from the rows of all instruments (bars at their closes, so every
bar where there are no more), and at every booking. A fall between two grid times that no booking
touched is therefore seen on long quote files only as deep as the grid catches it; on bars the
curve knows closes, not the extremes inside.
"""

from collections.abc import Sequence
from decimal import Decimal

import numpy as np

from cerberus_trader.domain.money import ZERO
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.replay.collector import Step
from cerberus_trader.replay.performance import FloatArray
from cerberus_trader.replay.tape import Tape

GRID_MAX = 20_000
DAY_NS = 86_400_000_000_000


def grid(tapes: Sequence[Tape], steps: Sequence[Step], limit: int = GRID_MAX) -> Int64Array:
    """Return the ascending times at which the curve is valued."""
    rows = sum(tape.rows for tape in tapes)
    stride = max(1, -(-rows // limit))
    start, end = min(tape.start_ns for tape in tapes), max(tape.end_ns for tape in tapes)
    found = [np.array([start, end], dtype=np.int64)]
    found += [tape.ts[::stride] + tape.interval_ns for tape in tapes]
    found.append(np.array([step.ts_ns for step in steps], dtype=np.int64))
    midnights = np.arange(start // DAY_NS + 1, end // DAY_NS + 1, dtype=np.int64) * DAY_NS
    if len(midnights) <= limit:
        found.append(midnights)
    return np.unique(np.concatenate(found))


def equity_curve(
    start: Decimal, tapes: Sequence[Tape], steps: Sequence[Step], times: Int64Array
) -> FloatArray:
    """Return equity at the times: cash booked so far plus open quantities at their marks."""
    curve = float(start) + running(steps, "cash", times)
    for tape in tapes:
        own = [step for step in steps if step.instrument == tape.name]
        if own:
            net = running(own, "net", times)
            values = tape.valuation.floats_at(times)
            worth = np.where(net != 0.0, net * np.nan_to_num(values), 0.0)
            curve += worth - running(own, "cost", times)
    return curve


def running(steps: Sequence[Step], field: str, times: Int64Array) -> FloatArray:
    """Return the running sum of a field of the steps at each time (steps at that time count)."""
    total, sums = ZERO, [0.0]
    for step in steps:
        total += getattr(step, field)
        sums.append(float(total))
    stamps = np.array([step.ts_ns for step in steps], dtype=np.int64)
    return np.asarray(np.array(sums)[stamps.searchsorted(times, "right")], dtype=np.float64)


def thin(count: int, limit: int) -> Int64Array:
    """Return at most `limit` rows of a line, evenly spaced, first and last included."""
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, limit).astype(np.int64))


def thin_extremes(values: FloatArray, limit: int) -> Int64Array:
    """Return at most `limit` rows that keep a line's lows and highs: two of each bucket."""
    count = len(values)
    if count <= limit:
        return np.arange(count, dtype=np.int64)
    size = -(-count // ((limit - 2) // 2))
    starts = np.arange(0, count, size)
    keep = [0, count - 1]
    for begin in starts.tolist():
        part = values[begin : begin + size]
        keep += [begin + int(part.argmin()), begin + int(part.argmax())]
    return np.unique(np.array(keep, dtype=np.int64))
