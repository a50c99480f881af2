"""The breakout head on every real memecoin series, guarded by the default settings."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cerberus_trader.domain.events import ConfigEvent, Event
from cerberus_trader.domain.facts import Fact, Faulted, Filled, SignalJudged
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.state import equity
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.instruments import built_in
from cerberus_trader.market.columns import Bars
from cerberus_trader.market.volatility import MinuteSeries, SigmaSeries
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.heads import MergedSignals, drain, drive, heads_on
from cerberus_trader.replay.lookahead import check_lookahead
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices
from cerberus_trader.replay.tape import Tape

DATA = Path(os.environ.get("CERBERUS_DATA", Path(__file__).parents[3] / "shared/data")) / "market"
SERIES = sorted(
    path for path in DATA.glob("*_[15][mh]_*.csv.gz")
    if "mark" not in path.name and "BTC" not in path.name and "_spot_" not in path.name
)  # fmt: skip
QUICK = ("DOGEUSDT_5m", "1000SHIBUSDT_1h", "FARTCOIN_5m", "1000PEPEUSDT_1m")
pytestmark = pytest.mark.real


class Sigmas:
    def __init__(self, prices: Any) -> None:
        self.day, self.minute = SigmaSeries(prices), MinuteSeries(prices)

    def at(self, t: int) -> tuple[float, float]:
        return self.day.at(t), self.minute.at(t)


class Result(NamedTuple):
    driver: Driver
    rows: list[tuple[Event, tuple[Fact, ...]]]
    tape: Tape


def tape_of(path: Path) -> Tape:
    """Load a series with its marks and funding, where there are such files."""
    match = re.match(r"(\w+?_perp)_(\w+?)_(\d+[mh])_", path.name)
    assert match is not None
    venue, symbol, interval = match.groups()
    prices = load_prices(path)
    marks = [load_marks(p) for p in DATA.glob(f"{venue}_{symbol}_{interval}_mark_*")]
    funding = [load_funding(p) for p in DATA.glob(f"{venue}_{symbol}_funding_*")]
    return Tape(
        built_in()[symbol], prices, marks[0] if marks else None, funding[0] if funding else None
    )


def params_of(tape: Tape) -> dict[str, Any]:
    """Take bars of 5 minutes where the file holds only days, so that the warm-up ends in it."""
    return {"interval": "5m"} if tape.end_ns - tape.start_ns < 10 * 86_400 * 10**9 else {}


def replay(path: Path) -> Result:
    tape = tape_of(path)
    rows: list[tuple[Event, tuple[Fact, ...]]] = []
    config = ConfigEvent(tape.start_ns - 1, Settings(), "defaults", (tape.instrument,), "real")
    heads = heads_on(find_head("breakout"), params_of(tape), "breakout", [tape])
    driver = drive(
        config, [tape], MergedSignals(heads), lambda e, f: rows.append((e, f)),
        sigmas={tape.name: Sigmas(tape.prices)},
    )  # fmt: skip
    driver.run()
    return Result(driver, rows, tape)


@pytest.mark.req("P-25.1", "E-2.2.1")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(p, marks=() if any(q in p.name for q in QUICK) else pytest.mark.slow)
        for p in SERIES
    ],
    ids=lambda path: path.name.removesuffix(".csv.gz"),
)
def test_a_real_series_is_traded_within_the_limits(path: Path) -> None:
    result = replay(path)
    state, settings = result.driver.engine.state, Settings()
    facts = [fact for _, found in result.rows for fact in found]
    assert not any(isinstance(fact, Faulted) for fact in facts)
    assert state.counters.faults == 0
    assert state.counters.liquidations == 0
    assert any(isinstance(fact, SignalJudged) for fact in facts)
    fills = [fact for fact in facts if isinstance(fact, Filled)]
    for fill in fills:
        if fill.position is not None:
            stop = fill.position.stop
            assert stop is not None
            assert (fill.position.entry_price - stop) * fill.position.sign > 0
    assert_day_losses_are_bounded(result, fills, settings)


def assert_day_losses_are_bounded(result: Result, fills: list[Filled], settings: Settings) -> None:
    """Hold equity after each event against day-start equity, its limit, and what a gap explains.

    A gap explains the distance by which exits filled beyond their level: the jump of one bar.
    """
    limit = settings.breaker.day_loss
    state = result.driver.engine.state
    worst = max(worst_bar(result.tape), Decimal("0.01"))
    open_share = settings.risk.position_exposure_max
    day_start = Decimal(10_000)
    balance = Decimal(10_000)
    for _, facts in result.rows:
        for fact in facts:
            if type(fact).__name__ == "DayStarted":
                day_start = fact.equity  # type: ignore[union-attr]
            if isinstance(fact, Filled):
                balance += fact.realised - fact.fee
        assert balance >= day_start * (1 - limit - worst * open_share)
    assert equity(state) > 0
    assert len(fills) >= 2 * state.counters.trades


def worst_bar(tape: Tape) -> Decimal:
    """Return the largest move within one bar and into the next, as a fraction."""
    bars = tape.prices
    assert isinstance(bars, Bars)
    inside = float(((bars.high - bars.low) / bars.low).max())
    return Decimal(str(round(inside, 6)))


@pytest.mark.req("P-07.2")
def test_the_breakout_head_does_not_look_ahead_on_a_real_series() -> None:
    tape = tape_of(next(path for path in SERIES if "1000PEPEUSDT_1h" in path.name))

    def run(tapes: list[Tape]) -> Any:
        made = heads_on(find_head("breakout"), {}, "breakout", tapes)
        return [signal for one in made for signal in drain(one)]

    report = check_lookahead(run, [tape], runs_max=16)
    assert report.signals > 50
    assert report.faults == ()
