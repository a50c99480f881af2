"""Load the configuration: defaults, stage profile, file, environment; the later one wins.

`load_settings` gives the settings, their canonical document (JSON, keys sorted, decimals as plain
strings) and its SHA-256. Every fault is reported at once, each with its key, the value given, what
is allowed and where it came from; an unknown key also with the nearest known one.

A table of named things (strategies, venues) keeps its default entries only while nobody names
one; the entry `*` gives values to all of them.
"""

import hashlib
import json
import os
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from cerberus_trader.config_faults import ENVIRONMENT, EVERY, PREFIX, Layer, Tree, fault_line
from cerberus_trader.config_rules import check_settings
from cerberus_trader.config_schema import default_of, is_section, shapes, table_of, to_plain
from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.settings import Settings

T = TypeVar("T", bound=msgspec.Struct)
Check = Callable[[Any], list[str]]

RESERVED = frozenset({"CERBERUS_DATA", "CERBERUS_TOKEN"})
SECRET_END = "_PASSPHRASE"
"""Environment names that are not settings: these, and every name that ends so."""
DEFAULT_FILES = ("config/config.toml", "config/config.json")
BYTES_MAX = 1_048_576
LEVELS_MAX = 32


@dataclass(frozen=True)
class Loaded(Generic[T]):
    """Hold settings, their canonical document, its hash (hex), and the layers they came from."""

    settings: T
    document: bytes
    hash: str
    sources: tuple[str, ...]


def load_settings(
    file: Path | None = None,
    *,
    stage: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Loaded[Settings]:
    """Load the settings of Cerberus; see `load`."""
    return load(Settings, file, stage=stage, environ=environ, folder=folder, check=check_settings)


def load(
    cls: type[T],
    file: Path | None = None,
    *,
    stage: str | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
    check: Check | None = None,
) -> Loaded[T]:
    """Merge the layers, validate the result, and return it; raise `ConfigError` with every fault.

    Without `file`, config/config.toml or config/config.json below `folder` (the working folder)
    is read if present. `stage` names a profile and wins over the environment's and the file's
    own. `check` returns the faults that only several values together show.
    """
    env = os.environ if environ is None else environ
    path = file if file is not None else find_file(folder or Path())
    layers = [Layer(str(path), read_file(path))] if path is not None else []
    layers.append(Layer(ENVIRONMENT, read_environment(env)))
    if "stage" in shapes(cls):
        layers = _with_profile(cls, layers, stage)
    settings = _validate(cls, layers, place=str(path or "configuration"))
    faults = check(settings) if check else []
    if faults:
        raise ConfigError(faults, place=str(path or "configuration"))
    document = document_of(settings)
    sources = ("defaults", *(layer.name for layer in layers if layer.tree))
    return Loaded(settings, document, hash_of(document), sources)


def document_of(settings: msgspec.Struct) -> bytes:
    """Write the canonical document: JSON, keys sorted, decimals as plain strings."""
    return msgspec.json.encode(to_plain(settings), order="sorted")


def hash_of(document: bytes) -> str:
    """Return the document's SHA-256 in hex."""
    return hashlib.sha256(document).hexdigest()


def find_file(folder: Path) -> Path | None:
    """Return the default configuration file below a folder, TOML before JSON, or None."""
    return next((p for name in DEFAULT_FILES if (p := folder / name).exists()), None)


def read_file(path: Path) -> Tree:
    """Read a TOML or JSON file (by its ending) into nested tables; numbers stay exact."""
    place = str(path)
    if path.suffix.lower() not in {".toml", ".json"}:
        raise ConfigError(["the file must end in .toml or .json"], place=place)
    try:
        raw = path.read_bytes()
        if len(raw) > BYTES_MAX:
            raise ConfigError([f"the file is larger than {BYTES_MAX} bytes"], place=place)
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError([f"not UTF-8 text at byte {error.start}"], place=place) from None
    except OSError as error:
        raise ConfigError([f"cannot be read: {error.strerror}"], place=place) from None
    return parse_text(text, path.suffix.lower(), place=place)


def parse_text(text: str, form: str, *, place: str) -> Tree:
    """Parse TOML (form ".toml") or JSON; a syntax error names line and column."""
    try:
        if form == ".toml":
            return tomllib.loads(text, parse_float=Decimal)
        tree = json.loads(
            text, parse_float=Decimal, parse_constant=_refuse, object_pairs_hook=_unique
        )
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"not valid TOML: {error}"], place=place) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ConfigError([f"not valid JSON: {error.msg} (at {where})"], place=place) from None
    except (ValueError, RecursionError, ArithmeticError) as error:
        raise ConfigError([f"not valid: {error}"], place=place) from None
    if not isinstance(tree, dict):
        raise ConfigError(["the file must hold one table (a JSON object)"], place=place)
    return tree


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> Tree:
    tree: Tree = {}
    for key, value in pairs:
        if key in tree:
            raise ValueError(f"the key {key!r} stands twice")
        tree[key] = value
    return tree


