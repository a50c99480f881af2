"""The anchor file: two slots, torn writes, damage."""

from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.anchor import (
    SLOT_BYTES,
    Anchor,
    AnchorFile,
    read_anchor,
    unreadable_slots,
)


def anchor(seq: int) -> Anchor:
    return Anchor("main", seq, bytes([seq]) * 32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = AnchorFile(tmp_path)
    file.write(anchor(1))
    file.write(anchor(2))
    file.close()
    return tmp_path


def tear(folder: Path, newest: bool, at: int = 10) -> None:
    path = folder / "anchor"
    data = bytearray(path.read_bytes())
    pages = [data[:SLOT_BYTES], data[SLOT_BYTES:]]
    counters = [int.from_bytes(page[8:16], "big") for page in pages]
    chosen = counters.index(max(counters) if newest else min(counters))
    data[chosen * SLOT_BYTES + at] ^= 1
    path.write_bytes(data)


def test_the_newest_anchor_is_read(folder: Path) -> None:
    assert read_anchor(folder) == anchor(2)


def test_no_file_and_a_file_never_written_mean_no_anchor(tmp_path: Path) -> None:
    assert read_anchor(tmp_path) is None
    AnchorFile(tmp_path).close()
    assert read_anchor(tmp_path) is None


def test_writing_goes_on_after_reopening(folder: Path) -> None:
    file = AnchorFile(folder)
    for seq in (3, 4, 5):
        file.write(anchor(seq))
        assert read_anchor(folder) == anchor(seq)
    file.close()
    file.close()
    assert (folder / "anchor").stat().st_size == 2 * SLOT_BYTES


@pytest.mark.parametrize("at", [0, 10, 20, 60, 100, 190, 4000])
def test_a_torn_slot_leaves_the_other(folder: Path, at: int) -> None:
    tear(folder, newest=True, at=at)
    assert read_anchor(folder) == anchor(1)
    assert unreadable_slots(folder) == 1


def test_the_next_write_goes_over_the_older_slot(folder: Path) -> None:
    file = AnchorFile(folder)
    file.write(anchor(3))
    file.close()
    tear(folder, newest=True)
    assert read_anchor(folder) == anchor(2)


def test_two_damaged_slots_are_an_error(folder: Path) -> None:
    tear(folder, newest=True)
    tear(folder, newest=False)
    with pytest.raises(JournalError, match="neither slot") as caught:
        read_anchor(folder)
    assert caught.value.code == "JOURNAL_ANCHOR"


def test_a_cut_file_is_an_error(folder: Path) -> None:
    (folder / "anchor").write_bytes(b"CERBANC1")
    with pytest.raises(JournalError):
        read_anchor(folder)
