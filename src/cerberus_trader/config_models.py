"""The pydantic twins of settings Structs: they read values, check bounds, report every fault.

Files give typed values and are read strictly; only text from the environment may be turned into
numbers, flags and lists. Decimals never pass through a float on their way from a file.
"""

import json
import math
from collections.abc import Callable
from decimal import Decimal
from functools import cache, partial
from types import GenericAlias, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

import msgspec

from cerberus_trader.config_schema import (
    Shape,
    default_of,
    is_section,
    rows_of,
    shape_of,
    shapes,
    table_of,
)
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import parse_amount

if TYPE_CHECKING:  # pydantic costs 0.1 s to import; `cerberus --help` must not pay it
    from pydantic import BaseModel

TRUE, FALSE = {"true", "1", "yes", "on"}, {"false", "0", "no", "off"}


class EnvText(str):
    """Mark text from the environment, which alone may be read as a number, a flag or a list."""

    __slots__ = ()


def _read_int(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float | EnvText):
        raise ValueError("not a whole number")
    if isinstance(value, Decimal) and value.is_finite() and abs(value) >= 2**64:
        raise ValueError("too large")  # its digits alone may be more than can be shown
    number = int(value)
    if not isinstance(value, str) and number != value:
        raise ValueError("not a whole number")
    return number


def _read_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float | EnvText):
        raise ValueError("not a number")
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("too large") from None
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _read_decimal(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal | float | str):
        raise ValueError("not a number")
    try:
        return parse_amount(str(value))
    except DataError as error:
        raise ValueError(error.message) from None


def _read_bool(value: Any) -> bool:
    if isinstance(value, EnvText) and value.lower() in TRUE | FALSE:
        return value.lower() in TRUE
    if not isinstance(value, bool):
        raise ValueError("not true or false")
    return value


def _read_text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("not text")
    return str(value)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _read_any(value: Any) -> Any:
    if isinstance(value, EnvText):
        try:
            value = _json(value)
        except ValueError:
            return str(value)
    if isinstance(value, Decimal):
        return _read_float(value)
    if not isinstance(value, bool | int | float | str):
        raise ValueError("not a single value")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ValueError("does not fit 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("not a finite number")
    return value


def _read_list(value: Any) -> Any:
    if isinstance(value, EnvText):
        if value.lstrip().startswith("["):
            return _json(value)
        return [EnvText(item.strip()) for item in value.split(",") if item.strip()]
    if not isinstance(value, list | tuple):
        raise ValueError("not a list")
    return list(value)


def _read_table(value: Any) -> Any:
    value = _json(value) if isinstance(value, EnvText) else value
    if not isinstance(value, dict):
        raise ValueError("not a table")
    return value


READERS: dict[Any, Callable[[Any], Any]] = {
    int: _read_int,
    float: _read_float,
    Decimal: _read_decimal,
    bool: _read_bool,
    str: _read_text,
}


def _of(shape: Shape) -> Any:
    """Return the pydantic annotation of a shape: our reader first, then the bounds."""
    from pydantic import BeforeValidator
    from pydantic import Field as Bounded

    kind, origin = shape.type, get_origin(shape.type)
    bounds = shape.bounds
    if kind is Decimal:  # the pinned decimal context refuses to be compared with floats
        bounds = {name: Decimal(str(value)) for name, value in bounds.items()}
    limits = Bounded(**bounds)
    if is_section(kind):
        return model(kind)
    if origin is tuple:
        items = [a if a is ... else _of(shape_of(a)) for a in get_args(kind)]
        inner: Any = GenericAlias(tuple, tuple(items))
        return Annotated[inner, limits, BeforeValidator(_read_list)]
    if origin is dict:
        inner = GenericAlias(dict, (str, _of(shape_of(get_args(kind)[1]))))
        return Annotated[inner, BeforeValidator(_read_table)]
    if origin is UnionType:
        return Annotated[Any, BeforeValidator(_read_any)]
    if origin is Literal:
        return Annotated[kind, BeforeValidator(_read_text)]
    if kind not in READERS:
        raise TypeError(f"a setting cannot be of type {kind}")
    return Annotated[kind, limits, BeforeValidator(READERS[kind])]


@cache
def model(cls: type[msgspec.Struct]) -> "type[BaseModel]":
    """Build the pydantic model of a settings Struct: same names and defaults, nothing extra."""
    from pydantic import ConfigDict, create_model
    from pydantic import Field as Bounded

    definitions: dict[str, Any] = {}
    for name, shape in shapes(cls).items():
        default = default_of(cls, name)
        annotation = _of(shape)
        if default is msgspec.NODEFAULT:
            definitions[name] = (annotation, ...)
        else:
            make = partial(to_model, shape.type, default)
            definitions[name] = (annotation, Bounded(default_factory=make))
    config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())
    return create_model(cls.__name__, __config__=config, **definitions)


def to_model(kind: Any, value: Any) -> Any:
    """Turn a default of a Struct into what its pydantic twin holds."""
    if is_section(kind):
        return model(kind).model_construct(
            **{n: to_model(s.type, getattr(value, n)) for n, s in shapes(kind).items()}
        )
    if entry := table_of(kind):
        return {k: to_model(entry, v) for k, v in value.items()}
    if entry := rows_of(kind):
        return tuple(to_model(entry, item) for item in value)
    return value


def to_struct(kind: Any, value: Any) -> Any:
    """Turn what pydantic has validated into the Struct."""
    if is_section(kind):
        shaped = shapes(kind).items()
        return kind(**{name: to_struct(s.type, getattr(value, name)) for name, s in shaped})
    if entry := table_of(kind):
        return {key: to_struct(entry, item) for key, item in value.items()}
    if entry := rows_of(kind):
        return tuple(to_struct(entry, item) for item in value)
    return value
