"""Loading: layers and their order, exact numbers, the document, and files that cannot be read."""

import json
import os
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from cerberus_trader.config import (
    Loaded,
    document_of,
    find_file,
    hash_of,
    load_settings,
    merge,
    read_profile,
)
from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.settings import Settings, Strategy


def write(folder: Path, text: str, name: str = "c.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def loaded(path: Path | None = None, *, stage: str | None = None, **env: str) -> Loaded[Settings]:
    return load_settings(path, stage=stage, environ=env, folder=Path("/nonexistent"))


def faults(path: Path | None = None, **env: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loaded(path, **env)
    return caught.value.faults


@pytest.mark.req("T-14.4", "C-01.2")
def test_without_any_file_the_defaults_hold() -> None:
    settings = loaded().settings
    assert settings.risk == Settings().risk
    assert settings.strategies == {"default": Strategy(sources=("*",))}


@pytest.mark.req("C-01.2", "T-01.3")
def test_the_environment_wins_over_the_file_and_the_file_over_the_profile(tmp_path: Path) -> None:
    path = write(tmp_path, 'stage = "dev"\n[logging]\nform = "json"\n[risk]\npositions_max = 7\n')
    assert loaded().settings.logging.form == "console"
    assert loaded(path).settings.logging.form == "json"
    assert loaded(path).settings.risk.positions_max == 7
    assert loaded(path, CERBERUS_RISK__POSITIONS_MAX="9").settings.risk.positions_max == 9


@pytest.mark.req("P-02.2")
def test_toml_and_json_give_the_same_document(tmp_path: Path) -> None:
    toml = write(tmp_path, "[account]\nbalance = 0.1\n[breaker]\nday_loss = 0.03\n")
    text = '{"account": {"balance": 0.1}, "breaker": {"day_loss": 0.03}}'
    assert loaded(toml).document == loaded(write(tmp_path, text, "c.json")).document
    assert loaded(toml).settings.account.balance == Decimal("0.1")


@pytest.mark.req("P-02.2")
def test_the_default_files_are_found_toml_before_json(tmp_path: Path, project_root: Path) -> None:
    assert find_file(tmp_path) is None
    (tmp_path / "config").mkdir()
    json_file = write(tmp_path, '{"risk": {"positions_max": 4}}', "config/config.json")
    assert find_file(tmp_path) == json_file
    assert load_settings(environ={}, folder=tmp_path).settings.risk.positions_max == 4
    toml_file = write(tmp_path, "[risk]\npositions_max = 5\n", "config/config.toml")
    assert find_file(tmp_path) == toml_file
    shipped = find_file(project_root)
    assert shipped is not None and load_settings(shipped, environ={}).settings.stage == "dev"


@pytest.mark.req("T-14.2")
@pytest.mark.parametrize("stage", ["dev", "test", "prod", "research"])
def test_each_stage_has_a_profile(stage: str) -> None:
    assert read_profile(stage)["stage"] == stage
    assert loaded(stage=stage).settings.stage == stage
    assert loaded(CERBERUS_STAGE=stage).settings == loaded(stage=stage).settings


@pytest.mark.req("T-14.2")
def test_the_stage_comes_from_the_option_then_the_environment_then_the_file(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, 'stage = "test"\n')
    assert loaded(path).settings.logging.level == "warning"
    assert loaded(path, CERBERUS_STAGE="prod").settings.stage == "prod"
    assert loaded(path, stage="research", CERBERUS_STAGE="prod").settings.risk.lift_all
    assert "there is" not in faults(CERBERUS_STAGE="production")[0]


def test_research_lifts_the_limits_of_every_strategy(tmp_path: Path) -> None:
    path = write(tmp_path, 'stage = "research"\n[strategies.momentum]\nhead = "breakout"\n')
    strategies = loaded(path).settings.strategies
    assert list(strategies) == ["momentum"]
    assert strategies["momentum"].day_loss_action == "off"
    assert strategies["momentum"].leverage_max == 255


def test_naming_strategies_replaces_the_default_one_unless_it_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "[strategies.momentum]\nbudget = 0.5\n")
    assert list(loaded(path).settings.strategies) == ["momentum"]
    path = write(tmp_path, "[strategies.default]\nbudget = 0.5\n")
    assert loaded(path).settings.strategies["default"] == Strategy(
        sources=("*",), budget=Decimal("0.5")
    )


@pytest.mark.req("P-02.1", "T-14.1")
def test_one_file_sets_keys_endpoints_thresholds_and_strategy_parameters(tmp_path: Path) -> None:
    text = """
stage = "prod"
[intake]
confidence_min = 0.55
spread_bps_max = 12.5
[leverage]
cap = 7
[paper]
latency_ms = 120
[venues.futures]
kind = "binance"
environment = "demo"
endpoint = "wss://venue.example/ws"
key_name = "futures-key"
[strategies.momentum]
head = "breakout"
params = {bars = 20, trend = true, width = 1.5, label = "slow"}
"""
    settings = loaded(write(tmp_path, text)).settings
    assert settings.intake.confidence_min == 0.55
    assert settings.intake.spread_bps_max == Decimal("12.5")
    assert (settings.leverage.cap, settings.paper.latency_ms) == (7, 120)
    assert settings.venues["futures"].endpoint == "wss://venue.example/ws"
    assert settings.venues["futures"].key_name == "futures-key"
    params = settings.strategies["momentum"].params
    assert params == {"bars": 20, "trend": True, "width": 1.5, "label": "slow"}


def test_the_environment_reads_lists_flags_numbers_and_tables() -> None:
    settings = loaded(
        CERBERUS_SIZING__METHODS="risk, kelly",
        CERBERUS_INTAKE__CONFIDENCE_LEVELS="[0.1, 0.2, 0.3]",
        CERBERUS_LEVELS__STOP_REQUIRED="no",
        CERBERUS_ACCOUNT__BALANCE="2500.10",
        CERBERUS_STRATEGIES__MOMENTUM__PARAMS='{"bars": 3}',
        CERBERUS_DATA="/not/a/setting",
        OTHER="ignored",
    ).settings
    assert settings.sizing.methods == ("risk", "kelly")
    assert settings.intake.confidence_levels == (0.1, 0.2, 0.3)
    assert settings.levels.stop_required is False
    assert settings.account.balance == Decimal("2500.10")
    assert settings.strategies["momentum"].params == {"bars": 3}


def test_the_document_is_canonical_and_gives_the_settings_back(tmp_path: Path) -> None:
    one = write(tmp_path, "[account]\nbalance = 1500.50\n[risk]\npositions_max = 2\n", "a.toml")
    two = write(tmp_path, '[risk]\npositions_max = 2\n[account]\nbalance = "1500.5"\n', "b.toml")
    first, second = loaded(one), loaded(two)
    assert first.document == second.document
    assert first.hash == second.hash == hash_of(first.document)
    assert len(first.hash) == 64
    assert json.loads(first.document)["account"]["balance"] == "1500.5"
    assert list(json.loads(first.document)) == sorted(json.loads(first.document))
    back = msgspec.json.decode(first.document, type=Settings)
    assert back == first.settings and document_of(back) == first.document
    assert loaded().hash != first.hash


def test_the_sources_name_the_layers(tmp_path: Path) -> None:
    path = write(tmp_path, "[risk]\npositions_max = 2\n")
    assert loaded(path, CERBERUS_STAGE="test").sources == (
        "defaults",
        "profile test",
        str(path),
        "the environment",
    )


def test_merging_joins_tables_and_replaces_the_rest() -> None:
    below = {"a": {"x": 1, "y": 2}, "b": [1]}
    assert merge(below, {"a": {"y": 3}, "b": [2]}) == {"a": {"x": 1, "y": 3}, "b": [2]}
    assert below == {"a": {"x": 1, "y": 2}, "b": [1]}


@pytest.mark.req("C-01.4")
@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("a = = 1\n", "c.toml", "line 1, column 5"),
        ('{"a": 1,\n "b" 2}', "c.json", "line 2, column 6"),
        ('{"a": 1, "a": 2}', "c.json", "'a' stands twice"),
        ('{"a": NaN}', "c.json", "NaN is not a number"),
        ("[1]", "c.json", "one table"),
        ("a = 1\n", "c.yaml", ".toml or .json"),
        ("[" * 100_000, "c.json", "not valid"),
        ("#" * 1_048_577, "c.toml", "larger than"),
    ],
)
def test_a_broken_file_is_refused_with_its_place(
    tmp_path: Path, text: str, name: str, said: str
) -> None:
    path = write(tmp_path, text, name)
    with pytest.raises(ConfigError, match="fault") as caught:
        loaded(path)
    assert said in caught.value.faults[0]
    assert caught.value.place == str(path)


