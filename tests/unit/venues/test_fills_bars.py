"""The fill rules inside bars, each case computed by hand from the rules' page."""

from decimal import Decimal as D

import pytest

from tests.unit.venues.market import PERP, T0, Run, bars, mark_bars, mark_points, rates, signal

MINUTE = 60_000
INSIDE = MINUTE - 1  # ms, cut down from one nanosecond before the bar's end


def plain(*rows: tuple[int, int, int, int]):  # type: ignore[no-untyped-def]
    """Put one calm bar in front, so that a signal at its close enters at the next open."""
    return bars((10000, 10000, 10000, 10000), *rows)


def test_a_signal_at_a_close_enters_at_the_open_of_the_same_time() -> None:
    series = plain((10010, 10020, 9990, 10000), (10000, 10000, 10000, 10000))
    assert Run(series, signal(MINUTE)).told == [("entry", MINUTE, "100.1")]
    late = {"latency_ms": 1}
    assert Run(series, signal(MINUTE), paper=late).told == [("entry", 2 * MINUTE, "100")]


def test_a_signal_inside_a_bar_is_judged_on_the_last_close() -> None:
    series = plain((10010, 10020, 9990, 9999), (10000, 10000, 10000, 10000))
    run = Run(series, signal(MINUTE + 5))
    event = next(e for e, _ in run.rows[False] if type(e).__name__ == "SignalEvent")
    assert (event.market.bid, event.market.ts_ns) == (D(100), T0 + MINUTE * 10**6)
    assert Run(series, signal(MINUTE - 1)).codes == ["PRICE_UNKNOWN"]


@pytest.mark.req("E-3.2.2", "T-06.3")
def test_the_adverse_extreme_comes_first_so_the_stop_wins() -> None:
    series = plain((10000, 10200, 9800, 10000), (10000, 10000, 10000, 10000))
    run = Run(series, signal(MINUTE, stop_loss=D(99), take_profit=D(101)))
    assert run.told == [("entry", MINUTE, "100"), ("stop_loss", MINUTE + INSIDE, "99")]
    run = Run(series, signal(MINUTE, take_profit=D(101)))
    assert run.told[1] == ("take_profit", MINUTE + INSIDE, "101")
    assert run.fills[1].ts_ns == T0 + 2 * MINUTE * 10**6 - 1
    run = Run(series, signal(MINUTE, "sell", stop_loss=D(101), take_profit=D(99)))
    assert run.told[1] == ("stop_loss", MINUTE + INSIDE, "101")


def test_a_gap_through_a_level_fills_at_the_open() -> None:
    series = plain((10000, 10000, 10000, 10000), (9500, 9600, 9400, 9500))
    run = Run(series, signal(MINUTE, stop_loss=D(99)))
    assert run.told[1] == ("stop_loss", 2 * MINUTE, "95")
    series = plain((10000, 10000, 10000, 10000), (10500, 10600, 10400, 10500))
    run = Run(series, signal(MINUTE, take_profit=D(101)))
    assert run.told[1] == ("take_profit", 2 * MINUTE, "105")
    limit = {"take_profit_order": "limit"}
    run = Run(series, signal(MINUTE, take_profit=D(101)), paper=limit)
    assert run.told[1] == ("take_profit", 2 * MINUTE, "101")


def test_a_stop_that_the_entry_open_had_passed_fills_at_that_open() -> None:
    series = plain((9850, 9900, 9800, 9850), (9850, 9850, 9850, 9850))
    run = Run(series, signal(MINUTE, stop_loss=D(99)))
    assert run.told == [("entry", MINUTE, "98.5"), ("stop_loss", MINUTE + INSIDE, "98.5")]


def test_slippage_takes_a_fill_below_the_bars_low() -> None:
    series = plain((10000, 10000, 9900, 10000), (10000, 10000, 10000, 10000))
    run = Run(series, signal(MINUTE, stop_loss=D(99)), paper={"slippage_bps": D(10)})
    assert run.told[1] == ("stop_loss", MINUTE + INSIDE, "98.9")


def test_trailing_counts_earlier_extremes_and_this_bars_open_only() -> None:
    # entry 100; bar 1 high 103 counts from bar 2 on: level 102; bar 2 opens 102.5, low 101
    series = plain((10000, 10300, 9960, 10250), (10250, 10260, 10100, 10200))
    run = Run(series, signal(MINUTE, trailing=D(1)))
    assert run.told[1] == ("trailing_stop", 2 * MINUTE + INSIDE, "102")
    # a higher open raises it: best 104, level 103
    series = plain((10000, 10300, 9960, 10250), (10400, 10900, 10200, 10300))
    run = Run(series, signal(MINUTE, trailing=D(1)))
    assert run.told[1] == ("trailing_stop", 2 * MINUTE + INSIDE, "103")
    # an open at the level fills there
    series = plain((10000, 10300, 9960, 10250), (10150, 10900, 10100, 10300))
    run = Run(series, signal(MINUTE, trailing=D(1)))
    assert run.told[1] == ("trailing_stop", 2 * MINUTE, "101.5")


