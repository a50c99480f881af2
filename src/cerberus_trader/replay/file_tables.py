"""Tables out of files: CSV (plain or gzip), NPZ, Parquet, checked as far as no meaning is needed.

Everything is refused with `DataError`; rows count from 1, without the header.
"""

import gzip
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tokenize import TokenError
from typing import IO, Any, NoReturn, TypeAlias

import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.replay.csv_scan import INT64_MAX, NumberColumn, iso_times, scan
from cerberus_trader.replay.mapped import load_arrays
from cerberus_trader.replay.parquet import read_columns

TIME_UNITS = {"ts_ns": 0, "ts_us": 3, "ts_ms": 6, "ts_s": 9}  # decimal places to nanoseconds
BLOCK_BYTES = 1 << 20
SCALARS = ("digits", "size_digits", "interval_ns")
QUOTED = re.compile(rb'(?m)(^|,)"([^",\n]*)"(?=,|$)')
NO_ARRAYS = (ValueError, TypeError, KeyError, RuntimeError, SyntaxError, TokenError, MemoryError,
             struct.error)  # fmt: skip
"""What reading a damaged archive or array raises, besides what damaged files raise."""
FORMATS = "use .csv, .csv.gz, .npz or .parquet."

Bytes: TypeAlias = IO[bytes] | gzip.GzipFile


@dataclass(frozen=True)
class Table:
    """Hold what a file gave: times in nanoseconds, and each column with its digits."""

    ts: Int64Array
    columns: dict[str, tuple[Int64Array, int]]
    interval_ns: int | None = None


@dataclass(frozen=True)
class Kind:
    """Name the columns that make a kind of series; its first one tells it from the others."""

    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


def read_table(path: Path, kinds: tuple[Kind, ...]) -> Table:
    """Read a file of any known format whose columns fit one of the kinds."""
    name = path.name.lower()
    if name.endswith(".csv.gz"):
        with gzip.open(path, "rb") as stream:
            return _read_csv(stream, kinds)
    if name.endswith(".csv"):
        with path.open("rb") as stream:
            return _read_csv(stream, kinds)
    if name.endswith(".npz"):
        return _read_npz(path, kinds)
    if name.endswith(".parquet"):
        return _read_parquet(path, kinds)
    refuse_file("the name tells no known format.", FORMATS)


def refuse_file(message: str, fix: str, place: str = "") -> NoReturn:
    """Raise `DataError` for a file as a whole, or a place in it."""
    raise DataError(message, code="DATA_FILE", place=place, fix=fix)


def _check_names(names: list[str], kinds: tuple[Kind, ...]) -> str:
    """Refuse missing, doubled and unknown columns; give the name of the time column."""
    times = [n for n in names if n == "ts" or n in TIME_UNITS]
    if len(times) != 1:
        found = "several time columns" if times else "no time column"
        refuse_file(f"there is {found}.", "give one of ts_ns, ts_us, ts_ms, ts_s, ts.", "header")
    kind = next((k for k in kinds if k.required[0] in names), None)
    if kind is None:
        wanted = " or ".join(",".join(k.required) for k in kinds)
        got = ",".join(names)[:100]
        refuse_file(f"the columns {got} fit no series.", f"give {wanted}.", "header")
    for column in kind.required:
        if column not in names:
            refuse_file("the column is missing.", "add it.", f"header, column {column}")
    for column in names:
        if names.count(column) > 1:
            refuse_file("the column stands twice.", "remove one.", f"header, column {column}")
        if column not in (*kind.required, *kind.optional, times[0]):
            refuse_file("the column is unknown.", "remove it.", f"header, column {column[:40]!r}")
    return times[0]


