"""Reading a journal beside its writer."""

from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.sqlite import SqliteJournal


def test_ranges_are_read_while_the_engine_writes(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        for number in range(1, 11):
            journal.append(number, "tick", b"%d" % number)
        journal.wait_durable(10, 10.0)
        reader = JournalReader(tmp_path)
        assert [row.seq for row in reader.rows(3, 6)] == [4, 5, 6]
        assert [row.seq for row in reader.verified_rows(7)] == [8, 9, 10]
        assert reader.meta.engine_id == journal.engine_id


def test_an_absent_journal_is_named(tmp_path: Path) -> None:
    with pytest.raises(JournalError) as caught:
        JournalReader(tmp_path)
    assert caught.value.code == "JOURNAL_ABSENT"
    assert not (tmp_path / "journal.db").exists()


def test_reading_never_writes(tmp_path: Path) -> None:
    with SqliteJournal(tmp_path) as journal:
        journal.append(1, "tick", b"")
    before = (tmp_path / "journal.db").read_bytes()
    assert len(list(JournalReader(tmp_path).verified_rows())) == 1
    assert (tmp_path / "journal.db").read_bytes() == before
