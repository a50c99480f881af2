"""Intervals and wakes are read strictly."""

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.base.wake import interval_of, on_bar, on_timer


def test_intervals() -> None:
    assert [interval_of(t) for t in ("", "30s", "5m", "1h", "2d")] == [
        0, 30 * 10**9, 300 * 10**9, 3600 * 10**9, 172_800 * 10**9,
    ]  # fmt: skip
    assert on_bar("5m").bars_ns == on_timer("5m").every_ns == 300 * 10**9


@pytest.mark.parametrize("text", ["0m", "5", "m", "-5m", "5M", "1.5h", "٥m", "9999999m"])
def test_what_is_no_interval_is_refused(text: str) -> None:
    with pytest.raises(DataError):
        interval_of(text)


def test_a_timer_needs_an_interval() -> None:
    with pytest.raises(DataError):
        on_timer("")
