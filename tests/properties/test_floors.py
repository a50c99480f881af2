"""The floor search finds what a walk over all instants finds, and keeps finding it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.market import floors, valuation
from cerberus_trader.market.columns import Bars, MarkBars, MarkPoints, Quotes, Trades, to_decimal
from cerberus_trader.market.floors import FloorWatch

KEYS = ["A", "B", "C"]


@pytest.fixture(autouse=True, scope="module", params=[1, 3, 512])
def _small_buckets(request: pytest.FixtureRequest) -> Iterator[None]:
    before = valuation.ROWS_PER_BUCKET, floors.SEARCH_BUCKETS, floors.CHANGES_MAX
    valuation.ROWS_PER_BUCKET = request.param
    if request.param < 512:
        floors.SEARCH_BUCKETS, floors.CHANGES_MAX = 2, 7
    yield
    valuation.ROWS_PER_BUCKET, floors.SEARCH_BUCKETS, floors.CHANGES_MAX = before


def ints(values: list[int]) -> Any:
    return np.array(values, dtype=np.int64)


def increasing(draw: st.DrawFn, least: int) -> list[int]:
    steps = draw(st.lists(st.integers(least, 4), min_size=1, max_size=12))
    start = draw(st.integers(0, 6))
    return [start + sum(steps[:i]) for i in range(len(steps))]


@st.composite
def series(draw: st.DrawFn, mark: bool) -> Any:
    kind = draw(st.sampled_from(["points", "bars"] if mark else ["quotes", "trades", "bars"]))
    price = st.integers(1, 20)
    digits = draw(st.integers(0, 2))
    ts = increasing(draw, 2 if kind == "bars" else 0)
    if kind != "bars":
        first, second = ([draw(price) for _ in ts] for _ in range(2))
        if kind == "quotes":
            return Quotes(ints(ts), ints(first), ints(second), digits)
        return (MarkPoints if mark else Trades)(ints(ts), ints(first), digits)
    ohlc = [sorted(draw(st.tuples(price, price, price, price))) for _ in ts]
    turned = [draw(st.booleans()) for _ in ts]
    low, high = [p[0] for p in ohlc], [p[3] for p in ohlc]
    opens = [p[1 + t] for p, t in zip(ohlc, turned, strict=True)]
    closes = [p[2 - t] for p, t in zip(ohlc, turned, strict=True)]
    columns = [ints(c) for c in (ts, opens, high, low, closes)]
    if mark:
        return MarkBars(*columns, digits, 2)
    return Bars(*columns, ints([0] * len(ts)), digits, 0, 2)


def updates(source: Any) -> list[tuple[int, Decimal]]:
    """List (time, value) in the order in which they become known."""
    if isinstance(source, Bars | MarkBars):
        found = []
        for row, ts in enumerate(source.ts_open.tolist()):
            found.append((ts, 1, to_decimal(int(source.open[row]), source.digits)))
            found.append((ts + 2, 0, to_decimal(int(source.close[row]), source.digits)))
        return [(t, v) for t, _, v in sorted(found, key=lambda f: f[:2])]
    rows = zip(source.ts.tolist(), source.bid.tolist(), source.ask.tolist(), strict=True)
    return [(t, to_decimal(b + a, source.digits) / 2) for t, b, a in rows]


class Walk:
    """Visit every instant, knowing nothing of buckets."""

    def __init__(self, prices: dict[str, Any], marks: dict[str, Any]) -> None:
        self.prices = {k: updates(s) for k, s in prices.items()}
        self.marks = {k: updates(s) for k, s in marks.items()}
        every = [*self.prices.values(), *self.marks.values()]
        self.instants = sorted({t for found in every for t, _ in found})

    def value(self, key: str, t: int) -> Decimal | None:
        for found in (self.marks.get(key, []), self.prices[key]):
            known = [v for ts, v in found if ts <= t]
            if known:
                return known[-1]
        return None

    def total(self, t: int, terms: dict[str, tuple[Decimal, Decimal]], c: Decimal) -> Any:
        for key, (weight, constant) in terms.items():
            value = self.value(key, t)
            if weight and value is None:
                return None
            c += constant + (weight * value if value is not None else 0)
        return c


AMOUNT = st.integers(-60, 60).map(lambda i: Decimal(i) / 4)


@settings(max_examples=150)
@given(
    st.lists(series(mark=False), min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(KEYS), series(mark=True), max_size=2),
    st.data(),
)
def test_the_search_equals_the_walk(many: list[Any], marks: dict[str, Any], data: Any) -> None:
    prices = dict(zip(KEYS, many, strict=False))
    marks = {k: m for k, m in marks.items() if k in prices}
    watch, walk = FloorWatch(prices, marks), Walk(prices, marks)
    terms = {key: (Decimal(0), Decimal(0)) for key in prices}
    constant, now = Decimal(0), 0
    for _ in range(data.draw(st.integers(1, 10))):
        if data.draw(st.booleans()):
            key = data.draw(st.sampled_from(list(prices)))
            terms[key] = (data.draw(AMOUNT), data.draw(AMOUNT))
            watch.set_term(key, *terms[key])
        if data.draw(st.booleans()):
            constant = data.draw(AMOUNT) * 10
            watch.set_constant(constant)
        floor = data.draw(AMOUNT) * 4
        now = data.draw(st.integers(0, now + 20))
        end = data.draw(st.none() | st.integers(now, now + 30))
        hit = watch.next_hit(floor, now, end)
        totals = [
            (t, walk.total(t, terms, constant))
            for t in walk.instants
            if t >= now and (end is None or t < end)
        ]
        first = next(((t, v) for t, v in totals if v is not None and v <= floor), None)
        assert (None if hit is None else (hit.ts, hit.value)) == first
        assert watch.value_at(now) == walk.total(now, terms, constant)
        if hit is not None:
            assert hit.prices == {k: walk.value(k, hit.ts) for k in prices if terms[k][0]}
