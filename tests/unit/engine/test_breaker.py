"""The circuit breaker: what trips it, what a trip does, how it is released, that it survives."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import (
    ConfigEvent,
    FundingReport,
    LevelHit,
    OperatorEvent,
    OrderReport,
    TimerEvent,
)
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.engine import breaker
from cerberus_trader.engine.state import Trip, equity, state_bytes, state_from
from tests.kit import DAY, HOUR, ITEMS, Bench, changed, decision, of, settings, submitted


def lossy(**sections: Any) -> Settings:
    """Let one trade take half the equity, and only the account's own limits watch it."""
    chosen = settings(
        risk={"group_risk_max": D(1), "positions_max": 10},
        sizing={"risk_fraction": D("0.5"), "methods": ("risk",)},
        **sections,
    )
    free = Strategy(sources=("*",), day_loss_action="off")
    return changed(chosen, strategies={"default": free})


def tripped(bench: Bench) -> list[str]:
    return list(bench.state.trips)


def big(bench: Bench, **fields: object) -> D:
    """Open a position of one equity; return its quantity."""
    bench.open(confidence=0.9, **fields)
    return next(iter(bench.state.positions.values())).quantity


@pytest.mark.req("C-06.1", "T-07.1", "E-3.2.1", "C-19.3")
def test_an_open_loss_trips_the_day_loss_exactly_at_its_floor() -> None:
    bench = Bench(lossy())
    quantity = big(bench)
    (floor,) = [one for one in breaker.floors(bench.state) if one.scope == ""]
    price = (floor.limit - floor.constant) / floor.weights[0][1]
    assert equity(bench.state, (("COIN", price),)) == D(9_600)
    above = bench.take(LevelHit(bench.now, "equity", "", (("COIN", price + D("0.01")),)))
    assert above.facts == () and tripped(bench) == []
    step = bench.take(LevelHit(bench.now, "equity", "", (("COIN", price),)))
    (trip,) = of(step, f.BreakerTripped)
    assert (trip.condition, trip.action, trip.limit) == ("day_loss", "flatten", "9600")
    order = submitted(step)
    assert order.reduce_only and order.quantity == quantity and order.reason == "breaker"
    assert bench.take(LevelHit(bench.now, "equity", "", (("COIN", D(1)),))).facts != ()
    assert tripped(bench) == ["day_loss", "drawdown"]  # each trips once


@pytest.mark.req("C-06.1", "D-09.8", "D-03.4")
def test_a_realised_loss_trips_at_once_and_blocks_entries_but_not_exits() -> None:
    bench = Bench(lossy())
    big(bench)
    bench.open(instrument="OTHER", confidence=0.1)
    step = bench.close("95")
    assert [trip.condition for trip in of(step, f.BreakerTripped)] == ["day_loss"]
    (left,) = [c.order for c in step.commands]
    assert left.instrument == "OTHER" and left.reduce_only
    assert decision(bench.signal(instrument="THIRD")).code == "BREAKER_OPEN"
    assert bench.fill(left, "100").facts
    assert bench.state.positions == {}


@pytest.mark.req("C-06.2", "C-19.3")
def test_consecutive_losing_trades_trip_and_a_win_starts_again() -> None:
    bench = Bench(settings(breaker={"losses_max": 3, "scratch_r": 0.1}))

    def trade(price: str) -> None:
        bench.open()
        bench.close(price)

    for price in ("99", "99", "102", "99", "99"):
        trade(price)
    assert bench.state.streak == 2 and tripped(bench) == []
    trade("99.99")  # a scratch: neither counts nor starts again
    assert bench.state.streak == 2
    trade("99")
    assert tripped(bench) == ["losses"]


@pytest.mark.req("C-06.2")
def test_order_failures_within_the_window_trip() -> None:
    def rejected(bench: Bench) -> None:
        order = submitted(bench.signal())
        bench.take(OrderReport(bench.now, order.id, "rejected", "no"))

    bench = Bench(settings(breaker={"failures_max": 3, "failures_window_ms": 60_000}))
    rejected(bench)
    rejected(bench)
    bench.now += 61_000_000_000
    rejected(bench)
    assert bench.state.failures == 1 and tripped(bench) == []
    rejected(bench)
    rejected(bench)
    assert tripped(bench) == ["failures"]
    bench = Bench(settings(breaker={"failures_max": 2}))
    rejected(bench)
    bench.open()  # a fill ends the row of failures
    assert bench.state.failures == 0


