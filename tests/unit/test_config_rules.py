"""Rules between settings: each one refuses what it says, and the defaults pass them all."""

from pathlib import Path

import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.config_rules import check_settings
from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.settings import Settings


@pytest.mark.req("D-09.4")
@pytest.mark.parametrize("stage", ["dev", "test", "prod", "research"])
def test_defaults_and_profiles_pass(stage: str) -> None:
    settings = load_settings(stage=stage, environ={}, folder=Path("/nonexistent")).settings
    assert check_settings(settings) == []
    assert check_settings(Settings()) == []


@pytest.mark.req("D-09.4", "C-01.4")
@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"LEVERAGE__DRAWDOWN_START": "0.5"}, "leverage.drawdown_start = 0.5: must be at most"),
        ({"LEVELS__STOP_PCT_MIN": "9"}, "levels.stop_pct_min = 9"),
        ({"BREAKER__DRAWDOWN_SOFT": "0.9"}, "breaker.drawdown_soft"),
        ({"HEALTH__WATCH": "0.7"}, "health.watch"),
        ({"HEALTH__DANGER": "0.9"}, "health.danger"),
        ({"RISK__POSITION_EXPOSURE_MAX": "4"}, "risk.position_exposure_max"),
        ({"RISK__GROUP_EXPOSURE_MAX": "4"}, "risk.group_exposure_max"),
        ({"INTAKE__REMEMBER_MS": "1"}, "intake.signal_age_ms_max"),
        ({"LEVERAGE__LOW": "11"}, "leverage.low, medium, high, extreme"),
        ({"INTAKE__CONFIDENCE_LEVELS": "0.5,0.4,0.9"}, "intake.confidence_levels"),
        ({"STRATEGIES": "{}"}, ""),
        ({"STRATEGIES__DEFAULT__POSITIONS_MAX": "0"}, "strategies.default.positions_max = 0"),
        ({"RISK__LIFT_ALL": "true"}, "risk.lift_all"),
        ({"SIZING__OBEY_QUANTITY": "true"}, "sizing.obey_quantity"),
        ({"VENUES__PAPER__ENVIRONMENT": "live"}, "venues.paper.environment"),
        ({"VENUES__PAPER__ENVIRONMENT": "demo"}, "venues.paper: kind and environment"),
    ],
)
def test_what_does_not_fit_together_is_refused(env: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(environ={f"CERBERUS_{key}": value for key, value in env.items()})
    assert caught.value.faults[0].startswith(said or "strategies: must name")


def test_strategy_names_are_plain() -> None:
    with pytest.raises(ConfigError, match="letters, digits"):
        load_settings(environ={"CERBERUS_STRATEGIES": '{"a b": {}}'})
