"""Migrations: both files, up and down, and the scripts that stand for them."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.migrate import (
    METADATA,
    SCRIPTS,
    Kind,
    alembic_config,
    generate,
    upgrade,
)
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.verify import verify
from cerberus_trader.journal.views import ViewsWriter

BOTH = pytest.mark.parametrize("kind", ["journal", "views"])


def objects(path: Path) -> set[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
    connection.close()
    return {(*row[:3], " ".join((row[3] or "").split())) for row in found}


@pytest.mark.req("T-02.2", "C-02.3")
@BOTH
def test_the_scripts_are_what_the_migrations_make(tmp_path: Path, kind: Kind) -> None:
    assert SCRIPTS[kind].read_text() == generate(kind), (
        "run python -m cerberus_trader.journal.migrate"
    )
    upgrade(tmp_path / "migrated.db", kind)
    connection = sqlite3.connect(tmp_path / "scripted.db")
    connection.executescript(SCRIPTS[kind].read_text())
    connection.close()
    assert objects(tmp_path / "migrated.db") == objects(tmp_path / "scripted.db")


@pytest.mark.req("T-02.2", "C-02.3")
@BOTH
def test_the_migrations_make_what_the_schema_says(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "file.db"
    upgrade(path, kind)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA[kind]) == []
    engine.dispose()


@BOTH
def test_down_and_up_again(tmp_path: Path, kind: Kind) -> None:
    path = tmp_path / "file.db"
    upgrade(path, kind)
    before = objects(path)
    engine = sa.create_engine(f"sqlite:///{path}")
    with engine.begin() as connection:
        command.downgrade(alembic_config(kind, connection), "base")
    engine.dispose()
    assert {name for _, name, *_ in objects(path)} <= {
        "alembic_version",
        "sqlite_autoindex_alembic_version_1",
    }
    upgrade(path, kind)
    assert objects(path) == before


@pytest.mark.req("C-02.3", "C-02.2")
def test_files_that_the_engine_made_are_at_the_newest_revision(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        journal.append(1, "tick", b"")
    ViewsWriter(tmp_path).close()
    for kind, name in (("journal", "journal.db"), ("views", "views.db")):
        before = objects(tmp_path / name)
        upgrade(tmp_path / name, kind)  # type: ignore[arg-type]
        assert objects(tmp_path / name) == before
    assert verify(tmp_path).ok


@BOTH
def test_a_revision_from_the_future_and_a_broken_file_are_refused(
    tmp_path: Path, kind: Kind
) -> None:
    path = tmp_path / "file.db"
    upgrade(path, kind)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'later'")
    connection.close()
    with pytest.raises(JournalError, match="later"):
        upgrade(path, kind)
    path.write_bytes(b"junk" * 2000)
    with pytest.raises(JournalError) as caught:
        upgrade(path, kind)
    assert caught.value.place == str(path)