@pytest.mark.req("C-06.2")
def test_an_order_of_unknown_outcome_that_proves_rejected_is_one_failure() -> None:
    bench = Bench(settings(breaker={"failures_max": 3}))

    def report(order: Order, state: Any) -> int:
        bench.take(OrderReport(bench.now, order.id, state, "late"))
        return bench.state.failures

    first = submitted(bench.signal())
    assert report(first, "unknown") == 1
    bench.engine.state = state_from(state_bytes(bench.state))  # a restart
    assert report(first, "rejected") == 1 and not bench.state.failed
    second = submitted(bench.signal())
    assert report(second, "unknown") == 2
    bench.take(OperatorEvent(bench.now, "cancel_all", "t"))
    assert report(second, "rejected") == 2, "asked to be cancelled meanwhile"
    assert report(submitted(bench.signal()), "rejected") == 3 and tripped(bench) == ["failures"]


@pytest.mark.req("C-06.2")
def test_an_order_that_lives_after_all_may_fail_again() -> None:
    bench = Bench(settings(breaker={"failures_max": 9}))
    order = submitted(bench.signal(order="limit", limit=D(100)))

    def report(state: Any) -> int:
        bench.take(OrderReport(bench.now, order.id, state))
        return bench.state.failures

    assert [report(word) for word in ("unknown", "accepted", "unknown")] == [1, 0, 1]
    bench.fill(order, quantity=D(1), leaves=order.quantity - 1)
    assert bench.state.failures == 0 and not bench.state.failed
    assert report("unknown") == 1


@pytest.mark.req("C-06.3")
def test_a_cooldown_that_runs_is_made_longer_by_a_reload_but_not_shorter() -> None:
    bench = Bench(settings(breaker={"failures_max": 1, "cooldown_ms": 60_000}))

    def reload(cooldown_ms: int) -> None:
        chosen = settings(breaker={"failures_max": 1, "cooldown_ms": cooldown_ms})
        bench.take(ConfigEvent(bench.now, chosen, f"c{cooldown_ms}", ITEMS))
        bench.engine.state = state_from(state_bytes(bench.state))

    def trip() -> None:
        bench.take(OrderReport(bench.now, submitted(bench.signal()).id, "rejected"))
        assert tripped(bench) == ["failures"]

    def reset(after_s: int) -> bool:
        bench.now += after_s * 1_000_000_000
        event = OperatorEvent(bench.now, "reset_breaker", "ann", "looked", authorised=True)
        return bool(of(bench.take(event), f.BreakerReset))

    trip()
    reload(0)
    assert not reset(59) and reset(1), "shorter: not for the one that runs"
    trip()
    assert reset(0), "but for the next one"
    trip()
    reload(120_000)
    assert not reset(119)
    reload(10_000)
    assert not reset(0) and reset(1), "a longer one counts at once, and stays"


def test_a_cooldown_runs_on_where_the_day_releases_another_condition() -> None:
    chosen = {"failures_max": 1, "day_release": True}
    bench = Bench(settings(breaker=chosen))
    bench.take(OrderReport(bench.now, submitted(bench.signal()).id, "rejected"))
    bench.state.trips["day_loss"] = Trip(bench.now, "", "1", "1", "block")
    bench.take(ConfigEvent(bench.now, settings(breaker={**chosen, "cooldown_ms": 0}), "c", ITEMS))
    step = bench.take(TimerEvent(bench.now + DAY, "day", ()))
    assert [fact.conditions for fact in of(step, f.BreakerReset)] == [("day_loss",)]
    assert tripped(bench) == ["failures"] and bench.state.cooldown_ms == 900_000


@pytest.mark.req("C-06.2", "E-3.1.3", "C-19.3")
def test_drawdown_from_the_peak_trips_over_days() -> None:
    loose = {"day_loss_action": "off", "losses_max": 0, "drawdown_soft": D(0)}
    bench = Bench(lossy(breaker=loose))
    for _ in range(2):
        big(bench)
        bench.close("90")
        bench.now += DAY
    assert tripped(bench) == []
    big(bench)
    step = bench.close("70")
    assert [trip.condition for trip in of(step, f.BreakerTripped)] == ["drawdown"]
    bench.now += DAY
    reset = OperatorEvent(bench.now, "reset_breaker", "ann", "it is accepted", authorised=True)
    assert [type(fact) for fact in bench.take(reset).facts][-2:] == [f.BreakerReset, f.PeakRaised]
    assert bench.state.peak == bench.state.balance < 10_000
    assert tripped(bench) == [] and decision(bench.signal()).verdict == "approved"


