"""Price, mark and funding files: CSV, CSV.gz, NPZ, and Parquet with the extra `analytics`.

The time stands in one of `ts_ns`, `ts_us`, `ts_ms`, `ts_s` (numbers) or `ts` (ISO-8601, UTC).
Prices are held in the finest precision that the file shows. Whatever is wrong is refused with
`DataError` naming file, row (1-based, without the header) and column, and nothing is loaded.
NPZ columns are float64, or int64 with the scalars `digits` (prices, rates) and `size_digits`
(sizes, volume); bars there may carry `interval_ns`.
"""

import gzip
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias, TypeVar

import numpy as np

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import (
    Bars,
    Funding,
    MarkBars,
    MarkPoints,
    Prices,
    Quotes,
    Trades,
)
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.replay.file_tables import Kind, raise_digits, read_table, refuse_file
from cerberus_trader.replay.mapped import save_arrays

T = TypeVar("T")
Marks: TypeAlias = MarkPoints | MarkBars
Series: TypeAlias = Prices | Marks | Funding

SECOND_NS = 1_000_000_000
USUAL_NS = {
    seconds * SECOND_NS
    for minutes in (1, 3, 5, 15, 30, 60, 120, 240, 360, 480, 720, 1440, 10_080)
    for seconds in (1, minutes * 60)
}

QUOTES = Kind(("bid", "ask"), ("bid_size", "ask_size"))
TRADES = Kind(("price",), ("size",))
BARS = Kind(("open", "high", "low", "close", "volume"))
MARK_POINTS = Kind(("price",))
MARK_BARS = Kind(("open", "high", "low", "close"), ("volume",))
FUNDING = Kind(("funding_rate",))


def load_prices(path: str | Path, *, interval_ns: int | None = None) -> Prices:
    """Load quotes (bid, ask), trades (price) or bars (open, high, low, close, volume).

    The interval of bars is `interval_ns`, else the file's own, else the most
    frequent spacing of its rows.
    """
    return _located(path, lambda file: _prices(file, interval_ns))


def load_marks(path: str | Path, *, interval_ns: int | None = None) -> Marks:
    """Load mark prices: points (price) or bars (open, high, low, close; a volume is left out)."""
    return _located(path, lambda file: _marks(file, interval_ns))


def load_funding(path: str | Path) -> Funding:
    """Load funding rates (funding_rate), signed fractions per settlement."""
    return _located(path, _funding)


def _prices(path: Path, interval_ns: int | None) -> Prices:
    table = read_table(path, (QUOTES, BARS, TRADES))
    columns = table.columns
    if "bid" in columns:
        (bid, ask), digits = _align(columns, "bid", "ask")
        if "bid_size" in columns and "ask_size" in columns:
            (bids, asks), size_digits = _align(columns, "bid_size", "ask_size")
            return Quotes(table.ts, bid, ask, digits, bids, asks, size_digits)
        return Quotes(table.ts, bid, ask, digits)
    if "open" in columns:
        (opens, highs, lows, closes), digits = _align(columns, "open", "high", "low", "close")
        volume, volume_digits = columns["volume"]
        step = interval_ns or table.interval_ns or _spacing(table.ts)
        return Bars(table.ts, opens, highs, lows, closes, volume, digits, volume_digits, step)
    price, digits = columns["price"]
    size, size_digits = columns.get("size", (None, 0))
    return Trades(table.ts, price, digits, size, size_digits)


def _marks(path: Path, interval_ns: int | None) -> Marks:
    table = read_table(path, (MARK_BARS, MARK_POINTS))
    if "price" in table.columns:
        return MarkPoints(table.ts, *table.columns["price"])
    columns = table.columns
    (opens, highs, lows, closes), digits = _align(columns, "open", "high", "low", "close")
    step = interval_ns or table.interval_ns or _spacing(table.ts)
    return MarkBars(table.ts, opens, highs, lows, closes, digits, step)


def _funding(path: Path) -> Funding:
    table = read_table(path, (FUNDING,))
    return Funding(table.ts, *table.columns["funding_rate"])


def _located(path: str | Path, load: Callable[[Path], T]) -> T:
    """Run a loader; add the file to every refusal and name what the file system refuses."""
    try:
        return load(Path(path))
    except DataError as error:
        place = f"{path}: {error.place}" if error.place else str(path)
        raise DataError(error.message, code=error.code, place=place, fix=error.fix) from None
    except FileNotFoundError:
        refuse_file("there is no such file.", "check the path.", str(path))
    except (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error):
        refuse_file("the file is damaged or cut short.", "fetch or write it again.", str(path))
    except OSError as error:
        refuse_file(f"the file cannot be read ({error.strerror}).", "check it.", str(path))


def _align(columns: dict[str, tuple[Int64Array, int]], *names: str) -> tuple[list[Int64Array], int]:
    """Bring columns to their finest common precision."""
    digits = max(columns[n][1] for n in names)
    return [raise_digits(columns[n][0], digits - columns[n][1], n) for n in names], digits


def _spacing(ts: Int64Array) -> int:
    """Find the interval of bars: the most frequent spacing; of equals a usual one, the smallest."""
    steps = np.diff(ts)
    steps = steps[steps > 0]
    if not len(steps):
        refuse_file(
            "one bar shows no interval.",
            "give at least two bars, or NPZ with interval_ns.",
            "row 1, column ts",
        )
    if (steps == steps[0]).all():
        return int(steps[0])
    found, counts = np.unique(steps, return_counts=True)
    most: list[int] = found[counts == counts.max()].tolist()
    return next((step for step in most if step in USUAL_NS), most[0])


def save_npz(path: str | Path, series: Series) -> None:
    """Write a series as int64 NPZ that the loaders read back unchanged.

    The file appears whole or not at all; the loaders map its columns into memory.
    """
    rename = {"ts": "ts_ns", "ts_open": "ts_ns", "rate": "funding_rate"}
    rename["volume_digits"] = "size_digits"
    values = {
        rename.get(n, n): np.asarray(getattr(series, n))
        for n in series.__dataclass_fields__
        if getattr(series, n) is not None
    }
    save_arrays(Path(path), values)
