"""Upkeep in a process apart: copying, compressing, folding and deriving keys cost time and memory
that the trading loop should not spend.

The child (`upkeep_work.py`) only reads the journal and writes files beside it; what changes the
journal file is done by the engine's own writer with what the child found.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from cerberus_trader.domain.errors import DataError, SystemFailure
from cerberus_trader.journal.retention import Removal
from cerberus_trader.journal.snapshots import Request

T = TypeVar("T")
WORKER = "cerberus_trader.runtime.upkeep_work"
CHILD_S = 3_600.0


class BackupOrder(msgspec.Struct, frozen=True):
    """Say where a backup goes, and which variable holds the passphrase (empty: none)."""

    target: str
    passphrase_env: str


class Checked(msgspec.Struct, frozen=True):
    """Hold what verifying the whole journal found; without reasons all is well."""

    rows: int
    last_seq: int
    reasons: tuple[str, ...]


class Prepared(NamedTuple):
    """Hold what retention deletes, and the state that the rest of the history folds from."""

    removals: tuple[Removal, ...] = ()
    base: Request | None = None
    chain_hash: bytes = b""


class Answer(msgspec.Struct):
    """Hold what a child found, or why it failed."""

    found: msgspec.Raw = msgspec.Raw(b"null")
    error: tuple[str, str, str, str, int] | None = None


async def apart(work: str, folder: Path, order: Any, kind: type[T]) -> T:
    """Do a piece of work in a child and return what it found; raises its `CerberusError`."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", WORKER, work, str(folder),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(CHILD_S):
            out, _ = await child.communicate(msgspec.json.encode(order))
    except TimeoutError:
        out = b""
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    try:
        answer = msgspec.json.decode(out, type=Answer)
    except msgspec.DecodeError:
        raise SystemFailure(
            f"the process ended with {child.returncode} and no answer.", code="UPKEEP_FAILED",
            place=work, fix="see its lines above; it is tried again later.",
        ) from None  # fmt: skip
    if answer.error is not None:
        message, code, place, fix, exit_code = answer.error
        error = DataError if exit_code == DataError.exit_code else SystemFailure
        raise error(message, code=code, place=place, fix=fix)
    return msgspec.json.decode(answer.found, type=kind)