def test_the_soft_drawdown_halves_new_sizes() -> None:
    loose = {"day_loss_action": "off", "drawdown_action": "off", "losses_max": 0}
    free = {"leverage": {"drawdown_start": 0.9, "drawdown_end": 0.95, "sigma_ref": 9.0}}
    whole, halved = (
        Bench(settings(**free, breaker=loose | {"drawdown_soft": soft}))
        for soft in (D(0), D("0.001"))
    )
    sizes = []
    for bench in (whole, halved):
        bench.open()
        bench.close("98")
        bench.now += DAY
        sizes.append(decision(bench.signal()).sizing)
    assert sizes[0].bounds == sizes[1].bounds
    assert abs(sizes[0].notional / 2 - sizes[1].notional) < 1


@pytest.mark.req("C-19.3", "D-09.8")
@pytest.mark.parametrize(("reason", "counted"), [("liquidation", 1), ("deleveraging", 0)])
def test_what_the_venue_closes_by_itself_trips(reason: str, counted: int) -> None:
    bench = Bench()
    bench.open()
    step = bench.close("98", reason=reason)
    assert [trip.condition for trip in of(step, f.BreakerTripped)] == [reason]
    assert bench.state.counters.liquidations == counted and bench.state.trading == "active"
    calm = Bench(settings(breaker={"liquidation_trips": False}))
    calm.open()
    assert not of(calm.close("98", reason=reason), f.BreakerTripped)


@pytest.mark.req("C-19.3", "C-06.1")
def test_a_strategys_own_loss_trips_only_that_strategy() -> None:
    chosen = changed(
        settings(breaker={"losses_max": 0, "day_loss_action": "off"}),
        strategies={
            "a": Strategy(day_loss=D("0.005"), day_loss_action="flatten"),
            "b": Strategy(account="b", day_loss=D("0.005")),
        },
    )
    bench = Bench(chosen)
    bench.open(source="a")
    bench.open(source="a", instrument="OTHER")
    step = bench.close("97")
    (trip,) = of(step, f.BreakerTripped)
    assert (trip.condition, trip.scope) == ("strategy_day_loss", "a")
    assert submitted(step).instrument == "OTHER"
    assert decision(bench.signal(source="a", instrument="THIRD")).code == "BREAKER_OPEN"
    assert decision(bench.signal(source="b", instrument="THIRD")).verdict == "approved"


@pytest.mark.req("C-06.3", "C-19.3")
def test_a_reset_needs_a_token_a_reason_and_the_cool_down() -> None:
    bench = Bench(lossy(breaker={"cooldown_ms": 60_000}))
    big(bench)
    bench.close("95")

    def reset(**fields: object) -> list[f.Fact]:
        values = {"actor": "ann", "reason": "checked", "authorised": True, **fields}
        event = OperatorEvent(bench.now, "reset_breaker", **values)  # type: ignore[arg-type]
        return list(bench.take(event).facts)

    refusals = [
        reset(authorised=False)[0], reset(reason=" ")[0], reset()[0],
    ]  # fmt: skip
    texts = [fact.reason for fact in refusals if isinstance(fact, f.CommandRefused)]
    assert [text.split()[0] for text in texts] == ["a", "a", "cool-down:"]
    bench.now += DAY
    (_, done) = reset()
    assert isinstance(done, f.BreakerReset) and done.conditions == ("day_loss",)
    assert bench.state.probation_left == 5
    (refused,) = reset()
    assert isinstance(refused, f.CommandRefused) and refused.reason == "nothing is tripped"


@pytest.mark.req("C-06.1", "C-06.3")
def test_a_loss_of_the_day_at_its_limit_is_not_reset() -> None:
    """It was: with nothing held no level is watched, and one entry left before its fill tripped."""
    bench = Bench(lossy(breaker={"cooldown_ms": 0, "losses_max": 1}))
    big(bench)
    bench.close("95")
    assert tripped(bench) == ["day_loss", "losses"]
    reset = OperatorEvent(bench.now, "reset_breaker", "ann", "looked", authorised=True)
    (done,) = bench.take(reset).facts
    assert isinstance(done, f.BreakerReset) and done.conditions == ("losses",)
    (refused,) = bench.take(reset).facts
    assert isinstance(refused, f.CommandRefused)
    assert refused.reason.startswith("day_loss: the loss is still at its limit; wait")
    assert decision(bench.signal()).code == "BREAKER_OPEN"


