"""Every parser of Cerberus, with good inputs and what must hold of whatever it lets through.

`attack(name, seed, inputs)` feeds a parser with hostile bytes. Only the project's own errors may
come out, each with a message; what is accepted must be finite and of sane size.
"""

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.money import check_amount
from tests.fuzz.mutate import mutate

INT_MAX = 2**63


class Codec(NamedTuple):
    """Hold a parser: good inputs, how it reads bytes, and what mends checksums around them.

    `read` returns what was let through; `trusted` says that it stands behind a checksum and is
    held for type alone, because a person would have to forge it.
    """

    seeds: list[bytes]
    read: Callable[[bytes], Any]
    mend: Callable[[bytes], bytes] = bytes
    trusted: bool = False


class Insane(AssertionError):
    """Say that something absurd was let through."""


def sane(value: Any, place: str = "") -> None:
    """Raise `Insane` for a value that is not finite, or larger than the engine can hold."""
    if isinstance(value, bool | str | bytes | Path) or value is None:
        return
    if isinstance(value, int):
        if not -INT_MAX <= value < 2 * INT_MAX:
            raise Insane(f"{place}: {value:.3g} does not fit 64 bits")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Insane(f"{place}: {value}")
    elif isinstance(value, Decimal):
        try:
            check_amount(value, place=place)
        except CerberusError as error:
            raise Insane(str(error)) from None
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            sane(getattr(value, name), f"{place}.{name}")
    elif isinstance(value, dict):
        for key, item in value.items():
            sane(item, f"{place}.{key}")
    elif isinstance(value, tuple | list):
        for item in value:
            sane(item, place)
    elif hasattr(value, "__dataclass_fields__"):
        for name in value.__dataclass_fields__:
            sane(getattr(value, name), f"{place}.{name}")


@contextmanager
def workspace() -> Iterator[Path]:
    """Make a folder in memory where there is one, for parsers of files."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="fuzz-", dir=base))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def attack(codec: Codec, seed: int, inputs: int) -> tuple[int, list[str]]:
    """Feed hostile inputs; return how many were let through, and what broke, with its input."""
    rng, taken, broken = Random(f"fuzz {seed}"), 0, []
    for _ in range(inputs):
        data = codec.mend(mutate(rng, codec.seeds))
        try:
            found = codec.read(data)
            taken += 1
            if not codec.trusted:
                sane(found)
        except CerberusError as error:
            if not error.message:
                broken.append(f"an error without a message for {data[:200]!r}")
        except (Exception, Insane) as error:
            broken.append(f"{type(error).__name__}: {str(error)[:120]} for {data[:300]!r}")
    return taken, broken