def read_environment(environ: Mapping[str, str]) -> Tree:
    """Collect CERBERUS_SECTION__KEY=value into nested tables, names in lower case."""
    from cerberus_trader.config_models import EnvText

    tree: Tree = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name in RESERVED or name.endswith(SECRET_END):
            continue
        parts = name[len(PREFIX) :].lower().split("__")
        table = tree
        for part in parts[:-1]:
            inner = table.setdefault(part, {})
            table = inner if isinstance(inner, dict) else table.setdefault(f"{part}__", {})
        table[parts[-1]] = EnvText(environ[name])
    return tree


def read_secret(name: str) -> str:
    """Read a passphrase from the environment, empty where there is none."""
    return os.environ.get(name, "")


def read_profile(stage: str) -> Tree:
    """Read a built-in stage profile."""
    source = resources.files("cerberus_trader") / "presets" / "profiles" / f"{stage}.toml"
    return parse_text(source.read_text(encoding="utf-8"), ".toml", place=f"profile {stage}")


def _with_profile(cls: type[msgspec.Struct], layers: list[Layer], stage: str | None) -> list[Layer]:
    """Put the stage's profile below the other layers; an unknown stage is left to validation."""
    given = [layer.tree["stage"] for layer in layers if "stage" in layer.tree]
    chosen = stage or (given[-1] if given else default_of(cls, "stage"))
    last = [Layer("the option --profile", {"stage": stage})] if stage else []
    if chosen not in stages(cls):
        return layers + last
    return [Layer(f"profile {chosen}", read_profile(str(chosen))), *layers, *last]


def stages(cls: type[msgspec.Struct]) -> tuple[str, ...]:
    """Name the stages that have a profile."""
    return tuple(getattr(shapes(cls)["stage"].type, "__args__", ()))


def _validate(cls: type[T], layers: list[Layer], *, place: str) -> T:
    """Validate the merged layers and build the Struct, or raise every fault at once."""
    from pydantic import ValidationError

    from cerberus_trader.config_models import model, to_struct

    deep = [layer.name for layer in layers if _too_deep(layer.tree)]
    if deep:
        words = f"nested deeper than {LEVELS_MAX} levels"
        raise ConfigError([f"{name}: {words}" for name in deep], place=place)
    merged: Tree = {}
    for layer in layers:
        merged = merge(merged, layer.tree)
    faults = [f"{key}: is not UTF-8 text" for key in _unwritable(merged)]
    if faults:
        raise ConfigError(faults, place=place)
    try:
        valid = model(cls).model_validate(with_named_defaults(cls, merged))
    except ValidationError as error:
        lines = [
            fault_line(cls, item["type"], item["loc"], item.get("input"), layers)
            for item in error.errors(include_url=False, include_context=False)
        ]
        raise ConfigError(list(dict.fromkeys(lines)), place=place) from None
    built: T = to_struct(cls, valid)
    return built


def _too_deep(value: Any, levels: int = LEVELS_MAX) -> bool:
    """Tell whether tables or lists stand in each other beyond so many levels."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels == 0 or any(_too_deep(item, levels - 1) for item in inner)


def _unwritable(value: Any, key: str = "") -> Iterator[str]:
    """Name what holds half a character, which no file and no journal could keep."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _unwritable(str(name), f"{key}.{name!a}".lstrip("."))
            yield from _unwritable(item, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list):
        for item in value:
            yield from _unwritable(item, key)
    elif isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        yield key


def merge(below: Tree, above: Tree) -> Tree:
    """Lay one tree over another: tables are joined, anything else is replaced."""
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        result[key] = merge(old, value) if both else value  # type: ignore[arg-type]
    return result


def with_named_defaults(cls: type[msgspec.Struct], tree: Tree) -> Tree:
    """Fill the entries of tables, such as strategies.default, from defaults and `*`."""
    result = dict(tree)
    for name, shape in shapes(cls).items():
        given = result.get(name)
        if not isinstance(given, dict):
            continue
        if is_section(shape.type):
            result[name] = with_named_defaults(shape.type, given)
        elif table_of(shape.type):
            result[name] = _entries(default_of(cls, name), given)
    return result


def _entries(defaults: dict[str, Any], given: Tree) -> Tree:
    """Fill the entries of a table: default entry, then the common `*`, then what is given."""
    common = given.get(EVERY, {})
    named: Tree = {key: entry for key, entry in given.items() if key != EVERY}
    if not isinstance(common, dict):
        return given
    return {
        key: merge(merge(to_plain(defaults.get(key)) or {}, common), entry)
        if isinstance(entry, dict)
        else entry
        for key, entry in (named or {key: {} for key in defaults}).items()
    }


def service_manager() -> tuple[str, float]:
    """Return the socket of the manager that started us, empty if none, and its watchdog's seconds.

    The names are systemd's (sd_notify, sd_watchdog_enabled).
    """
    text = os.environ.get("WATCHDOG_USEC", "")
    return os.environ.get("NOTIFY_SOCKET", ""), int(text) / 1e6 if text.isdigit() else 0.0
