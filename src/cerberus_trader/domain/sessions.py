"""Market hours: sessions of the week in UTC, as plain arithmetic on nanoseconds.

A session reads "mon-fri 14:30-21:00" or "sun 22:00-24:00"; one that goes past midnight is written
as two. Hours that follow a city's summer time must be listed for the season.
"""

from functools import lru_cache
from typing import NamedTuple

from cerberus_trader.domain.errors import DataError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTE_NS = 60_000_000_000
DAY_NS = 1_440 * MINUTE_NS
EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday


class Session(NamedTuple):
    """Hold the days of the week (0 Monday) and the minutes of the day, the end excluded."""

    first: int
    last: int
    start: int
    end: int


@lru_cache(1_000)
def parse_session(text: str, place: str = "") -> Session:
    """Read a session; raise `DataError` naming the place and the form."""
    days, _, hours = text.strip().lower().partition(" ")
    first, _, last = days.partition("-")
    start, _, end = hours.strip().partition("-")
    try:
        found = Session(
            DAYS.index(first), DAYS.index(last or first), _minutes(start), _minutes(end)
        )
        if found.last < found.first or not 0 <= found.start < found.end <= 1_440:
            raise ValueError
    except ValueError:
        raise DataError(
            f"{text!r} is no session.", code="INSTRUMENT_SESSION", place=place,
            fix="write it like mon-fri 14:30-21:00 (UTC).",
        ) from None  # fmt: skip
    return found


def _minutes(text: str) -> int:
    hours, _, minutes = text.partition(":")
    if not (hours.isdigit() and minutes.isdigit() and len(minutes) == 2 and int(minutes) < 60):
        raise ValueError
    return int(hours) * 60 + int(minutes)


def in_session(sessions: tuple[str, ...], ts_ns: int) -> bool:
    """Tell whether a market is open at a time; one without sessions always is."""
    if not sessions:
        return True
    day, left = divmod(ts_ns, DAY_NS)
    weekday, minute = (day + EPOCH_WEEKDAY) % 7, left // MINUTE_NS
    for text in sessions:
        session = parse_session(text)
        if session.first <= weekday <= session.last and session.start <= minute < session.end:
            return True
    return False
