"""The built-in tiers are those that the venue published."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.instruments import built_in

FIELDS = ("notional_floor", "notional_cap", "maint_margin_rate", "max_leverage", "cum")


@pytest.mark.real
def test_the_built_in_tiers_equal_the_published_table(data_dir: Path) -> None:
    published: dict[str, list[tuple[Decimal, ...]]] = {}
    path = data_dir / "market" / "binance_usdm_leverage_tiers_2026-09.csv"
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            tier = tuple(Decimal(row[name]) for name in FIELDS)
            published.setdefault(row["symbol"], []).append(tier)
    ours = {
        name: [(t.floor, t.cap, t.rate, t.leverage_max, t.cum) for t in item.tiers]
        for name, item in built_in().items()
        if item.venue == "binance_usdm"
    }
    assert len(ours) == 13
    assert ours == {name: published[name] for name in ours}
