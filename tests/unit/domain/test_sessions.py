"""Market hours: what is a session, when a market is open, and since when."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.sessions import DAYS, Session, in_session, open_since, parse_session

STOCKS = ("mon-fri 14:30-21:00",)
MINUTE = 60_000_000_000


def at(text: str) -> int:
    """Return a time in nanoseconds: 2026-01-05 was a Monday."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000_000


def test_a_session_is_days_and_minutes() -> None:
    assert parse_session("mon-fri 14:30-21:00") == Session(0, 4, 870, 1_260)
    assert parse_session(" Sun 22:00-24:00 ") == Session(6, 6, 1_320, 1_440)
    assert parse_session("tue  0:00-0:01") == Session(1, 1, 0, 1)


@pytest.mark.parametrize(
    "text",
    ["", "mon", "mon-fri", "14:30-21:00", "fri-mon 14:30-21:00", "mon 21:00-14:30",
     "mon 14:30-14:30", "mon 14:30-24:01", "mon 14:60-21:00", "mon 14:3-21:00", "mo 14:30-21:00",
     "mon 14.30-21.00", "mon 1²:00-21:00", "mon -1:00-21:00", "mon 14:30", "mon 014:30-21:00",
     "mon 14:30-21:00 UTC", "mon-tue-wed 14:30-21:00"],
)  # fmt: skip
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(DataError) as refused:
        parse_session(text, place="instrument X")
    assert refused.value.code == "INSTRUMENT_SESSION"
    assert str(refused.value).startswith(f"instrument X: {text!r} is no session.")
    assert "mon-fri 14:30-21:00" in refused.value.fix


@pytest.mark.parametrize(
    ("when", "open_"),
    [("2026-01-05T14:29:59", False), ("2026-01-05T14:30:00", True), ("2026-01-05T20:59:59", True),
     ("2026-01-05T21:00:00", False), ("2026-01-09T20:59:59", True), ("2026-01-10T15:00:00", False),
     ("2026-01-11T15:00:00", False)],
)  # fmt: skip
def test_a_market_is_open_from_the_first_minute_to_before_the_last(when: str, open_: bool) -> None:
    assert in_session(STOCKS, at(when)) is open_
    assert (open_since(STOCKS, at(when)) >= 0) is open_
    assert in_session((), at(when))


def test_a_market_is_open_since_its_sessions_beginning() -> None:
    assert open_since(STOCKS, at("2026-01-05T14:30:00")) == at("2026-01-05T14:30:00")
    assert open_since(STOCKS, at("2026-01-06T20:00:00")) == at("2026-01-06T14:30:00")
    assert open_since(STOCKS, at("2026-01-06T03:00:00")) == -1
    assert open_since((), at("2026-01-06T03:00:00")) == 0


def test_sessions_that_touch_or_overlap_are_one() -> None:
    week = ("sun 22:00-24:00", "mon-thu 00:00-24:00", "fri 00:00-22:00")
    assert open_since(week, at("2026-01-08T12:00:00")) == at("2026-01-04T22:00:00")
    overlapping = ("mon 10:00-12:00", "mon 11:00-13:00")
    assert open_since(overlapping, at("2026-01-05T12:30:00")) == at("2026-01-05T10:00:00")
    always = ("mon-sun 00:00-24:00",)
    now = at("2026-01-08T12:00:00")
    assert now - open_since(always, now) <= 8 * 1_440 * MINUTE


DAYS_OF_ROW = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(sorted)
MINUTES_OF_ROW = st.tuples(st.integers(0, 1_439), st.integers(1, 1_440)).map(
    lambda pair: (min(pair[0], pair[1] - 1), pair[1])
)
ROWS = st.tuples(DAYS_OF_ROW, MINUTES_OF_ROW).map(lambda row: (*row[0], *row[1]))


@given(st.integers(0, 4_000_000_000), st.lists(ROWS, min_size=1, max_size=4))
def test_hours_agree_with_the_calendar(second: int, rows: list[tuple[int, int, int, int]]) -> None:
    texts = tuple(
        f"{DAYS[a]}-{DAYS[b]} {s // 60:02}:{s % 60:02}-{e // 60:02}:{e % 60:02}"
        for a, b, s, e in rows
    )
    when = datetime.fromtimestamp(0, UTC) + timedelta(seconds=second)
    minute = when.hour * 60 + when.minute
    open_ = any(a <= when.weekday() <= b and s <= minute < e for a, b, s, e in rows)
    now = second * 1_000_000_000
    assert in_session(texts, now) is open_
    since = open_since(texts, now)
    assert (since >= 0) is open_
    if open_ and now - since < 7 * 1_440 * MINUTE and since > 0:
        assert in_session(texts, since) and not in_session(texts, since - 1)
