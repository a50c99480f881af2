"""Every reason for a denial, at its boundary: the limit itself passes, one step more does not."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain.events import AccountReport, ConfigEvent
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.engine.checks import INTAKE
from cerberus_trader.engine.sizing import BOUNDS
from tests.kit import COIN, ITEMS, SECOND, Bench, changed, decision, settings, submitted

MS = 1_000_000
ROOMY = {
    "positions_max": 10, "position_exposure_max": D(50), "group_exposure_max": D(50),
    "gross_exposure_max": D(50), "group_risk_max": D(1),
}  # fmt: skip


def verdict(bench: Bench, *arguments: Any, **fields: Any) -> str:
    made = decision(bench.signal(*arguments, **fields))
    return made.code or made.verdict


@pytest.mark.req("C-03.2", "D-03.1", "E-7.1.2", "E-2.2.1", "E-7.1.3", "D-09.1", "C-17.1", "T-13.1")
def test_a_good_signal_is_approved_and_submits_one_order() -> None:
    bench = Bench()
    step = bench.signal()
    made = decision(step)
    assert (made.verdict, made.code, made.action, made.failed) == ("approved", "", "entry", ())
    order = submitted(step)
    assert order.id == made.order_id and order.signal_id == made.signal_id
    assert order.quantity == made.sizing.quantity and order.leverage == made.leverage.granted


@pytest.mark.req("C-03.2", "D-09.2")
def test_all_checks_run_and_are_recorded_also_after_a_failure() -> None:
    made = decision(Bench().signal(instrument="NOPE", confidence=2.0, market=None))
    assert len(made.values) == len(INTAKE)
    codes = [INTAKE[index].code for index in made.failed]
    assert codes[:4] == ["SIGNAL_INVALID", "INSTRUMENT_UNKNOWN", "PRICE_UNKNOWN", "PRICE_STALE"]
    assert made.code == "SIGNAL_INVALID" and made.leverage is None


def test_a_check_that_raises_counts_as_failed() -> None:
    made = decision(Bench().signal(market=None))
    spread = [check.code for check in INTAKE].index("SPREAD_WIDE")
    assert spread in made.failed and made.values[spread] == "LookupError"


INTAKE_EDGES = [
    ("SIGNAL_STALE", {"ts_ns": -10_000 * MS}, {"ts_ns": -10_001 * MS}),
    ("SIGNAL_FUTURE", {"ts_ns": 1_000 * MS}, {"ts_ns": 1_001 * MS}),
    ("CONFIDENCE_LOW", {"confidence": 0.3}, {"confidence": 0.29}),
    ("VOLUME_LOW", {"volume": D(1000)}, {"volume": D(999)}),
    ("METADATA_LONG", {"metadata": "x" * 100}, {"metadata": "x" * 101}),
]


@pytest.mark.req("D-09.14", "T-14.1")
@pytest.mark.parametrize(("code", "good", "bad"), INTAKE_EDGES)
def test_intake_limits_at_their_boundary(code: str, good: dict, bad: dict) -> None:
    limits = settings(
        intake={"confidence_min": 0.3, "volume_min": D(1000), "metadata_bytes_max": 100},
        sizing={"volume_share_max": D(0)},
    )
    for fields, expected in ((good, "approved"), (bad, code)):
        bench = Bench(limits)
        fields = {"volume": D(10**6), **fields}
        if "ts_ns" in fields:
            fields["ts_ns"] += bench.now
        assert verdict(bench, **fields) == expected


@pytest.mark.req("D-09.14")
def test_unreported_volume_is_denied_where_a_minimum_is_asked() -> None:
    assert verdict(Bench(settings(intake={"volume_min": D(1)}))) == "VOLUME_LOW"


@pytest.mark.req("D-09.14")
@pytest.mark.parametrize(
    ("age_ms", "interval_ms", "expected"),
    [(10_000, 0, "approved"), (10_001, 0, "PRICE_STALE"), (310_000, 300_000, "approved"),
     (310_001, 300_000, "PRICE_STALE")],
)  # fmt: skip
def test_price_age_counts_a_bar_from_its_close(age_ms: int, interval_ms: int, expected: str):
    bench = Bench()
    market = Snapshot(
        bench.now - age_ms * MS, D(100), D(100), interval_ms * MS, 0.05, 0.05, (("COIN", D(100)),)
    )
    assert verdict(bench, market=market) == expected


@pytest.mark.req("D-09.14")
def test_spread_and_volatility_limits_at_their_boundary() -> None:
    for ask, expected in ((D("100.50125"), "approved"), (D("100.5126"), "SPREAD_WIDE")):
        bench = Bench()
        market = Snapshot(bench.now, D(100), ask, 0, 0.05, 0.05, (("COIN", D(100)),))
        assert verdict(bench, market=market) == expected
    crossed = Bench()
    market = Snapshot(crossed.now, D(101), D(100), 0, 0.05, 0.05, (("COIN", D(100)),))
    assert verdict(crossed, market=market) == "approved"


@pytest.mark.req("E-8.3.1", "C-05.4", "D-09.14")
def test_volatility_halts_at_its_level() -> None:
    fast = settings(leverage={"volatility_factor_min": 1.0})
    for sigma, minute, expected in (
        (0.6, 1.5, "approved"), (0.6001, 0.1, "VOLATILITY_HIGH"),
        (0.1, 1.5001, "VOLATILITY_MINUTE_HIGH"),
    ):  # fmt: skip
        bench = Bench(fast)
        market = Snapshot(bench.now, D(100), D(100), 0, sigma, minute, (("COIN", D(100)),))
        assert verdict(bench, market=market) == expected


def test_sources_strategies_and_instruments() -> None:
    chosen = changed(
        Settings(),
        strategies={
            "one": Strategy(sources=("feed",)),
            "off": Strategy(status="paused"),
            "narrow": Strategy(instruments=("OTHER",)),
        },
    )
    assert verdict(Bench(chosen), source="stranger") == "SOURCE_UNKNOWN"
    assert verdict(Bench(chosen), source="feed") == "approved"
    assert verdict(Bench(chosen), source="one") == "approved"
    assert verdict(Bench(chosen), source="off") == "STRATEGY_INACTIVE"
    assert verdict(Bench(chosen), source="narrow") == "STRATEGY_INSTRUMENT"
    assert verdict(Bench(chosen), source="narrow", instrument="OTHER") == "approved"
    assert verdict(Bench(chosen), source="feed", instrument="NOPE") == "INSTRUMENT_UNKNOWN"
    assert verdict(Bench(chosen), source="feed", market=None) == "PRICE_UNKNOWN"


def test_one_way_places() -> None:
    chosen = changed(Settings(), strategies={"a": Strategy(), "b": Strategy()})
    bench = Bench(chosen)
    bench.open(source="a")
    assert verdict(bench, source="a") == "POSITION_SAME_SIDE"
    assert verdict(bench, source="b") == "POSITION_OWNED_ELSEWHERE"
    assert verdict(bench, "close", source="b") == "POSITION_OWNED_ELSEWHERE"
    assert verdict(bench, "close", source="a", instrument="OTHER") == "POSITION_NONE"
    assert verdict(bench, "close", source="a") == "approved"
    assert verdict(bench, "close", source="a") == "POSITION_CLOSING"
    assert verdict(bench, "sell", source="a") == "POSITION_CLOSING"


@pytest.mark.parametrize("asked", [{}, {"quantity": D(19)}])
def test_our_own_close_of_a_part_does_not_hold_up_the_close_of_the_rest(
    asked: dict[str, Any],
) -> None:
    """On paper a second signal to close is denied; what the engine closes of itself is none."""
    bench = Bench()
    bench.open()
    assert submitted(bench.signal("close", quantity=D(5))).quantity == 5
    assert verdict(bench, "close") == "POSITION_CLOSING"
    bench = Bench()
    held = bench.open(stop="98")
    stop = VenueOrder(held.id[:-1] + "s", "COIN", -1, D(15), "working", D(0), D(98), True)
    theirs = VenuePosition("COIN", 1, held.quantity, D(2000), D(200), D(10))
    for _ in range(2):
        bench.now += 10 * SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (stop,), (theirs,)))
    assert verdict(bench) == "POSITION_SAME_SIDE"
    assert submitted(bench.signal("close", **asked)).quantity == 15, "no more than what is left"
    assert verdict(bench, "close") == "POSITION_CLOSING", "all of it is on its way"


def test_an_exit_needs_no_price() -> None:
    bench = Bench()
    bench.open()
    assert verdict(bench, "buy", market=None) == "PRICE_UNKNOWN"
    step = bench.signal("close", market=None)
    assert submitted(step).reduce_only and decision(step).verdict == "approved"


def test_a_working_entry_holds_its_place_too() -> None:
    bench = Bench()
    entry = submitted(bench.signal(order="limit", limit=D(99)))
    assert verdict(bench) == "POSITION_SAME_SIDE"
    step = bench.signal("sell")
    assert decision(step).action == "close"
    assert submitted(step).closes == entry.id and submitted(step).reduce_only


@pytest.mark.req("D-09.2", "E-2.2.3", "E-3.1.1")
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop_loss": D(100), "stop_loss_pct": None}, "LEVEL_WRONG_SIDE"),
        ({"stop_loss": D(101), "stop_loss_pct": None}, "LEVEL_WRONG_SIDE"),
        ({"stop_loss": D("99.991"), "stop_loss_pct": None}, "LEVEL_WRONG_SIDE"),  # rounds to 100
        ({"stop_loss": D("99.99"), "stop_loss_pct": None}, "approved"),
        ({"take_profit": D(100)}, "LEVEL_WRONG_SIDE"),
        ({"take_profit": D("100.001")}, "approved"),  # rounds away, to 100.01
        ({"stop_loss": D(1), "stop_loss_pct": D(1)}, "SIGNAL_INVALID"),
    ],
)
def test_levels_on_the_wrong_side_are_denied_after_rounding(fields: dict, expected: str) -> None:
    free = settings(risk=ROOMY | {"position_exposure_max": D(5)})
    assert verdict(Bench(free), **fields) == expected


def test_a_limit_entry_is_judged_at_its_limit() -> None:
    bench = Bench()
    assert verdict(
        bench, order="limit", limit=D(98), stop_loss=D(99), stop_loss_pct=None
    ) == "LEVEL_WRONG_SIDE"  # fmt: skip


@pytest.mark.req("D-09.14")
def test_a_stop_beyond_liquidation_is_denied() -> None:
    wide = settings(
        risk=ROOMY, leverage={"stop_multiple": 1.0, "liquidation_buffer": 0.0, "cap": D(255)}
    )
    made = decision(Bench(wide).signal(stop_loss_pct=D(20), confidence=0.9, leverage=D(4)))
    assert made.verdict == "approved"
    tight = changed(COIN, tiers=(changed(COIN.tiers[0], rate=D("0.1"), cap=D(10**9)),))
    bench = Bench(wide, (tight,))
    made = decision(bench.signal(stop_loss=D("81.5"), stop_loss_pct=None, leverage=D(4)))
    assert made.verdict == "approved"


RISK_EDGES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("NOTIONAL_BELOW_MINIMUM", {"quantity": D("0.05")}, {"quantity": D("0.049")}),
    ("SIZE_BELOW_MINIMUM", {"quantity": D("0.05")}, {"quantity": D("0.0009")}),
    ("LEVERAGE_NONE", {"leverage": D(1)}, {"leverage": D("0.99")}),
]


@pytest.mark.req("D-09.14", "E-3.1.1")
@pytest.mark.parametrize(("code", "good", "bad"), RISK_EDGES)
def test_minima_at_their_boundary(code: str, good: dict, bad: dict) -> None:
    assert verdict(Bench(), **good) == "approved"
    assert verdict(Bench(), **bad) == code


@pytest.mark.parametrize(("age_ms", "code"), [(499, "approved"), (500, "SIGNAL_EXPIRED")])
def test_a_signal_whose_time_has_passed_is_denied(age_ms: int, code: str) -> None:
    """It was approved, and its order held back at the gate."""
    bench = Bench()
    asked: dict[str, Any] = {"order": "limit", "limit": D(100), "ts_ns": bench.now - age_ms * MS}
    assert verdict(bench, expires_ms=500, **asked) == code
    assert verdict(Bench(), **asked) == "approved"


@pytest.mark.req("E-3.2.1", "D-09.14")
def test_nothing_is_opened_while_the_worth_of_what_is_held_is_not_known() -> None:
    """After a start one feed may be silent: what its position has lost meanwhile nobody knows."""
    bench, seen = Bench(settings(risk={"group_risk_max": D(1)})), (("OTHER", D(100)),)
    bench.open()
    assert verdict(bench, instrument="OTHER", marks=seen) == "EQUITY_UNKNOWN"
    assert verdict(bench, "close", marks=()) == "approved"
    assert verdict(bench, instrument="OTHER", marks=(("COIN", D(99)), *seen)) == "approved"


@pytest.mark.parametrize("sessions", [(), ("sun 00:00-00:01",)])
def test_what_cannot_be_priced_holds_up_nothing(sessions: tuple[str, ...]) -> None:
    """A market that is closed gives no prices; what left the configuration never does."""
    bench = Bench(settings(risk={"group_risk_max": D(1)}))
    bench.open()
    others = [item for item in ITEMS if item.name != "COIN"]
    others += [changed(COIN, sessions=sessions)] if sessions else []
    bench.take(ConfigEvent(bench.now, bench.state.settings, "c2", tuple(others)))
    marks = (("OTHER", D(100)),)
    assert verdict(bench, instrument="OTHER", marks=marks) == "approved"


@pytest.mark.req("D-09.14", "E-3.1.1")
def test_a_spot_instrument_is_not_sold_without_being_held() -> None:
    spot = changed(COIN, kind="spot", tiers=())
    free = {"lift_all": True}
    for risk in ({}, free):
        bench = Bench(settings(risk=risk), (spot,))
        assert verdict(bench, "sell", leverage=D(1)) == "SPOT_SHORT"
        assert verdict(bench, leverage=D(1)) == "approved"
    reversing = settings(strategies={"s": Strategy(reverse=True)})
    bench = Bench(reversing, (spot,))
    bench.open(source="s", leverage=D(1))
    made = decision(bench.signal("sell", source="s", leverage=D(1)))
    assert (made.verdict, made.action) == ("approved", "close"), "what is held may be sold"


@pytest.mark.req("C-08.4", "T-07.3", "D-09.14")
def test_concurrent_positions_over_all_and_per_strategy() -> None:
    bench = Bench(settings(risk={"positions_max": 2, "group_risk_max": D(1)}))
    bench.open(instrument="COIN")
    bench.signal(instrument="OTHER")  # a working order takes a place as well
    assert verdict(bench, instrument="THIRD") == "POSITIONS_MAX"
    chosen = changed(
        settings(risk={"group_risk_max": D(1)}), strategies={"s": Strategy(positions_max=1)}
    )
    bench = Bench(chosen)
    bench.open(source="s")
    assert verdict(bench, source="s", instrument="OTHER") == "STRATEGY_POSITIONS_MAX"


@pytest.mark.req("E-3.1.2", "E-3.1.3", "T-07.3", "D-09.14", "E-5.3.2")
@pytest.mark.parametrize(
    ("limit", "value", "notional"),
    [
        ("position_exposure_max", D("0.5"), D(5_000)),
        ("group_exposure_max", D("0.4"), D(4_000)),
        ("gross_exposure_max", D("0.3"), D(3_000)),
        ("order_notional_max", D(1_234), D(1_234)),
        ("group_risk_max", D("0.0025"), D(1_000)),
    ],
)
def test_exposure_limits_bound_the_size_exactly(limit: str, value: D, notional: D) -> None:
    chosen = settings(
        risk=ROOMY | {limit: value},
        sizing={"risk_fraction": D("0.5"), "methods": ("risk",), "slippage_allowance": D("0.004")},
        leverage={"cap": D(255)},
    )
    made = decision(Bench(chosen).signal(confidence=0.9, stop_loss_pct=D(2)))
    assert made.verdict == "approved"
    assert made.sizing.notional <= notional
    assert made.sizing.notional > notional - COIN.lot * 100


@pytest.mark.req("E-3.1.2", "C-05.5", "D-09.14")
def test_open_working_and_unknown_exposure_share_one_limit() -> None:
    chosen = settings(risk=ROOMY | {"group_exposure_max": D("0.25"), "positions_max": 3})
    bench = Bench(chosen)
    bench.open()
    held = bench.state.positions["main/COIN"].cost
    working = submitted(bench.signal(instrument="THIRD")).notional
    assert held + working <= D(2_500)
    made = decision(bench.signal(instrument="OTHER"))
    assert made.verdict == "approved"  # another group has its own room
    again = decision(bench.signal("buy", instrument="THIRD", source="x"))
    assert again.code == "POSITION_SAME_SIDE"


@pytest.mark.req("E-3.1.3")
def test_gross_exposure_counts_over_all_groups() -> None:
    chosen = settings(risk=ROOMY | {"gross_exposure_max": D("0.2")})
    bench = Bench(chosen)
    bench.open()
    made = decision(bench.signal(instrument="OTHER"))
    total = bench.state.positions["main/COIN"].cost + made.sizing.notional
    assert total <= D(2_000)


@pytest.mark.req("D-09.14")
def test_halted_and_tripped_states_deny_entries_and_let_exits_pass() -> None:
    bench = Bench()
    bench.open()
    bench.state.trading = "halted"
    assert verdict(bench, instrument="OTHER") == "TRADING_HALTED"
    assert verdict(bench, "close") == "approved"


def test_an_old_close_on_an_old_price_still_closes() -> None:
    bench = Bench()
    bench.open()
    market = Snapshot(bench.now - 3_600 * SECOND, D(90), D(99), 0, 9.0, 9.0, ())
    made = decision(bench.signal("close", ts_ns=bench.now - 3_600 * SECOND, market=market))
    assert made.verdict == "approved" and made.action == "close"


@pytest.mark.req("D-02.1")
def test_research_without_a_quantity_is_bound_by_nothing_but_free_margin() -> None:
    many = {"risk": {"lift_all": True}, "leverage": {"fractional": True, "cap": D(255)}}
    bench = Bench(settings(**many, sizing={"risk_fraction": D(9), "methods": ("risk",)}))
    step = bench.signal(leverage=D("0.5"))
    order, size = submitted(step), decision(step).sizing
    assert order.leverage == D("0.5"), "a fraction below one is granted as asked"
    bounds = dict(zip(BOUNDS, size.bounds, strict=True))
    assert BOUNDS[size.binding] == "margin" and bounds["risk"] > size.notional
    assert not any(bounds[name] for name in ("position", "group", "gross", "group_risk"))


@pytest.mark.req("D-02.1")
def test_research_lifts_limits_but_not_the_rules_of_the_market() -> None:
    free = settings(
        risk={"lift_all": True}, sizing={"obey_quantity": True},
        leverage={"fractional": True}, levels={"stop_required": False},
    )  # fmt: skip
    bench = Bench(free)
    step = bench.signal(
        quantity=D("12.3456"), leverage=D("2.5"), stop_loss_pct=None, ts_ns=bench.now - 10**15
    )
    order = submitted(step)
    assert (order.quantity, order.leverage) == (D("12.345"), D("2.5"))
    assert order.bracket is not None and order.bracket.stop_pct is None
    assert verdict(bench) == "POSITION_SAME_SIDE"
    assert verdict(bench, instrument="NOPE") == "INSTRUMENT_UNKNOWN"
    assert verdict(
        bench, instrument="OTHER", quantity=D(1), stop_loss=D(101), stop_loss_pct=None
    ) == "LEVEL_WRONG_SIDE"  # fmt: skip
