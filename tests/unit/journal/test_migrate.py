"""Migrations: both files, up and down, and the scripts that stand for them."""

import sqlite3
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.anchor import Anchor, AnchorFile
from cerberus_trader.journal.chain import Chain, genesis
from cerberus_trader.journal.migrate import (
    METADATA,
    SCRIPTS,
    Kind,
    alembic_config,
    generate,
    migrate_journal,
    upgrade,
)
from cerberus_trader.journal.reader import JournalReader
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


@pytest.fixture
def first_format(tmp_path: Path) -> Path:
    """A journal as the first format had it: made by its own migration, with rows and anchor."""
    folder = tmp_path / "state"
    folder.mkdir()
    engine = sa.create_engine(f"sqlite:///{folder / 'journal.db'}")
    with engine.begin() as connection:
        command.upgrade(alembic_config("journal", connection), "journal_0001")
        values = {"stream": "main", "engine_id": "e", "format_version": "1",
                  "engine_version": "0.1.0", "created_ns": "1"}  # fmt: skip
        for pair in values.items():
            connection.exec_driver_sql("INSERT INTO meta VALUES (?, ?)", pair)
        chain = Chain("main", genesis("e"))
        for seq in range(1, 101):
            row = ("main", seq, seq, "tick", b"body %d" % seq)
            digest = chain.link(*row[1:])
            connection.exec_driver_sql(
                "INSERT INTO journal VALUES (?, ?, ?, ?, ?, ?)", (*row, digest)
            )
    engine.dispose()
    with sqlite3.connect(folder / "journal.db") as plain:
        plain.execute("PRAGMA journal_mode = WAL")
    plain.close()
    anchor = AnchorFile(folder)
    anchor.write(Anchor("main", 100, chain.head))
    anchor.close()
    return folder


@pytest.mark.req("C-02.3", "T-02.2")
def test_an_older_journal_is_read_but_written_only_after_its_migration(first_format: Path) -> None:
    rows = list(JournalReader(first_format).verified_rows())
    assert len(rows) == 100 and verify(first_format).ok
    before = (first_format / "journal.db").read_bytes()
    with pytest.raises(JournalError) as caught:
        SqliteJournal(first_format)
    assert caught.value.code == "JOURNAL_OLDER" and caught.value.exit_code == 3
    assert f"cerberus journal migrate --state {first_format}" in caught.value.fix
    assert (first_format / "journal.db").read_bytes() == before
    assert migrate_journal(first_format) == (1, 2)
    assert list(JournalReader(first_format).verified_rows()) == rows and verify(first_format).ok
    assert JournalReader(first_format).meta.format_version == 2
    with SqliteJournal(first_format) as journal:
        assert journal.append(101, "tick", b"") == 101
    assert migrate_journal(first_format) == (2, 2)
    kept = sqlite3.connect(first_format / "journal.db.v1")
    assert kept.execute("SELECT count(*) FROM journal").fetchone() == (100,)
    kept.close()
    assert not (first_format / ".migrating").exists()
    fresh = first_format.parent / "fresh"
    SqliteJournal(fresh).close()
    assert objects(first_format / "journal.db") == objects(fresh / "journal.db")


def test_a_migration_needs_a_journal_that_is_whole_and_at_rest(
    first_format: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (first_format / "journal.db").read_bytes()

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cerberus_trader.journal.migrate._take_place", broken)
        with pytest.raises(JournalError, match="No space left"):
            migrate_journal(first_format)
    assert (first_format / "journal.db").read_bytes() == before and verify(first_format).ok
    assert not list(first_format.glob(".migrating")) and not list(first_format.glob("*.v1"))
    reader = sqlite3.connect(first_format / "journal.db")  # whose log would meet the new file
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM journal").fetchone()
    with pytest.raises(JournalError, match="locked"):
        migrate_journal(first_format)
    reader.close()
    assert verify(first_format).meta == JournalReader(first_format).meta
    with sqlite3.connect(first_format / "journal.db") as plain:
        plain.execute("UPDATE meta SET value = '3' WHERE name = 'format_version'")
    plain.close()
    with pytest.raises(JournalError, match="format 3"):
        migrate_journal(first_format)
    with sqlite3.connect(first_format / "journal.db") as plain:
        plain.execute("UPDATE meta SET value = '1' WHERE name = 'format_version'")
        plain.execute("DROP TRIGGER journal_no_update")
        plain.execute("UPDATE journal SET body = x'00' WHERE seq = 50")
    plain.close()
    with pytest.raises(JournalError, match="row 50"):
        migrate_journal(first_format)
    with SqliteJournal(first_format.parent / "used"), pytest.raises(JournalError, match="in use"):
        migrate_journal(first_format.parent / "used")
    with pytest.raises(JournalError, match="no such file"):
        migrate_journal(first_format.parent / "none")
