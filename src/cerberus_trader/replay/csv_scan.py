"""Exact numbers and times out of comma-separated bytes, a block at a time, with NumPy alone.

Digits become int64 without a detour over floats. Fields of one to eighteen digits and at most
one point take the vectorised way; every other one (signs, exponents, blanks, garbage) is judged
by itself, so that odd fields cost time and never exactness.
"""

import re
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import DIGITS_MAX, refuse
from cerberus_trader.market.pyramid import Int64Array

INT64_MAX = 2**63 - 1
EXACT_DIGITS = 18  # as many decimal digits always fit an int64
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
NOT_FINITE = re.compile(r"[+-]?(nan|inf|infinity)", re.IGNORECASE)
ISO = re.compile(
    rb"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?"
    rb"(?:(Z)|([+-])(\d\d):?(\d\d))?"
)
ISO_FIX = "write 2025-10-10T21:00:00Z, or use a column ts_ns, ts_us, ts_ms or ts_s."
DAY_S = 86_400


@dataclass(frozen=True)
class Block:
    """Hold the fields of some rows: where each begins and ends, and how it is made.

    Field f of row r is entry ``r * columns + f`` of every array. `plain` tells whether it has
    only digits and at most one point; `ends` counts in `digits`, the bytes without points.
    """

    raw: npt.NDArray[np.uint8]
    digits: npt.NDArray[np.uint8]
    start: Int64Array
    stop: Int64Array
    ends: Int64Array
    counts: Int64Array
    decimals: Int64Array
    plain: npt.NDArray[np.bool_]
    columns: int
    first_row: int

    def text(self, row: int, column: int) -> str:
        """Give one field's text, without blanks around it."""
        at = row * self.columns + column
        raw = self.raw[self.start[at] : self.stop[at]].tobytes()
        return raw.decode("utf-8", "backslashreplace").strip()


def scan(data: bytes, columns: int, first_row: int) -> Block:
    """Find the fields of whole lines; refuse a line with another number of fields.

    `data` ends with a newline; `first_row` is the number of data rows in front of it.
    """
    raw = np.frombuffer(data, dtype=np.uint8)
    special = np.flatnonzero((raw - np.uint8(48)) > 9)  # wraps: everything but digits
    chars = raw[special]
    newline = chars == 10
    cut = np.flatnonzero(newline | (chars == 44))
    stop = special[cut]
    _check_ragged(newline[cut], columns, first_row)
    start = np.concatenate([[0], stop[:-1] + 1])
    inside = np.diff(cut, prepend=-1) - 1
    is_point = chars == 46
    point = (inside == 1) & is_point[cut - 1]
    counts = stop - start - point
    return Block(
        raw=raw,
        digits=raw[raw != 46],
        start=start,
        stop=stop,
        ends=stop - np.cumsum(is_point)[cut],
        counts=counts,
        decimals=np.where(point, stop - special[cut - 1] - 1, 0),
        plain=((inside == 0) | point) & (counts > 0) & (counts <= EXACT_DIGITS),
        columns=columns,
        first_row=first_row,
    )


def _check_ragged(last: npt.NDArray[np.bool_], columns: int, first_row: int) -> None:
    counts = np.diff(np.flatnonzero(last), prepend=-1)
    wrong = counts != columns
    at = int(wrong.argmax())
    if wrong[at]:
        raise DataError(
            f"the row has {counts[at]} fields, the header names {columns}.",
            code="DATA_PRICES",
            place=f"row {first_row + at + 1}",
            fix="correct or remove the row.",
        )