def _blocks(stream: Bytes) -> Iterator[bytes]:
    """Give whole lines in blocks, unquoted, with bare line ends; blank last lines are left out."""
    rest = b""
    while chunk := stream.read(BLOCK_BYTES):
        whole, newline, tail = (rest + chunk).rpartition(b"\n")
        if len(tail) > BLOCK_BYTES:
            refuse_file("a line is longer than 1 MB.", "give a CSV file with line ends.")
        lines = (whole + newline).replace(b"\r\n", b"\n")
        full = lines.rstrip(b"\n")
        if full:
            yield _unquote(full + b"\n")
            lines = lines[len(full) + 1 :]
        rest = lines + tail  # blank lines wait: they are refused if another row follows
    if rest := rest.rstrip(b"\r\n"):
        yield _unquote(rest + b"\n")


def _unquote(block: bytes) -> bytes:
    return QUOTED.sub(rb"\1\2", block) if b'"' in block else block


def _read_csv(stream: Bytes, kinds: tuple[Kind, ...]) -> Table:
    line = stream.readline(BLOCK_BYTES)
    if not line.strip():
        refuse_file("the file is empty.", "give a header and rows.")
    header = _unquote(line.removeprefix(b"\xef\xbb\xbf").rstrip(b"\r\n"))
    names = [n.strip() for n in header.decode("utf-8", "backslashreplace").split(",")]
    time = _check_names(names, kinds)
    return _table(_blocks(stream), names, time)


def _table(blocks: Iterator[bytes], names: list[str], time: str) -> Table:
    """Read blocks of comma-separated lines into a table."""
    numbers = {n: NumberColumn(n) for n in names if n != "ts"}
    texts: list[Int64Array] = []
    rows = 0
    for data in blocks:
        block = scan(data, len(names), rows)
        for at, name in enumerate(names):
            if name == "ts":
                texts.append(iso_times(block, at, name))
            else:
                numbers[name].add(block, at)
        rows += len(block.start) // len(names)
    if not rows:
        refuse_file("there is a header and no row.", "give at least one row of data.")
    columns = {}
    for name in list(numbers):
        columns[name] = numbers.pop(name).finish()
    ts = np.concatenate(texts) if time == "ts" else _to_ns(*columns.pop(time), time)
    return Table(ts, columns)


def _to_ns(values: Int64Array, digits: int, name: str) -> Int64Array:
    """Turn times with `digits` decimals of the unit that the name tells into nanoseconds."""
    power = TIME_UNITS[name] - digits
    if power < 0:
        refuse_file("the times are finer than a nanosecond.", "round them.", f"column {name}")
    return raise_digits(values, power, name)


def raise_digits(values: Int64Array, power: int, name: str) -> Int64Array:
    """Multiply by ten to the power; refuse, naming the row, what no longer fits an int64."""
    if power == 0:
        return values
    over = np.abs(values) > INT64_MAX // 10**power
    if over.any():
        place = f"row {int(over.argmax()) + 1}, column {name}"
        refuse_file(
            "the value does not fit 64 bits.", "check its unit, or round the column.", place
        )
    scaled: Int64Array = values * np.int64(10**power)
    return scaled


def _read_npz(path: Path, kinds: tuple[Kind, ...]) -> Table:
    try:
        arrays = load_arrays(path)
    except NO_ARRAYS:
        refuse_file("the file is no NPZ of plain arrays.", "write it with numpy.savez or save_npz.")
    scalars = {n: _scalar(arrays.pop(n), n) for n in SCALARS if n in arrays}
    time = _check_names(list(arrays), kinds)
    length = arrays[time].shape
    columns = {}
    ts = np.empty(0, dtype=np.int64)
    for name in list(arrays):
        values = arrays.pop(name)
        if values.ndim != 1 or values.shape != length:
            refuse_file(
                f"the shape is {values.shape}.", "give columns of one length.", f"column {name}"
            )
        if not len(values):
            refuse_file("the columns are empty.", "give at least one row of data.")
        if name == time:
            ts = _array_times(values, name)
            continue
        key = "size_digits" if "size" in name or name == "volume" else "digits"
        columns[name] = _array_numbers(values, name, scalars.get(key), key)
    return Table(ts, columns, scalars.get("interval_ns"))


