"""The folder lock."""

import os
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.lock import FolderLock


def test_one_holder_at_a_time_and_the_next_after_release(tmp_path: Path) -> None:
    first = FolderLock(tmp_path)
    with pytest.raises(JournalError, match=f"process {os.getpid()}") as caught:
        FolderLock(tmp_path)
    assert (caught.value.code, caught.value.exit_code) == ("JOURNAL_LOCKED", 3)
    first.release()
    first.release()
    FolderLock(tmp_path).release()


def test_the_holder_is_written_anew(tmp_path: Path) -> None:
    (tmp_path / "journal.lock").write_text("123456789012\n")
    lock = FolderLock(tmp_path)
    assert (tmp_path / "journal.lock").read_text() == f"{os.getpid()}\n"
    lock.release()
