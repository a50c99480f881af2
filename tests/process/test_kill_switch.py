"""The engine's process under a service manager, short of memory, and without a healthy loop."""

import os
import signal
import socket
from pathlib import Path

import pytest

from cerberus_trader.runtime.startup import STEPS
from tests.process.live import Live, until

pytestmark = pytest.mark.process


@pytest.mark.req("C-14.4", "P-21.3", "D-08.3", "P-04.3")
def test_memory_beyond_its_limit_stops_entries_and_the_start_is_told_step_by_step(
    tmp_path: Path,
) -> None:
    config = tmp_path / "tight.toml"
    config.write_text('[killswitch]\nmemory_mb_max = 1\n[logging]\nform = "json"\n'
                      '[sizing]\nmethods = ["risk"]\n')  # fmt: skip
    engine = Live(tmp_path, "--config", str(config)).up()
    status = engine.wait(lambda s: s["breaker"])
    assert list(status["breaker"]) == ["memory"] and status["flags"]["HALT"]
    assert float(status["breaker"]["memory"]["value"]) > 1
    engine.quote("0.2")
    engine.wait(lambda s: s["prices"])
    engine.signal(1)
    found = engine.wait(lambda s: s["metrics"]["signals"] == 1 and s["views"]["row"] > 0)
    assert found["metrics"]["denied"] == {"BREAKER_OPEN": 1} and found["phase"] == "stopped"
    assert found["views"]["failure"] == ""
    assert engine.end() == 0
    lines = engine.lines()
    steps = [line["phase"] for line in lines if line["event"] == "start-up step"]
    assert steps[:4] == ["config", "journal", "fold", "preflight"]
    assert [s for s in steps if s in STEPS] == [s for s in STEPS if s in steps]
    events = [line["event"] for line in lines]
    cleared = events.index("memory is short: caches were cleared")
    assert cleared < events.index("breaker tripped")


@pytest.mark.req("C-14.3")
def test_a_service_manager_hears_the_start_the_heartbeat_and_the_stop_and_a_hung_loop_is_silent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"cerberus-test-{os.getpid()}-manager"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(10.0)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        monkeypatch.setenv("WATCHDOG_USEC", "300000")
        engine = Live(tmp_path).up()
        heard: list[bytes] = []

        def hear(word: bytes) -> bool:
            heard.append(manager.recv(200))
            return heard[-1] == word

        until(lambda: hear(b"READY=1"))
        for _ in range(3):
            until(lambda: hear(b"WATCHDOG=1"))
        engine.process.send_signal(signal.SIGSTOP)
        manager.settimeout(1.5)  # five intervals of the watchdog
        with pytest.raises(TimeoutError):
            for _ in range(50):  # what was on its way
                heard.append(manager.recv(200))
        engine.process.send_signal(signal.SIGCONT)
        manager.settimeout(10.0)
        until(lambda: hear(b"WATCHDOG=1"))
        engine.process.send_signal(signal.SIGTERM)
        until(lambda: hear(b"STOPPING=1"))
        assert engine.finish() == 0
    assert b"STATUS=start-up: fold" in heard
    assert not (engine.state / "control.sock").exists()