def test_a_resting_entry_inside_a_bar_is_tested_on_the_adverse_extreme_only() -> None:
    limit = {"order": "limit", "limit": D(99)}
    series = plain((10000, 10500, 9850, 10400), (10400, 10400, 10400, 10400))
    run = Run(series, signal(MINUTE, take_profit=D(102), **limit))
    assert run.told == [("entry", MINUTE + INSIDE, "99"), ("take_profit", 2 * MINUTE, "104")]
    run = Run(series, signal(MINUTE, stop_loss=D("98.60"), **limit))
    assert run.told[1] == ("stop_loss", MINUTE + INSIDE, "98.6")
    run = Run(series, signal(MINUTE, trailing=D("0.3"), **limit))
    assert run.told[1] == ("trailing_stop", MINUTE + INSIDE, "98.7")


def test_that_bars_extremes_never_count_for_the_best() -> None:
    limit = {"order": "limit", "limit": D(99)}
    series = plain((10000, 10500, 9900, 10000), (10000, 10050, 9960, 10000),
                   (10000, 10000, 10000, 10000))  # fmt: skip
    run = Run(series, signal(MINUTE, trailing=D("0.9"), **limit))
    # from 99: bar 2 opens 100, level 99.10; the 105 of the entry bar would have stopped it
    assert len(run.told) == 1


def test_a_bar_that_opens_beyond_a_resting_limit_fills_at_the_limit() -> None:
    series = plain((10000, 10000, 10000, 10000), (9800, 9900, 9700, 9800))
    run = Run(series, signal(MINUTE, order="limit", limit=D(99)))
    assert run.told == [("entry", 2 * MINUTE, "99")] and run.fills[0].liquidity == "maker"


def test_the_inside_of_a_bar_lies_before_an_expiry_at_its_end() -> None:
    series = plain((10000, 10000, 9850, 10000), (10000, 10000, 9850, 10000))
    for expires, filled in ((MINUTE, True), (MINUTE - 1, False)):
        run = Run(series, signal(MINUTE, order="limit", limit=D(99), expires_ms=expires))
        assert bool(run.told) is filled


@pytest.mark.req("C-08.3")
def test_a_stop_before_liquidation_fills_and_equal_means_liquidation() -> None:
    crash = plain((10000, 10000, 8000, 9000), (9000, 9000, 9000, 9000))
    # W 10, liquidated at 90 / 0.99 = 90.909...
    run = Run(crash, signal(MINUTE, leverage=D(10)), item=PERP)
    assert run.told[1] == ("liquidation", MINUTE + INSIDE, "90.9")
    run = Run(crash, signal(MINUTE, leverage=D(10), stop_loss=D("90.91")), item=PERP)
    assert run.told[1] == ("stop_loss", MINUTE + INSIDE, "90.91")
    run = Run(crash, signal(MINUTE, leverage=D(10), stop_loss=D("90.90")), item=PERP)
    assert run.told[1] == ("liquidation", MINUTE + INSIDE, "90.9")
    # W 1, liquidated at 99 / 0.99 = 100 x 0.99... exactly: leverage 100/1.99 is not offered
    exact = signal(MINUTE, leverage=D(25), stop_loss=D("96.97"))
    assert Run(crash, exact, item=PERP).told[1][0] == "stop_loss"


def test_liquidation_at_an_open_beyond_it_is_recorded_at_its_price() -> None:
    series = plain((10000, 10000, 10000, 10000), (8000, 8000, 8000, 8000))
    run = Run(series, signal(MINUTE, leverage=D(10)), item=PERP)
    assert run.told[1] == ("liquidation", 2 * MINUTE, "90.9")
    run = Run(series, signal(MINUTE, leverage=D(10), stop_loss=D(95)), item=PERP)
    assert run.told[1] == ("liquidation", 2 * MINUTE, "90.9")


@pytest.mark.req("C-08.3")
def test_mark_bars_liquidate_instead_of_prices() -> None:
    crash = plain((10000, 10000, 8000, 9000), (9000, 9000, 9000, 9000))
    calm = mark_bars(*((9900, 9900, 9900, 9900),) * 3)
    assert len(Run(crash, signal(MINUTE, leverage=D(10)), item=PERP, marks=calm).told) == 1
    calm_price = plain(*((10000, 10000, 10000, 10000),) * 2)
    fall = mark_bars((10000,) * 4, (10000, 10000, 9000, 10000), (10000,) * 4)
    run = Run(calm_price, signal(MINUTE, leverage=D(10)), item=PERP, marks=fall)
    assert run.told[1] == ("liquidation", MINUTE + INSIDE, "90.9")
    both = Run(crash, signal(MINUTE, leverage=D(10), stop_loss=D(95)), item=PERP, marks=fall)
    assert both.told[1] == ("stop_loss", MINUTE + INSIDE, "95")
    opens = mark_bars((10000,) * 4, (10000,) * 4, (9000, 10000, 9000, 10000))
    run = Run(calm_price, signal(MINUTE, leverage=D(10)), item=PERP, marks=opens)
    assert run.told[1] == ("liquidation", 2 * MINUTE, "90.9")


