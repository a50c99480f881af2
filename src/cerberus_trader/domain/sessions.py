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
WEEK_NS = 7 * DAY_NS
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
    figures = hours.isdecimal() and minutes.isdecimal()
    if not (figures and len(hours) <= 2 and len(minutes) == 2 and int(minutes) < 60):
        raise ValueError
    return int(hours) * 60 + int(minutes)


def in_session(sessions: tuple[str, ...], ts_ns: int) -> bool:
    """Tell whether a market is open at a time; one without sessions always is."""
    return not sessions or _session_at(sessions, ts_ns) is not None


def open_since(sessions: tuple[str, ...], ts_ns: int) -> int:
    """Return since when a market is open without a break, at most a week back; -1: it is closed.

    Sessions that touch or overlap are one; a market without sessions is open since 0.
    """
    if not sessions:
        return 0
    begin = ts_ns + 1
    while begin > ts_ns - WEEK_NS:
        session = _session_at(sessions, begin - 1)
        if session is None:
            break
        begin = (begin - 1) // DAY_NS * DAY_NS + session.start * MINUTE_NS
    return begin if begin <= ts_ns else -1


def _session_at(sessions: tuple[str, ...], ts_ns: int) -> Session | None:
    day, left = divmod(ts_ns, DAY_NS)
    weekday, minute = (day + EPOCH_WEEKDAY) % 7, left // MINUTE_NS
    for text in sessions:
        session = parse_session(text)
        if session.first <= weekday <= session.last and session.start <= minute < session.end:
            return session
    return None
