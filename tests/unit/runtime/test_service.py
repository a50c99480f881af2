"""The service's waits: a start and a stop end when the journal fails, or when asked twice."""

import asyncio
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.runtime import service as module
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.service import Options, Service, Stopped, in_loop
from tests.unit.runtime.test_runner import Rig

FAILURE = JournalError("the disk is full", code="JOURNAL_FULL")


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Service:
    """Make a service in which nobody takes what is asked, with patience without end."""
    monkeypatch.setattr(module, "SHUTDOWN_S", 3_600.0)
    made: Any = Service(Options(tmp_path))
    made.runner, made.log = Rig().runner, Log(stream=io.StringIO())
    made.ingest, made.observer = SimpleNamespace(), SimpleNamespace(start=lambda state: None)
    made.trading = SimpleNamespace(unjudged=0)
    made.shell = SimpleNamespace(link=None)

    async def begin() -> None:
        await made.runner.durable(made.runner.journal.last_seq + 1)

    made.begin = begin
    found: Service = made
    return found


@pytest.mark.parametrize("failed", [True, False])
async def test_a_start_that_waits_ends_at_a_failure_and_at_a_second_signal(
    service: Service, failed: bool
) -> None:
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        starting = asyncio.ensure_future(service._supervise(group))
        await asyncio.sleep(0)
        if failed:
            service.fail(FAILURE)
        else:
            service.interrupt()
            service.interrupt()
        with pytest.raises((Stopped, JournalError)):
            await starting
    assert not service.begun


async def test_a_start_that_waits_ends_some_time_after_the_first_signal(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHUTDOWN_S", 0.01)
    async with asyncio.TaskGroup() as group, asyncio.timeout(10):
        starting = asyncio.ensure_future(service._supervise(group))
        await asyncio.sleep(0)
        service.interrupt()
        with pytest.raises(Stopped):
            await starting
    assert not service.begun


@pytest.mark.parametrize("failed", [True, False])
async def test_a_stop_that_waits_ends_at_a_failure_and_at_a_second_signal(
    service: Service, failed: bool
) -> None:
    service.interrupt()
    stopping = asyncio.ensure_future(service._shut_down())
    await asyncio.sleep(0.01)
    assert not stopping.done()
    if failed:
        service.fail(FAILURE)
    else:
        service.interrupt()
    async with asyncio.timeout(10):
        await stopping


def test_a_failure_told_when_the_loop_has_ended_is_left_to_whoever_closes() -> None:
    loop, told = asyncio.new_event_loop(), []
    in_loop(loop, told.append, "while it runs")
    loop.call_soon(loop.stop)
    loop.run_forever()
    loop.close()
    in_loop(loop, told.append, "too late")
    assert told == ["while it runs"]
