"""Measure the live path: signal bytes to a released command, sustained signals, memory.

The loop, ingest, runner, journal, gate and paper venue are those of `cerberus run`; only the
sender is a timer instead of a pipe. Times are in milliseconds.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

import msgspec

from cerberus_trader.domain.commands import Command as EngineCommand
from cerberus_trader.domain.errors import SystemFailure
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.settings import Breaker, Intake, Leverage, Paper, Settings, Sizing
from cerberus_trader.engine.engine import Engine
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.runtime.clock import WallClock
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.inbox import Instant
from cerberus_trader.runtime.ingest import Ingest, Refusals
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.runner import Runner
from cerberus_trader.runtime.trading import Trading
from cerberus_trader.runtime.watermark import Watermark
from cerberus_trader.venues.paper.venue import PaperVenue

Durability = Literal["power", "process"]
EVERY_S = 0.005
NAMES = ("DOGEUSDT", "1000PEPEUSDT", "1000SHIBUSDT", "BTCUSDT")
START_NS = 1_760_000_000_000_000_000
UNTRIPPED = """
[sizing]
methods = ["risk"]
risk_fraction = "0.0001"
[breaker]
losses_max = 0
day_loss_action = "off"
drawdown_action = "off"
"""
"""A configuration under which a losing walk goes on being traded."""


class Rig:
    """Wire the live loop over a journal on disk, with a clock at its end."""

    def __init__(self, folder: Path, durability: Durability) -> None:
        loop = asyncio.get_running_loop()
        mark = Watermark(loop)
        self.journal = SqliteJournal(
            folder, options=JournalOptions(durability), on_durable=mark,
        )  # fmt: skip
        engine, market, clock = Engine(), LiveMarket(), WallClock()
        state = engine.state
        settings = Settings(
            paper=Paper(latency_ms=0),
            sizing=Sizing(methods=("risk",), risk_fraction=Decimal("0.0001")),
            intake=Intake(signal_age_ms_max=60_000, data_age_ms_max=60_000),
            breaker=Breaker(losses_max=0, day_loss_action="off", drawdown_action="off"),
            leverage=Leverage(volatility_factor_min=1.0, success_factor_min=1.0),
        )  # fmt: skip
        venue = PaperVenue(settings.paper, {}, lambda ts, name: market.marks(state.exposures, name))
        self.desk = Desk(venue, market)
        self.runner = Runner(engine, self.journal, self.desk, clock)
        mark.fire = self.runner.on_durable
        self.trading = Trading(self.runner, market, self.desk)
        known = tuple(load_instruments().values())
        self.runner.commit(
            ConfigEvent(clock.now_ns(), settings, "bench", known, self.journal.engine_id)
        )
        self.trading.configure()
        refusals = Refusals(folder, self.runner.metrics, Log("error"))
        self.ingest = Ingest(state, clock.now_ns, self.runner.inbox.put_signal, refusals)
        self.sent: list[float] = []
        self._begun = 0.0
        send = self.runner.send

        def timed(command: EngineCommand) -> None:
            send(command)
            if self._begun:
                self.sent.append((time.perf_counter() - self._begun) * 1e3)
                self._begun = 0.0

        self.runner.send = timed  # type: ignore[method-assign]
        self.task = loop.create_task(self.trading.run())

    async def quote(self, name: str, price: str) -> None:
        """Let a price in."""
        raw = msgspec.json.encode({"instrument": name, "price": price})
        tick = self.ingest.line(raw, "bench")
        assert tick is not None
        await self.runner.inbox.put_price(Instant(0, (tick,)))

    def signal(self, number: int, side: str, name: str = NAMES[0]) -> None:
        """Let a signal's bytes in, and start its clock."""
        raw = line_of(number, side, name, time.time_ns())
        self._begun = time.perf_counter()
        self.ingest.line(raw, "bench")

    async def close(self) -> None:
        """End the loop and the journal."""
        self.task.cancel()
        await asyncio.wait({self.task})
        await asyncio.to_thread(self.journal.close)


def line_of(number: int, side: str, name: str, ts_ns: int) -> bytes:
    """Write a signal line."""
    return msgspec.json.encode({
        "id": f"b{number}", "ts_ns": ts_ns, "instrument": name, "side": side,
        "confidence": 0.9, "source": "bench", "stop_loss_pct": 2,
    })  # fmt: skip


