"""Benchmarks of replay and decision, each a CPU figure of one run (no network, no server)."""

import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from cerberus_trader.config import load_settings
from cerberus_trader.domain.events import ConfigEvent, Event, FillReport, SignalEvent
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.row import encode_row
from cerberus_trader.domain.settings import Breaker, Intake, Risk, Settings, Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.driver import NEVER, Driver
from cerberus_trader.replay.tape import Tape

D = Decimal
START = 1_700_000_000_000_000_000
STEP_NS = 100_000_000


class Prepared:
    """Bring a prepared list of signals."""

    def __init__(self, signals: list[Signal]) -> None:
        self.signals = sorted(signals, key=lambda signal: signal.ts_ns)
        self.at = 0

    def next_ns(self) -> int:
        """Return the time of the next signal."""
        return self.signals[self.at].ts_ns if self.at < len(self.signals) else NEVER

    def take(self) -> list[Signal]:
        """Return the next signal."""
        self.at += 1
        return [self.signals[self.at - 1]]


def quotes(count: int, seed: int = 1, start: int = START) -> Quotes:
    """Make a seeded random walk of quotes around 0.15, ten a second."""
    rng = np.random.default_rng(seed)
    mid = np.maximum(15_000 + np.cumsum(rng.integers(-3, 4, count)), 1_000).astype(np.int64)
    ts = start + np.arange(count, dtype=np.int64) * STEP_NS
    return Quotes(ts, mid, mid + 1, 5)


def signals(series: Quotes, count: int, seed: int = 2) -> list[Signal]:
    """Make signals evenly over a series, either side, with stop and take-profit."""
    draw, rows = random.Random(seed), len(series)
    return [
        Signal(
            f"s{number}", int(series.ts[int((number + 0.5) * rows / count)]), "DOGEUSDT",
            draw.choice(["buy", "sell"]), 0.7, "bench", quantity=D(1000), leverage=D(3),
            stop_loss_pct=D("0.5"), take_profit_pct=D(1),
        )
        for number in range(count)
    ]  # fmt: skip


def recorder(journal: MemoryJournal) -> Callable[[Event, tuple[Fact, ...]], None]:
    """Return what writes each event with its facts into a journal."""

    def record(event: Event, facts: tuple[Fact, ...]) -> None:
        journal.append(event.ts_ns, type(event).__name__, encode_row(event, facts))

    return record


def config(settings: Settings, items: tuple[Instrument, ...], ts: int = START) -> ConfigEvent:
    """Make the first event."""
    return ConfigEvent(ts - 1, settings, "bench", items, "bench")


def replay_speed(series: Quotes, count: int) -> dict[str, Any]:
    """Replay one instrument; return quotes per CPU second, journal in memory included."""
    item = load_instruments()["DOGEUSDT"]
    settings = load_settings(stage="research").settings
    made = signals(series, count)
    begin = time.process_time()
    driver = Driver(
        config(settings, (item,)), [Tape(item, series)], Prepared(made),
        recorder(MemoryJournal()),
    )  # fmt: skip
    driver.run()
    cpu = time.process_time() - begin
    counters = driver.engine.state.counters
    return {
        "quotes": len(series), "signals": count, "fills": counters.fills,
        "cpu_seconds": round(cpu, 3), "quotes_per_cpu_second": round(len(series) / cpu),
        "us_per_signal": round(cpu / count * 1e6, 1),
    }  # fmt: skip


