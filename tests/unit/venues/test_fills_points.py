"""The fill rules on quotes, each case computed by hand from the rules' page."""

from decimal import Decimal as D

import pytest

from tests.unit.venues.market import COIN, PERP, Run, mark_points, quotes, rates, signal

UP = quotes((0, 9999, 10001), (100, 10009, 10011), (200, 10099, 10101), (300, 10199, 10201))
DOWN = quotes((0, 9999, 10001), (100, 9950, 9952), (200, 9890, 9892), (300, 9800, 9802))


@pytest.mark.req("C-10.1", "D-09.7", "E-13.1.2", "P-25.1")
def test_market_orders_take_the_far_side_of_their_row() -> None:
    assert Run(UP, signal(0)).told == [("entry", 0, "100.01")]
    assert Run(UP, signal(0, "sell")).told == [("entry", 0, "99.99")]


@pytest.mark.parametrize(("latency", "ms"), [(0, 0), (1, 100), (100, 100), (101, 200)])
def test_latency_moves_execution_to_the_first_row_not_earlier(latency: int, ms: int) -> None:
    assert Run(UP, signal(0), paper={"latency_ms": latency}).told[0][1] == ms


def test_between_rows_an_order_waits_for_the_next_one() -> None:
    assert Run(UP, signal(150)).told == [("entry", 200, "101.01")]


def test_the_last_row_of_an_instant_is_judged_and_executed_on() -> None:
    series = quotes((0, 9999, 10001), (100, 1000, 1001), (100, 10009, 10011), (200, 10000, 10001))
    assert Run(series, signal(100)).told == [("entry", 100, "100.11")]


def test_no_price_left_expires_the_order_and_later_signals_are_judged_too() -> None:
    run = Run(UP, signal(300), paper={"latency_ms": 1})
    assert run.told == [] and run.reports == [("expired", "no price is left")]
    run = Run(UP, signal(500))
    assert run.state.counters.approved == 1
    assert run.reports == [("expired", "no price is left")]


def test_nothing_known_yet_is_denied() -> None:
    assert Run(UP, signal(-1)).codes == ["PRICE_UNKNOWN"]


def test_slippage_worsens_market_fills_then_rounds_against_us() -> None:
    run = Run(UP, signal(0), signal(100, "close"), paper={"slippage_bps": D(2)})
    # 100.01 x 1.0002 = 100.030002 up; 100.09 x 0.9998 = 100.069982 down
    assert run.told == [("entry", 0, "100.04"), ("signal", 100, "100.06")]


def test_fees_are_rounded_up_at_eight_decimals() -> None:
    fill = Run(UP, signal(0, quantity=D("0.333"))).fills[0]
    assert fill.fee == D("0.01665167")  # 0.333 x 100.01 x 0.0005 = 0.016651665
    assert fill.margin == D("33.30333000")


@pytest.mark.req("E-3.2.2", "T-06.3")
def test_a_stop_fills_at_the_bid_that_reaches_it() -> None:
    run = Run(DOWN, signal(0, stop_loss=D("99.00")))
    assert run.told == [("entry", 0, "100.01"), ("stop_loss", 200, "98.9")]
    run = Run(DOWN, signal(0, stop_loss=D("99.50")))  # touched exactly
    assert run.told[1] == ("stop_loss", 100, "99.5")
    run = Run(UP, signal(0, "sell", stop_loss=D("101.00")))
    assert run.told[1] == ("stop_loss", 200, "101.01")


def test_a_level_is_tested_on_every_row_of_an_instant_after_the_entry() -> None:
    series = quotes((0, 9999, 10001), (0, 9999, 10001), (100, 9000, 9001), (100, 9999, 10001))
    run = Run(series, signal(0, stop_loss=D(95)))
    assert run.told[1] == ("stop_loss", 100, "90")
    same = quotes((0, 9999, 10001), (0, 9000, 9002), (100, 9999, 10001))
    run = Run(same, signal(0, stop_loss=D("89.00")))
    assert run.told == [("entry", 0, "90.02")]


@pytest.mark.req("T-06.3")
def test_a_take_profit_fills_at_the_bid_or_at_its_limit_as_maker() -> None:
    run = Run(UP, signal(0, take_profit=D("100.90")))
    assert run.told[1] == ("take_profit", 200, "100.99")
    run = Run(UP, signal(0, take_profit=D("100.90")), paper={"take_profit_order": "limit"})
    assert run.told[1] == ("take_profit", 200, "100.9")
    assert run.fills[1].liquidity == "maker" and run.fills[1].fee == D("0.02018000")


