"""The process apart: make a backup, write segments, prepare a deletion, and print the outcome.

It imports what the engine's own process does without: cryptography, archives.
"""

import os
import sys
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader import __version__
from cerberus_trader.domain.errors import CerberusError, DataError
from cerberus_trader.engine.state import State, state_bytes, state_hash
from cerberus_trader.journal.backup import back_up
from cerberus_trader.journal.heads import Head
from cerberus_trader.journal.manifest import Made
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy, extract, plan_removals
from cerberus_trader.journal.rows import Restored
from cerberus_trader.journal.sealing import plan_seals, seal
from cerberus_trader.journal.snapshots import Request
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.audit import is_audit
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.upkeep import Answer, BackupOrder, Checked, Prepared
from cerberus_trader.security.passphrase import from_environment

SEALS_MAX = 32
"""Segments that one run of the child writes at most."""


def make_backup(folder: Path, order: BackupOrder) -> Made:
    """Write a backup by an order."""
    words = None
    if order.passphrase_env:
        words = from_environment(order.passphrase_env)
        if words is None:
            raise DataError(
                "there is no passphrase.", code="PASSPHRASE_MISSING", place=order.passphrase_env,
                fix="set this environment variable before the engine starts.",
            )  # fmt: skip
    return back_up(folder, Path(order.target), words)


def check(folder: Path, order: None) -> Checked:
    """Verify the whole journal."""
    report = verify(folder)
    return Checked(report.rows, report.last_seq, tuple(report.reasons))


def seal_all(folder: Path, policy: Policy) -> list[Head]:
    """Write the segments that are due; return their heads, to be recorded in this order.

    Each one continues the chain of the one before it, read from the journal file.
    """
    reader = JournalReader(folder)
    return [seal(reader, one) for one in plan_seals(reader, policy.segment_rows)[:SEALS_MAX]]


def prepare(folder: Path, policy: Policy) -> Prepared:
    """Find what retention deletes, write the audit's extracts, fold the state before the rest."""
    reader = JournalReader(folder)
    removals = tuple(
        extract(reader, removal, is_audit) for removal in plan_removals(reader, policy)
    )
    gone = [removal.head for removal in removals if removal.what == "rows"]
    if not gone:
        return Prepared(removals)
    state = fold(reader, gone[-1].last_seq)
    base = Request(
        gone[-1].last_seq, state.now_ns, __version__, bytes.fromhex(state_hash(state)),
        state_bytes(state),
    )  # fmt: skip
    return Prepared(removals, base, gone[-1].last_hash)


def fold(reader: JournalReader, through_seq: int) -> State:
    """Fold the readable history up to a row."""
    start = reader.beginning()
    rows = takewhile(lambda row: row.seq <= through_seq, start.rows)
    return recover(Restored(start.snapshot, rows, ()))


WORK: dict[str, tuple[Any, Callable[[Path, Any], Any]]] = {
    "verify": (type(None), check),
    "backup": (BackupOrder, make_backup),
    "seal": (Policy, seal_all),
    "prepare": (Policy, prepare),
}


def main() -> None:
    """Do the work that the arguments name, with its order on standard input."""
    os.nice(10)
    work, folder = sys.argv[1], Path(sys.argv[2])
    kind, run = WORK[work]
    try:
        order = msgspec.json.decode(sys.stdin.buffer.read(), type=kind)
        answer = Answer(msgspec.Raw(msgspec.json.encode(run(folder, order))))
    except CerberusError as error:
        answer = Answer(error=(error.message, error.code, error.place, error.fix, error.exit_code))
    sys.stdout.buffer.write(msgspec.json.encode(answer))


if __name__ == "__main__":
    main()
