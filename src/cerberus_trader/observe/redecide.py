"""Decide a journal again: the same events must give the same facts, byte for byte."""

from pathlib import Path
from typing import Any

from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_hash
from cerberus_trader.journal.reader import JournalReader


def redecide(folder: Path) -> dict[str, Any]:
    """Put every journalled event through a fresh engine; count the rows that differ.

    Meaningful for rows of the same engine version only. Returns rows, differences, the first
    differing row's number (0: none) and the hash of the state reached.
    """
    engine = Engine()
    count = differences = first = 0
    for row in JournalReader(folder).verified_rows():
        body = decode_row(row.body, place=f"journal row {row.seq}")
        step = engine.step(body.event)
        count += 1
        if encode_row(body.event, step.facts) != row.body:
            differences += 1
            first = first or row.seq
    return {
        "rows": count,
        "differences": differences,
        "first": first,
        "state_hash": state_hash(engine.state),
    }