def test_percentages_count_from_the_fill_and_round_by_purpose() -> None:
    run = Run(UP, signal(0, stop_loss_pct=D("0.333"), take_profit_pct=D("0.333")))
    # 100.01 x 0.99667 = 99.6769667 up to 99.68; x 1.00333 = 100.3430333 up to 100.35
    assert (run.fills[0].stop, run.fills[0].take_profit) == (D("99.68"), D("100.35"))
    run = Run(UP, signal(0, "sell", stop_loss_pct=D("0.333"), take_profit_pct=D("0.333")))
    # 99.99 x 1.00333 = 100.3229667 down to 100.32; x 0.99667 = 99.6570333 down to 99.65
    assert (run.fills[0].stop, run.fills[0].take_profit) == (D("100.32"), D("99.65"))


def test_trailing_follows_the_best_of_the_rows_before() -> None:
    series = quotes((0, 10000, 10001), (100, 10100, 10101), (200, 10060, 10061),
                    (300, 10049, 10051), (400, 9000, 9001))  # fmt: skip
    run = Run(series, signal(0, trailing=D("0.5")))
    assert run.told[1] == ("trailing_stop", 300, "100.49")
    run = Run(series, signal(0, trailing_pct=D("0.4")))  # 0.40004 up to 0.41
    assert run.fills[0].trailing == D("0.41")
    assert run.told[1] == ("trailing_stop", 300, "100.49")


def test_a_row_never_raises_its_own_best() -> None:
    series = quotes((0, 10000, 10001), (100, 11000, 11001), (200, 10951, 10952))
    assert len(Run(series, signal(0, trailing=D("0.5"))).told) == 1
    short = quotes((0, 10000, 10001), (100, 9000, 9001), (200, 9052, 9053))
    assert Run(short, signal(0, "sell", trailing=D("0.5"))).told[1] == (
        "trailing_stop", 200, "90.53",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stop", "reason"), [("99.50", "stop_loss"), ("99.49", "trailing_stop"), ("99.60", "stop_loss")]
)
def test_the_nearer_stop_acts_and_a_tie_is_the_fixed_one(stop: str, reason: str) -> None:
    series = quotes((0, 10000, 10001), (100, 9950, 9951))
    run = Run(series, signal(0, stop_loss=D(stop), trailing=D("0.5")))
    assert run.told[1] == (reason, 100, "99.5")


def test_a_limit_entry_takes_at_the_quote_or_rests_at_its_limit() -> None:
    run = Run(DOWN, signal(0, order="limit", limit=D("100.05")))
    assert run.told == [("entry", 0, "100.01")] and run.fills[0].liquidity == "taker"
    run = Run(DOWN, signal(0, order="limit", limit=D("99.00")), paper={"slippage_bps": D(5)})
    assert run.told == [("entry", 200, "99")] and run.fills[0].liquidity == "maker"
    assert run.reports == [("accepted", "")]


def test_limits_off_the_tick_round_away_from_the_market() -> None:
    run = Run(DOWN, signal(0, order="limit", limit=D("98.929")))
    assert run.told == [("entry", 200, "98.92")]
    run = Run(UP, signal(0, "sell", order="limit", limit=D("100.981")))
    assert run.told == [("entry", 200, "100.99")]


@pytest.mark.parametrize(("expires", "filled"), [(200, True), (199, False)])
def test_a_row_at_the_very_expiry_still_fills(expires: int, filled: bool) -> None:
    run = Run(DOWN, signal(0, order="limit", limit=D("99.00"), expires_ms=expires))
    assert bool(run.told) is filled
    assert ("expired", "expired") in run.reports or filled


def test_a_close_cancels_an_unfilled_entry_or_lapses() -> None:
    run = Run(DOWN, signal(0, order="limit", limit=D("90.00")), signal(50, "close"))
    assert run.told == []
    assert run.reports == [
        ("accepted", ""), ("canceled", ""), ("canceled", "its entry was canceled"),
    ]  # fmt: skip
    late = {"latency_ms": 100}
    run = Run(DOWN, signal(0, stop_loss=D("99.00")), signal(150, "close"), paper=late)
    assert run.told == [("entry", 100, "99.52"), ("stop_loss", 200, "98.9")]
    assert run.reports == [("expired", "nothing left to close")]


def test_an_opposite_signal_is_a_close_and_its_own_fields_are_ignored() -> None:
    run = Run(UP, signal(0), signal(100, "sell", quantity=D(99), stop_loss=D(1)))
    assert run.told == [("entry", 0, "100.01"), ("signal", 100, "100.09")]
    assert run.fills[1].quantity == 1


def test_a_partial_close_goes_down_to_the_lot_and_below_it_is_denied() -> None:
    run = Run(UP, signal(0, quantity=D(5)), signal(100, "close", quantity=D("1.0019")))
    assert run.fills[1].quantity == D("1.001")
    run = Run(UP, signal(0, quantity=D(5)), signal(100, "close", quantity=D("0.0009")))
    assert run.codes == ["SIZE_BELOW_MINIMUM"] and len(run.fills) == 1


def test_a_reversal_is_a_close_and_then_an_entry() -> None:
    run = Run(UP, signal(0), signal(100, "sell", quantity=D(2)), reverse=True)
    assert run.told[1:] == [("signal", 100, "100.09"), ("entry", 100, "100.09")]
    assert run.state.positions["main/COIN"].sign == -1


