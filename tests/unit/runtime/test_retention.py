"""Retention beside an engine: through its inbox and its journal's own writer."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.retention import Policy
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime import retention as module
from cerberus_trader.runtime import upkeep
from cerberus_trader.runtime.inbox import Command, Inbox, Outcome
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.retention import Retention
from tests.days import write_days

POLICY = Policy(days=3, disk_bytes=0, audit_days=0, segment_rows=1_000)


class Beside:
    """Hold a retention with the journal it works on, and what it logged."""

    def __init__(self, folder: Path, options: JournalOptions | None = None) -> None:
        self.folder = folder
        self.journal = SqliteJournal(folder, options=options)
        self.engine = Engine(recover(self.journal.restore()))
        self.inbox, self.metrics, self.out = Inbox(), Metrics(), StringIO()
        self.retention = Retention(
            folder, self.journal, self.inbox, self.engine.state, Log(stream=self.out),
            self.metrics,
        )  # fmt: skip

    async def consume(self) -> None:
        """Take commands as the engine's loop does."""
        while True:
            item = await self.inbox.take()
            assert isinstance(item, Command) and item.done is not None
            event = msgspec.structs.replace(item.event, ts_ns=self.engine.state.now_ns)
            facts = self.engine.step(event).facts
            seq = self.journal.append(event.ts_ns, "retention", encode_row(event, facts))
            await asyncio.to_thread(self.journal.wait_durable, seq, 10.0)
            item.done.set_result(Outcome(seq, facts))

    def lines(self) -> list[dict[str, object]]:
        """Return the log."""
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


@pytest.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    write_days(tmp_path / "state", 6)
    found = Beside(tmp_path / "state")
    consumer = asyncio.create_task(found.consume())
    yield found
    consumer.cancel()
    with suppress(asyncio.CancelledError):
        await consumer
    found.journal.close()


@pytest.mark.req("D-11.7")
async def test_it_seals_tells_deletes_and_counts(beside: Beside) -> None:
    await beside.retention.guarded(POLICY, "ann")
    counts = beside.metrics.upkeep
    assert (counts["segments_sealed"], counts["segments_deleted"]) == (3, 2)
    report = verify(beside.folder)
    assert report.ok and report.deleted_seq == counts["rows_deleted"]
    told = [decode_row(row.body).event for row in JournalReader(beside.folder).newest("retention")]
    assert [getattr(event, "actor", "") for event in told] == ["ann", "ann"]
    assert [line["event"] for line in beside.lines()] == ["retention"]
    assert redecide(beside.folder)["differences"] == 0
    await beside.retention.guarded(POLICY, "ann")  # nothing is left to do
    assert counts["segments_sealed"] == 3 and len(beside.lines()) == 1


async def test_a_deletion_is_synced_before_the_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_days(tmp_path / "state", 6)
    beside = Beside(tmp_path / "state", JournalOptions("process", sync_interval_s=3_600.0))
    consumer = asyncio.create_task(beside.consume())
    steps: list[str] = []
    drop, clean, fdatasync = module.drop, module.clean, os.fdatasync

    def noted_drop(*args: Any) -> None:
        drop(*args)
        steps.append("drop")

    def noted_clean(*args: Any) -> int:
        steps.append("clean")
        return clean(*args)

    def noted_sync(fd: int) -> None:
        fdatasync(fd)
        if os.readlink(f"/proc/self/fd/{fd}").endswith("-wal"):
            steps.append("sync")

    monkeypatch.setattr(module, "drop", noted_drop)
    monkeypatch.setattr(module, "clean", noted_clean)
    monkeypatch.setattr(os, "fdatasync", noted_sync)
    await beside.retention.guarded(POLICY, "ann")
    consumer.cancel()
    assert beside.metrics.upkeep["segments_deleted"] == 2
    assert steps == ["drop", "sync", "clean"]
    beside.journal.close()


async def test_a_failure_is_told_and_tried_again(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "WORKER", "no.such.module")
        await beside.retention.guarded(POLICY, "ann")
    assert beside.metrics.upkeep == {"retention_failed": 1}
    (line,) = beside.lines()
    assert line["alert"] and line["code"] == "UPKEEP_FAILED"
    await beside.retention.guarded(POLICY, "ann")
    assert beside.metrics.upkeep["segments_deleted"] == 2 and verify(beside.folder).ok


async def test_it_looks_when_asked_also_where_it_is_switched_off(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = beside.engine.state
    section = msgspec.structs.replace(state.settings.retention, enabled=False, segment_rows=100)
    state.settings = msgspec.structs.replace(state.settings, retention=section)
    monkeypatch.setattr(module, "LOOK_S", 0.01)
    running = asyncio.create_task(beside.retention.run())
    await asyncio.sleep(0.05)
    assert beside.metrics.upkeep == {}
    beside.retention.ask("bob")
    async with asyncio.timeout(30):
        while "segments_sealed" not in beside.metrics.upkeep:
            await asyncio.sleep(0.01)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert beside.metrics.upkeep["segments_sealed"] == 3


async def test_a_poisoned_journal_ends_a_job_instead_of_holding_it(beside: Beside) -> None:
    writer = beside.journal._writer
    assert writer is not None
    writer.poison(OSError(5, "Input/output error"), "writing the journal")
    await beside.retention.guarded(POLICY, "ann")
    assert beside.metrics.upkeep == {"retention_failed": 1}
    with pytest.raises(JournalError, match="Input/output"):
        beside.journal.close()
