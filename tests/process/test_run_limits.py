"""The engine's process at its limits: a full disk, a full file, memory, load, shutdown policies."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cerberus_trader.domain.facts import OrderSubmitted
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from tests.process.live import Live

pytestmark = pytest.mark.process

START_NS = 1_760_000_000_000_000_000
SECOND = 1_000_000_000
LEVERAGE = "[leverage]\nvolatility_factor_min = 1.0\nsuccess_factor_min = 1.0\n"
SMALL = '[sizing]\nmethods = ["risk"]\nrisk_fraction = 0.001\n' + LEVERAGE
HEAVY = ("sqlalchemy", "alembic", "plotly", "polars", "rich", "typer", "pydantic", "structlog")


def write_prices(path: Path, rows: int, step: float = 0.0) -> None:
    """Write quotes, one a second, that swing around 0.2."""
    lines = ["ts_ns,bid,ask"]
    for row in range(rows):
        price = 20_000 + (row * 7919) % 97 - 48 + int(row * step)
        lines.append(f"{START_NS + row * SECOND},0.{price:05d},0.{price + 1:05d}")
    path.write_text("\n".join(lines) + "\n")


def write_signals(path: Path, count: int, first: int, every: int, name: str = "DOGEUSDT") -> None:
    """Write signals that open and close in turn."""
    lines = [
        json.dumps({
            "id": f"{name}{number}", "ts_ns": START_NS + (first + number * every) * SECOND + 1,
            "instrument": name, "side": ("buy", "close", "sell", "close")[number % 4],
            "confidence": 0.7, "source": "test", "stop_loss_pct": 2,
        })
        for number in range(count)
    ]  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def flood(engine: Live) -> None:
    """Send prices and signals until the engine ends."""
    number = 0
    try:
        while engine.process.poll() is None:
            number += 1
            engine.quote("0.2")
            engine.signal(number, "buy" if number % 2 else "close")
            time.sleep(0.001)
    except BrokenPipeError:
        return


def check_poisoned(engine: Live, poisoned: str) -> None:
    """Check that the engine ended at once, told a person, and kept what it had promised."""
    assert engine.finish() == 3
    # the views share the disk, and may be given up first
    alerts = {line["event"]: line for line in engine.lines() if line.get("alert")}
    assert poisoned in alerts["the engine stops"]["message"]
    report = verify(engine.state)
    assert report.ok, report.reasons
    submitted = {
        fact.order.id
        for row in JournalReader(engine.state).rows()
        for fact in decode_row(row.body).facts
        if isinstance(fact, OrderSubmitted)
    }
    sent = {line["order_id"] for line in engine.lines() if line["event"] == "submitted"}
    assert sent <= submitted


def test_a_journal_at_its_size_limit_ends_the_engine_with_code_3(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text('[journal]\npages_max = 60\n[sizing]\nmethods = ["risk"]\n'
                      '[logging]\nform = "json"\n')  # fmt: skip
    engine = Live(tmp_path, "--config", str(config), measured=False).up()
    flood(engine)
    check_poisoned(engine, "full")


def test_a_journal_that_fails_during_the_start_ends_it_with_code_3(tmp_path: Path) -> None:
    config = tmp_path / "full.toml"
    text = '[logging]\nform = "json"\n[sizing]\nmethods = ["risk"]\n'
    config.write_text(text)
    assert Live(tmp_path, "--config", str(config), measured=False).up().end() == 0
    # the next start has a new configuration to write, and no room
    config.write_text(text + "[risk]\norder_notional_max = 5000\n[journal]\npages_max = 1\n")
    check_poisoned(Live(tmp_path, "--config", str(config), measured=False), "full")


def test_a_file_size_limit_ends_the_engine_with_code_3(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text('[logging]\nform = "json"\n[sizing]\nmethods = ["risk"]\n')

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))

    engine = Live(tmp_path, "--config", str(config), preexec=limit, measured=False).up()
    flood(engine)
    check_poisoned(engine, "")


def test_an_error_that_nobody_foresaw_stops_the_engine_in_order_and_alerts(tmp_path: Path) -> None:
    config = tmp_path / "small.toml"
    config.write_text('[logging]\nform = "json"\n')
    program = (str(Path(__file__).with_name("failing.py")),)
    engine = Live(tmp_path, "--config", str(config), program=program)
    assert engine.finish() == 1
    (alert,) = [line for line in engine.lines() if line.get("alert")]
    assert (alert["event"], alert["error"]) == ("the engine stops", "RuntimeError")
    assert alert["message"] == "nobody foresaw this"
    assert verify(engine.state).ok


@pytest.mark.req("C-14.3", "D-12.7")
@pytest.mark.parametrize(
    ("policy", "positions", "entries"),
    [("leave", 1, 1), ("cancel_orders_only", 1, 0), ("close", 0, 0)],
)
def test_a_stop_follows_the_policy(
    tmp_path: Path, policy: str, positions: int, entries: int
) -> None:
    config = tmp_path / "stop.toml"
    config.write_text(f'shutdown = "{policy}"\n{SMALL}')
    engine = Live(tmp_path, "--config", str(config)).up()
    engine.open(1)
    engine.signal(2, instrument="1000PEPEUSDT")
    engine.send({"instrument": "1000PEPEUSDT", "price": 0.01})
    engine.wait(lambda s: "1000PEPEUSDT" in s["prices"])
    engine.signal(3, instrument="1000PEPEUSDT", order="limit", limit=0.009)
    engine.wait(lambda s: any(o["kind"] == "limit" for o in s["orders"]))
    engine.process.send_signal(signal.SIGINT)
    while engine.process.poll() is None:  # the market goes on while the engine closes
        try:
            engine.quote("0.2")
            engine.send({"instrument": "1000PEPEUSDT", "price": 0.01})
        except BrokenPipeError:
            break
        time.sleep(0.02)
    assert engine.finish() == 0
    # nothing is left open: the socket is gone, the journal whole, the views have its last row
    assert not (engine.state / "control.sock").exists()
    report = verify(engine.state)
    assert report.ok, report.reasons
    with Views(engine.state) as views:
        assert views.applied_seq() == report.last_seq
    again = Live(tmp_path, "--config", str(config)).up()  # the lock is free
    status = again.wait(lambda s: True)
    assert len(status["positions"]) == positions
    assert sum(order["kind"] == "limit" for order in status["orders"]) == entries
    assert again.end() == 0


@pytest.mark.req("D-09.9", "D-09.10", "D-10.10")
def test_an_hour_of_trading_stays_small_and_imports_nothing_heavy(tmp_path: Path) -> None:
    names = ("DOGEUSDT", "1000PEPEUSDT")
    write_prices(tmp_path / "DOGEUSDT.csv", 14_400)
    write_prices(tmp_path / "1000PEPEUSDT.csv", 14_400)
    write_signals(tmp_path / "signals" / "a.jsonl", 1_100, 10_000, 3)
    write_signals(tmp_path / "signals" / "b.jsonl", 1_100, 10_001, 3, names[1])
    config = tmp_path / "calm.toml"
    config.write_text('[breaker]\nlosses_max = 0\nday_loss_action = "off"\n'
                      '[strategies."*"]\nday_loss_action = "off"\n'
                      "[sizing]\nrisk_fraction = 0.0002\n"
                      + LEVERAGE)  # fmt: skip
    code = (
        "import sys, cerberus_trader.control.engine_process as p\n"
        "from cerberus_trader.runtime.main import main\n"
        "code = main(sys.argv[1:], p.reset_tokens)\n"
        f"print('heavy', [m for m in {HEAVY!r} if m in sys.modules])\n"
        "sys.exit(code)"
    )
    words = [word for name in names for word in ("--prices", str(tmp_path / f"{name}.csv"))]
    done = subprocess.run(
        [sys.executable, "-c", code, "--state", str(tmp_path / "state"), "--speed", "max",
         "--signals", str(tmp_path / "signals"), "--config", str(config), "--exit-at-end",
         "--json", *words],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=tmp_path, timeout=100,
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text, _, heavy = done.stdout.partition("heavy ")
    assert heavy.strip() == "[]"
    found = json.loads(text)
    assert found["metrics"]["signals"] == 2_200
    assert found["metrics"]["trades"] > 500
    assert found["metrics"]["prices"] == 28_800
    assert found["memory_mb"]["highest"] <= 80, found["memory_mb"]