def test_leverage_above_the_tier_is_rejected_at_the_executing_row() -> None:
    run = Run(UP, signal(0, leverage=D(51)), item=PERP)
    assert run.reports == [("rejected", "leverage 51 above 50 of the tier")]
    run = Run(UP, signal(0, quantity=D(20), leverage=D(11)), item=PERP)
    assert run.reports == [("rejected", "leverage 11 above 10 of the tier")]
    run = Run(UP, signal(0, quantity=D(9), leverage=D(50)), item=PERP)
    assert run.told == [("entry", 0, "100.01")]


LIQUID = quotes((0, 9999, 10001), (100, 9200, 9202), (200, 9100, 9102), (300, 9090, 9092))


@pytest.mark.req("C-08.3")
def test_liquidation_on_the_mid_takes_exactly_the_margin() -> None:
    run = Run(LIQUID, signal(0, leverage=D(10)), item=PERP)
    # W = 10.001; P = (100.01 - 10.001) / 0.99 = 90.9181...: the mid 90.91 of the last row
    assert run.told == [("entry", 0, "100.01"), ("liquidation", 300, "90.91")]
    fill = run.fills[1]
    assert (fill.price - D("100.01")) - fill.fee == -D("10.00100000")
    assert fill.liquidity == "taker"
    assert run.state.balance == 10_000 - run.fills[0].fee - D("10.001")


def test_a_liquidation_price_never_passes_bankruptcy() -> None:
    item = PERP.__class__(**{n: getattr(PERP, n) for n in PERP.__struct_fields__} | {
        "tick": D(25)})  # fmt: skip
    run = Run(LIQUID, signal(0, leverage=D(10)), item=item)
    # entry rounds up to 125, W 12.5, bankrupt at 112.5, liquidated at 113.6: 100 would pass it
    assert run.told[1] == ("liquidation", 100, "125") and run.fills[1].fee == D("12.5")


def test_with_marks_only_marks_liquidate() -> None:
    marks = mark_points((0, 10000), (250, 9000))
    run = Run(LIQUID, signal(0, leverage=D(10)), item=PERP, marks=marks)
    assert run.told[1] == ("liquidation", 250, "90.91")
    run = Run(LIQUID, signal(0, leverage=D(10)), item=PERP, marks=mark_points((0, 10000)))
    assert len(run.told) == 1


def test_funding_is_paid_out_of_the_margin_and_may_liquidate() -> None:
    funding = rates((50, "0.001"), (150, "-0.002"))
    run = Run(LIQUID, signal(0, leverage=D(2)), item=PERP, funding=funding)
    paid = [event for event, _ in run.rows[False] if type(event).__name__ == "FundingReport"]
    assert [event.amount for event in paid] == [D("0.10000000"), D("-0.18402000")]
    assert run.state.counters.funding == D("-0.08402")
    assert run.state.positions["main/COIN"].margin == D("50.005") + D("0.08402")
    run = Run(LIQUID, signal(0, leverage=D(10)), item=PERP, funding=rates((50, "0.1")))
    assert run.told[1][:2] == ("liquidation", 50)


def test_funding_of_a_short_is_received_and_rounded_against_us() -> None:
    series = quotes((0, 9999, 10001), (100, 3333, 3334))
    run = Run(series, signal(0, "sell", quantity=D("0.333")), funding=rates((100, "0.000001")))
    (paid,) = [event for event, _ in run.rows[False] if type(event).__name__ == "FundingReport"]
    # 0.333 x 33.335 x 0.000001 = 0.000011100555 received, down
    assert paid.amount == D("-0.00001110")


def test_open_positions_stay_open_at_the_end_unless_asked() -> None:
    run = Run(UP, signal(0))
    assert len(run.state.positions) == 1
    run = Run(UP, signal(0), close_at_end=True)
    assert run.told[1] == ("end_of_data", 300, "101.99")
    run = Run(UP, signal(0, "sell"), close_at_end=True)
    assert run.told[1] == ("end_of_data", 300, "102.01")


def test_a_coarse_tick_binds_fills_and_never_reaches_zero() -> None:
    item = COIN.__class__(**{n: getattr(COIN, n) for n in COIN.__struct_fields__} | {
        "tick": D(25)})  # fmt: skip
    run = Run(UP, signal(0), signal(100, "close"), item=item)
    assert run.told == [("entry", 0, "125"), ("signal", 100, "100")]
    cheap = quotes((0, 10, 11), (100, 10, 11))
    run = Run(cheap, signal(0, "sell"), item=item)
    assert run.told == [("entry", 0, "25")]


def test_an_order_due_at_once_executes_before_the_next_signal_of_its_time() -> None:
    run = Run(UP, signal(100), signal(100, "close"))
    assert run.told == [("entry", 100, "100.11"), ("signal", 100, "100.09")]
