"""The schema of a configuration: what the fields of a settings Struct are and allow.

Any frozen msgspec Struct serves, with fields of bool, int, float, str, Decimal, Literal, tuples,
tables of scalars, other such Structs and tables of them. Bounds, meaning and the cold mark (needs
a restart) come from `settings.Meta`.
"""

from collections.abc import Iterator
from decimal import Decimal
from functools import cache
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from cerberus_trader.domain.money import plain
from cerberus_trader.domain.settings_base import Meta

BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
KINDS = {
    bool: "flag",
    int: "integer",
    float: "number",
    Decimal: "decimal",
    str: "text",
    Literal: "choice",
    tuple: "list",
    dict: "table",
}


class Field(NamedTuple):
    """Describe one leaf: `key` is dotted, with `<name>` for the entries of a table."""

    key: str
    kind: str
    default: object
    allowed: str
    meaning: str
    cold: bool


class Shape(NamedTuple):
    """Hold a field's bare type, its bounds, its meaning, and whether it is cold."""

    type: Any
    bounds: dict[str, Any]
    meaning: str
    cold: bool


def is_section(kind: Any) -> bool:
    """Tell whether a type is a Struct: a section of its own."""
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def table_of(kind: Any) -> Any:
    """Return the Struct of `dict[str, Struct]`, else None."""
    if get_origin(kind) is not dict:
        return None
    value = get_args(kind)[1]
    return value if is_section(value) else None


def rows_of(kind: Any) -> Any:
    """Return the Struct of `tuple[Struct, ...]`, else None."""
    if get_origin(kind) is not tuple:
        return None
    value = get_args(kind)[0]
    return value if is_section(value) else None


def shape_of(annotation: Any) -> Shape:
    """Take an annotation apart into its bare type, bounds, meaning and cold mark."""
    if get_origin(annotation) is not Annotated:
        return Shape(annotation, {}, "", False)
    kind, *metas = get_args(annotation)
    bounds: dict[str, Any] = {}
    meaning, cold = "", False
    for meta in (m for m in metas if isinstance(m, Meta)):
        given = {name: getattr(meta, name) for name in (*BOUNDS, "min_length")}
        bounds.update({name: value for name, value in given.items() if value is not None})
        meaning, cold = meta.description or meaning, cold or meta.cold
    return Shape(kind, bounds, meaning, cold)


@cache
def shapes(cls: type[msgspec.Struct]) -> dict[str, Shape]:
    """Map the field names of a Struct to their shapes, in the order of definition."""
    hints = get_type_hints(cls, include_extras=True)
    return {name: shape_of(hints[name]) for name in cls.__struct_fields__}


def default_of(cls: type[msgspec.Struct], name: str) -> Any:
    """Return the default of a field, or `msgspec.NODEFAULT`."""
    field = next(f for f in msgspec.structs.fields(cls) if f.name == name)
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default


def allowed(shape: Shape) -> str:
    """Say in words what a field accepts."""
    kind = shape.type
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(str(choice) for choice in get_args(kind))
    if is_section(kind) or get_origin(kind) is dict:
        return "a table"
    if get_origin(kind) is tuple:
        first, *others = get_args(kind)
        least = f" of {shape.bounds['min_length']} or more" if shape.bounds else ""
        count = least if others == [...] else f" of {1 + len(others)}"
        return f"a list{count}, each {allowed(shape_of(first))}"
    if get_origin(kind) is UnionType:
        return "text, a number, true or false"
    limits = [f"{BOUNDS[b]} {_text(v)}" for b, v in shape.bounds.items() if b in BOUNDS]
    return " ".join([NAMES.get(kind, "a number"), " and ".join(limits)]).strip()


def fields(cls: type[msgspec.Struct], default: Any = None, prefix: str = "") -> Iterator[Field]:
    """Yield every leaf of a settings Struct; entries of tables stand under `<name>`."""
    for name, shape in shapes(cls).items():
        value = getattr(default, name) if default is not None else default_of(cls, name)
        key, entry = f"{prefix}{name}", table_of(shape.type)
        inner = shape.type if is_section(shape.type) else entry
        if inner is None:
            words = allowed(shape)
            yield Field(key, kind_name(shape.type), value, words, shape.meaning, shape.cold)
            continue
        below = fields(inner, None if entry else value, f"{key}.<name>." if entry else f"{key}.")
        yield from (f._replace(cold=f.cold or shape.cold) for f in below)


def kind_name(kind: Any) -> str:
    """Name a type for the table of defaults."""
    return KINDS.get(get_origin(kind) or kind, "value")


def to_plain(value: Any) -> Any:
    """Turn a setting into JSON values; decimals become plain strings, so that none is rounded."""
    if isinstance(value, msgspec.Struct):
        return {name: to_plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {key: to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return plain(value) if isinstance(value, Decimal) else value


def _text(value: Any) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)


def changed_keys(old: msgspec.Struct, new: msgspec.Struct) -> Iterator[tuple[str, bool]]:
    """Yield each dotted key whose value differs, with its cold mark."""
    yield from _differences(type(old), old, new, "", cold=False)


def _differences(
    cls: Any, old: Any, new: Any, prefix: str, *, cold: bool
) -> Iterator[tuple[str, bool]]:
    for name, shape in shapes(cls).items():
        before, after = getattr(old, name), getattr(new, name)
        key, entry, marked = f"{prefix}{name}", table_of(shape.type), cold or shape.cold
        if before == after:
            continue
        if is_section(shape.type):
            yield from _differences(shape.type, before, after, f"{key}.", cold=marked)
        elif entry is None:
            yield key, marked
        else:
            for item in sorted(set(before) | set(after)):
                one, other = before.get(item), after.get(item)
                if one is None or other is None:
                    yield f"{key}.{item}", marked
                else:
                    yield from _differences(entry, one, other, f"{key}.{item}.", cold=marked)