class NumberColumn:
    """Collect one column's numbers over blocks, each with as few decimals as it needs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._parts: list[tuple[Int64Array, int]] = []

    def add(self, block: Block, column: int) -> None:
        """Read the column's fields of one block."""
        pick = slice(column, None, block.columns)
        plain = block.plain[pick]
        counts = np.where(plain, block.counts[pick], 0)
        values = _digits_to_int(block.digits, block.ends[pick], counts)
        decimals = np.where(plain, block.decimals[pick], 0)
        for row in np.flatnonzero(~plain).tolist():
            text = block.text(row, column)
            values[row], decimals[row] = self._one(text, block.first_row + row)
        finest = int(decimals.max())
        values = self._scale(values, finest - decimals, block.first_row)
        self._parts.append(_strip_zeros(values, finest))

    def _one(self, text: str, row: int) -> tuple[int, int]:
        """Read one odd field: (mantissa, decimals), without trailing zeros."""
        if not NUMBER.fullmatch(text):
            what = "is not a finite number" if NOT_FINITE.fullmatch(text) else "is not a number"
            refuse(row, self.name, f"{text[:40]!r} {what}.", "correct or remove the row.")
        sign, digits, exponent = Decimal(text).as_tuple()
        mantissa = "".join(map(str, digits)).rstrip("0")
        shift = int(exponent) + len(digits) - len(mantissa)
        if not mantissa.strip("0"):
            return 0, 0
        value = int(mantissa) * 10 ** min(max(shift, 0), 40)
        if shift < -DIGITS_MAX:
            refuse(row, self.name, f"more than {DIGITS_MAX} decimals.", "round the value.")
        if value > INT64_MAX:
            refuse(row, self.name, f"{text[:40]} does not fit 64 bits.", "use fewer digits.")
        return (-value if sign else value), max(-shift, 0)

    def _scale(self, values: Int64Array, powers: Int64Array, first_row: int) -> Int64Array:
        """Multiply each value by a power of ten; refuse what no longer fits an int64."""
        most = int(powers.max())
        if most == 0:
            return values
        room = np.array([INT64_MAX // 10**p for p in range(most + 1)], dtype=np.int64)
        if most > DIGITS_MAX or (flags := np.abs(values) > room[powers]).any():
            row = int(powers.argmax() if most > DIGITS_MAX else flags.argmax())
            refuse(
                first_row + row,
                self.name,
                "the value, in the column's finest precision, does not fit 64 bits.",
                "round the column to fewer decimals.",
            )
        return values * np.array([10**p for p in range(most + 1)], dtype=np.int64)[powers]

    def finish(self) -> tuple[Int64Array, int]:
        """Join all blocks in the finest precision found: (values, digits)."""
        finest = max(digits for _, digits in self._parts)
        row, joined = 0, np.empty(sum(len(v) for v, _ in self._parts), dtype=np.int64)
        for values, digits in self._parts:
            powers = np.full(len(values), finest - digits, dtype=np.int64)
            joined[row : row + len(values)] = self._scale(values, powers, row)
            row += len(values)
        return joined, finest


def _digits_to_int(
    digits: npt.NDArray[np.uint8], ends: Int64Array, counts: Int64Array
) -> Int64Array:
    """Turn runs of ASCII digits into integers; a run of no digits becomes 0."""
    values = np.zeros(len(ends), dtype=np.int64)
    shortest, longest = int(counts.min()), int(counts.max())
    for place in range(longest):
        # Positions in front of a shorter run are masked; np.take wraps those below zero.
        digit = digits.take(ends - (1 + place), mode="wrap").astype(np.int64)
        digit -= 48
        if place >= shortest:
            digit *= counts > place
        digit *= 10**place
        values += digit
    return values


def _strip_zeros(values: Int64Array, digits: int) -> tuple[Int64Array, int]:
    while digits and not (values[:64] % 10).any() and not (values % 10).any():
        values, digits = values // 10, digits - 1
    return values, digits


def iso_times(block: Block, column: int, name: str) -> Int64Array:
    """Read a column of ISO-8601 times (UTC unless they carry an offset) as int64 nanoseconds.

    Rows of one length are read together; where their layouts differ, each by itself.
    """
    pick = slice(column, None, block.columns)
    start, width = block.start[pick], block.stop[pick] - block.start[pick]
    out = np.empty(len(start), dtype=np.int64)
    for length in np.unique(width).tolist():
        rows = np.flatnonzero(width == length)
        chars = block.raw[start[rows][:, None] + np.arange(length)]
        is_digit = (chars - np.uint8(48)) <= 9
        alike = (is_digit == is_digit[0]) & (is_digit | (chars == chars[0]))
        groups = [rows] if alike.all() else [rows[i : i + 1] for i in range(len(rows))]
        for group in groups:
            some = chars if len(group) == len(rows) else chars[np.searchsorted(rows, group)]
            out[group] = _iso_group(some, group + block.first_row, name)
    return out


def _iso_group(chars: npt.NDArray[np.uint8], rows: Int64Array, name: str) -> Int64Array:
    """Read times of one layout, shape (rows, characters)."""
    first = chars[0].tobytes()
    match = ISO.fullmatch(first)
    if match is None:
        text = first.decode("utf-8", "backslashreplace")[:40]
        refuse(int(rows[0]), name, f"{text!r} is not an ISO-8601 time.", ISO_FIX)

    def part(group: int) -> Int64Array:
        begin, end = match.span(group)
        value = np.zeros(len(chars), dtype=np.int64)
        for at in range(begin, end):
            value = value * 10 + (chars[:, at].astype(np.int64) - 48)
        return value

    year, month, day, hour, minute, second = (part(g) for g in range(1, 7))
    leap = (year % 4 == 0) & ((year % 100 != 0) | (year % 400 == 0))
    lengths = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], dtype=np.int64)
    month_days = lengths[np.clip(month, 1, 12) - 1] + (leap & (month == 2))
    bad = (month < 1) | (month > 12) | (day < 1) | (day > month_days)
    bad |= (hour > 23) | (minute > 59) | (second > 59) | (part(10) > 23) | (part(11) > 59)
    bad |= (year < 1970) | (year > 2261)  # later years do not fit int64 nanoseconds
    if bad.any():
        at = int(bad.argmax())
        refuse(int(rows[at]), name, f"{chars[at].tobytes().decode()} is no time.", ISO_FIX)
    offset = (part(10) * 60 + part(11)) * (60 if match.group(9) == b"+" else -60)
    seconds = _days(year, month, day) * DAY_S + (hour * 60 + minute) * 60 + second - offset
    fraction = part(7) * 10 ** (9 - len(match.group(7) or b""))
    nanoseconds: Int64Array = seconds * 1_000_000_000 + fraction
    return nanoseconds


def _days(year: Int64Array, month: Int64Array, day: Int64Array) -> Int64Array:
    """Count days since 1970-01-01 in the Gregorian calendar (years begin in March inside)."""
    shifted = year - (month <= 2)
    day_of_year = (153 * ((month + 9) % 12) + 2) // 5 + day - 1
    era_day = shifted * 365 + shifted // 4 - shifted // 100 + shifted // 400 + day_of_year
    return era_day - 719_468