@pytest.mark.parametrize("held", [False, True])
def test_a_strategy_at_its_limit_stays_tripped_and_the_others_are_released(held: bool) -> None:
    chosen = {"default": Strategy(sources=("*",), day_loss=D("0.01"))}
    bench = Bench(changed(lossy(breaker={"cooldown_ms": 0, "day_loss_action": "off"}),
                          strategies=chosen))  # fmt: skip
    big(bench)
    marks = (("COIN", D(97)),)
    if held:
        bench.take(LevelHit(bench.now, "equity", "default", marks))
    else:
        bench.close("97")
    bench.state.trips["failures"] = Trip(bench.now, "", "5", "5", "block")
    assert "strategy_day_loss:default" in tripped(bench)
    bench.take(OperatorEvent(bench.now, "reset_breaker", "ann", "looked", authorised=True,
                             marks=marks))  # fmt: skip
    assert tripped(bench) == ["strategy_day_loss:default"]


@pytest.mark.req("C-06.1", "E-3.2.1")
@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("scope", ["", "default"])
def test_a_configuration_that_tightens_a_limit_finds_it_reached(scope: str, held: bool) -> None:
    bench = Bench(lossy())
    big(bench)
    marks: Any = (("COIN", D(98)),)
    if not held:
        bench.close("98")
    tight = lossy(breaker={"day_loss": D("0.01")} if not scope else {})
    if scope:
        one = Strategy(sources=("*",), day_loss=D("0.01"), day_loss_action="flatten")
        tight = changed(tight, strategies={"default": one})
    blind = ConfigEvent(bench.now, tight, "c2", ITEMS)
    step = bench.take(blind)
    if held:  # what is held has no price yet: the levels in the market will tell
        assert tripped(bench) == [] and not step.commands
        step = bench.take(ConfigEvent(bench.now, tight, "c3", ITEMS, marks=marks))
    (trip,) = of(step, f.BreakerTripped)
    assert trip.scope == scope and "day_loss" in trip.condition
    assert [c.order.reason for c in step.commands] == ["breaker"] * held
    assert decision(bench.signal(instrument="OTHER")).code == "BREAKER_OPEN"


@pytest.mark.req("C-19.3")
def test_after_a_reset_sizes_and_leverage_are_on_probation() -> None:
    chosen = settings(breaker={"cooldown_ms": 0, "half_open_trades": 1, "losses_max": 1})
    bench = Bench(chosen)
    whole = decision(bench.signal()).sizing.notional
    bench = Bench(chosen)
    bench.open()
    bench.close("99")
    event = OperatorEvent(bench.now, "reset_breaker", "ann", "ok", authorised=True)
    bench.take(event)
    made = decision(bench.signal(confidence=0.9))
    assert made.leverage.base == 5
    assert made.sizing.notional < whole * D("0.26")
    bench.fill(next(iter(bench.state.orders.values())))
    bench.close("101")
    assert bench.state.probation_left == 0


@pytest.mark.parametrize("reason", ["halt", "reload", "late"])
def test_entries_that_were_held_back_are_no_failures(reason: str) -> None:
    """Nothing was asked of the venue: neither does it end a row of failures."""
    bench = Bench(settings(breaker={"failures_max": 2}, risk={"group_risk_max": D(1)}))
    failed = submitted(bench.signal())
    bench.take(OrderReport(bench.now, failed.id, "rejected", "no"))
    waiting = [submitted(bench.signal(instrument=name)) for name in ("COIN", "OTHER", "THIRD")]
    if reason == "halt":
        bench.take(OperatorEvent(bench.now, "halt", "ann"))
    for order in waiting:
        bench.take(OrderReport(bench.now, order.id, "not_sent", reason))
    assert bench.state.failures == 1 and tripped(bench) == [] and not bench.state.orders


@pytest.mark.parametrize(("amount", "refused"), [(2_499, False), (2_500, True), (4_000, True)])
def test_a_withdrawal_trips_nothing(amount: int, refused: bool) -> None:
    # 3 % of 10,000 were lost; of what is left after 2,500 that is the day's limit of 4 %
    bench = Bench(settings(strategies={"head": Strategy(day_loss_action="off")}))
    order = bench.open()
    marks = (("COIN", D(100) - 300 / order.quantity),)
    event = OperatorEvent(bench.now, "withdraw", "ann", amount=D(amount), authorised=True,
                          marks=marks)  # fmt: skip
    (fact,) = bench.take(event).facts
    assert isinstance(fact, f.CommandRefused) is refused
    assert not refused or "limit of day_loss" in fact.reason
    assert not bench.take(LevelHit(bench.now, "equity", "", marks)).facts


