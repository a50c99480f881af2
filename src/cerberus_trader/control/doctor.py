"""The doctor: what is installed and missing, configuration, disk, clock, state folder, engine."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import Any

from cerberus_trader import __version__
from cerberus_trader.domain.errors import CerberusError, DataError
from cerberus_trader.journal.anchor import ANCHOR_NAME
from cerberus_trader.journal.store import JOURNAL_NAME

CORE = ("msgspec", "pydantic", "numpy", "sqlalchemy", "alembic", "typer", "rich", "structlog",
        "watchfiles", "psutil", "plotly", "cryptography")  # fmt: skip
OPTIONAL = {"uvloop": "a faster event loop", "polars": "Parquet files"}
DISK_MB_MIN = 512
ANSWER_S = 3.0
YEAR_2024_NS = 1_704_067_200_000_000_000


def examine(state: Path, config: Path | None = None, profile: str | None = None) -> dict[str, Any]:
    """Examine this machine, a configuration, a state folder; `problems` must be mended."""
    problems: list[str] = []
    found: dict[str, Any] = {
        "cerberus": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: _version(name) for name in CORE},
        "missing_extras": {
            name: use for name, use in OPTIONAL.items() if importlib.util.find_spec(name) is None
        },
        "problems": problems,
    }
    problems += [f"package {name} is missing" for name in CORE if not found["packages"][name]]
    found["configuration"] = _configuration(config, profile, problems)
    place = state if state.is_dir() else Path.cwd()
    found["disk"] = str(place)
    found["disk_free_mb"] = shutil.disk_usage(place).free // 2**20
    if found["disk_free_mb"] < DISK_MB_MIN:
        problems.append(f"only {found['disk_free_mb']} MB free on the disk of {place}")
    found["fdatasync_ms"] = _probe(place, problems)
    if time.time_ns() < YEAR_2024_NS:
        problems.append("the clock is before 2024: set it")
    first, second = time.time_ns(), time.time_ns()
    found["clock"] = "forward" if second >= first else "backwards"
    if state.exists() and not state.is_dir():
        problems.append(f"{state} is no folder: name another one with --state")
        return found | {"journal": None, "halt_marker": None, "engine": None}
    found["journal"] = _journal(state, problems)
    found["halt_marker"] = _marker(state, problems)
    found["engine"] = _engine(state, problems)
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _configuration(config: Path | None, profile: str | None, problems: list[str]) -> dict[str, Any]:
    """Read the configuration that `cerberus run` would begin with."""
    from cerberus_trader.config import load_settings
    from cerberus_trader.instruments import load_instruments

    try:
        loaded = load_settings(config, stage=profile)
        load_instruments([Path(name) for name in loaded.settings.instruments])
    except (CerberusError, OSError) as error:
        problems.append(f"the configuration cannot be used: {error}")
        return {"state": "faulty", "sources": []}
    return {"state": "ok", "sources": list(loaded.sources)}


def _probe(place: Path, problems: list[str]) -> float | None:
    """Measure a synced write; None where nothing can be written, which is a finding, no failure."""
    try:
        return _sync_ms(place)
    except OSError as error:
        problems.append(f"nothing can be written to {place}: {error.strerror or error}")
        return None


def _sync_ms(place: Path) -> float:
    """Return the median milliseconds of a synced write of one page."""
    taken = []
    with tempfile.NamedTemporaryFile(dir=place) as file:
        for _ in range(9):
            begin = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - begin)
    return round(sorted(taken)[4] * 1000, 3)


def _journal(state: Path, problems: list[str]) -> dict[str, Any]:
    """Verify the journal of the state folder, if there is one."""
    if not (state / JOURNAL_NAME).exists():
        if not (state / ANCHOR_NAME).exists():
            return {"state": "none yet", "folder": str(state)}
        problems.append(
            f"{state / JOURNAL_NAME} is gone, and its anchor is there: restore a backup"
        )
        return {"state": "lost", "folder": str(state)}
    from cerberus_trader.journal.verify import verify

    try:
        report = verify(state)
    except (CerberusError, OSError) as error:
        problems.append(str(error))
        return {"state": "unreadable", "folder": str(state)}
    problems += report.reasons
    return {"state": "ok" if report.ok else "damaged", "rows": report.rows, "folder": str(state)}


def _marker(state: Path, problems: list[str]) -> dict[str, Any] | None:
    """Read the halt marker; None where it is not set."""
    import msgspec

    from cerberus_trader.runtime.marker import HaltMarker

    try:
        mark = HaltMarker(state).read()
    except OSError as error:
        problems.append(f"the halt marker cannot be read: {error.strerror or error}")
        return None
    return msgspec.structs.asdict(mark) if mark is not None else None


def _engine(state: Path, problems: list[str]) -> dict[str, Any] | None:
    """Ask the engine that holds the folder; None where nobody does."""
    from cerberus_trader.journal.lock import holder
    from cerberus_trader.runtime import client, frames

    pid = holder(state)
    if pid is None:
        return None
    found: dict[str, Any] = {"pid": pid, "phase": None, "trading": None, "venue_connected": None}
    try:
        told = client.ask(state, frames.Status(), ANSWER_S)
    except client.NotRunning:  # it starts, or it is no engine: `journal prune` holds the folder too
        return found
    except DataError as error:
        problems.append(f"process {pid} holds the folder, and: {error}")
        return found
    found |= {"phase": told["phase"], "trading": told["trading"]}
    if told["phase"] != "failed":
        found["venue_connected"] = told["phase"] != "preflight"
    if found["venue_connected"] is False:
        problems.append("the engine has no connection to its venue")
    return found


def lines(found: dict[str, Any]) -> list[str]:
    """Say the findings in lines for a terminal."""
    text = [
        f"cerberus {found['cerberus']}, python {found['python']}, SQLite {found['sqlite']}",
        "packages: " + ", ".join(f"{n} {v or 'MISSING'}" for n, v in found["packages"].items()),
        f"configuration: {_configuration_words(found['configuration'])}",
        f"disk of {found['disk']}: {found['disk_free_mb']} MB free,"
        f" {_write_words(found['fdatasync_ms'])}",
        f"clock: {found['clock']}",
        f"journal: {_journal_words(found['journal'])}",
        f"halt marker: {_marker_words(found['halt_marker'])}",
        f"engine: {_engine_words(found['engine'])}",
    ]
    text += [
        f"optional: {name} is missing ({use})" for name, use in found["missing_extras"].items()
    ]
    text += [f"PROBLEM: {problem}" for problem in found["problems"]] or ["all well"]
    return text


def _configuration_words(found: dict[str, Any]) -> str:
    return f"{found['state']} ({', '.join(found['sources'])})" if found["sources"] else "FAULTY"


def _journal_words(journal: dict[str, Any] | None) -> str:
    return "none" if journal is None else f"{journal['state']} in {journal['folder']}"


def _write_words(sync_ms: float | None) -> str:
    return "not writable" if sync_ms is None else f"a synced write takes {sync_ms} ms"


def _marker_words(mark: dict[str, Any] | None) -> str:
    if mark is None:
        return "not set"
    reason = f" ({mark['reason']})" if mark["reason"] else ""
    return f"SET by {mark['actor']}{reason}: nothing is opened until `cerberus resume`"


def _engine_words(engine: dict[str, Any] | None) -> str:
    if engine is None:
        return "not running"
    if engine["phase"] is None:
        return f"process {engine['pid']} holds the folder and tells nothing"
    venue = {True: ", venue connected", False: ", VENUE NOT CONNECTED", None: ""}
    return (f"process {engine['pid']}, {engine['phase']}, trading {engine['trading']}"
            f"{venue[engine['venue_connected']]}")  # fmt: skip
