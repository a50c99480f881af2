"""Find a decision in a journal, with the configuration that it names, and explain it.

Works beside a running engine and on the folder of a replay alike.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.facts import (
    ConfigApplied,
    Filled,
    OrderChanged,
    OrderSubmitted,
    SignalJudged,
)
from cerberus_trader.domain.order import TERMINAL, Status
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.store import JOURNAL_NAME
from cerberus_trader.observe.explain import explain, why_not

NEWEST = 1_000


def explained(folder: Path, decision_id: str = "") -> dict[str, Any]:
    """Return a decision in words as plain values; without an id the last one."""
    decision, config = find(folder, decision_id)
    instruments = {item.name: item for item in config.instruments}
    found: dict[str, Any] = msgspec.to_builtins(explain(decision, config.settings, instruments))
    found["why_not"] = why_not(decision, config.settings, instruments)
    found["orders"] = outcome(folder, decision)
    return found


def outcome(folder: Path, decision: Decision) -> list[dict[str, Any]]:
    """Return what became of a decision's orders in the rows that follow it, retries included."""
    orders: dict[str, dict[str, Any]] = {}
    for row in islice(JournalReader(folder).rows(_seq_of(decision.id) - 1), NEWEST):
        event, facts = msgspec.structs.astuple(decode_row(row.body))[1:]
        for fact in facts:
            if isinstance(fact, OrderSubmitted) and fact.order.signal_id == decision.signal_id:
                order = fact.order
                orders[order.id] = {"id": order.id, "attempt": order.attempt,
                                    "status": order.status.value, "reason": ""}  # fmt: skip
            elif isinstance(fact, OrderChanged) and fact.order_id in orders:
                orders[fact.order_id] |= {"status": fact.status.value, "reason": fact.reason}
            elif isinstance(fact, Filled) and event.order_id in orders:
                orders[event.order_id] |= {"status": fact.status.value, "reason": ""}
        if all(Status(order["status"]) in TERMINAL for order in orders.values()):
            break
    return list(orders.values())


def find(folder: Path, decision_id: str = "") -> tuple[Decision, ConfigApplied]:
    """Return a decision (empty: the last one) and the configuration it was judged under.

    It is named by its own id, or by its signal's among the newest.

    Raises `DataError` where there is none, `JournalError` where the journal cannot be read.
    """
    if not (folder / JOURNAL_NAME).exists():
        raise DataError(
            "there is no journal.", place=str(folder), fix="name the folder with --state."
        )
    reader = JournalReader(folder)
    named = _seq_of(decision_id)
    row = reader.row(named) if named else None
    for seq, found in chain(_judged([row] if row is not None else []),
                            _judged(islice(reader.newest("signal"), NEWEST))):  # fmt: skip
        if decision_id in ("", found.id, found.signal_id):
            return found, _config(reader, found.config, seq)
    what, fix = "no decision yet", "send a signal; each ends in one."
    if decision_id:
        what = f"no decision {decision_id!r}"
        fix = "use --last, or an id such as d17 from the log, or that of a late signal."
    raise DataError(
        f"the journal holds {what}.", code="DECISION_UNKNOWN", place=str(folder), fix=fix
    )


def _seq_of(decision_id: str) -> int:
    """Return the row of a decision: its id holds it; 0 where there can be none."""
    number = decision_id.removeprefix("d")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0


def _judged(rows: Iterable[Row]) -> Iterator[tuple[int, Decision]]:
    """Give the decisions that rows hold, with their rows' numbers."""
    for row in rows:
        for fact in decode_row(row.body).facts:
            if isinstance(fact, SignalJudged):
                yield row.seq, fact.decision


def _config(reader: JournalReader, digest: str, seq: int) -> ConfigApplied:
    for row in reader.newest("config", seq):
        for fact in decode_row(row.body).facts:
            if isinstance(fact, ConfigApplied) and fact.digest == digest:
                return fact
    raise DataError(
        f"the journal does not hold the configuration {digest[:12]}.", place=str(reader.path),
        fix="run `cerberus journal verify`.",
    )  # fmt: skip
