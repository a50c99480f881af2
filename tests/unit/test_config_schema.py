"""The schema: leaves, what they allow in words, plain values, and differences."""

from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cerberus_trader.config import load_settings
from cerberus_trader.config_schema import allowed, changed_keys, fields, shapes, to_plain
from cerberus_trader.domain.settings import Intake, Risk, Settings, Sizing, Strategy


def test_the_leaves_cover_every_setting_once() -> None:
    keys = [field.key for field in fields(Settings)]
    assert len(keys) == len(set(keys))
    assert {"stage", "risk.positions_max", "strategies.<name>.budget"} <= set(keys)
    sections = {key.split(".")[0] for key in keys}
    assert sections == set(Settings.__struct_fields__)


@pytest.mark.req("T-14.4")
def test_every_default_satisfies_its_own_bounds() -> None:
    assert load_settings(environ={}, folder=Path("/nonexistent")).settings.risk == Risk()


def test_words_for_what_is_allowed() -> None:
    assert allowed(shapes(Risk)["positions_max"]).startswith("a whole number at least 0 and at")
    assert allowed(shapes(Intake)["confidence_levels"]) == "a list of 3, each a number"
    assert allowed(shapes(Sizing)["methods"]).startswith("a list of 1 or more, each one of risk")
    assert allowed(shapes(Strategy)["params"]) == "a table"


def test_decimals_become_plain_text() -> None:
    assert to_plain({"a": Decimal("1E+3"), "b": (Decimal("0.10"), 2)}) == {
        "a": "1000",
        "b": ["0.1", 2],
    }


def test_differences_are_named_with_their_cold_mark() -> None:
    old = Settings()
    new = msgspec.structs.replace(
        old,
        stage="prod",
        risk=msgspec.structs.replace(old.risk, positions_max=9),
        strategies={"default": Strategy(), "other": Strategy()},
    )
    assert dict(changed_keys(old, new)) == {
        "stage": True,
        "risk.positions_max": False,
        "strategies.default.sources": False,
        "strategies.other": False,
    }
    assert list(changed_keys(old, old)) == []