def many_positions(rows: int, count: int, instruments: int = 10, books: int = 5) -> dict[str, Any]:
    """Replay with instruments x books positions open at once, `rows` quotes in all."""
    base = load_instruments()["DOGEUSDT"]
    names = [f"COIN{number}USDT" for number in range(instruments)]
    items = tuple(Instrument(name, tick=base.tick, lot=base.lot, tiers=base.tiers,
                             taker_fee=base.taker_fee) for name in names)  # fmt: skip
    series = [quotes(rows // instruments, seed=number) for number in range(instruments)]
    settings = load_settings(stage="research").settings
    strategies = {
        f"book{n}": Strategy(account=f"a{n}", day_loss_action="off") for n in range(books)
    }
    settings = Settings(**{**_fields(settings), "strategies": strategies})
    draw, made = random.Random(3), []
    places = [(name, f"book{n}") for name in names for n in range(books)]
    for number in range(count):
        name, source = places[number % len(places)]
        at = int((number + 0.5) * (rows // instruments) / count)
        made.append(
            Signal(f"s{number}", int(series[0].ts[at]), name, draw.choice(["buy", "sell"]), 0.7,
                   source, quantity=D(1000), leverage=D(3), stop_loss_pct=D(20),
                   take_profit_pct=D(40))
        )  # fmt: skip
    held = 0
    tapes = [Tape(item, one) for item, one in zip(items, series, strict=True)]
    begin = time.process_time()
    record = recorder(MemoryJournal())
    driver = Driver(config(settings, items), tapes, Prepared(made), record)
    driver.run(lambda _: None)
    cpu = time.process_time() - begin
    held = len(driver.engine.state.positions)
    return {
        "quotes": rows, "signals": count, "open_at_end": held, "cpu_seconds": round(cpu, 3),
        "fills": driver.engine.state.counters.fills,
        "quotes_per_cpu_second": round(rows / cpu), "us_per_signal": round(cpu / count * 1e6, 1),
    }  # fmt: skip


def _fields(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__struct_fields__}


def guarded() -> Settings:
    """Return the default limits, wide enough that equal trades can follow each other."""
    return Settings(
        intake=Intake(data_age_ms_max=10**9, signal_age_ms_max=10**9),
        breaker=Breaker(losses_max=0),
        risk=Risk(positions_max=10, group_risk_max=D(1)),
    )


def decision_cost(count: int) -> dict[str, Any]:
    """Return the CPU of a filled decision (judged, submitted, filled) and of a denied one."""
    item = load_instruments()["DOGEUSDT"]
    record = recorder(MemoryJournal())
    engine = Engine()
    engine.step(config(guarded(), (item,)))
    bid, ask = D("0.15000"), D("0.15001")
    filled = closed = 0.0
    for number in range(count):
        now = START + number * 1_000_000_000
        begin = time.thread_time()
        event = SignalEvent(
            now, Signal(f"f{number}", now, item.name, "buy", 0.7, "x", stop_loss_pct=D(2)),
            Snapshot(now, bid, ask, 0, 0.05, 0.05),
        )  # fmt: skip
        step = engine.step(event)
        record(event, step.facts)
        order = step.commands[0].order  # type: ignore[union-attr]
        fill = FillReport(
            now, order.id, order.id, "main", item.name, 1, order.quantity, ask, D(0),
            "taker", "entry", D(100), D(0), D("0.14700"), marks=((item.name, D("0.150005")),),
        )  # fmt: skip
        record(fill, engine.step(fill).facts)
        middle = time.thread_time()
        out = FillReport(
            now, order.id[:-1] + "s", order.id[:-1] + "s", "main", item.name, -1,
            order.quantity, D("0.15002"), D(0), "taker", "stop_loss", D(0), D(0),
            marks=((item.name, D("0.150005")),),
        )  # fmt: skip
        record(out, engine.step(out).facts)
        filled += middle - begin
        closed += time.thread_time() - middle
    return {
        "filled_us": round(filled / count * 1e6, 1),
        "exit_us": round(closed / count * 1e6, 1),
        "denied_us": round(denied_cost(count, item), 1),
    }


def denied_cost(count: int, item: Instrument) -> float:
    """Return the CPU microseconds of a decision that a limit denies at the last stage."""
    settings = Settings(risk=Risk(positions_max=0), intake=Intake(data_age_ms_max=10**9))
    record, engine = recorder(MemoryJournal()), Engine()
    engine.step(config(settings, (item,)))
    begin = time.thread_time()
    for number in range(count):
        now = START + number * 1_000_000
        event = SignalEvent(
            now, Signal(f"d{number}", now, item.name, "buy", 0.7, "x", stop_loss_pct=D(2)),
            Snapshot(now, D("0.15000"), D("0.15001"), 0, 0.05, 0.05),
        )  # fmt: skip
        record(event, engine.step(event).facts)
    return (time.thread_time() - begin) / count * 1e6


def document_bytes() -> dict[str, int]:
    """Return the journal bytes of a denied and of a filled decision (signal and fill rows)."""
    item = load_instruments()["DOGEUSDT"]
    engine = Engine()
    engine.step(config(guarded(), (item,)))
    now = START
    event = SignalEvent(
        now, Signal("one", now, item.name, "buy", 0.7, "x", stop_loss_pct=D(2)),
        Snapshot(now, D("0.15000"), D("0.15001"), 0, 0.05, 0.05),
    )  # fmt: skip
    step = engine.step(event)
    size = len(encode_row(event, step.facts))
    order = step.commands[0].order  # type: ignore[union-attr]
    fill = FillReport(
        now, order.id, order.id, "main", item.name, 1, order.quantity, D("0.15001"), D("0.5"),
        "taker", "entry", D(100), D(0), D("0.14700"), marks=((item.name, D("0.150005")),),
    )  # fmt: skip
    size += len(encode_row(fill, engine.step(fill).facts))
    again = SignalEvent(now, Signal("two", now, item.name, "buy", 0.7, "x"), event.market)
    return {"filled": size, "denied": len(encode_row(again, engine.step(again).facts))}


def run(quick: bool = False) -> dict[str, Any]:
    """Run every benchmark; `quick` takes a tenth of the rows."""
    rows = 500_000 if quick else 5_000_000
    begin = time.process_time()
    series = quotes(rows)
    made = time.process_time()
    for pyramid in ("bid_min", "bid_max", "ask_min", "ask_max"):
        getattr(series, pyramid)
    built = time.process_time()
    few, many = (100, 1_000) if quick else (1_000, 10_000)
    replay_speed(series, few)  # warms the interpreter and the memory
    return {
        "columns_seconds": round(made - begin, 3),
        "pyramid_seconds": round(built - made, 3),
        "replay_few_signals": replay_speed(series, few),
        "replay_many_signals": replay_speed(series, many),
        "fifty_positions": many_positions(rows, many),
        "decision": decision_cost(500 if quick else 5_000),
        "document_bytes": document_bytes(),
    }
