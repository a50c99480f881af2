"""The live market: last prices, marks, snapshots, streaming volatility."""

import random

import numpy as np

from cerberus_trader.market.columns import Quotes
from cerberus_trader.market.volatility import MinuteSeries, SigmaSeries
from cerberus_trader.runtime.prices import CLOSE, INSIDE, POINT, Line, LiveMarket, StreamSigma, Tick
from tests.kit import NOON, SECOND, D

MINUTE = 60 * SECOND


def point(bid: str, ask: str, ts: int, **fields: object) -> Tick:
    return Tick("COIN", POINT, D(bid), D(ask), ts, **fields)  # type: ignore[arg-type]


def test_quotes_are_valued_at_their_mid_until_marks_come() -> None:
    market = LiveMarket()
    assert market.mark("COIN") is None and market.snapshot("COIN", NOON, ()) is None
    market.take(point("99", "101", NOON), NOON)
    assert market.mark("COIN") == D(100)
    market.take(point("99", "101", NOON + 1, mark=D(90)), NOON + 1)
    market.take(point("109", "111", NOON + 2), NOON + 2)
    assert market.mark("COIN") == D(90) and market.lines["COIN"].marked
    found = market.snapshot("COIN", NOON + 3, ["COIN", "NONE"])
    assert found is not None
    assert (found.ts_ns, found.bid, found.ask, found.interval_ns) == (NOON + 2, D(109), D(111), 0)
    assert found.marks == (("COIN", D(90)),)
    assert market.marks((), "COIN") == (("COIN", D(90)),)


def test_bars_are_judged_on_their_last_close_and_valued_at_open_then_close() -> None:
    market = LiveMarket()
    market.add("COIN", Line(MINUTE))
    line = market.take(point("10", "10", NOON), NOON)
    assert line.mark == D(10) and line.price is None
    end = NOON + MINUTE
    bar = (D(10), D(12), D(9))
    market.take(Tick("COIN", INSIDE, D(10), D(10), end - 1, bar), end - 1)
    assert line.mark == D(10) and line.point_ns == NOON
    market.take(Tick("COIN", CLOSE, D(11), D(11), end), end)
    assert line.mark == D(11)
    found = market.snapshot("COIN", end + 5, ())
    assert found is not None and (found.ts_ns, found.bid, found.interval_ns) == (end, D(11), MINUTE)


def test_a_price_from_the_future_is_known_now() -> None:
    market = LiveMarket()
    market.take(point("1", "1", NOON + 9), NOON)
    found = market.snapshot("COIN", NOON, ())
    assert found is not None and found.ts_ns == NOON


def test_streamed_volatility_is_that_of_the_whole_history() -> None:
    r = random.Random(7)
    ts = NOON + np.cumsum([r.choice([1, 5, 40]) * SECOND for _ in range(2_000)], dtype=np.int64)
    bid = 10_000 + np.cumsum([r.choice([-3, 0, 4]) for _ in range(2_000)], dtype=np.int64)
    quotes = Quotes(ts, bid, bid + 2, 2)
    wide, minute, stream = SigmaSeries(quotes), MinuteSeries(quotes), StreamSigma()
    known = 0
    for row in range(len(ts)):
        now = int(ts[row])
        stream.update(now, D(int(bid[row])) / 100, D(int(bid[row]) + 2) / 100)
        if row % 97 == 0:
            expected = (wide.at(now + 7), minute.at(now + 7))
            assert stream.at(now + 7) == expected
            known += expected[0] > 0
    assert known > 10
