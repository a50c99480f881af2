"""The folder of a run: it appears whole at the end, or not at all.

Everything is written into a folder beside it, which then takes its name. A folder that holds
anything but a former run is never replaced.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from cerberus_trader import __version__
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import plain
from cerberus_trader.journal.lock import LOCK_NAME
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.observe.projector import Projector
from cerberus_trader.replay.collector import Project
from cerberus_trader.replay.summary import FORMAT

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult

SUMMARY = "summary.json"
FILLS = "fills.csv"
DECISIONS = "decisions.jsonl"
REPORT = "report.html"
FILL_COLUMNS = (
    "ts_ns,instrument,order_id,position_id,side,quantity,price,fee,liquidity,reason"
)  # fmt: skip


def check_target(out: Path) -> None:
    """Refuse a target that is a file, or a folder with anything but a former run."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if is_run(out):
        return
    raise DataError(
        "it exists and is no former run.",
        code="OUT_OCCUPIED",
        place=str(out),
        fix="name a new or empty folder; only folders of former runs are replaced.",
    )


def is_run(folder: Path) -> bool:
    """Tell whether a folder was written by a replay: its summary says so."""
    try:
        summary = json.loads((folder / SUMMARY).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(summary, dict) and summary.get("format") == FORMAT


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Give a folder to write into; it takes the name of `out` if nothing was raised."""
    out = out.absolute()
    check_target(out)
    beside = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir()
        yield beside
        swap(beside, out)
    except OSError as error:
        raise DataError(
            f"cannot be written ({error.strerror}).", code="OUT_WRITE", place=str(out),
            fix="check the folder and the disk.",
        ) from error  # fmt: skip
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def swap(fresh: Path, out: Path) -> None:
    """Put a folder in the place of a former one; the former goes last."""
    former = out.with_name(f".{out.name}.{os.getpid()}.former")
    if not out.exists():
        fresh.rename(out)
        return
    out.rename(former)
    try:
        fresh.rename(out)
    except OSError:
        former.rename(out)
        raise
    shutil.rmtree(former, ignore_errors=True)


@contextmanager
def open_store(folder: Path) -> Iterator[tuple[SqliteJournal, Project]]:
    """Open the run's own journal and views, written in big batches and synced at the end."""
    from cerberus_trader.replay.session import ENGINE_ID

    journal = SqliteJournal(
        folder, engine_id=ENGINE_ID, engine_version=__version__,
        options=JournalOptions(durability="none"),
    )  # fmt: skip
    with journal, ViewsWriter(folder, scratch=True) as writer:
        projector = Projector(writer, version=__version__)
        yield journal, projector.take
        projector.flush()
        writer.finish()
    (folder / LOCK_NAME).unlink(missing_ok=True)


def write_outputs(folder: Path, result: "ReplayResult") -> None:
    """Write every file of a run but its journal, which is there already."""
    from cerberus_trader.replay.explained import explained_lines
    from cerberus_trader.replay.report import write_report

    write_fills(folder / FILLS, result)
    with (folder / DECISIONS).open("wb") as file:
        file.writelines(explained_lines(result))
    write_report(folder / REPORT, result)
    (folder / SUMMARY).write_text(json.dumps(result.summary, indent=2) + "\n", encoding="utf-8")


def write_fills(path: Path, result: "ReplayResult") -> None:
    """Write the fills as CSV, decimals plain and exact."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(FILL_COLUMNS + "\n")
        for fill, booked in result.collector.fills:
            side = "buy" if fill.side > 0 else "sell"
            file.write(
                f"{fill.ts_ns},{fill.instrument},{fill.order_id},{booked.position_id},{side},"
                f"{plain(fill.quantity)},{plain(fill.price)},{plain(fill.fee)},"
                f"{fill.liquidity},{fill.reason}\n"
            )
