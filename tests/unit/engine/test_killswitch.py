"""The kill switch: conditions latch, block what adds exposure, never what reduces it."""

from decimal import Decimal as D
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import (
    Condition,
    ConfigEvent,
    Measured,
    OperatorEvent,
    TimerEvent,
)
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.settings_guard import KillSwitch
from cerberus_trader.engine import killswitch
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.state import Trip, state_bytes, state_from
from tests.kit import COIN, DAY, ITEMS, Bench, changed, decision, of, settings, submitted

CONDITIONS: tuple[Condition, ...] = get_args(Condition)
LATCHED = [c for c in CONDITIONS if c != "feed"]
LIMITS = {
    "latency": 2_000, "clock_drift": 1_000, "loop_lag": 5_000, "memory": 256, "memory_hard": 512,
    "feed": 60_000, "volatility": 5,
}  # fmt: skip


def measure(bench: Bench, condition: Condition, value: float, scope: str = "") -> Step:
    return bench.take(Measured(bench.now, condition, value, scope))


def operate(bench: Bench, command: Any, **fields: Any) -> Step:
    return bench.take(OperatorEvent(bench.now, command, "ann", "looked", **fields))


@pytest.mark.parametrize("condition", CONDITIONS)
def test_every_condition_has_its_limit_and_unit(condition: Condition) -> None:
    bench = Bench()
    limit, action = killswitch.limit_of(bench.state, condition)
    assert limit == LIMITS[condition]
    assert action == ("flatten" if condition == "memory_hard" else "block")


@pytest.mark.req("P-04.1", "P-04.3", "P-13.2", "P-24.2")
@pytest.mark.parametrize("condition", LATCHED)
def test_a_condition_trips_above_its_limit_and_every_entry_is_denied(condition: Condition) -> None:
    bench = Bench()
    limit = LIMITS[condition]
    assert measure(bench, condition, limit).facts == ()
    assert decision(bench.signal()).verdict == "approved"
    bench = Bench()
    (trip,) = of(measure(bench, condition, limit + 0.5), f.BreakerTripped)
    assert (trip.condition, trip.scope, trip.value, trip.limit) == (
        condition, "", f"{limit + 0.5:g}", f"{limit:g}",
    )  # fmt: skip
    assert killswitch.flags(bench.state)["HALT"]
    denied = decision(bench.signal())
    assert (denied.verdict, denied.code) == ("denied", "BREAKER_OPEN")


@pytest.mark.parametrize("most", [500, 5_000])
def test_what_is_not_answered_in_time_is_slow_whatever_the_limit_is(most: int) -> None:
    """A limit above the time of an answer would never be reached by answers that do not come."""
    bench = Bench(settings(killswitch={"latency_ms_max": most}, reconcile={"answer_ms_max": 1_000}))
    measure(bench, "latency", min(most, 1_000))
    assert not bench.state.trips
    measure(bench, "latency", min(most, 1_000) + 1)
    assert list(bench.state.trips) == ["latency"]
    off = Bench(settings(killswitch={"latency_ms_max": 0}))
    measure(off, "latency", 10_000)
    assert not off.state.trips


@pytest.mark.req("P-04.2", "P-04.3")
def test_the_flags_bear_the_names_of_the_documents() -> None:
    bench = Bench(settings(breaker={"losses_max": 1}))
    calm = {"Latency": False, "Consecutive_Losses": False, "HALT": False}
    assert killswitch.flags(bench.state) == calm
    measure(bench, "latency", 2_001)
    assert killswitch.flags(bench.state) == calm | {"Latency": True, "HALT": True}
    bench = Bench(settings(breaker={"losses_max": 1}))
    bench.open()
    bench.close("99")
    assert killswitch.flags(bench.state) == calm | {"Consecutive_Losses": True, "HALT": True}
    bench = Bench()
    operate(bench, "halt")
    assert killswitch.flags(bench.state) == calm | {"HALT": True}


def test_a_strategys_own_trip_is_no_global_halt() -> None:
    bench = Bench()
    bench.state.trips["strategy_day_loss:a"] = Trip(1, "a", "1", "1", "block")
    assert not killswitch.flags(bench.state)["HALT"]


