"""The synthetic market is legal, repeatable, and holds what the demonstration needs."""

import numpy as np
import pytest

from cerberus_trader.instruments import built_in
from cerberus_trader.replay import demo_market as dm
from cerberus_trader.replay.tape import Tape


@pytest.fixture(scope="module")
def market() -> dict[str, dm.History]:
    return dm.make_market(7)


def test_equal_seeds_give_equal_markets_and_others_do_not(market: dict[str, dm.History]) -> None:
    again, other = dm.make_market(7), dm.make_market(8)
    for name, item in market.items():
        assert (item.bars.close == again[name].bars.close).all()
        assert (item.funding.rate == again[name].funding.rate).all()
        assert (item.bars.close != other[name].bars.close).any()


def test_every_coin_is_a_built_in_instrument_priced_on_its_tick(
    market: dict[str, dm.History],
) -> None:
    known = built_in()
    assert set(market) == {coin.name for coin in dm.COINS}
    for name, item in market.items():
        tape = Tape(known[name], item.bars, item.marks, item.funding)
        assert tape.quantum == known[name].tick
        assert tape.rows == dm.DAYS * 288 - dm.OUTAGE_MINUTES // 5


def test_bars_join_and_the_outage_is_a_gap(market: dict[str, dm.History]) -> None:
    for item in market.values():
        bars = item.bars
        assert len(bars.gaps) == 1
        before, after = bars.gaps[0]
        assert after - before == dm.BAR_NS + dm.OUTAGE_MINUTES * dm.MINUTE_NS
        next_to = np.diff(bars.ts_open) == dm.BAR_NS
        assert (bars.close[:-1][next_to] == bars.open[1:][next_to]).all()


def test_the_crash_is_deep_and_recovers_in_part(market: dict[str, dm.History]) -> None:
    at = dm.START_NS + (dm.CRASH_DAY * dm.DAY_MINUTES + dm.CRASH_MINUTE) * dm.MINUTE_NS
    for item in market.values():
        row = int(item.bars.ts_open.searchsorted(at))
        start, low = int(item.bars.open[row]), int(item.bars.low[row : row + 30].min())
        later = int(item.bars.close[row + 90])
        assert low < 0.8 * start
        assert low < later < start
        assert item.marks.low[row : row + 30].min() > low


def test_funding_is_paid_every_eight_hours_with_both_signs(market: dict[str, dm.History]) -> None:
    for item in market.values():
        assert set(np.diff(item.funding.ts).tolist()) == {8 * dm.HOUR_NS}
        assert item.funding.rate.min() < 0 < item.funding.rate.max()


def test_a_short_market_has_no_crash() -> None:
    assert all(len(item.bars) == 10 * 288 for item in dm.make_market(7, days=10).values())


def test_calls_are_long_at_30x_without_a_stop_and_know_only_closed_bars(
    market: dict[str, dm.History],
) -> None:
    calls = dm.crowd_calls(market)
    assert calls == dm.crowd_calls(market) and len({call.id for call in calls}) == len(calls)
    assert [call.ts_ns for call in calls] == sorted(call.ts_ns for call in calls)
    for call in calls:
        assert not call.faults() and call.side == "buy" and call.leverage == 30
        assert call.stop_loss is None and call.stop_loss_pct is None
        assert call.ts_ns % dm.BAR_NS == 0
    crash = dm.START_NS // dm.HOUR_NS // 24 + dm.CRASH_DAY
    assert sum(call.ts_ns // (24 * dm.HOUR_NS) == crash for call in calls) > 10
    # what a call says of the past is what the bars up to it say
    chased = next(call for call in calls if '"dip"' in call.metadata)
    bars = market[chased.instrument].bars
    row = int(bars.ts_open.searchsorted(chased.ts_ns - dm.BAR_NS))
    change = bars.close[row] / bars.close[row - 12] - 1
    assert f'"hour_pct":{change * 100:.2f}' in chased.metadata and change < -0.04
