"""The journal in memory."""

from cerberus_trader.journal.chain import Chain, checked, genesis
from cerberus_trader.journal.memory import MemoryJournal


def filled() -> MemoryJournal:
    journal = MemoryJournal(engine_id="e")
    for number in range(1, 6):
        assert journal.append(number * 10, "tick", b"%d" % number) == number
    return journal


def test_rows_are_numbered_chained_and_readable_from_any_point() -> None:
    journal = filled()
    rows = list(checked(journal.rows(), Chain("main", genesis("e")), 0, "memory"))
    assert [row.body for row in rows] == [b"1", b"2", b"3", b"4", b"5"]
    assert rows[-1].hash == journal.last_hash
    assert [row.seq for row in journal.rows(3)] == [4, 5]
    assert len(journal) == journal.last_seq == 5


def test_every_row_is_durable_at_once() -> None:
    journal = filled()
    assert journal.durable_seq == 5
    assert journal.wait_durable(5, 0.0)
    assert not journal.wait_durable(6, 0.0)


def test_restore_gives_the_snapshot_and_what_follows_it() -> None:
    journal = filled()
    assert journal.restore().snapshot is None
    assert len(list(journal.restore().rows)) == 5
    journal.save_snapshot(50, "1.0", b"h", b"state")
    journal.append(60, "tick", b"6")
    journal.close()
    restored = journal.restore()
    assert restored.snapshot is not None
    assert (restored.snapshot.seq, restored.snapshot.state) == (5, b"state")
    assert [row.seq for row in restored.rows] == [6]
    assert restored.skipped == ()


def test_an_empty_journal_has_the_genesis_hash() -> None:
    journal = MemoryJournal(engine_id="e")
    assert (journal.last_seq, journal.last_hash) == (0, genesis("e"))
