"""Real crash days through the real engine: what the facts say must come out."""

from decimal import Decimal as D
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import ConfigEvent, FillReport, LevelHit
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import state_hash
from cerberus_trader.instruments import load_instruments
from cerberus_trader.market.columns import Bars
from cerberus_trader.market.volatility import SigmaSeries
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices
from cerberus_trader.replay.tape import Tape
from tests.properties.worlds import Listed

pytestmark = pytest.mark.real
MS = 1_000_000
DOGE_5M = "binance_perp_DOGEUSDT_5m_2025-04-07_2026-05-17.csv.gz"
CRASH = 1_760_130_000_000 * MS  # 2025-10-10 21:00 UTC


class Sigmas:
    """Tell volatility from a series."""

    def __init__(self, prices: Any) -> None:
        self.series = SigmaSeries(prices)

    def at(self, t: int) -> tuple[float, float]:
        return self.series.at(t), -1.0


def run(
    folder: Path, prices: str, signals: list[Signal], *, stage: str = "research",
    name: str = "DOGEUSDT", marks: str = "", funding: str = "", reference: bool = False,
) -> tuple[Driver, list[Any]]:  # fmt: skip
    market = folder / "market"
    item = load_instruments()[name]
    series = load_prices(market / prices)
    tape = Tape(
        item, series, load_marks(market / marks) if marks else None,
        load_funding(market / funding) if funding else None,
    )  # fmt: skip
    settings = load_settings(stage=stage).settings
    rows: list[Any] = []
    config = ConfigEvent(tape.start_ns - 1, settings, "real", (item,), "engine")
    driver = Driver(
        config, [tape], Listed(signals), lambda event, facts: rows.append((event, facts)),
        sigmas={name: Sigmas(series)}, reference=reference,
    )  # fmt: skip
    driver.run()
    return driver, rows


def long(ts: int, leverage: str, **fields: Any) -> Signal:
    values = {"quantity": D(1000), "leverage": D(leverage), **fields}
    return Signal("one", ts, "DOGEUSDT", "buy", 0.9, "test", **values)


def fills(rows: list[Any]) -> list[FillReport]:
    return [event for event, _ in rows if isinstance(event, FillReport)]


@pytest.mark.req("C-08.3", "E-8.2.3", "P-25.1")
def test_a_long_of_2x_dies_at_2115_and_one_of_1_5x_survives(data_dir: Path) -> None:
    # signal at the close of the 20:55 bar: the entry is the 21:00 open, 0.21898
    _, rows = run(data_dir, DOGE_5M, [long(CRASH - 50 * MS, "2")])
    entry, exit_ = fills(rows)
    assert entry.ts_ns == CRASH and D("0.21898") <= entry.price <= D("0.21903")
    assert exit_.reason == "liquidation"
    assert exit_.ts_ns == CRASH + 20 * 60_000 * MS - 1  # inside the bar of 21:15
    assert abs(exit_.price - D("0.110206")) < D("0.00005")
    driver, rows = run(data_dir, DOGE_5M, [long(CRASH - 50 * MS, "1.5")])
    assert [fill.reason for fill in fills(rows)] == ["entry"]
    assert len(driver.engine.state.positions) == 1


@pytest.mark.req("C-19.3", "E-3.2.2", "D-09.8", "D-01.1", "E-13.2.1", "C-17.2", "D-09.5")
def test_the_default_limits_survive_that_night_with_a_stop(data_dir: Path) -> None:
    driver, rows = run(data_dir, DOGE_5M, [long(CRASH - 50 * MS, "30", quantity=None)], stage="dev")
    state = driver.engine.state
    assert state.counters.approved == 1 and state.counters.liquidations == 0
    _, exit_ = fills(rows)
    assert exit_.reason in ("stop_loss", "breaker", "margin")
    assert state.balance > 10_000 * D("0.95")