def quantiles(values: list[float]) -> dict[str, float]:
    """Return p50 and p99 (nearest rank) in milliseconds, and the count."""
    ordered = sorted(values)
    if not ordered:
        raise SystemFailure("nothing was measured.", code="BENCH_EMPTY", place="bench")
    last = len(ordered) - 1
    return {
        "p50_ms": round(ordered[last // 2], 4),
        "p99_ms": round(ordered[min(int(len(ordered) * 0.99), last)], 4),
        "count": len(ordered),
    }


def bare_sync(folder: Path, seconds: float) -> dict[str, float]:
    """Measure fdatasync alone: append 4 KiB, sync, every 5 ms."""
    found, end = [], time.perf_counter() + seconds
    with (folder / "sync").open("ab", buffering=0) as file:
        while time.perf_counter() < end:
            file.write(b"\0" * 4096)
            begin = time.perf_counter()
            os.fdatasync(file.fileno())
            found.append((time.perf_counter() - begin) * 1e3)
            time.sleep(EVERY_S)
    return quantiles(found)


async def latency(folder: Path, durability: Durability, seconds: float) -> dict[str, float]:
    """Measure signal bytes to command, one event each 5 ms: entries and closes in turn."""
    rig = Rig(folder, durability)
    end, number = time.perf_counter() + seconds, 0
    await rig.quote(NAMES[0], "0.2")
    await asyncio.sleep(0.05)
    while time.perf_counter() < end:
        number += 1
        rig.signal(number, "buy" if number % 2 else "close")
        await asyncio.sleep(EVERY_S)
        await rig.quote(NAMES[0], "0.2")  # what was sent executes here
        await asyncio.sleep(EVERY_S)
    await rig.close()
    return quantiles(rig.sent[5:])


async def sustained(folder: Path, durability: Durability, seconds: float) -> dict[str, Any]:
    """Measure how many signals a second are parsed, judged and durable; most are denied in full.

    The lines are written beforehand; a full inbox is waited for.
    """
    rig = Rig(folder, durability)
    for name in NAMES:
        await rig.quote(name, "0.2")
    await rig.runner.durable(1)
    now = time.time_ns()
    lines = [line_of(number, "buy", NAMES[number % len(NAMES)], now) for number in range(40_000)]
    before, begin, cpu = rig.journal.last_seq, time.perf_counter(), time.process_time()
    for number, line in enumerate(lines):
        rig.ingest.line(line, "bench")
        if not number % 64:
            while len(rig.runner.inbox.signals) > 512:
                await asyncio.sleep(0)
            if time.perf_counter() - begin > seconds:
                break
    while rig.runner.inbox.signals:
        await asyncio.sleep(0)
    await rig.runner.durable(rig.journal.last_seq)
    wall, spent = time.perf_counter() - begin, time.process_time() - cpu
    rows = rig.journal.last_seq - before
    await rig.close()
    return {
        "signals": rows,
        "signals_per_second": round(rows / wall),
        "cpu_us_per_signal": round(spent / rows * 1e6, 1),
    }


def memory(folder: Path, prices: int = 14_400, signals: int = 1_000) -> dict[str, Any]:
    """Measure the engine's process after hours of played prices and many trades."""
    rows = [f"{START_NS + at * 10**9},0.{20_000 + at * 7919 % 97}" for at in range(prices)]
    (folder / "DOGEUSDT.csv").write_text("\n".join(["ts_ns,price", *rows]) + "\n")
    (folder / "signals").mkdir()
    first = prices - signals * 3 - 10
    with (folder / "signals" / "a.jsonl").open("wb") as file:
        for at in range(signals):
            moment = START_NS + (first + at * 3) * 10**9 + 1
            side = ("buy", "close", "sell", "close")[at % 4]
            file.write(line_of(at, side, NAMES[0], moment) + b"\n")
    (folder / "bench.toml").write_text(UNTRIPPED)
    words = [sys.executable, "-m", "cerberus_trader.runtime.main", "--state", str(folder / "state"),
             "--config", str(folder / "bench.toml"), "--prices", str(folder / "DOGEUSDT.csv"),
             "--signals", str(folder / "signals"), "--speed", "max", "--exit-at-end",
             "--json"]  # fmt: skip
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if done.returncode:
        raise SystemFailure("the engine's process failed.", code="BENCH_PROCESS",
                            place=done.stderr.decode()[-500:])  # fmt: skip
    found = json.loads(done.stdout)
    return {
        "rss_mb": found["memory_mb"]["now"],
        "rss_mb_max": found["memory_mb"]["highest"],
        "prices": found["metrics"]["prices"],
        "signals": found["metrics"]["signals"],
        "trades": found["metrics"]["trades"],
    }


def run(seconds: float = 3, folder: Path | None = None) -> dict[str, Any]:
    """Run every measurement in a new folder beside `folder` (the working folder)."""
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=folder or Path()) as name:
        base = Path(name)
        sync = bare_sync(base, seconds)
        found: dict[str, Any] = {"fdatasync": sync}
        for durability in ("power", "process"):
            kind: Durability = durability
            path = base / durability
            found[f"command_{durability}"] = _loop(latency(path, kind, seconds))
            found[f"sustained_{durability}"] = _loop(sustained(base / f"s{kind}", kind, seconds))
        found["memory"] = memory(base)
        limit = 3 * sync["p50_ms"] + 0.2
        found["reached"] = {
            "command_power": found["command_power"]["p50_ms"] <= limit,
            "command_process": found["command_process"]["p50_ms"] <= 0.3,
            "sustained": found["sustained_power"]["signals_per_second"] >= 5_000,
            "memory": found["memory"]["rss_mb_max"] <= 80,
        }
    return found


def _loop(work: Any) -> Any:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
