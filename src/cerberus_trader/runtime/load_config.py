"""Load the configuration in a process apart, so that the engine's own never imports pydantic.

Validating takes some 10 MB and 0.1 s that a trading loop should not spend. The child prints the
validated settings with all instruments, or every fault; the parent decodes them by type.
"""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from cerberus_trader.config import Loaded, load_settings
from cerberus_trader.domain.errors import ConfigError, SystemFailure
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.settings import Settings
from cerberus_trader.instruments import load_instruments

CHILD_S = 30.0


class Configuration(NamedTuple):
    """Hold settings with the instruments they make known."""

    loaded: Loaded[Settings]
    instruments: dict[str, Instrument]


class Answer(msgspec.Struct):
    """Hold what the child found: settings and instruments, or faults."""

    faults: list[str] = []
    place: str = ""
    settings: Settings = Settings()
    document: bytes = b""
    hash: str = ""
    sources: tuple[str, ...] = ()
    instruments: tuple[Instrument, ...] = ()


def load_here(config: Path | None, profile: str | None) -> Answer:
    """Load settings and instruments in this process."""
    try:
        loaded = load_settings(config, stage=profile)
        known = load_instruments([Path(name) for name in loaded.settings.instruments])
    except ConfigError as error:
        return Answer(error.faults, error.place)
    return Answer(
        [], "", loaded.settings, loaded.document, loaded.hash, loaded.sources,
        tuple(known.values()),
    )  # fmt: skip


def load_apart(config: Path | None, profile: str | None) -> Configuration:
    """Load settings and instruments in a child; raise `ConfigError` with every fault."""
    words = [sys.executable, "-m", __name__, str(config or ""), profile or ""]
    try:
        done = subprocess.run(words, stdout=subprocess.PIPE, check=True, timeout=CHILD_S)
        found = msgspec.msgpack.decode(done.stdout, type=Answer)
    except (OSError, subprocess.SubprocessError, msgspec.MsgspecError) as error:
        raise SystemFailure(
            f"the configuration could not be loaded: {error}.", code="CONFIG_PROCESS",
            place=str(config or "configuration"), fix="run `cerberus config check`.",
        ) from error  # fmt: skip
    if found.faults:
        raise ConfigError(found.faults, place=found.place)
    loaded = Loaded(found.settings, found.document, found.hash, found.sources)
    return Configuration(loaded, {item.name: item for item in found.instruments})


if __name__ == "__main__":
    path, stage = sys.argv[1:]
    answer = load_here(Path(path) if path else None, stage or None)
    try:
        sys.stdout.buffer.write(msgspec.msgpack.encode(answer))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(1)  # whoever asked was killed meanwhile
