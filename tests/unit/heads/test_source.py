"""A head and a growing file, asked through the design document's source interface."""

from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.base import Account, Bar, HeadRun
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.heads.lines import format_signal
from cerberus_trader.heads.lines.source import FileSource
from cerberus_trader.heads.source import HeadSource, SignalSource


def source(**params: Any) -> HeadSource:
    spec = find_head("mock")
    config = spec.configure({"chance": 1.0, "close_chance": 0.0, **params})
    return HeadSource(HeadRun(spec, config, "desk", "XUSDT"), waiting_max=3)


def wake(head: HeadSource, ts: int) -> None:
    head.add(Bar(ts, 1.0, 1.0, 1.0, 1.0, 1.0))
    head.wake(ts, 1.0, 1.0, Account())


@pytest.mark.req("D-04.1", "C-03.5")
async def test_a_head_is_a_signal_source() -> None:
    head = source()
    asked: SignalSource = head
    assert (asked.source_name(), asked.is_connected()) == ("desk", True)
    assert await asked.get_signals() == []
    wake(head, 10)
    wake(head, 20)
    assert [signal.ts_ns for signal in await asked.get_signals()] == [10, 20]
    assert await asked.get_signals() == []


async def test_what_waits_is_bounded_and_the_oldest_goes() -> None:
    head = source()
    for ts in range(1, 8):
        wake(head, ts)
    assert [signal.ts_ns for signal in await head.get_signals()] == [5, 6, 7]
    assert head.dropped == 4


@pytest.mark.req("D-04.1")
async def test_a_file_is_a_signal_source_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "desk.jsonl"
    asked = FileSource(path)
    assert not asked.is_connected()
    with pytest.raises(DataError, match="cannot be read"):
        await asked.get_signals()
    head = source()
    for i in range(1, 6):
        wake(head, 1_700_000_000 * 10**9 + i)
    lines = [format_signal(signal) for signal in head.waiting]
    path.write_bytes(lines[0] + b"\n" + lines[1][:20])
    assert asked.is_connected()
    assert await asked.get_signals() == head.waiting[:1]  # half a line waits for its end
    with path.open("ab") as stream:
        stream.write(lines[1][20:] + b"\nbroken\n\n" + lines[2] + b"\n")
    assert await asked.get_signals() == head.waiting[1:3]
    assert [error.place for error in asked.refusals] == [f"{path}:3"]
    assert await asked.get_signals() == []
    with path.open("ab") as stream:
        stream.write(b"x" * 3_000_000 + b"\n" + lines[0] + b"\n")
    assert (await asked.get_signals())[-1:] == head.waiting[:1]
    assert asked.source_name() == "desk"
