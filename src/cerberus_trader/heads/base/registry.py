"""Declare heads, and find them: in the package, among entry points, or in a file."""

import hashlib
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from difflib import get_close_matches
from importlib.machinery import SourceFileLoader
from importlib.metadata import entry_points
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple, Protocol, TypeVar

import msgspec

import cerberus_trader.heads as package
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base.view import View
from cerberus_trader.heads.base.wake import Wake

GROUP = "cerberus_trader.heads"
PLACES = {"file": "cerberus_trader.heads.lines.head"}  # the others live in heads/NAME.py
NOT_HEADS = ("base", "lines", "source")


class Config(msgspec.Struct, frozen=True):
    """Be the configuration of a head that has none."""


class Head(Protocol):
    """Give signals when woken; may keep state of its own between wakes."""

    def signals(self, view: View) -> Iterator[Signal]:
        """Yield what to ask for on what the view shows."""
        ...


C = TypeVar("C", bound=msgspec.Struct)


class HeadSpec(NamedTuple):
    """Hold a declared head; `wakes` and `warm_up` depend on its configuration."""

    name: str
    make: Callable[[Any], Head]
    config: type[msgspec.Struct]
    wakes: Callable[[Any], Wake]
    warm_up: Callable[[Any], int]

    def configure(self, params: Mapping[str, Any]) -> msgspec.Struct:
        """Build the head's configuration; raise `DataError` naming the parameter and the fix."""
        known = self.config.__struct_fields__
        place = f"head {self.name}"
        for key in params:
            if key not in known:
                near = get_close_matches(key, known, 1, 0.5)
                choice = near[0] if near else ", ".join(known) or "nothing: it takes none"
                raise DataError(
                    f"it has no parameter {key!r}.", code="HEAD_CONFIG", place=place,
                    fix=f"use {choice}.",
                )  # fmt: skip
        try:
            return msgspec.convert(dict(params), self.config)
        except (msgspec.ValidationError, ValueError) as error:
            raise DataError(
                f"{error}.", code="HEAD_CONFIG", place=place, fix="correct the parameter."
            ) from None


HEADS: dict[str, HeadSpec] = {}
# What a faulty head raises; it becomes one error that names the head.
FAULTS = (
    ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, NameError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError,
)  # fmt: skip
D = TypeVar("D", bound=Callable[..., Any])


class FunctionHead:
    """Run a head that is a generator function of view and configuration; it keeps no state."""

    def __init__(self, function: Callable[[View, Any], Iterator[Signal]], config: Any) -> None:
        self.function, self.config = function, config

    def signals(self, view: View) -> Iterator[Signal]:
        return self.function(view, self.config)


def head(
    name: str,
    config: type[msgspec.Struct] = Config,
    *,
    wakes: Wake | Callable[[Any], Wake],
    warm_up: int | Callable[[Any], int] = 0,
) -> Callable[[D], D]:
    """Register a head: a class made of its config, or a generator function of (view, config).

    `wakes` and `warm_up` (bars before the first signal) may be functions of the config.
    """

    def register(target: D) -> D:
        is_class = inspect.isclass(target)
        make: Callable[[Any], Head] = target if is_class else lambda c: FunctionHead(target, c)
        HEADS[name] = HeadSpec(
            name, make, config,
            wakes if callable(wakes) else lambda _: wakes,
            warm_up if callable(warm_up) else lambda _: warm_up,
        )  # fmt: skip
        return target

    return register


def find_head(name: str) -> HeadSpec:
    """Return a head by its name, or of a Python file; raise `DataError` naming the known ones."""
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name in HEADS:
        return HEADS[name]
    module = PLACES.get(name, f"{GROUP}.{name}")
    if name in built_in():
        importlib.import_module(module)
    else:
        for point in entry_points(group=GROUP, name=name):
            point.load()
    if name not in HEADS:
        known = sorted({*built_in(), *HEADS, *entry_points(group=GROUP).names})
        raise DataError(
            f"no head {name[:60]!r}.", code="HEAD_UNKNOWN",
            fix=f"choose one of {', '.join(known)}, or give a file that ends in .py.",
        )  # fmt: skip
    return HEADS[name]


def built_in() -> list[str]:
    """Name the heads that come with the package."""
    names = [item.name for item in pkgutil.iter_modules(package.__path__)]
    return sorted({*PLACES, *(name for name in names if name not in NOT_HEADS)})


class _FromSource(SourceFileLoader):
    """Compile what the file says now: bytecode kept of it is as good as its time, in seconds."""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def _from_file(path: Path) -> HeadSpec:
    """Run a Python file and return the one head that it declares."""
    if not path.is_file():
        raise DataError("there is no such file.", code="HEAD_FILE", place=str(path))
    text = str(path.resolve())
    stem = re.sub(r"\W", "_", path.stem)
    name = f"cerberus_head_{stem}_{hashlib.blake2b(text.encode(), digest_size=4).hexdigest()}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_FromSource(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = dict(HEADS)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        found = [spec for key, spec in HEADS.items() if before.get(key) is not spec]
    except FAULTS as error:
        raise DataError(
            f"the file does not load: {type(error).__name__}: {error}.", code="HEAD_FILE",
            place=str(path), fix="run it with python and correct it.",
        ) from error  # fmt: skip
    finally:
        HEADS.clear()  # a file's head is not known by name: it must not shadow another
        HEADS.update(before)
    if len(found) != 1:
        raise DataError(
            f"the file declares {len(found)} heads.", code="HEAD_FILE", place=str(path),
            fix='declare one, with @head("name", ...).',
        )  # fmt: skip
    return found[0]
