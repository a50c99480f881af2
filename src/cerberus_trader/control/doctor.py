"""The doctor: what is installed, what is missing, disk, clock, journal."""

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
from cerberus_trader.domain.errors import CerberusError

CORE = ("msgspec", "pydantic", "numpy", "sqlalchemy", "alembic", "typer", "rich", "structlog",
        "watchfiles", "psutil", "plotly", "cryptography")  # fmt: skip
OPTIONAL = {"uvloop": "a faster event loop", "polars": "Parquet files: pip install "
            "'cerberus-trader[analytics]'"}  # fmt: skip
DISK_MB_MIN = 512
YEAR_2024_NS = 1_704_067_200_000_000_000


def examine(state: Path) -> dict[str, Any]:
    """Examine this machine and a state folder; `problems` are what must be mended."""
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
    place = state if state.is_dir() else Path.cwd()
    found["disk_free_mb"] = shutil.disk_usage(place).free // 2**20
    if found["disk_free_mb"] < DISK_MB_MIN:
        problems.append(f"only {found['disk_free_mb']} MB free on the disk of {place}")
    found["fdatasync_ms"] = _sync_ms(place)
    if time.time_ns() < YEAR_2024_NS:
        problems.append("the clock is before 2024: set it")
    first, second = time.time_ns(), time.time_ns()
    found["clock"] = "forward" if second >= first else "backwards"
    found["journal"] = _journal(state, problems)
    return found


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


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
    if not (state / "journal.db").exists():
        return {"state": "none yet", "folder": str(state)}
    from cerberus_trader.journal.verify import verify

    try:
        report = verify(state)
    except CerberusError as error:
        problems.append(str(error))
        return {"state": "unreadable", "folder": str(state)}
    problems += report.reasons
    return {"state": "ok" if report.ok else "damaged", "rows": report.rows, "folder": str(state)}


def lines(found: dict[str, Any]) -> list[str]:
    """Say the findings in lines for a terminal."""
    text = [
        f"cerberus {found['cerberus']}, python {found['python']}, SQLite {found['sqlite']}",
        "packages: " + ", ".join(f"{n} {v or 'MISSING'}" for n, v in found["packages"].items()),
        f"disk: {found['disk_free_mb']} MB free, a synced write takes {found['fdatasync_ms']} ms",
        f"clock: {found['clock']}",
        f"journal: {found['journal']['state']} in {found['journal']['folder']}",
    ]
    text += [
        f"optional: {name} is missing ({use})" for name, use in found["missing_extras"].items()
    ]
    text += [f"PROBLEM: {problem}" for problem in found["problems"]] or ["all well"]
    return text