@pytest.mark.req("P-04.3")
@pytest.mark.parametrize("condition", LATCHED)
def test_a_trip_latches_and_a_second_one_changes_nothing(condition: Condition) -> None:
    bench = Bench()
    measure(bench, condition, LIMITS[condition] + 1)
    before = bench.state.trips[condition]
    assert measure(bench, condition, LIMITS[condition] * 9).facts == ()
    assert measure(bench, condition, 0.0).facts == ()
    assert bench.state.trips == {condition: before}
    again = state_from(state_bytes(bench.state))
    assert again.trips == bench.state.trips


@pytest.mark.parametrize("condition", ["latency", "clock_drift", "loop_lag", "memory"])
def test_off_and_a_limit_of_0_switch_a_condition_off(condition: Condition) -> None:
    unit = "mb" if condition.startswith("memory") else "ms"
    for fields in ({f"{condition}_{unit}_max": 0}, {f"{condition}_action": "off"}):
        bench = Bench(settings(killswitch=fields))
        assert measure(bench, condition, 1e9).facts == ()
        assert not killswitch.acts(bench.state, condition, 1e9)


def test_nan_is_beyond_no_limit() -> None:
    assert measure(Bench(), "latency", float("nan")).facts == ()


@pytest.mark.req("P-04.3", "E-9.1.1")
def test_a_block_cancels_entries_keeps_positions_and_lets_exits_go() -> None:
    bench = Bench()
    bench.open()
    entry = submitted(bench.signal(instrument="OTHER"))
    step = measure(bench, "latency", 3_000)
    assert [type(c) for c in step.commands] == [CancelOrder]
    assert step.commands[0].order_id == entry.id  # type: ignore[union-attr]
    close = bench.signal("close")
    assert decision(close).verdict == "approved" and submitted(close).reduce_only


@pytest.mark.req("D-08.3", "E-3.2.3", "E-9.1.3")
def test_memory_first_blocks_then_flattens() -> None:
    bench = Bench()
    bench.open()
    soft = measure(bench, "memory", 300)
    assert soft.commands == () and bench.state.positions
    hard = measure(bench, "memory_hard", 600)
    order = submitted(hard)
    assert order.reduce_only and order.reason == "breaker"
    bench.fill(order)
    assert bench.state.positions == {} and list(bench.state.trips) == ["memory", "memory_hard"]


@pytest.mark.req("P-04.3", "C-06.3")
@pytest.mark.parametrize("condition", LATCHED)
def test_only_the_token_ends_a_trip_however_loose_the_limit_has_become(
    condition: Condition,
) -> None:
    bench = Bench(settings(breaker={"cooldown_ms": 0}))
    measure(bench, condition, LIMITS[condition] + 1)
    (limit,) = (
        name
        for name in KillSwitch.__struct_fields__
        if name in (f"{condition}_ms_max", f"{condition}_mb_max", f"{condition}_max")
    )
    loose = settings(
        breaker={"cooldown_ms": 0},
        killswitch={limit: 0, f"{condition}_action": "off"},
    )
    bench.take(ConfigEvent(bench.now, loose, "c2", ITEMS, "engine"))
    measure(bench, condition, 0.0)
    operate(bench, "halt")
    operate(bench, "resume")
    bench.now += 2 * DAY
    bench.take(TimerEvent(bench.now, "day"))
    assert list(bench.state.trips) == [condition]
    assert decision(bench.signal()).code == "BREAKER_OPEN"
    assert of(operate(bench, "reset_breaker"), f.CommandRefused)
    assert list(bench.state.trips) == [condition]
    operate(bench, "reset_breaker", authorised=True)
    assert bench.state.trips == {}
    assert decision(bench.signal()).verdict == "approved"


def test_what_still_holds_after_a_reset_trips_again() -> None:
    bench = Bench(settings(breaker={"cooldown_ms": 0}))
    measure(bench, "loop_lag", 6_000)
    operate(bench, "reset_breaker", authorised=True)
    assert killswitch.acts(bench.state, "loop_lag", 6_000)
    measure(bench, "loop_lag", 6_000)
    assert list(bench.state.trips) == ["loop_lag"]


# -- feeds ---------------------------------------------------------------------------------


