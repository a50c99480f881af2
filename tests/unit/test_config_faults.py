"""Faults: all at once, each with key, value, what is allowed, and where it came from."""

from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.config_faults import nearest, shown
from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.settings import Settings

TEXT = """
positions_max = 3
[risk]
positions_max = "abc"
positons_max = 4
gross_exposure_max = -1
[risks]
a = 1
[strategies.a]
budget = 2.5
sizing = ["x", "risk"]
params = {a = [1]}
budgit = 1
[leverage]
low = true
cap = 1e400
[intake]
confidence_levels = [1, 2]
confidence_min = nan
[logging]
level = "loud"
"""

EXPECTED = {
    "positions_max: there is no such key; did you mean risk.positions_max? (from {file})",
    "risk.positions_max = 'abc': must be a whole number at least 0 and at most 1000000000"
    " (from {file})",
    "risk.positons_max: there is no such key; did you mean risk.positions_max? (from {file})",
    "risk.gross_exposure_max = -1: must be a number at least 0 (from {file})",
    "risks: there is no such key; did you mean risk? (from {file})",
    "strategies.a.budget = 2.5: must be a number above 0 and at most 1 (from {file})",
    "strategies.a.sizing[0] = 'x': must be one of risk, volatility, kelly, balance, confidence"
    " (from {file})",
    "strategies.a.params[a] = [1]: must be text, a number, true or false (from {file})",
    "strategies.a.budgit: there is no such key; did you mean strategies.a.budget? (from {file})",
    "leverage.low = True: must be a number above 0 (from {file})",
    "leverage.cap = 1E+400: must be a number at least 1 and at most 255 (from {file})",
    "intake.confidence_levels[2]: is missing; it must be a number",
    "intake.confidence_min = NaN: must be a number at least 0 and at most 1 (from {file})",
    "logging.level = 'loud': must be one of debug, info, warning, error (from {file})",
    "cache = '5': must be a table (from CERBERUS_CACHE)",
    "paper.latency_ms = 'x': must be a whole number at least 0 and at most 31536000000"
    " (from CERBERUS_PAPER__LATENCY_MS)",
    "zzz: there is no such key (from CERBERUS_ZZZ)",
}


@pytest.mark.req("C-01.4", "T-14.4")
def test_every_fault_is_reported_at_once_with_key_value_and_what_is_allowed(
    tmp_path: Path,
) -> None:
    path = tmp_path / "c.toml"
    path.write_text(TEXT, encoding="utf-8")
    env = {"CERBERUS_CACHE": "5", "CERBERUS_PAPER__LATENCY_MS": "x", "CERBERUS_ZZZ": "1"}
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ=env)
    assert set(caught.value.faults) == {line.format(file=path) for line in EXPECTED}
    assert len(caught.value.faults) == len(EXPECTED)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("risk", "positons_max"), "risk.positions_max"),
        (("levrage",), "leverage"),
        (("strategies", "x", "hed"), "strategies.x.head"),
        (("day_loss",), "breaker.day_loss"),
        (("qqqqqqq",), ""),
    ],
)
def test_the_nearest_key_is_named(path: tuple[str, ...], expected: str) -> None:
    assert nearest(Settings, path) == expected


def test_long_values_are_cut() -> None:
    assert shown("x" * 500).endswith("…") and len(shown("x" * 500)) == 60
    assert shown(Decimal("1.50")) == "1.50"
