"""The words of a configuration fault: key, value given, what is allowed, where it came from."""

import difflib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args, get_origin

import msgspec

from cerberus_trader.config_schema import (
    Shape,
    allowed,
    fields,
    is_section,
    rows_of,
    shape_of,
    shapes,
    table_of,
)
from cerberus_trader.domain.secret_names import HIDDEN, is_secret_name

Tree = dict[str, Any]

PREFIX = "CERBERUS_"
ENVIRONMENT = "the environment"
EVERY = "*"
"""The entry of a table that speaks for all entries."""
VALUE_WIDTH_MAX = 60


@dataclass(frozen=True)
class Layer:
    """Hold the values of one layer, nested by section, and the layer's name."""

    name: str
    tree: Tree


def fault_line(
    cls: type[msgspec.Struct],
    kind: str,
    place: tuple[int | str, ...],
    value: object,
    layers: list[Layer],
) -> str:
    """Write one fault: key, value given, what is allowed, and the layer it came from."""
    path = tuple(str(part) for part in place)
    shape, known = locate(cls, path)
    if shape is not None and known < len(path):
        shape = item_of(shape)
    key = ".".join(path[:known]) + "".join(f"[{part}]" for part in path[known:])
    if kind == "missing":
        return f"{key}: is missing; it must be {allowed(shape) if shape else 'given'}"
    source = origin(path[:known], layers)
    if kind == "extra_forbidden" or shape is None:
        near = nearest(cls, path)
        hint = f"; did you mean {near}?" if near else ""
        return f"{'.'.join(path)}: there is no such key{hint} ({source})"
    given = (
        HIDDEN if any(is_secret_name(part) for part in path[max(known - 1, 0) :]) else shown(value)
    )
    return f"{key} = {given}: must be {allowed(shape)} ({source})"


def locate(cls: type[msgspec.Struct], path: tuple[str, ...]) -> tuple[Shape | None, int]:
    """Find the shape at a path, and how many of the path's parts name settings."""
    section: Any = cls
    shape: Shape | None = None
    depth = 0
    while depth < len(path):
        if is_section(section):
            shape = shapes(section).get(path[depth])
            if shape is None:
                return None, len(path)
            section = shape.type
        elif entry := table_of(section) or rows_of(section):
            section, shape = entry, Shape(entry, {}, "", False)
        else:
            return shape, depth
        depth += 1
    return shape, depth


def item_of(shape: Shape) -> Shape:
    """Return the shape of the items of a list or of the values of a table."""
    inner = get_args(shape.type)
    position = -1 if get_origin(shape.type) is dict else 0
    return shape_of(inner[position]) if inner else shape


def nearest(cls: type[msgspec.Struct], path: tuple[str, ...]) -> str:
    """Name the known key most like an unknown one: a sibling first, else one elsewhere."""
    parent: Any = cls
    for part in path[:-1]:
        entry = table_of(parent) or rows_of(parent)
        parent = entry or (shapes(parent)[part].type if is_section(parent) else None)
    siblings = list(shapes(parent)) if is_section(parent) else []
    close = difflib.get_close_matches(path[-1], siblings, n=1)
    if close:
        return ".".join((*path[:-1], close[0]))
    keys = [field.key for field in fields(cls)]
    lasts = difflib.get_close_matches(path[-1], [k.rsplit(".", 1)[-1] for k in keys], n=1)
    return next((k for k in keys if lasts and k.rsplit(".", 1)[-1] == lasts[0]), "")


def origin(path: tuple[str, ...], layers: list[Layer]) -> str:
    """Say which layer gave the value at a path: the last one that has it."""
    for layer in reversed(layers):
        if _holds(layer.tree, path):
            if layer.name == ENVIRONMENT:
                return "from " + PREFIX + "__".join(path).upper()
            return f"from {layer.name}"
    return "from the defaults"


def _holds(tree: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if not isinstance(tree, dict):
            return True  # a list or a scalar given where the path goes deeper
        key = part if part in tree else EVERY
        if key not in tree:
            return False
        tree = tree[key]
    return True


def shown(value: object) -> str:
    """Show a given value in one short line."""
    text = str(value) if isinstance(value, Decimal) else repr(value)
    return text if len(text) <= VALUE_WIDTH_MAX else text[: VALUE_WIDTH_MAX - 1] + "…"