@pytest.mark.req("P-04.3")
def test_a_silent_feed_blocks_its_instrument_alone_and_ends_by_itself() -> None:
    bench = Bench()
    bench.open()
    (silent,) = measure(bench, "feed", 60_001, "COIN").facts
    assert silent == f.FeedChanged(bench.now, "COIN", True)
    assert measure(bench, "feed", 90_000, "COIN").facts == ()
    denied = decision(bench.signal(instrument="COIN"))
    assert denied.code == "MARKET_CLOSED"
    assert decision(bench.signal("close")).verdict == "approved"
    assert decision(bench.signal(instrument="OTHER")).verdict == "approved"
    assert bench.state.trips == {} and not killswitch.flags(bench.state)["HALT"]
    (heard,) = measure(bench, "feed", 0, "COIN").facts
    assert heard == f.FeedChanged(bench.now, "COIN", False)
    assert measure(bench, "feed", 0, "COIN").facts == ()
    assert bench.state.silent == {}


def hours(*sessions: str) -> tuple[Instrument, ...]:
    return (changed(COIN, sessions=sessions), *ITEMS[1:])


@pytest.mark.parametrize(
    ("sessions", "verdict"),
    [
        ((), "approved"),
        (("mon-sun 11:00-13:00",), "approved"),
        (("mon-sun 13:00-14:00",), "denied"),
    ],
)
def test_a_market_outside_of_its_hours_is_closed_to_entries_only(
    sessions: tuple[str, ...], verdict: str
) -> None:
    bench = Bench(items=hours(*sessions))
    found = decision(bench.signal())
    assert found.verdict == verdict
    assert verdict == "approved" or found.code == "MARKET_CLOSED"
    assert decision(bench.signal(instrument="OTHER")).verdict == "approved"


def test_a_position_can_be_closed_after_hours() -> None:
    bench = Bench(items=hours("mon-sun 11:00-13:00"))
    bench.open()
    bench.now += DAY // 4
    assert decision(bench.signal()).code == "MARKET_CLOSED"
    assert decision(bench.signal("close")).verdict == "approved"


# -- volatility ----------------------------------------------------------------------------


@pytest.mark.req("P-13.2", "P-24.2")
@pytest.mark.parametrize(
    ("name", "code"),
    [("volatility_halt", "VOLATILITY_HIGH"), ("minute_volatility_halt", "VOLATILITY_MINUTE_HIGH")],
)
def test_trading_halts_while_volatility_is_above_its_limit(name: str, code: str) -> None:
    other = {"volatility_halt": 0.0, "minute_volatility_halt": 0.0}
    limits = settings(risk=other | {name: 0.25})
    for sigma, denied in ((0.2499, False), (0.25, False), (0.2501, True), (9.0, True)):
        found = decision(Bench(limits).signal(sigma=sigma))
        assert (found.code == code) is denied, sigma
    bench = Bench(limits)
    bench.open()
    assert decision(bench.signal("close", sigma=9.0)).verdict == "approved"
    assert decision(Bench(settings(risk=other)).signal(sigma=9.0)).code != code


# -- property ------------------------------------------------------------------------------


@profile(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(CONDITIONS), st.floats(0, 100_000), st.sampled_from(["COIN", ""])
        ),
        max_size=12,
    )
)
def test_whatever_is_measured_trips_only_grow_and_an_exit_is_always_possible(
    samples: list[tuple[Condition, float, str]],
) -> None:
    bench = Bench()
    bench.open()
    for condition, value, scope in samples:
        before = dict(bench.state.trips)
        would = killswitch.acts(bench.state, condition, value, scope)
        step = measure(bench, condition, value, scope)
        assert bool(step.facts) is would
        assert before.items() <= bench.state.trips.items()
        assert not any(
            isinstance(c, SubmitOrder) and not c.order.reduce_only for c in step.commands
        )
    assert not of(bench.take(Measured(bench.now, "latency", 0.0)), f.Faulted)
    closing = bench.state.closings.get("main/COIN", ())
    if closing:  # a trip that flattens was first
        bench.fill(bench.state.orders[closing[0]])
    else:
        bench.fill(submitted(bench.signal("close")))
    assert bench.state.positions == {}
    tripped = bool(bench.state.trips or "COIN" in bench.state.silent)
    assert (decision(bench.signal()).verdict == "denied") is tripped
    assert all(isinstance(t.limit, str) and D(t.value) >= D(t.limit)
               for t in bench.state.trips.values())  # fmt: skip
