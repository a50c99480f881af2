"""Participation: at most a share of a row's size or a bar's volume fills; parts add up exactly."""

from decimal import Decimal as D

import numpy as np

from cerberus_trader.market.columns import Bars, Quotes
from tests.unit.venues.market import BAR, MS, T0, Run, signal

HALF = {"participation_max": D("0.5")}


def sized(*rows: tuple[int, int, int, int]) -> Quotes:
    """Make quotes from (ms, bid cents, ask cents, size on both sides)."""
    ts, bid, ask, size = (np.array(col, dtype=np.int64) for col in zip(*rows, strict=True))
    return Quotes(T0 + ts * MS, bid, ask, 2, size, size, 0)


ROWS = sized((0, 9999, 10001, 2), (100, 10009, 10011, 4), (200, 10019, 10021, 20),
             (300, 9899, 9901, 2), (400, 9799, 9801, 20))  # fmt: skip


def parts(run: Run) -> list[tuple[str, int, str, str]]:
    return [
        (fill.reason, (fill.ts_ns - T0) // MS, f"{fill.quantity.normalize():f}", str(fill.price))
        for fill in run.fills
    ]


def test_a_market_order_fills_part_by_part_at_each_rows_price() -> None:
    run = Run(ROWS, signal(0, quantity=D(5)), paper=HALF)
    assert parts(run) == [
        ("entry", 0, "1", "100.01"), ("entry", 100, "2", "100.11"), ("entry", 200, "2", "100.21"),
    ]  # fmt: skip
    position = run.state.positions["main/COIN"]
    assert position.quantity == 5 and position.cost == D("100.01") + 2 * D("100.11") + (
        2 * D("100.21")
    )
    assert len({fill.trade_id for fill in run.fills}) == 3
    assert [fill.leaves for fill in run.fills] == [D(4), D(2), D(0)]
    assert run.state.reserved == {} and run.state.entries == {}


def test_percentages_count_from_the_average_entry_and_levels_act_on_the_whole() -> None:
    run = Run(ROWS, signal(0, quantity=D(5), stop_loss_pct=D(1)), paper=HALF)
    average = (D("100.01") + 2 * D("100.11") + 2 * D("100.21")) / 5
    assert run.fills[2].stop == D("99.13") >= average * D("0.99")
    # the stop triggers at 300 where one unit fills, the rest follows at the next row
    assert parts(run)[3:] == [("stop_loss", 300, "1", "98.99"), ("stop_loss", 400, "4", "97.99")]
    assert run.state.positions == {} and run.state.orders == {}


def test_a_close_goes_on_until_it_is_done() -> None:
    run = Run(ROWS, signal(200, quantity=D(8)), signal(250, "close", quantity=None), paper=HALF)
    assert parts(run) == [
        ("entry", 200, "8", "100.21"), ("signal", 300, "1", "98.99"),
        ("signal", 400, "7", "97.99"),
    ]  # fmt: skip
    assert run.state.closings == {}


def test_what_no_row_can_fill_expires_at_the_end() -> None:
    run = Run(ROWS, signal(300, quantity=D(50)), paper=HALF)
    assert parts(run) == [("entry", 300, "1", "99.01"), ("entry", 400, "10", "98.01")]
    assert run.reports == [("expired", "no price is left")]
    assert run.state.positions["main/COIN"].quantity == 11 and run.state.reserved == {}


def test_a_limit_fills_its_share_of_each_row_that_reaches_it() -> None:
    run = Run(ROWS, signal(0, quantity=D(9), order="limit", limit=D("99.01")), paper=HALF)
    assert parts(run) == [("entry", 300, "1", "99.01"), ("entry", 400, "8", "99.01")]
    assert all(fill.liquidity == "maker" for fill in run.fills)


def test_a_bar_gives_its_share_once() -> None:
    rows = ((10000, 10000, 10000, 10000), (10000, 10100, 9900, 10000), (10000,) * 4)
    columns = [np.array(col, dtype=np.int64) for col in zip(*rows, strict=True)]
    ts = T0 + np.arange(3, dtype=np.int64) * BAR
    series = Bars(ts, *columns, np.array([4, 4, 4], dtype=np.int64), 2, 0, BAR)
    run = Run(series, signal(60_000, quantity=D(3)), paper=HALF)
    assert parts(run) == [("entry", 60_000, "2", "100.00"), ("entry", 120_000, "1", "100.00")]


def test_without_sizes_nothing_is_held_back() -> None:
    plain = Quotes(ROWS.ts, ROWS.bid, ROWS.ask, 2)
    assert len(Run(plain, signal(0, quantity=D(5)), paper=HALF).fills) == 1


def test_a_stop_in_the_middle_of_an_entry_cancels_the_rest_of_it() -> None:
    rows = sized((0, 9999, 10001, 2), (100, 9799, 9801, 2), (200, 9799, 9801, 20))
    run = Run(rows, signal(0, quantity=D(9), stop_loss=D(99)), paper=HALF)
    assert parts(run)[:2] == [("entry", 0, "1", "100.01"), ("stop_loss", 100, "1", "97.99")]
    assert run.state.positions == {} and run.state.orders == {} and run.state.reserved == {}
