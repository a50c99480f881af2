"""Retention at work: beside a running engine through its own writer, or on a stopped folder."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from cerberus_trader.domain.errors import CerberusError
from cerberus_trader.domain.events import RetentionEvent
from cerberus_trader.domain.settings_keep import Retention as Settings
from cerberus_trader.engine.state import State
from cerberus_trader.journal.heads import Head
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy, Removal, clean, drop, plan_removals
from cerberus_trader.journal.sealing import plan_seals, record, sweep
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import Store
from cerberus_trader.runtime.inbox import Command, Inbox, Outcome
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.upkeep import Prepared, apart

T = TypeVar("T")
LOOK_S = 60.0
SWEEP_S = 0.05
DURABLE_S = 60.0


class Done(msgspec.Struct):
    """Count what one run of retention did."""

    segments_sealed: int = 0
    rows_sealed: int = 0
    segments_deleted: int = 0
    rows_deleted: int = 0
    audits_deleted: int = 0

    def seal(self, head: Head) -> None:
        """Count a sealed segment."""
        self.segments_sealed += 1
        self.rows_sealed += head.rows

    def remove(self, removal: Removal) -> None:
        """Count a deletion."""
        if removal.what == "audit":
            self.audits_deleted += 1
        else:
            self.segments_deleted += 1
            self.rows_deleted += removal.head.rows


def policy_of(settings: Settings) -> Policy:
    """Return the policy that the settings say."""
    return Policy(settings.days, settings.disk_bytes, settings.audit_days, settings.segment_rows)


def event_of(removal: Removal, ts_ns: int, actor: str) -> RetentionEvent:
    """Make the event of a deletion."""
    what, head, reason = removal
    digest = (head.audit_digest or b"").hex()
    return RetentionEvent(
        ts_ns, "audit" if what == "audit" else "rows", head.first_seq, head.last_seq,
        head.last_hash.hex(), head.rows, head.audit_rows, digest, reason, actor,
    )  # fmt: skip


class Retention:
    """Seal and delete while the engine runs; `wake` makes it look at once."""

    def __init__(
        self, folder: Path, journal: SqliteJournal, inbox: Inbox, state: State, log: Log,
        metrics: Metrics,
    ) -> None:  # fmt: skip
        self.folder, self.journal, self.inbox, self.state = folder, journal, inbox, state
        self.log, self.metrics = log, metrics
        self.wake = asyncio.Event()
        self.actor = ""

    def ask(self, actor: str) -> None:
        """Look at once, in a person's name."""
        self.actor = actor
        self.wake.set()

    async def run(self) -> None:
        """Look every minute, and when asked, until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LOOK_S):
                    await self.wake.wait()
            except TimeoutError:
                pass
            actor, self.actor = self.actor or "retention", ""
            asked = self.wake.is_set()
            self.wake.clear()
            settings = self.state.settings.retention
            if settings.enabled or asked:
                await self.guarded(policy_of(settings), actor)

    async def guarded(self, policy: Policy, actor: str) -> None:
        """Run once; what fails is told, counted, and tried again the next time."""
        done, counts = Done(), self.metrics.upkeep
        try:
            await self.once(policy, actor, done)
        except (CerberusError, OSError) as error:
            counts["retention_failed"] = counts.get("retention_failed", 0) + 1
            self.log.alert("retention failed", error)
        found = {name: count for name, count in msgspec.to_builtins(done).items() if count}
        for name, count in found.items():
            counts[name] = counts.get(name, 0) + count
        if found:
            self.log.info("retention", **found)

    async def once(self, policy: Policy, actor: str, done: Done) -> None:
        """Seal what is finished, then delete what is due; a child only where there is work."""
        reader = JournalReader(self.folder)
        if await asyncio.to_thread(plan_seals, reader, policy.segment_rows):
            for head in await apart("seal", self.folder, policy, list[Head]):
                await self._maintain(partial(record, head=head))
                done.seal(head)
        while await self._maintain(sweep):
            await asyncio.sleep(SWEEP_S)
        prepared = Prepared()
        if await asyncio.to_thread(plan_removals, reader, policy):
            prepared = await apart("prepare", self.folder, policy, Prepared)
        for removal in prepared.removals:
            await self._tell(event_of(removal, 0, actor))
            done.remove(removal)
        if prepared.removals:
            await self._maintain(partial(drop_prepared, prepared=prepared))
        await asyncio.to_thread(clean, self.folder, JournalReader(self.folder).heads())

    async def _maintain(self, job: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self.journal.maintain(job))

    async def _tell(self, event: RetentionEvent) -> None:
        """Put a deletion through the engine and wait until its row is durable."""
        told: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.inbox.put_command(Command(event, told))
        await told


def drop_prepared(store: Store, prepared: Prepared) -> None:
    """Record a prepared deletion, and sync the record: the files go after it."""
    drop(store, prepared.removals, prepared.base, prepared.chain_hash)
    store.sync()
