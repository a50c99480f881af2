"""The breakout head enters with the trend beyond the channel, and counts its distances in sigma."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise
from math import sqrt
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import Account, Bar, HeadRun
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.heads.breakout import Extreme

SMALL: dict[str, Any] = {
    "channel": 10, "trend": 20, "sigma_bars": 20, "holding": 4, "cool_down": 5,
    "strength_min": 0.2, "stop_pct_min": 0.01,
}  # fmt: skip
MINUTE = 60 * 10**9


def run(**params: Any) -> HeadRun:
    spec = find_head("breakout")
    return HeadRun(spec, spec.configure({**SMALL, **params}), "b", "XUSDT")


def feed(
    made: HeadRun, closes: Sequence[float], start: int = 0, account: Account | None = None
) -> list[Signal]:
    found = []
    for i, close in enumerate(closes, start + 1):
        made.add(Bar(i * MINUTE, close, close * 1.0005, close * 0.9995, close, 1.0))
        found += made.signals(i * MINUTE, close, close, account or Account())
    return found


def rise(count: int = 40, step: float = 0.002) -> list[float]:
    """Rise with a wobble, so that there is a sigma."""
    return [100.0 * (1 + step) ** i * (1 + 0.003 * (-1) ** i) for i in range(count)]


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=60), st.integers(1, 12))
def test_extreme_is_the_highest_of_the_window(values: list[float], size: int) -> None:
    extreme = Extreme(size)
    for i, value in enumerate(values):
        extreme.add(value)
        assert extreme.value == max(values[max(0, i + 1 - size) : i + 1])


def risen(closes: Sequence[float] = (), **params: Any) -> HeadRun:
    """Show a head a trend, and let it rest and remember nothing of it."""
    made = run(**params)
    feed(made, closes or rise())
    memory = made.head.memory
    memory.rest, memory.open, memory.ends = 0, [], []
    return made


def test_a_breakout_with_the_trend_is_entered_on_both_sides() -> None:
    [signal] = feed(risen(), [115.0], start=40)
    assert (signal.side, signal.ts_ns) == ("buy", 41 * MINUTE)
    [signal] = feed(risen([10_000 / close for close in rise()]), [10_000 / 115.0], start=40)
    assert signal.side == "sell"


def test_a_breakout_against_the_trend_is_not_entered() -> None:
    fall = rise(60, -0.004)
    made = risen(fall, trend=60)
    beyond = max(fall[-10:]) * 1.004  # above the channel, below the falling average
    assert made.head.high.value < beyond < made.head.memory.average
    assert feed(made, [beyond], start=60) == []


def test_stop_and_trailing_count_in_sigma_of_the_holding_time() -> None:
    [signal] = feed(risen(), [112.0], start=40)
    closes = np.array([*rise(), 112.0])
    variance = -1.0
    for square in np.diff(np.log(closes)) ** 2:
        variance = square if variance < 0 else variance + (square - variance) * 2 / 21
    stop = 2.0 * sqrt(variance) * sqrt(4) * 100
    assert 0.01 < stop < 8.0
    assert float(signal.stop_loss_pct or 0) == pytest.approx(stop, rel=1e-6)
    assert float(signal.trailing_pct or 0) == pytest.approx(stop * 1.5, rel=1e-6)


@pytest.mark.req("T-14.1")
def test_its_threshold_and_bounds_are_parameters() -> None:
    assert feed(risen(strength_min=50.0), [115.0], start=40) == []
    [signal] = feed(risen(stop_pct_max=1.5), [115.0], start=40)
    assert signal.stop_loss_pct == Decimal("1.5")


def test_it_rests_after_a_signal() -> None:
    higher = [115.0 * 1.03**i for i in range(12)]
    times = [s.ts_ns // MINUTE for s in feed(run(), [*rise(), *higher])]
    late = [t for t in times if t > 40]
    assert len(late) >= 2
    assert all(b - a >= 5 for a, b in pairwise(times))


def test_a_held_position_is_closed_when_the_price_crosses_the_average() -> None:
    held: Any = type("Held", (), {"sign": 1})()
    made = run()
    feed(made, rise())
    account = Account(position=held)
    assert feed(made, [109.0], start=40, account=account) == []
    [signal] = feed(made, [90.0], start=41, account=account)
    assert signal.side == "close"


def test_confidence_is_drawn_towards_the_record() -> None:
    def confidence(ends: list[bool]) -> float:
        made = risen()
        made.head.memory.ends = ends
        return feed(made, [115.0], start=40)[-1].confidence

    none, won, lost = confidence([]), confidence([True] * 40), confidence([False] * 40)
    assert lost < none < won
    assert won == pytest.approx((40 + 20 * none) / 60)
    assert lost == pytest.approx(20 * none / 60)


@pytest.mark.parametrize(("way", "ends"), [(1.01, [True]), (-1.01, [False])])
def test_the_record_counts_what_came_of_each_breakout(way: float, ends: list[bool]) -> None:
    made = risen()
    [signal] = feed(made, [115.0], start=40)
    reach = 115.0 * float(signal.stop_loss_pct or 0) / 100
    feed(made, [115.0 + 0.3 * reach], start=41)
    assert made.head.memory.ends == []
    feed(made, [115.0 + way * reach], start=42)
    assert made.head.memory.ends == ends
    assert made.head.memory.open == []


def test_a_gap_does_not_count_into_sigma() -> None:
    made = run()
    feed(made, rise())
    before = made.head.memory.variance
    feed(made, [200.0], start=100)
    assert made.head.memory.variance == before
    feed(made, [250.0], start=101)
    assert made.head.memory.variance > before