def test_a_mark_bar_without_a_price_bar_is_tested_alone() -> None:
    series = bars((10000,) * 4, (10000,) * 4, (10000,) * 4, at=(0, 1, 5))
    marks = mark_bars((10000,) * 4, (10000, 10000, 9000, 10000), at=(0, 3))
    run = Run(series, signal(MINUTE, leverage=D(10)), item=PERP, marks=marks)
    assert run.told[1] == ("liquidation", 3 * MINUTE + INSIDE, "90.9")


def test_mark_points_at_the_entry_time_are_not_after_it() -> None:
    series = plain(*((10000,) * 4,) * 3)
    marks = mark_points((MINUTE, 9000), (MINUTE + 10, 9500))
    assert len(Run(series, signal(MINUTE, leverage=D(10)), item=PERP, marks=marks).told) == 1


def test_funding_before_the_first_mark_uses_the_price_and_tests_liquidation_on_it() -> None:
    series = plain((10000, 10000, 9100, 9100), (9100, 9100, 9100, 9100))
    marks = mark_points((10 * MINUTE, 10000))
    run = Run(
        series, signal(MINUTE, leverage=D(10)), item=PERP, marks=marks,
        funding=rates((MINUTE + 30_000, "0.1"), (2 * MINUTE, "0.05")),
    )  # fmt: skip
    assert run.told[1][:2] == ("liquidation", MINUTE + 30_000)
    paid = [e for e, _ in run.rows[False] if type(e).__name__ == "FundingReport"]
    assert paid[0].price == D(100) and paid[0].amount == D(10)


def test_an_adding_fill_raises_the_position_and_its_levels_act_on_the_whole() -> None:
    series = plain((10000,) * 4, (10200,) * 4, (10200, 10200, 9000, 9000))
    run = Run(
        series, signal(MINUTE, stop_loss=D(95)), signal(2 * MINUTE, stop_loss=D(96)), add=True
    )  # fmt: skip
    assert run.told == [
        ("entry", MINUTE, "100"), ("add", 2 * MINUTE, "102"),
        ("stop_loss", 3 * MINUTE + INSIDE, "96"),
    ]  # fmt: skip
    assert run.fills[2].quantity == 2
    assert run.state.balance == 10_000 - 100 - 102 + 2 * 96 - sum(f.fee for f in run.fills)


def test_an_add_inside_a_bar_is_tested_on_that_bars_adverse_extreme() -> None:
    # long at 100; the bar falls to 98: the add at 99 brings a stop at 98.50, which it reaches
    series = plain((10000,) * 4, (10000, 10000, 9800, 9900), (9900, 9900, 9900, 9900))
    add = signal(2 * MINUTE - 1, order="limit", limit=D(99), stop_loss=D("98.50"))
    run = Run(series, signal(MINUTE, stop_loss=D(90)), add, add=True)
    assert run.told == [
        ("entry", MINUTE, "100"), ("add", 2 * MINUTE + INSIDE, "99"),
        ("stop_loss", 2 * MINUTE + INSIDE, "98.5"),
    ]  # fmt: skip
    assert run.fills[2].quantity == 2


def test_two_entries_of_one_bar_trail_from_the_first_ones_limit() -> None:
    # short at 101 and 100.50 in a bar up to 102: the best is 101, the stop 101.10
    first = signal(MINUTE, "sell", order="limit", limit=D(101))
    second = signal(MINUTE, "sell", order="limit", limit=D("100.50"), trailing=D("0.1"))
    series = plain((10000, 10200, 10000, 10100), (10100,) * 4)
    run = Run(series, first, second, add=True)
    assert run.told == [
        ("entry", MINUTE + INSIDE, "101"), ("add", MINUTE + INSIDE, "100.5"),
        ("trailing_stop", MINUTE + INSIDE, "101.1"),
    ]  # fmt: skip


def test_a_stop_that_an_adds_open_had_passed_fills_at_that_open() -> None:
    # long at 100, best 104; the add at the open of 101 trails by 1: 103, passed by that open
    series = plain((10000, 10400, 10000, 10400), (10100, 10100, 10050, 10050), (10050,) * 4)
    run = Run(series, signal(MINUTE), signal(2 * MINUTE, trailing=D(1)), add=True)
    assert run.told[1:] == [
        ("add", 2 * MINUTE, "101"), ("trailing_stop", 2 * MINUTE + INSIDE, "101"),
    ]  # fmt: skip


def test_the_end_of_bars_is_their_last_close() -> None:
    series = plain((10000, 10000, 10000, 10000), (10000, 10100, 10000, 10050))
    run = Run(series, signal(MINUTE), close_at_end=True)
    assert run.told[1] == ("end_of_data", 3 * MINUTE, "100.5")
    run = Run(series, signal(MINUTE, stop_loss=D("99.9")), signal(3 * MINUTE, "close"))
    assert len(run.state.positions) == 1
    assert run.reports == [("expired", "no price is left")]
