"""Whatever is appended comes back, chained alike on disk and in memory."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.chain import Chain, checked, genesis
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import verify

KINDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
ENTRIES = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), KINDS, st.binary(max_size=60)), max_size=60
)


@settings(max_examples=40)
@given(ENTRIES, st.sampled_from(["power", "process", "none"]))
def test_what_is_appended_comes_back(
    entries: list[tuple[int, str, bytes]], durability: str
) -> None:
    memory = MemoryJournal(engine_id="e")
    with tempfile.TemporaryDirectory() as name:
        options = JournalOptions(durability=durability)  # type: ignore[arg-type]
        with SqliteJournal(Path(name), engine_id="e", options=options) as journal:
            for entry in entries:
                assert journal.append(*entry) == memory.append(*entry)
        assert list(JournalReader(Path(name)).verified_rows()) == list(memory.rows())
        assert verify(Path(name)).last_hash == memory.last_hash


@given(ENTRIES.filter(bool), st.data())
def test_any_change_of_any_row_is_found(
    entries: list[tuple[int, str, bytes]], data: st.DataObject
) -> None:
    memory = MemoryJournal(engine_id="e")
    for entry in entries:
        memory.append(*entry)
    rows = list(memory.rows())
    at = data.draw(st.integers(0, len(rows) - 1))
    ts_ns, kind, body = data.draw(ENTRIES.filter(bool))[0]
    changed: Row = rows[at]._replace(ts_ns=ts_ns, kind=kind, body=body)
    same = changed == rows[at]
    rows[at] = changed
    try:
        read = list(checked(rows, Chain("main", genesis("e")), 0, "memory"))
    except JournalError as error:
        assert not same and f"row {at + 1} " in str(error)
    else:
        assert same and len(read) == len(rows)
