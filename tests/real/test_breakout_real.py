"""The breakout head on every real memecoin series, guarded by the default settings."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cerberus_trader.domain.events import ConfigEvent, Event, SignalEvent
from cerberus_trader.domain.facts import Fact, Faulted, Filled
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.state import equity
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.instruments import built_in
from cerberus_trader.market.volatility import MinuteSeries, SigmaSeries
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.heads import MergedSignals, drain, drive, heads_on
from cerberus_trader.replay.lookahead import check_lookahead
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices
from cerberus_trader.replay.tape import Tape

DATA = Path(os.environ.get("CERBERUS_DATA", Path(__file__).parents[3] / "shared/data")) / "market"
OTHERS = ("mark", "funding", "BTC", "_spot_")
SERIES = [p for p in sorted(DATA.glob("*.csv.gz")) if not any(word in p.name for word in OTHERS)]
pytestmark = pytest.mark.real


class Sigmas:
    def __init__(self, prices: Any) -> None:
        self.day, self.minute = SigmaSeries(prices), MinuteSeries(prices)

    def at(self, t: int) -> tuple[float, float]:
        return self.day.at(t), self.minute.at(t)


class Result(NamedTuple):
    """Hold the run's facts, and after each event the equity as a fraction of the day's first."""

    driver: Driver
    facts: list[Fact]
    day_ratios: list[Decimal]


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
    result = Result(None, [], [])  # type: ignore[arg-type]

    def record(event: Event, facts: tuple[Fact, ...]) -> None:
        result.facts.extend(facts)
        if not isinstance(event, ConfigEvent):
            state = driver.engine.state
            market = event.market if isinstance(event, SignalEvent) else event
            marks = getattr(market, "marks", ())
            result.day_ratios.append(equity(state, marks) / state.day_equity)

    config = ConfigEvent(tape.start_ns - 1, Settings(), "defaults", (tape.instrument,), "real")
    heads = heads_on(find_head("breakout"), params_of(tape), "breakout", [tape])
    driver = drive(
        config, [tape], MergedSignals(heads), record, sigmas={tape.name: Sigmas(tape.prices)}
    )
    driver.run()
    return result._replace(driver=driver)


@pytest.mark.req("P-25.1", "E-2.2.1")
@pytest.mark.parametrize("path", SERIES, ids=lambda path: path.name.removesuffix(".csv.gz"))
def test_a_real_series_is_traded_within_the_limits(path: Path) -> None:
    driver, facts, day_ratios = replay(path)
    counters = driver.engine.state.counters
    assert not any(isinstance(fact, Faulted) for fact in facts)
    assert counters.faults == 0
    assert counters.liquidations == 0
    assert counters.approved > 0
    fills = [fact for fact in facts if isinstance(fact, Filled)]
    assert len(fills) >= 2 * counters.trades > 0
    for fill in fills:
        if fill.position is not None:
            stop = fill.position.stop
            assert stop is not None
            assert (fill.position.entry_price - stop) * fill.position.sign > 0
    # no gap in these series takes a day below its limit: stops and sizes end days far earlier
    assert min(day_ratios) >= 1 - Settings().breaker.day_loss


@pytest.mark.req("P-07.2")
def test_the_breakout_head_does_not_look_ahead_on_a_real_series() -> None:
    tape = tape_of(next(path for path in SERIES if "1000PEPEUSDT_1h" in path.name))

    def run(tapes: list[Tape]) -> Any:
        made = heads_on(find_head("breakout"), {}, "breakout", tapes)
        return [signal for one in made for signal in drain(one)]

    report = check_lookahead(run, [tape], runs_max=16)
    assert report.signals > 50
    assert report.faults == ()
