"""The check of the whole journal, soon after each start, in a process apart.

A start reads the newest snapshot and the rows after it; older rows may be damaged all the same.
What is found is told, and trading is frozen: a history that cannot be trusted is no ground for
more, and a resume, which takes no token, is no answer to it.
"""

import asyncio
from pathlib import Path

from cerberus_trader.domain.errors import CerberusError, DataError, JournalError
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.runtime.inbox import Command, Inbox
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.upkeep import Checked, apart

AFTER_S = 10.0
AGAIN_S = 600.0
ACTOR = "journal check"


async def check_journal(folder: Path, inbox: Inbox, log: Log, metrics: Metrics) -> None:
    """Verify the journal once; freeze trading and tell where it is damaged.

    Where that cannot be done it is told, and tried again: a machine may be short of something.
    """
    await asyncio.sleep(AFTER_S)
    while True:
        try:
            found = await apart("verify", folder, None, Checked)
            break
        except (CerberusError, OSError) as error:
            log.alert("the journal could not be checked; it is tried again", error)
        await asyncio.sleep(AGAIN_S)
    metrics.upkeep["verified_seq"] = found.last_seq
    if not found.reasons:
        log.info("journal verified", rows=found.rows, row=found.last_seq)
        return
    metrics.upkeep["journal_faults"] = len(found.reasons)
    damage = JournalError(
        "; ".join(found.reasons), code="JOURNAL_DAMAGED", place=str(folder),
        fix="stop the engine, run `cerberus journal verify`, and restore a backup.",
    )  # fmt: skip
    log.alert("the journal is damaged: trading is frozen", damage)
    try:
        inbox.put_command(Command(OperatorEvent(0, "freeze", ACTOR, "the journal is damaged")))
    except DataError as full:
        log.alert("the freeze could not be given", full)
