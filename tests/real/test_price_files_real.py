"""Every real price, mark and funding file loads, with the facts known about it."""

import csv
import gzip
import os
from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.market.columns import Bars, MarkBars, to_decimal
from cerberus_trader.replay.price_files import load_funding, load_marks, load_prices

DATA = Path(os.environ.get("CERBERUS_DATA", Path(__file__).parents[3] / "shared/data")) / "market"
FILES = sorted(DATA.glob("*.csv.gz"))
pytestmark = pytest.mark.real


@pytest.mark.req("E-8.2.3")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_real_file_loads_to_its_exact_decimals(path: Path) -> None:
    with gzip.open(path, "rt") as stream:
        rows = list(csv.DictReader(stream))
    if "funding" in path.name:
        rates = load_funding(path)
        columns = {"funding_rate": (rates.rate, rates.digits)}
        assert rates.ts.tolist() == [int(r["ts_ms"]) * 10**6 for r in rows]
    else:
        bars = load_marks(path) if "_mark_" in path.name else load_prices(path)
        assert isinstance(bars, Bars | MarkBars)
        columns = {n: (getattr(bars, n), bars.digits) for n in ("open", "high", "low", "close")}
        if isinstance(bars, Bars):
            columns["volume"] = (bars.volume, bars.volume_digits)
        assert bars.ts_open.tolist() == [int(r["ts_ms"]) * 10**6 for r in rows]
        unit = {"1m": 60, "5m": 300, "1h": 3600}[path.name.split("_")[3]]
        assert bars.interval_ns == unit * 10**9
        assert len(bars.gaps) == (1 if "spot" in path.name else 0)
    for name, (values, digits) in columns.items():
        step = max(1, len(rows) // 3000)
        for row in range(0, len(rows), step):
            assert to_decimal(int(values[row]), digits) == Decimal(rows[row][name]), (name, row)


def test_the_outage_of_2021_is_a_gap() -> None:
    bars = load_prices(DATA / "binance_spot_DOGEUSDT_1m_2021-04-20_2021-05-20.csv.gz")
    assert isinstance(bars, Bars)
    minute = 60 * 10**9
    before, after = bars.gaps[0].tolist()
    assert before == 1_619_323_200 * 10**9  # 2021-04-25 04:00 UTC
    assert (after - before) // minute == 285  # 04:01 to 08:44 are missing


def test_mark_bars_share_the_prices_grid() -> None:
    bars = load_prices(DATA / "binance_perp_1000SHIBUSDT_1h_2025-05-01_2026-05-18.csv.gz")
    marks = load_marks(DATA / "binance_perp_1000SHIBUSDT_1h_mark_2025-05-01_2026-05-18.csv.gz")
    assert isinstance(bars, Bars)
    assert isinstance(marks, MarkBars)
    marks.check_grid(bars)
    crash = 1_760_130_000 * 10**9  # 2025-10-10 21:00 UTC
    last, mark = (int(b.ts_open.searchsorted(crash)) for b in (bars, marks))
    assert to_decimal(int(bars.low[last]), bars.digits) == Decimal("0.006624")
    assert to_decimal(int(marks.low[mark]), marks.digits) == Decimal("0.00664400")
