"""Recovery: the newest snapshot, then the facts of every row after it; nothing is decided again."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError, JournalError
from cerberus_trader.domain.money import check_amount
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.state import State, state_from
from cerberus_trader.journal.rows import Restored

BESTS_NAME = "trailing.json"

Visit = Callable[[State, int, Row | None], None]


def recover(restored: Restored, visit: Visit | None = None) -> State:
    """Fold what the journal holds into the state; raise `JournalError` for an unreadable row.

    `visit(state, seq, row)` sees the snapshot (without a row), then each row after it was folded:
    for observers that lag behind.
    """
    snapshot = restored.snapshot
    state = state_from(snapshot.state) if snapshot is not None else State()
    if visit is not None and snapshot is not None:
        visit(state, snapshot.seq, None)
    for row in restored.rows:
        body = decode_row(row.body, place=f"journal row {row.seq}")
        advance(state, body.event)
        for fact in body.facts:
            apply(state, body.event, fact)
        if state.seq != row.seq:
            raise JournalError(
                f"row {row.seq} follows event {state.seq - 1}.", code="JOURNAL_ROW",
                fix="run `cerberus journal verify`.",
            )  # fmt: skip
        if visit is not None:
            visit(state, row.seq, body)
    return state


def read_bests(folder: Path) -> dict[str, Decimal]:
    """Read the best prices of trailing stops; nothing where the file is absent or senseless."""
    try:
        found = msgspec.json.decode((folder / BESTS_NAME).read_bytes(), type=dict[str, Decimal])
        for name, price in found.items():
            check_amount(price, place=name)
    except (OSError, DataError, *UNREADABLE):
        return {}
    return found


def write_bests(folder: Path, bests: dict[str, Decimal]) -> None:
    """Replace the file of best prices; raises `OSError`."""
    temporary = folder / f"{BESTS_NAME}.tmp"
    temporary.write_bytes(msgspec.json.encode(bests))
    temporary.replace(folder / BESTS_NAME)