def test_what_positions_have_lost_and_entries_reserve_cannot_be_withdrawn() -> None:
    off = {"day_loss_action": "off", "drawdown_action": "off"}
    strategies = {"head": Strategy(day_loss_action="off")}
    bench = Bench(settings(breaker=off, strategies=strategies))
    order = bench.open()
    entry = submitted(bench.signal(instrument="OTHER"))
    marks = (("COIN", D(100) - 1_000 / order.quantity),)
    locked = bench.state.margin + entry.notional / entry.leverage
    for amount, kind in ((D(9_001) - locked, f.CommandRefused), (D(8_999) - locked, f.CashMoved)):
        event = OperatorEvent(bench.now, "withdraw", "ann", amount=amount, authorised=True,
                              marks=marks)  # fmt: skip
        (fact,) = bench.take(event).facts
        assert isinstance(fact, kind)


def test_after_a_reset_without_probation_one_more_loss_does_not_trip_at_once() -> None:
    bench = Bench(settings(breaker={"cooldown_ms": 0, "half_open_trades": 0, "losses_max": 2}))
    for _ in range(2):
        bench.open()
        bench.close("99.5")
    assert list(bench.state.trips) == ["losses"]
    bench.take(OperatorEvent(bench.now, "reset_breaker", "ann", "ok", authorised=True))
    bench.open()
    bench.close("99.5")
    assert not bench.state.trips and bench.state.streak == 1


@pytest.mark.req("C-06.1", "C-06.4")
def test_the_day_begins_once_at_utc_midnight_with_open_positions_counted() -> None:
    bench = Bench()
    bench.open()
    bench.now += 12 * HOUR
    step = bench.take(TimerEvent(bench.now, "day", (("COIN", D(101)),)))
    (day,) = of(step, f.DayStarted)
    quantity = bench.state.positions["main/COIN"].quantity
    assert day.equity == D(10_000) + quantity == bench.state.day_equity
    assert of(bench.take(TimerEvent(bench.now + 1, "day", ())), f.DayStarted) == []
    back = bench.take(TimerEvent(bench.now - 3 * HOUR, "day", ()))
    assert of(back, f.DayStarted) == [] and bench.state.now_ns == bench.now + 1


@pytest.mark.parametrize("later", [True, False])
def test_a_day_loss_trip_ends_with_the_day_only_where_configured_then_and_now(later: bool) -> None:
    """A reload must not loosen what has tripped."""
    for release in (True, False):
        left = [] if release and later else ["day_loss"]
        bench = Bench(lossy(breaker={"day_release": release}))
        big(bench)
        bench.close("95")
        reloaded = lossy(breaker={"day_release": later})
        bench.take(ConfigEvent(bench.now, reloaded, "c2", ITEMS))
        bench.now += DAY
        bench.take(TimerEvent(bench.now, "day", ()))
        assert tripped(bench) == left


@pytest.mark.req("C-06.4", "C-19.3")
def test_a_tripped_breaker_is_still_tripped_after_a_restart() -> None:
    bench = Bench(lossy())
    big(bench)
    bench.close("95")
    restored = Bench()
    restored.engine.state = state_from(state_bytes(bench.state))
    assert tripped(restored) == ["day_loss"]
    assert decision(restored.signal(id="new")).code == "BREAKER_OPEN"


def test_deposits_move_peak_and_day_start_and_are_no_profit() -> None:
    bench = Bench()
    event = OperatorEvent(bench.now, "deposit", "ann", amount=D(500), authorised=True)
    bench.take(event)
    state = bench.state
    assert (state.balance, state.day_equity, state.peak, state.flows) == (D(10_500),) * 4
    bench.take(OperatorEvent(bench.now, "withdraw", "ann", amount=D(600), authorised=True))
    assert state.balance == D(9_900) and state.trips == {}


def test_funding_that_reaches_the_floor_trips() -> None:
    bench = Bench(lossy())
    big(bench)
    report = FundingReport(bench.now, "main", "COIN", D("0.1"), D(100), D(401), D(1), (
        ("COIN", D(100)),))  # fmt: skip
    step = bench.take(report)
    assert [trip.condition for trip in of(step, f.BreakerTripped)] == ["day_loss"]
    assert bench.state.counters.funding == D(401)


@pytest.mark.req("D-09.14")
@pytest.mark.parametrize(("price", "expected"), [("96.01", []), ("96", ["day_loss"])])
def test_the_day_loss_at_its_boundary(price: str, expected: list[str]) -> None:
    chosen = settings(
        risk={"lift_all": True}, sizing={"obey_quantity": True},
        breaker={"losses_max": 0}, leverage={"fractional": True},
    )  # fmt: skip
    chosen = changed(
        Settings(), risk=chosen.risk, sizing=chosen.sizing, breaker=chosen.breaker,
        strategies={"default": Strategy(sources=("*",), day_loss_action="off")},
    )  # fmt: skip
    bench = Bench(chosen)
    bench.open(quantity=D(100), leverage=D(1))
    bench.close(price)
    assert tripped(bench) == expected
