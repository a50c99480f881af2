"""Every setting: its bounds hold in files and environment, and nothing else is accepted."""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.config import load, load_settings
from cerberus_trader.config_models import EnvText, model, to_struct
from cerberus_trader.config_schema import Field, Shape, fields, shape_of, shapes, table_of
from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.settings_base import Meta

LEAVES = [field for field in fields(Settings) if field.key != "stage"]


def shape_at(key: str) -> Shape:
    section: Any = Settings
    shape = Shape(Settings, {}, "", False)
    for part in key.split("."):
        if part == "<name>":
            section = table_of(section)
            continue
        shape = shapes(section)[part]
        section = shape.type
    return shape


def env_name(field: Field) -> str:
    return "CERBERUS_" + field.key.replace("<name>", "one").replace(".", "__").upper()


def outside(shape: Shape) -> list[str]:
    """Return texts just beyond each bound of a number."""
    step = 1 if shape.type is int else Decimal("0.000001")
    texts = []
    for bound, sign in (("ge", -1), ("gt", 0), ("le", 1), ("lt", 0)):
        if bound in shape.bounds:
            texts.append(str(Decimal(str(shape.bounds[bound])) + sign * step))
    return texts


@pytest.mark.req("D-09.4", "T-14.4")
@pytest.mark.parametrize("field", LEAVES, ids=lambda field: field.key)
def test_each_setting_refuses_what_lies_outside_and_names_itself(field: Field) -> None:
    shape = shape_at(field.key)
    wrong = {"choice": ["no such choice"], "flag": ["perhaps"], "table": ["[1]"]}
    texts = wrong.get(field.kind, outside(shape))
    if field.kind in ("integer", "number", "decimal"):
        texts = [*texts, "text", "nan", "", "1e999" if field.kind != "decimal" else "inf"]
    for text in texts:
        with pytest.raises(ConfigError) as caught:
            load_settings(environ={env_name(field): text})
        key = field.key.replace("<name>", "one")
        assert caught.value.faults[0].startswith(key), text
        assert len(caught.value.faults) == 1


@pytest.mark.req("D-09.4")
@pytest.mark.parametrize("field", LEAVES, ids=lambda field: field.key)
def test_each_setting_accepts_its_own_default_from_the_environment(field: Field) -> None:
    if field.kind == "list":
        text = ",".join(str(item) for item in field.default)  # type: ignore[attr-defined]
    elif field.kind == "table":
        text = "{}"
    else:
        text = str(field.default)
    assert load_settings(environ={env_name(field): text}).settings is not None


class Inner(msgspec.Struct, frozen=True):
    count: Annotated[int, Meta(ge=1, le=9)] = 2


class Small(msgspec.Struct, frozen=True):
    share: Annotated[Decimal, Meta(ge=0, le=1)] = Decimal("0.5")
    inner: Inner = Inner()
    table: dict[str, Inner] = {}
    names: tuple[str, ...] = ()
    flag: bool = False


@given(st.integers(-3, 13), st.decimals("-1", "2", places=3), st.booleans())
@pytest.mark.req("D-09.4")
def test_combinations_report_exactly_the_settings_at_fault(
    count: int, share: Decimal, flag: bool
) -> None:
    env = {
        "CERBERUS_INNER__COUNT": str(count),
        "CERBERUS_TABLE__A__COUNT": str(count),
        "CERBERUS_SHARE": str(share),
        "CERBERUS_FLAG": str(flag).lower(),
    }
    wrong = {"inner.count", "table.a.count"} if not 1 <= count <= 9 else set()
    wrong |= {"share"} if not 0 <= share <= 1 else set()
    try:
        settings = load(Small, environ=env, folder=Path("/nonexistent")).settings
    except ConfigError as error:
        assert {line.split(" ")[0] for line in error.faults} == wrong
    else:
        assert not wrong
        assert settings == Small(share, Inner(count), {"a": Inner(count)}, (), flag)


def test_files_are_read_strictly_and_the_environment_is_not() -> None:
    twin = model(Small)
    for wrong in ({"flag": "true"}, {"inner": {"count": "3"}}, {"names": "a"}, {"flag": 1}):
        with pytest.raises(ValueError, match="validation error"):
            twin.model_validate(wrong)
    valid = twin.model_validate({"flag": EnvText("true"), "names": EnvText("a, b")})
    assert to_struct(Small, valid) == Small(flag=True, names=("a", "b"))


def test_a_setting_of_a_foreign_type_is_an_error_of_the_program() -> None:
    class Foreign(msgspec.Struct):
        when: complex = 0j

    with pytest.raises(TypeError, match="complex"):
        model(Foreign)


def test_bounds_of_an_alias_and_of_the_field_add_up() -> None:
    shape = shape_of(Annotated[Annotated[int, Meta(ge=0)], Meta(le=5, description="d", cold=True)])
    assert shape == Shape(int, {"ge": 0, "le": 5}, "d", True)
