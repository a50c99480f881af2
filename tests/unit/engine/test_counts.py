"""The counts that trip the breaker, against limits that change and days that begin."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import ConfigEvent, OrderReport, TimerEvent
from cerberus_trader.engine.state import Trip
from tests.kit import DAY, HOUR, ITEMS, SECOND, Bench, decision, of, settings, submitted


def failed(bench: Bench, times: int) -> None:
    for _ in range(times):
        bench.take(OrderReport(bench.now, submitted(bench.signal()).id, "rejected"))


def lost(bench: Bench, times: int) -> None:
    for _ in range(times):
        bench.open()
        bench.close("99")


def reload(bench: Bench, **limits: Any) -> list[str]:
    """Put other limits in force; return what trips."""
    step = bench.take(ConfigEvent(bench.now, settings(breaker=limits), "c2", ITEMS))
    return [trip.condition for trip in of(step, f.BreakerTripped)]


def test_a_configuration_that_allows_fewer_losses_finds_as_many_lost() -> None:
    bench = Bench(settings(breaker={"losses_max": 5}))
    lost(bench, 2)
    assert reload(bench, losses_max=3) == []
    assert reload(bench, losses_max=2) == ["losses"]
    assert reload(bench, losses_max=1) == [], "it has tripped already"
    assert decision(bench.signal()).code == "BREAKER_OPEN"


@pytest.mark.parametrize(("after", "found"), [(60, ["failures"]), (61, [])])
def test_a_configuration_that_allows_fewer_failures_finds_those_of_its_window(
    after: int, found: list[str]
) -> None:
    bench = Bench(settings(breaker={"failures_max": 5}))
    failed(bench, 2)
    bench.now += after * SECOND
    assert reload(bench, failures_max=2, failures_window_ms=60_000) == found


def test_a_day_that_releases_its_loss_forgets_no_failures() -> None:
    bench = Bench(settings(breaker={"failures_max": 2, "day_release": True}))
    failed(bench, 1)
    bench.state.trips["day_loss"] = Trip(bench.now, "", "1", "1", "block")
    bench.state.failures_since_ns = bench.now + DAY  # within the window, past midnight
    bench.now += DAY
    assert of(bench.take(TimerEvent(bench.now, "day", ())), f.BreakerReset)
    failed(bench, 1)
    assert list(bench.state.trips) == ["failures"]


def test_a_day_does_not_begin_with_prices_of_before_where_the_next_event_brings_new_ones() -> None:
    bench = Bench()
    order = bench.open()
    bench.now += 12 * HOUR
    late = bench.take(OrderReport(bench.now, order.id, "canceled"))
    assert of(late, f.DayStarted) == [], "the last price known is of twelve hours ago"
    (day,) = of(bench.take(TimerEvent(bench.now, "day", (("COIN", D(101)),))), f.DayStarted)
    quantity = bench.state.positions["main/COIN"].quantity
    assert day.equity == D(10_000) + quantity
    bench.now += DAY
    assert of(bench.take(TimerEvent(bench.now, "day", ())), f.DayStarted), "none is known now"