@pytest.mark.req("C-01.4")
def test_a_missing_a_foreign_and_an_unreadable_file_are_refused(tmp_path: Path) -> None:
    assert "cannot be read" in faults(tmp_path / "none.toml")[0]
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    assert "cannot be read" in faults(folder)[0]
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b'a = "\xe9"\n')
    assert "not UTF-8 text at byte 5" in faults(latin)[0]
    if os.geteuid() != 0:
        locked = write(tmp_path, "", "locked.toml")
        locked.chmod(0)
        assert "cannot be read" in faults(locked)[0]


@pytest.mark.parametrize("form", ["toml", "json"])
def test_a_number_of_thousands_of_digits_is_a_fault_of_its_key(tmp_path: Path, form: str) -> None:
    text = {"toml": "[risk]\npositions_max = 1e9993", "json": '{"risk":{"positions_max":1e9993}}'}
    (line,) = faults(write(tmp_path, text[form], f"c.{form}"))
    assert "risk.positions_max" in line


def test_what_is_nested_without_end_is_refused(tmp_path: Path) -> None:
    words = "nested deeper than 32 levels"
    assert faults(**{"CERBERUS_BREAKER" + "__X" * 1_000: "1"}) == [f"the environment: {words}"]
    path = write(tmp_path, "a" + ".a" * 500 + " = 1")
    assert faults(path) == [f"{path}: {words}"]
    assert "no such key" in faults(**{"CERBERUS_BREAKER" + "__X" * 20: "1"})[0]


def test_secrets_of_the_environment_are_no_settings(tmp_path: Path) -> None:
    named = {"CERBERUS_TOKEN": "cbt_x", "CERBERUS_BACKUP_PASSPHRASE": "some words"}
    assert b"some words" not in load_settings(environ=named, folder=tmp_path).document


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("passphrase_env", '"topsecret"'),  # where the name of its variable belongs
        ("passphrase_env", "7703221"),
        ("passphrase_env", '["topsecret"]'),
        ("passphrase_env", '{topsecret = "topsecret"}'),
    ],
)
def test_a_secret_in_the_wrong_place_is_not_printed(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[backup]\n{key} = {value}\n")
    with pytest.raises(ConfigError) as found:
        load_settings(path, environ={})
    said = str(found.value)
    assert f"backup.{key} = ***: must " in said
    assert "topsecret" not in said and "7703221" not in said
