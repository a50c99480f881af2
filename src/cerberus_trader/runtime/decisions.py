"""Find a decision in a journal, with the configuration that it names, and explain it.

Works beside a running engine and on the folder of a replay alike.
"""

from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.facts import ConfigApplied, SignalJudged
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.store import JOURNAL_NAME
from cerberus_trader.observe.explain import explain, why_not

NEWEST = 1_000


def explained(folder: Path, decision_id: str = "") -> dict[str, Any]:
    """Return a decision in words as plain values; without an id the last one."""
    decision, config = find(folder, decision_id)
    instruments = {item.name: item for item in config.instruments}
    found: dict[str, Any] = msgspec.to_builtins(explain(decision, config.settings, instruments))
    found["why_not"] = why_not(decision, config.settings, instruments)
    return found


def find(folder: Path, decision_id: str = "") -> tuple[Decision, ConfigApplied]:
    """Return a decision (empty: the last one) and the configuration it was judged under.

    Raises `DataError` where there is none, `JournalError` where the journal cannot be read.
    """
    if not (folder / JOURNAL_NAME).exists():
        raise DataError(
            "there is no journal.", place=str(folder), fix="name the folder with --state."
        )
    reader = JournalReader(folder)
    seq = _seq_of(reader, decision_id)
    row = reader.row(seq) if seq else None
    for fact in decode_row(row.body).facts if row is not None else ():
        if isinstance(fact, SignalJudged) and decision_id in ("", fact.decision.id):
            return fact.decision, _config(reader, fact.decision.config, seq)
    what = f"no decision {decision_id!r}" if decision_id else "no decision yet"
    raise DataError(
        f"the journal holds {what}.", code="DECISION_UNKNOWN", place=str(folder),
        fix="use --last, or an id such as d17 from the log.",
    )  # fmt: skip


def _seq_of(reader: JournalReader, decision_id: str) -> int:
    """Return the row of a decision: its id holds it; 0 where there can be none."""
    if decision_id:
        number = decision_id.removeprefix("d")
        return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    for row in islice(reader.newest("signal"), NEWEST):
        if any(isinstance(fact, SignalJudged) for fact in decode_row(row.body).facts):
            return row.seq
    return 0


def _config(reader: JournalReader, digest: str, seq: int) -> ConfigApplied:
    for row in reader.newest("config", seq):
        for fact in decode_row(row.body).facts:
            if isinstance(fact, ConfigApplied) and fact.digest == digest:
                return fact
    raise DataError(
        f"the journal does not hold the configuration {digest[:12]}.", place=str(reader.path),
        fix="run `cerberus journal verify`.",
    )  # fmt: skip
