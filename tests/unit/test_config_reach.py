"""One configuration reaches the risk checks, the leverage calculator and the executor."""

from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.domain.signal import Level
from cerberus_trader.engine.checks import RISK
from cerberus_trader.engine.leverage import base_of
from cerberus_trader.instruments import built_in
from cerberus_trader.venues.paper.venue import PaperVenue

TEXT = """
[risk]
positions_max = 6
[leverage]
high = 13
extreme = 14
[paper]
latency_ms = 75
"""


@pytest.mark.req("D-02.3", "D-01.4")
def test_one_file_feeds_risk_leverage_and_executor(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(TEXT, encoding="utf-8")
    settings = load_settings(path, environ={}).settings
    limits = {check.code: check.limit for check in RISK}
    limit = limits["POSITIONS_MAX"]
    case: Any = SimpleNamespace(settings=settings)
    assert limit is not None and limit(case) == 6
    assert base_of(settings.leverage, Level.HIGH) == Decimal(13)
    venue = PaperVenue(settings.paper, built_in(), lambda _, __: ())
    command: Any = SimpleNamespace(order=SimpleNamespace(id="o1", quantity=Decimal(1)))
    venue.submit(command, 1_000)
    assert venue.book.arriving["o1"].due_ns == 75_000_000 + 1_000
