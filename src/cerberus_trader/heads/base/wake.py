"""What wakes a head: a closed bar, a timer, every quote, a price level, or its own times."""

import re
from typing import Literal

import msgspec

from cerberus_trader.domain.errors import DataError

UNIT_NS = {"s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86_400 * 10**9}


class Wake(msgspec.Struct, frozen=True):
    """Declare what wakes a head, and of which interval its bars are.

    An interval of 0 takes the prices' own bars (of points: five minutes). `every_ns` is the
    timer's. Bars are never finer than the prices: a finer interval takes the prices' own.
    """

    kind: Literal["bar", "timer", "quote", "level", "times"]
    bars_ns: int = 0
    every_ns: int = 0


def interval_of(text: str) -> int:
    """Read an interval such as 30s, 5m, 1h or 1d in nanoseconds; empty is 0."""
    if not text:
        return 0
    match = re.fullmatch(r"([1-9]\d{0,5})([smhd])", text, re.ASCII)
    if match is None:
        raise DataError(
            f"{text[:40]!r} is no interval.", code="HEAD_INTERVAL", fix="write 30s, 5m, 1h or 1d."
        )
    return int(match[1]) * UNIT_NS[match[2]]


def on_bar(interval: str = "") -> Wake:
    """Wake at the close of every bar."""
    return Wake("bar", interval_of(interval))


def on_timer(every: str, bars: str = "") -> Wake:
    """Wake at every multiple of an interval, UTC, from the first price on."""
    if not every:
        raise DataError("a timer needs an interval.", code="HEAD_INTERVAL", fix="write 1h.")
    return Wake("timer", interval_of(bars), interval_of(every))


def on_quote(bars: str = "") -> Wake:
    """Wake at every instant of the prices: a quote, a trade, or where there are bars, a close."""
    return Wake("quote", interval_of(bars))


def on_level(bars: str = "") -> Wake:
    """Wake at the first price, then where the price reaches what `View.watch` names."""
    return Wake("level", interval_of(bars))


def on_times(bars: str = "") -> Wake:
    """Wake when the head says: its `next_ns(after_ns)` gives the next time, or None."""
    return Wake("times", interval_of(bars))
