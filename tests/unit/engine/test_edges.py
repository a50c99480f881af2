"""The corners: what is missing, late, odd or at a threshold, each with a defined outcome."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import (
    ConfigEvent,
    FillReport,
    FundingReport,
    LevelHit,
    OperatorEvent,
    OrderReport,
    SignalEvent,
    TimerEvent,
)
from cerberus_trader.domain.instrument import Instrument, Tier, margin_level
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.money import brief
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.position import protective_orders
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine import checks, portfolio, risk
from cerberus_trader.engine.apply import apply
from cerberus_trader.engine.intake import Case
from cerberus_trader.engine.sizing import BOUNDS
from cerberus_trader.engine.state import (
    State,
    day_fraction,
    drawdown,
    equity,
    state_hash,
    strategy_pnl,
)
from tests.kit import COIN, ITEMS, PEPE_TIERS, Bench, changed, decision, of, settings, submitted


def test_tiers_out_of_range_are_refused() -> None:
    for broken in (
        Tier(D(0), D(10), D(1), D(5)), Tier(D(0), D(10), D("0.1"), D("0.5")),
        Tier(D(0), D(0), D("0.1"), D(5)),
    ):  # fmt: skip
        with pytest.raises(DataError, match="tier 1 is out of range"):
            Instrument("X", tiers=(broken,))


def test_a_ratio_below_every_rate_has_no_level() -> None:
    assert margin_level(PEPE_TIERS, 1, D(1), D(100), D(10), D("0.001")) is None
    assert margin_level(PEPE_TIERS, -1, D(0), D(0), D(10)) is None


@pytest.mark.parametrize("check", [*checks.INTAKE, *checks.RISK], ids=lambda check: check.code)
def test_every_check_on_an_empty_case_measures_or_raises_what_run_checks_expects(check) -> None:
    bench = Bench()
    signal = Signal("x", bench.now, "NOPE", "buy", 0.5, "nobody")
    case = Case(bench.state, SignalEvent(bench.now, signal, None))
    values, failed = risk.run_checks(case, (check,), lifted=False)
    assert len(values) == 1 and failed in ([], [0])


def test_signals_without_a_stop_get_one_from_volatility_within_bounds() -> None:
    for sigma, expected in ((0.05, D("4.082")), (0.001, D(1)), (0.5, D(8)), (-1.0, D(8))):
        bench = Bench(settings(leverage={"volatility_factor_min": 1.0}, sizing={
            "methods": ("risk",)}))  # fmt: skip
        order = submitted(bench.signal(stop_loss_pct=None, sigma=sigma))
        assert order.bracket.stop_pct == expected


@pytest.mark.req("T-06.3")
def test_a_reward_multiple_gives_a_take_profit_to_those_without() -> None:
    bench = Bench(settings(levels={"reward_multiple": D(2)}))
    order = submitted(bench.signal(stop_loss_pct=D(3)))
    assert order.bracket.take_profit_pct == D(6) and order.bracket.take_profit is None
    own = submitted(Bench(settings(levels={"reward_multiple": D(2)})).signal(
        take_profit=D(110)))  # fmt: skip
    assert own.bracket.take_profit == D(110) and own.bracket.take_profit_pct is None


def test_a_trailing_stop_alone_is_the_stop_that_sizing_reckons_with() -> None:
    free = settings(levels={"stop_required": False})
    made = decision(Bench(free).signal(stop_loss_pct=None, trailing_pct=D(3)))
    assert made.sizing.loss_per_unit == D("0.03") + D("0.001") + D("0.002")
    made = decision(Bench(free).signal(stop_loss_pct=None, trailing=D(3)))
    assert made.sizing.loss_per_unit == D("0.033")


@pytest.mark.req("T-06.3", "D-03.3")
def test_without_a_stop_the_whole_margin_is_what_may_be_lost() -> None:
    """Equity 10,000, a hundredth at risk: at leverage 4 that is a margin of 100."""
    free = {"levels": {"stop_required": False}, "leverage": {"success_factor_min": 1.0}}
    for asked, unit in ((4, "0.25"), (2, "0.5"), (None, "")):
        bench = Bench(settings(**free, sizing={"risk_fraction": D("0.01")}))
        made = decision(bench.signal(stop_loss_pct=None, leverage=asked and D(asked)))
        granted = made.leverage.granted
        assert made.sizing.loss_per_unit == (D(unit) if unit else brief(1 / granted))
        assert abs(made.sizing.notional / granted - 100) < D("0.1")
        (order,) = bench.state.orders.values()
        assert order.risk == brief(order.notional / granted)
        assert bench.state.reserved["COIN"][1] == order.risk


def test_entries_without_a_stop_on_their_way_fill_up_the_risk_of_their_group() -> None:
    tight = {"risk": {"group_risk_max": D("0.01")}, "sizing": {"risk_fraction": D("0.006")}}
    bench = Bench(settings(levels={"stop_required": False}, **tight))
    made = [
        decision(bench.signal(stop_loss_pct=None, instrument=name)) for name in ("COIN", "THIRD")
    ]
    assert BOUNDS[made[1].sizing.binding] == "group_risk"
    margins = sum(order.notional / order.leverage for order in bench.state.orders.values())
    assert D(99) < margins <= D(100), "a hundredth of equity and no more"


def test_a_take_profit_on_the_wrong_side_is_named() -> None:
    made = decision(Bench().signal(take_profit=D(99)))
    assert made.code == "LEVEL_WRONG_SIDE" and "take-profit 99" in str(made.values)


def test_events_about_what_is_not_held_change_nothing() -> None:
    bench = Bench()
    nothing = [
        FundingReport(bench.now, "main", "COIN", D("0.1"), D(1), D(1), D(1)),
        LevelHit(bench.now, "margin", "main/COIN"),
        LevelHit(bench.now, "silence", "main/COIN"),
        LevelHit(bench.now, "equity", "nobody"),
        OrderReport(bench.now, "gone", "canceled"),
        TimerEvent(bench.now, "health"),
    ]
    for event in nothing:
        assert bench.take(event).facts == ()


def test_silence_marks_a_position_stale_until_its_next_check() -> None:
    bench = Bench()
    bench.open()
    bench.take(LevelHit(bench.now, "silence", "main/COIN", (("COIN", D(100)),)))
    assert bench.state.positions["main/COIN"].stale
    bench.take(TimerEvent(bench.now, "health", (("COIN", D(100)),)))
    assert not bench.state.positions["main/COIN"].stale


def test_what_the_venue_did_without_us_is_booked() -> None:
    bench = Bench()
    report = FillReport(
        bench.now, "foreign", "t9", "main", "COIN", 1, D(2), D(100), D(0), "taker", "entry",
        D(20), D(0), marks=(("COIN", D(100)),),
    )  # fmt: skip
    (filled, *_) = of(bench.take(report), f.Filled)
    position = bench.state.positions["main/COIN"]
    assert position.strategy == filled.strategy == "adopted" and position.quantity == 2
    assert position.leverage == 1 and position.risk == 0


def test_a_fill_without_marks_is_booked_at_its_own_sums() -> None:
    bench = Bench()
    order = submitted(bench.signal(marks=()))
    bench.fill(order, marks=(), fee=D(1))
    assert bench.state.balance == D(9_999)
    assert equity(bench.state) == D(9_999)  # no mark is known: nothing unrealised is invented


def test_funding_received_raises_the_peak() -> None:
    bench = Bench()
    bench.open()
    report = FundingReport(bench.now, "main", "COIN", D("-0.1"), D(100), D(-5), D(50), (
        ("COIN", D(100)),))  # fmt: skip
    bench.take(report)
    assert bench.state.peak == D(10_005)


def test_a_trip_in_the_entrys_own_fill_closes_what_it_opened() -> None:
    chosen = changed(
        settings(breaker={"day_loss": D("0.0001")}),
        strategies={"default": Strategy(sources=("*",), day_loss_action="off")},
    )
    bench = Bench(chosen)
    order = submitted(bench.signal())
    step = bench.fill(order, fee=D(50))
    closing = submitted(step)
    assert closing.reduce_only and closing.closes == order.id and closing.reason == "breaker"


def test_two_trips_in_one_event_close_a_position_once() -> None:
    chosen = settings(
        breaker={"day_loss": D("0.01"), "drawdown_hard": D("0.01"), "drawdown_soft": D(0)},
        risk={"group_risk_max": D(1)},
    )
    bench = Bench(chosen)
    bench.open()
    step = bench.take(LevelHit(bench.now, "equity", "", (("COIN", D(1)),)))
    assert len(of(step, f.BreakerTripped)) == 2 and len(step.commands) == 1


def test_liquidations_trip_once_and_only_where_wanted() -> None:
    for wanted in (True, False):
        bench = Bench(settings(breaker={"liquidation_trips": wanted}))
        bench.open()
        bench.close("99.9", reason="liquidation")
        assert ("liquidation" in bench.state.trips) is wanted
        bench.take(OperatorEvent(bench.now, "halt", "ann"))


def test_cancelling_twice_asks_once() -> None:
    bench = Bench()
    bench.signal(order="limit", limit=D(99))
    assert len(bench.take(OperatorEvent(bench.now, "cancel_all", "ann")).commands) == 1
    assert bench.take(OperatorEvent(bench.now, "cancel_all", "ann")).commands == ()


def test_a_pending_cancel_may_still_fill_and_an_ended_order_never_cancels() -> None:
    bench = Bench()
    order = submitted(bench.signal(order="limit", limit=D(99)))
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    bench.fill(order, "99")
    assert bench.state.positions["main/COIN"].quantity == order.quantity
    assert bench.state.ended[order.id].status is Status.FILLED


def test_positions_show_their_numbers() -> None:
    bench = Bench()
    bench.open(stop="98")
    position = bench.state.positions["main/COIN"]
    (stop,) = protective_orders(position)
    assert stop.working and stop.price == D(98)
    short = changed(position, sign=-1)
    assert short.unrealised(D(99)) == position.quantity
    assert portfolio.health_at(bench.state, changed(position, instrument="FREE"), D(1)) == "ok" if (
        bench.state.instruments.setdefault("FREE", Instrument("FREE"))) else None  # fmt: skip


def test_states_without_money_or_history() -> None:
    empty = State()
    assert drawdown(empty, D(5)) == 0 and day_fraction(empty, D(5)) == 0
    assert strategy_pnl(empty, "nobody") == 0
    assert portfolio.system_metrics(empty).success_rate == 0.0


def test_a_strategy_that_left_the_configuration_keeps_its_position_closable() -> None:
    bench = Bench(changed(Settings(), strategies={"old": Strategy()}))
    bench.open(source="old")
    bench.state.settings = changed(Settings(), strategies={"new": Strategy(sources=("*",))})
    made = decision(bench.signal("close", source="new"))
    assert made.code == "POSITION_OWNED_ELSEWHERE"
    step = bench.take(OperatorEvent(bench.now, "flatten", "ann"))
    assert submitted(step).strategy == "old"


def test_volatility_limits_of_zero_are_off() -> None:
    chosen = settings(
        risk={"volatility_halt": 0.0, "minute_volatility_halt": 0.0},
        leverage={"volatility_factor_min": 1.0},
    )
    bench = Bench(chosen)
    market = Snapshot(bench.now, D(100), D(100), 0, 5.0, 9.0, (("COIN", D(100)),))
    assert decision(bench.signal(market=market)).verdict == "approved"


def test_a_danger_reduction_too_small_for_a_lot_is_left_out() -> None:
    lots = changed(COIN, lot=D(15), quantity_min=D(15))
    bench = Bench(settings(), (lots,))
    bench.open()
    position = bench.state.positions["main/COIN"]
    assert position.quantity == 15
    thin: Any = changed(position, margin=D(20), health="watch")
    bench.state.positions["main/COIN"] = thin
    step = bench.take(TimerEvent(bench.now, "health", (("COIN", D("99.66")),)))
    assert [fact.state for fact in of(step, f.HealthChanged)] == ["danger"]
    assert step.commands == ()


def test_facts_about_what_is_gone_fold_to_nothing() -> None:
    bench = Bench()
    before = state_hash(bench.state)
    for fact in (
        f.CancelRequested("gone", "late"), f.OrderChanged("gone", Status.ACCEPTED),
        f.HealthChanged("main", "COIN", "watch", False, "late"),
        f.CommandRefused("halt", "ann", "no"), f.CommandRepeated("deposit", "ann", "a1", 1),
    ):  # fmt: skip
        apply(bench.state, TimerEvent(bench.now, "health"), fact)
    assert state_hash(bench.state) == before


def test_a_partial_fill_of_an_unknown_order_is_booked_all_the_same() -> None:
    bench = Bench()
    report = FillReport(
        bench.now, "foreign", "t1", "main", "COIN", -1, D(1), D(100), D(0), "taker", "entry",
        D(20), D(3), marks=(("COIN", D(100)),),
    )  # fmt: skip
    bench.take(report)
    assert bench.state.positions["main/COIN"].sign == -1 and bench.state.orders == {}


def test_a_new_configuration_keeps_the_account_and_moves_the_risk_version() -> None:
    bench = Bench()
    bench.open()
    balance, version = bench.state.balance, bench.state.risk_version
    event = ConfigEvent(bench.now, settings(risk={"positions_max": 1}), "c2", ITEMS, "other")
    bench.take(event)
    assert bench.state.balance == balance and bench.state.risk_version == version + 1
    assert (bench.state.config, bench.state.engine_id) == ("c2", "engine")
    assert decision(bench.signal(instrument="OTHER")).code == "POSITIONS_MAX"


def test_a_blocking_trip_leaves_what_the_fill_opened() -> None:
    chosen = changed(
        settings(breaker={"day_loss": D("0.0001"), "day_loss_action": "block"}),
        strategies={"default": Strategy(sources=("*",), day_loss_action="off")},
    )
    bench = Bench(chosen)
    step = bench.fill(submitted(bench.signal()), fee=D(50))
    assert bench.state.trips and step.commands == ()


def test_a_strategys_unpriced_position_adds_nothing() -> None:
    bench = Bench()
    bench.fill(submitted(bench.signal(marks=())), marks=())
    assert strategy_pnl(bench.state, "default") == 0


def test_a_position_at_its_last_warning_has_no_next_one() -> None:
    bench = Bench()
    bench.open()
    position = bench.state.positions["main/COIN"]
    assert portfolio.next_warning(bench.state, changed(position, health="critical")) is None
    bench.state.settings = settings(health={"danger": D(1), "critical": D(1)})
    assert portfolio.next_warning(bench.state, changed(position, health="watch")) is None


def test_checks_that_need_an_instrument_say_so() -> None:
    bench = Bench()
    signal = Signal("x", bench.now, "NOPE", "buy", 0.5, "s")
    case = Case(bench.state, SignalEvent(bench.now, signal, None))
    for row in checks.RISK:
        if row.code in ("SIZE_BELOW_MINIMUM", "NOTIONAL_BELOW_MINIMUM"):
            assert row.limit is not None
            with pytest.raises(LookupError, match="no instrument"):
                row.limit(case)
    with pytest.raises(LookupError, match="no price"):
        checks.data_age(case)


def test_a_close_is_checked_for_its_own_fields_only() -> None:
    bench = Bench()
    bench.open()
    assert decision(bench.signal("close", quantity=D(0))).code == "SIGNAL_INVALID"
    assert decision(bench.signal("close", id="")).code == "SIGNAL_INVALID"
    made = decision(bench.signal("close", confidence=9.0, stop_loss=D(1), stop_loss_pct=D(1)))
    assert made.verdict == "approved"


def test_frozen_trading_stays_frozen_until_it_is_thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.take(OperatorEvent(bench.now, "freeze", "ann"))
    bench.take(OperatorEvent(bench.now, "halt", "ann"))
    assert bench.state.trading == "frozen"
    monkeypatch.setattr(risk, "judge", lambda case: 1 / 0)
    bench.signal()
    assert bench.state.counters.faults == 1 and bench.state.trading == "frozen"
    bench.take(OperatorEvent(bench.now, "thaw", "ann", authorised=True))
    assert bench.state.trading == "halted"


def test_a_fault_beneath_a_freeze_halts_once_it_is_thawed(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    bench.take(OperatorEvent(bench.now, "freeze", "ann"))
    monkeypatch.setattr(risk, "judge", lambda case: 1 / 0)
    bench.signal()
    bench.take(OperatorEvent(bench.now, "thaw", "ann", authorised=True))
    assert bench.state.counters.faults == 1 and bench.state.trading == "halted"


def test_a_day_that_begins_with_a_signal_is_based_on_the_signals_prices() -> None:
    bench = Bench()
    order = bench.open(quantity=D(1))
    bench.now += 86_400_000_000_000
    bench.signal(instrument="OTHER", marks=(("COIN", D(90)), ("OTHER", D(100))))
    assert bench.state.day_equity == 10_000 - 10 * order.quantity
