"""Decide a journal again: the same events must give the same facts, byte for byte."""

from pathlib import Path
from typing import Any

from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_from, state_hash
from cerberus_trader.journal.reader import JournalReader


def redecide(folder: Path) -> dict[str, Any]:
    """Put every journalled event through an engine again; count the rows that differ.

    It starts fresh, or where retention deleted rows from the state at the last one of them.

    Meaningful for rows of the same engine version only. Returns rows, differences, the first
    differing row's number (0: none) and the hash of the state reached.
    """
    start = JournalReader(folder).beginning()
    engine = Engine(state_from(start.snapshot.state) if start.snapshot is not None else None)
    count = differences = first = 0
    for row in start.rows:
        body = decode_row(row.body, place=f"journal row {row.seq}")
        step = engine.step(body.event)
        count += 1
        told = encode_row(body.event, step.facts)
        # an older release wrote fewer fields: they are those of the row as it is read now
        if told != row.body and told != encode_row(body.event, body.facts):
            differences += 1
            first = first or row.seq
    return {
        "rows": count,
        "differences": differences,
        "first": first,
        "state_hash": state_hash(engine.state),
    }
