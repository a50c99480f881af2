"""The service manager hears that we are up and alive, over a real datagram socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerberus_trader.runtime.notify import heartbeat, notify


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = f"\0cerberus-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(path)
        line.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + path[1:])
        yield line


def test_a_line_reaches_the_manager(manager: socket.socket) -> None:
    assert notify("READY=1")
    assert manager.recv(100) == b"READY=1"


def test_a_socket_with_a_path_serves_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind("manager")
        line.settimeout(5.0)
        monkeypatch.setenv("NOTIFY_SOCKET", "manager")
        assert notify("STOPPING=1")
        assert line.recv(100) == b"STOPPING=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "x" * 500])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    assert notify("READY=1") is False


async def test_the_heart_beats_three_times_an_interval_for_as_long_as_the_loop_runs(
    manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "30000")
    beating = asyncio.ensure_future(heartbeat())
    for _ in range(3):
        assert await asyncio.to_thread(manager.recv, 100) == b"WATCHDOG=1"
    beating.cancel()


@pytest.mark.parametrize("text", ["", "0", "soon", "-5"])
async def test_where_no_watchdog_waits_no_heart_beats(
    text: str, manager: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    await asyncio.wait_for(heartbeat(), 5.0)
    manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.recv(100)