@pytest.mark.req("D-09.2")
def test_forced_30x_without_limits_is_liquidated(data_dir: Path) -> None:
    _, rows = run(data_dir, DOGE_5M, [long(CRASH - 50 * MS, "30")])
    assert [fill.reason for fill in fills(rows)] == ["entry", "liquidation"]


@pytest.mark.req("E-6.3.3")
def test_search_and_visit_agree_on_the_crash(data_dir: Path) -> None:
    signals = [
        Signal(f"s{n}", CRASH + (n * 37 - 1500) * 60_000 * MS, "DOGEUSDT",
               "buy" if n % 3 else "sell", 0.7, "test", quantity=D(1000), leverage=D(5),
               stop_loss_pct=D(3), take_profit_pct=D(5), trailing_pct=D(4))
        for n in range(60)
    ]  # fmt: skip
    whole = load_prices(data_dir / "market" / DOGE_5M)
    assert isinstance(whole, Bars)
    at = slice(*whole.ts_open.searchsorted([CRASH - 86_400_000 * MS, CRASH + 86_400_000 * MS]))
    columns = [getattr(whole, name)[at] for name in ("ts_open", "open", "high", "low", "close")]
    item = load_instruments()["DOGEUSDT"]
    hashes, counts = [], []
    for reference in (False, True):
        series = Bars(*columns, whole.volume[at], whole.digits, whole.volume_digits,
                      whole.interval_ns)  # fmt: skip
        for stage in ("research", "dev"):
            settings = load_settings(stage=stage).settings
            config = ConfigEvent(CRASH, settings, "real", (item,), "engine")
            driver = Driver(config, [Tape(item, series)], Listed(list(signals)),
                            lambda event, facts: None, reference=reference)  # fmt: skip
            driver.run()
            hashes.append(state_hash(driver.engine.state))
            counts.append(driver.engine.state.counters.fills)
    assert hashes[:2] == hashes[2:] and counts[0] > 30


@pytest.mark.req("E-8.2.3")
def test_the_2021_outage_is_silence_and_a_held_position_knows(data_dir: Path) -> None:
    outage = 1_619_323_260_000 * MS  # 2021-04-25 04:01 UTC, the first missing minute
    signal = Signal("one", outage - 3_600_000 * MS, "DOGEUSDT", "buy", 0.9, "t", stop_loss_pct=D(8))
    driver, rows = run(
        data_dir, "binance_spot_DOGEUSDT_1m_2021-04-20_2021-05-20.csv.gz", [signal], stage="dev"
    )
    silences = [e for e, _ in rows if isinstance(e, LevelHit) and e.kind == "silence"]
    if driver.engine.state.counters.approved:
        assert [event.ts_ns for event in silences][:1] == [outage - 60_000 * MS + 150_000 * MS]
        stale = [x for _, facts in rows for x in facts if isinstance(x, f.HealthChanged)]
        assert stale and stale[0].stale
    else:
        pytest.fail(f"denied: {driver.engine.state.counters.denied}")


@pytest.mark.req("C-08.3")
def test_marks_and_funding_of_a_real_year(data_dir: Path) -> None:
    signals = [
        Signal(f"s{n}", (1_746_057_600_000 + n * 9 * 86_400_000) * MS, "1000SHIBUSDT",
               "buy" if n % 2 else "sell", 0.9, "t", quantity=D(100_000), leverage=D(8))
        for n in range(40)
    ]  # fmt: skip
    driver, rows = run(
        data_dir, "binance_perp_1000SHIBUSDT_1h_2025-05-01_2026-05-18.csv.gz", signals,
        name="1000SHIBUSDT", marks="binance_perp_1000SHIBUSDT_1h_mark_2025-05-01_2026-05-18.csv.gz",
        funding="binance_perp_1000SHIBUSDT_funding_2025-05-01_2026-05-18.csv.gz",
    )  # fmt: skip
    counters = driver.engine.state.counters
    assert counters.liquidations > 0 and counters.funding != 0
    night = [fill for fill in fills(rows) if fill.reason == "liquidation"]
    assert all(fill.liquidity == "taker" for fill in night)
    assert counters.faults == 0
