"""A venue in another process while the clock is stepped, the disk is full, or the line is bad."""

import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cerberus_trader.domain.facts import OrderSubmitted
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import ask
from cerberus_trader.runtime.service import SHUTDOWN_S
from tests.process.live import Live
from tests.process.outside import Outside
from tests.process.test_kill_outside import Books, settle

pytestmark = pytest.mark.process

STEPPED = (str(Path(__file__).with_name("stepped.py")),)
SECOND = 1_000_000_000
BAD_LINE = "answer_lost=0.15,request_lost=0.1,word_lost=0.2,partial=0.5,slow_fill=0.3,busy=0.1"


@pytest.fixture
def venue(request: pytest.FixtureRequest) -> Iterator[Outside]:
    found = Outside(getattr(request, "param", ""))
    yield found
    found.end()


def holding(folder: Path, engine: Live) -> Live:
    """Wait for an engine's agreement with its venue, and let it hold a position."""
    engine.up().wait(lambda s: s["prices"] and not s["unreconciled"], "agreement")
    engine.enter(1, lambda s: s["positions"])
    return engine


@pytest.mark.req("D-09.13")
def test_a_clock_that_steps_trips_blocks_and_never_runs_back_in_the_journal(
    tmp_path: Path, venue: Outside, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = tmp_path / "step"
    step.write_text("0")
    monkeypatch.setenv("STEP_FILE", str(step))
    config = str(venue.config(tmp_path))
    engine = holding(tmp_path, Live(tmp_path, "--config", config, program=STEPPED))
    step.write_text(str(5 * SECOND))
    engine.wait(lambda s: "clock_drift" in s["breaker"], "the trip")
    engine.signal(2, instrument="1000PEPEUSDT", ts_ns=time.time_ns() + 5 * SECOND)
    denied = engine.wait(lambda s: s["metrics"]["denied"], "a denial")
    assert set(denied["metrics"]["denied"]) == {"BREAKER_OPEN"}
    step.write_text(str(-5 * SECOND))  # the engine's time stands until the wall has caught up
    ask(engine.state, frames.Operate("flatten", "test"))
    engine.wait(lambda s: not s["positions"] and not s["orders"], "an exit all the same")
    assert engine.end() == 0
    times = [row.ts_ns for row in JournalReader(engine.state).rows()]
    assert times == sorted(times) and len(times) > 5
    assert verify(engine.state).ok and redecide(engine.state)["differences"] == 0
    again = Live(tmp_path, "--config", config, program=STEPPED).up()
    again.wait(lambda s: not s["unreconciled"] and s["time_ns"] >= times[-1], "agreement")
    assert again.end() == 0


def test_another_venue_in_the_place_of_the_one_that_holds_is_told_before_it_freezes(
    tmp_path: Path, venue: Outside
) -> None:
    engine = holding(tmp_path, Live(tmp_path, "--config", str(venue.config(tmp_path))))
    assert engine.end() == 0
    other = Outside()
    try:
        again = Live(tmp_path, "--config", str(other.config(tmp_path))).up()
        again.wait(lambda s: s["trading"] == "frozen", "the freeze")
        assert again.end() == 0
    finally:
        other.end()
    alerts = [line for line in again.lines() if line.get("alert")]
    words = "the venue's endpoint changed while something is open"
    first = next(n for n, line in enumerate(alerts) if line["event"].startswith(words))
    assert (alerts[first]["before"], alerts[first]["now"]) == (venue.endpoint, other.endpoint)
    assert not any(line["event"] == "mismatch" for line in alerts[:first])


@pytest.mark.req("D-08.4", "C-17.4")
def test_a_full_disk_lets_nothing_out_and_leaves_the_venues_protection(
    tmp_path: Path, venue: Outside
) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))

    config = str(venue.config(tmp_path))
    full = Live(tmp_path, "--config", config, preexec=limit, measured=False)
    engine, number = holding(tmp_path, full), 10
    try:
        while engine.process.poll() is None:
            number += 1
            engine.signal(number, "buy" if number % 2 else "close", instrument="1000PEPEUSDT")
            time.sleep(0.002)
    except BrokenPipeError:
        pass
    assert engine.finish() == 3
    assert any(line["event"] == "the engine stops" for line in engine.lines())
    submitted = {
        fact.order.id
        for row in JournalReader(engine.state).rows()
        for fact in decode_row(row.body).facts
        if isinstance(fact, OrderSubmitted)
    }
    view, _, sums = venue.held()
    entries = {name for name in sums.accepted if name.endswith("e")}
    assert entries and entries <= submitted, "an order left before it was durable"
    held = {position.instrument for position in view.positions}
    protected = {order.instrument for order in view.orders if order.reduce_only}
    assert "DOGEUSDT" in held and held <= protected
    again = Live(tmp_path, "--config", config).up()
    assert settle(again, venue, Books(again.state)) == []
    assert again.end() == 0


@pytest.mark.req("C-10.4")
@pytest.mark.parametrize("venue", [BAD_LINE], indirect=True)
def test_flatten_without_the_journal_gets_through_a_bad_line(
    tmp_path: Path, venue: Outside
) -> None:
    engine = holding(tmp_path, Live(tmp_path, "--config", str(venue.config(tmp_path))))
    engine.process.kill()
    engine.finish()
    done = subprocess.run(
        [sys.executable, "-m", "cerberus_trader.control.main", "flatten", "--without-journal",
         "--state", str(engine.state)], capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    view, _, sums = venue.held()
    assert view.positions == () and view.orders == () and sum(sums.accounts.values()) == 0


@pytest.mark.req("C-14.3")
@pytest.mark.parametrize("venue", ["latency_s=0.05,slow_fill=0.5,partial=0.3"], indirect=True)
def test_a_stop_that_closes_also_closes_what_fills_meanwhile(
    tmp_path: Path, venue: Outside
) -> None:
    config = venue.config(tmp_path)
    config.write_text(config.read_text().replace('shutdown = "leave"', 'shutdown = "close"'))
    engine = Live(tmp_path, "--config", str(config)).up()
    engine.wait(lambda s: s["prices"] and not s["unreconciled"], "agreement")
    engine.signal(1)
    engine.wait(lambda s: s["metrics"]["approved"], "an order on its way")
    began = time.monotonic()
    assert engine.end() == 0
    out_of_time = time.monotonic() - began >= SHUTDOWN_S
    view, _, _ = venue.held()
    told = any(line["event"] == "stopped before everything was closed" for line in engine.lines())
    # what was on its way as the time was over may have closed at the venue since
    assert told is bool(view.positions) or (told and out_of_time)
    assert not [order for order in view.orders if not order.reduce_only]
