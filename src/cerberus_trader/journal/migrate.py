"""Bring a journal or views file to the newest schema, and generate the scripts of fresh files.

Alembic takes seconds to start, so only `cerberus journal migrate` and the generator
(`python -m cerberus_trader.journal.migrate`) come here; the engine runs the generated scripts.
"""

import os
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.anchor import ANCHOR_NAME, sync_folder
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.schema import journal_metadata
from cerberus_trader.journal.store import FORMAT_VERSION, JOURNAL_NAME, connect_reader, failure
from cerberus_trader.journal.verify import verify
from cerberus_trader.journal.views_schema import views_metadata

HERE = Path(__file__).resolve().parent
Kind = Literal["journal", "views"]
METADATA: dict[Kind, sa.MetaData] = {"journal": journal_metadata, "views": views_metadata}
SCRIPTS: dict[Kind, Path] = {"journal": HERE / "schema.sql", "views": HERE / "views.sql"}


def alembic_config(kind: Kind, connection: sa.Connection) -> Config:
    """Describe the migrations of one kind of file over an open connection."""
    config = Config()
    config.set_main_option("path_separator", "os")
    config.set_main_option("script_location", _option(HERE / "migrations"))
    config.set_main_option("version_locations", _option(HERE / "migrations" / f"{kind}_versions"))
    config.attributes["connection"] = connection
    config.attributes["metadata"] = METADATA[kind]
    return config


def _option(path: Path) -> str:
    if os.pathsep in str(path):
        raise JournalError(
            f"a folder with {os.pathsep!r} in its name cannot hold migrations.",
            code="JOURNAL_SCHEMA",
            place=str(path),
            fix="install the package elsewhere.",
        )
    return str(path).replace("%", "%%")


def upgrade(path: Path, kind: Kind) -> None:
    """Migrate a file to the newest schema, creating it where it is absent.

    Raises `JournalError` when the file is no database or has an unknown, newer revision.
    """
    engine = sa.create_engine(sa.URL.create("sqlite", database=str(path)))
    try:
        with engine.begin() as connection:
            command.upgrade(alembic_config(kind, connection), "head")
    except (sa.exc.DatabaseError, CommandError) as error:
        raise JournalError(
            f"the {kind} file cannot be migrated: {error}.",
            code="JOURNAL_SCHEMA",
            place=str(path),
            fix="use the release that wrote it, or restore it from a backup.",
        ) from error
    finally:
        engine.dispose()


def migrate_journal(folder: Path) -> tuple[int, int]:
    """Bring a stopped engine's journal to the newest format; return the formats before and after.

    A copy is migrated, verified and synced, and only then takes the journal's name; the former
    file stays beside it as journal.db.vN. Raises `JournalError` for a journal in use, one that
    does not verify, and one that is newer.
    """
    path = folder / JOURNAL_NAME
    before = JournalReader(folder).meta.format_version
    lock = FolderLock(folder)
    copy = folder / ".migrating"
    try:
        _proved(folder)
        if before == FORMAT_VERSION:
            return before, before
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir(mode=0o700)
        with closing(connect_reader(path)) as connection:
            connection.execute("VACUUM INTO ?", (str(copy / JOURNAL_NAME),))
        shutil.copyfile(folder / ANCHOR_NAME, copy / ANCHOR_NAME)
        upgrade(copy / JOURNAL_NAME, "journal")
        _proved(copy)
        with (copy / JOURNAL_NAME).open("rb") as file:
            os.fsync(file.fileno())
        _take_place(path, copy / JOURNAL_NAME, before)
    except (sqlite3.Error, OSError) as error:
        raise failure(error, path, "migrating the journal") from error
    finally:
        shutil.rmtree(copy, ignore_errors=True)
        lock.release()
    return before, FORMAT_VERSION


def _proved(folder: Path) -> None:
    report = verify(folder)
    if not report.ok:
        raise JournalError(
            f"the journal does not verify: {'; '.join(report.reasons)}", code="JOURNAL_DAMAGED",
            place=str(folder), fix="restore the journal from a backup, then migrate that.",
        )  # fmt: skip


def _take_place(path: Path, copy: Path, version: int) -> None:
    """Put the migrated file in the journal's place; the old log must not meet it."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
    if mode != "delete" or path.with_name(f"{path.name}-wal").exists():
        raise OSError(16, "another process reads the journal")
    kept = path.with_name(f"{path.name}.v{version}")
    kept.unlink(missing_ok=True)
    os.link(path, kept)
    copy.replace(path)
    sync_folder(path.parent)


def generate(kind: Kind) -> str:
    """Write the SQL script that makes what the migrations make, for SQLite."""
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        command.upgrade(alembic_config(kind, connection), "head")
        objects = connection.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"
            " ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 ELSE 2 END, tbl_name, name"
        )
        parts = [sql.replace("\t", "    ") + ";" for (sql,) in objects]
        revision = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
        version = connection.exec_driver_sql("PRAGMA user_version").scalar()
    engine.dispose()
    head = f"-- Generated by `python -m {__spec__.name}`: the {kind} file.\n"
    tail = (
        f"INSERT INTO alembic_version (version_num) VALUES ('{revision}');\n"
        f"PRAGMA user_version = {version};\n"
    )
    text = "\n".join(line.rstrip() for line in "\n".join(parts).splitlines())
    return f"{head}{text}\n{tail}"


def main() -> None:
    """Write both scripts beside this module."""
    for kind, path in SCRIPTS.items():
        path.write_text(generate(kind), encoding="utf-8")
        sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    main()