def _scalar(value: npt.NDArray[Any], name: str) -> int:
    if value.ndim != 0 or value.dtype.kind not in "iu":
        refuse_file("the value is no single integer.", "store one integer.", name)
    return int(value)


def _array_times(values: npt.NDArray[Any], name: str) -> Int64Array:
    if values.dtype.kind == "M":
        if np.isnat(values).any():
            refuse_file("a time is missing.", "fill it in.", _row(np.isnat(values), name))
        return values.astype("datetime64[ns]").astype(np.int64)
    if name == "ts":
        if values.dtype.kind not in "US":
            refuse_file("ts holds no text.", "name numeric times by their unit, like ts_ns.", name)
        return _table(iter([_as_lines(values.tolist())]), [name], name).ts
    return _to_ns(*_array_numbers(values, name, 0, name), name)


def _row(flags: npt.NDArray[np.bool_], name: str) -> str:
    return f"row {int(flags.argmax()) + 1}, column {name}"


def _as_lines(values: list[Any]) -> bytes:
    lines = [v if isinstance(v, bytes) else str(v).encode() for v in values]
    return b"\n".join(lines) + b"\n"


def _array_numbers(
    values: npt.NDArray[Any], name: str, digits: int | None, key: str
) -> tuple[Int64Array, int]:
    """Take int64 values as they are; give floats the precision of their shortest text."""
    if values.dtype.kind in "iu":
        if digits is None:
            refuse_file("integer columns need their decimals.", f"store {key}.", f"column {name}")
        if values.dtype == np.uint64 and (over := values > INT64_MAX).any():
            refuse_file("the value does not fit 64 bits.", "use int64.", _row(over, name))
        return values.astype(np.int64, copy=False), digits
    if values.dtype != np.float64:
        refuse_file(f"{values.dtype} holds no prices.", "store int64 or float64.", f"column {name}")
    if (odd := ~np.isfinite(values)).any():
        place = _row(odd, name)
        refuse_file("the value is not a finite number.", "correct or remove the row.", place)
    return exact_floats(values, name)


def exact_floats(values: npt.NDArray[np.float64], name: str) -> tuple[Int64Array, int]:
    """Turn finite floats into int64 with the decimals of their shortest texts: (values, digits).

    An integer below 10^15 divided by a power of ten up to 10^15 rounds like the decimal text
    does; so where the quotient gives the float back, integer and text are the same number.
    """
    digits = 0
    while digits <= 15:
        scaled = np.rint(values * 10.0**digits)
        wrong = (np.abs(scaled) >= 1e15) | (scaled / 10.0**digits != values)
        if not wrong.any():
            return scaled.astype(np.int64), digits
        some = values[wrong][:1000]  # climb on a few of those that need more
        digits += 1
        while digits <= 15 and (np.rint(some * 10.0**digits) / 10.0**digits != some).any():
            digits += 1
    column = NumberColumn(name)
    lines = _as_lines([repr(v) for v in values.tolist()])
    column.add(scan(lines, 1, 0), 0)
    return column.finish()


def _read_parquet(path: Path, kinds: tuple[Kind, ...]) -> Table:
    arrays, missing = read_columns(path)
    time = _check_names(list(arrays), kinds)
    for name, row in missing.items():
        place = f"row {row}, column {name}"
        refuse_file("the value is missing.", "correct or remove the row.", place)
    if not len(arrays[time]):
        refuse_file("there are no rows.", "give at least one row of data.")
    ts = _array_times(arrays.pop(time), time)
    return Table(ts, {n: _parquet_numbers(v, n) for n, v in arrays.items()})


def _parquet_numbers(values: npt.NDArray[Any], name: str) -> tuple[Int64Array, int]:
    if values.dtype.kind != "U":
        return _array_numbers(values, name, 0, "digits")
    column = NumberColumn(name)
    column.add(scan(_as_lines(values.tolist()), 1, 0), 0)
    return column.finish()
