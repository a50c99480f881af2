"""Benchmarks of the replay: CPU figures of one run, the best of several, no network, no server.

The columns and their pyramids are there beforehand; everything else counts, the journal in
memory too.
"""

import random
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from cerberus_trader.config import load_settings
from cerberus_trader.domain.events import ConfigEvent, Event
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.row import encode_row
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.bench_decision import document_bytes, in_memory, on_disk
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.heads import ListSignals
from cerberus_trader.replay.session import unguarded_collection
from cerberus_trader.replay.tape import Tape

D = Decimal
START = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
ROUNDS = 3


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
    """Replay one instrument; return quotes per CPU second."""
    item = load_instruments()["DOGEUSDT"]
    settings = load_settings(stage="research").settings
    return timed(settings, {item: series}, signals(series, count))


def many_positions(rows: int, count: int, instruments: int = 10, books: int = 8) -> dict[str, Any]:
    """Replay several instruments, each traded in several books, `rows` quotes in all.

    Of 80 places to hold a position two thirds are filled at any time: any signal opens an empty
    one, every second one closes a full one.
    """
    base = load_instruments()["DOGEUSDT"]
    names = [f"COIN{number}USDT" for number in range(instruments)]
    series = {
        msgspec.structs.replace(base, name=name): quotes(rows // instruments, seed=number)
        for number, name in enumerate(names)
    }
    strategies = {
        f"book{n}": Strategy(account=f"a{n}", day_loss_action="off") for n in range(books)
    }
    settings = load_settings(stage="research").settings
    settings = msgspec.structs.replace(settings, strategies=strategies)
    draw, made = random.Random(3), []
    places = [(name, f"book{n}") for name in names for n in range(books)]
    times = START + STEP_NS * ((np.arange(count) + 0.5) * (rows // instruments) / count).astype(int)
    for number, at in enumerate(times.tolist()):
        name, source = places[number % len(places)]
        made.append(
            Signal(f"s{number}", at, name, draw.choice(["buy", "sell"]), 0.7,
                   source, quantity=D(1000), leverage=D(3), stop_loss_pct=D(20),
                   take_profit_pct=D(40))
        )  # fmt: skip
    return timed(settings, series, made)


def timed(
    settings: Settings, series: dict[Instrument, Quotes], made: list[Signal]
) -> dict[str, Any]:
    """Replay `ROUNDS` times; return the figures of the quickest."""
    runs = [replay_once(settings, series, made) for _ in range(ROUNDS)]
    best = min(spent for spent, _, _ in runs)
    _, fills, held = runs[0]
    rows = sum(len(one) for one in series.values())
    return {
        "quotes": rows, "signals": len(made), "fills": fills, "open_on_average": round(held, 1),
        "cpu_seconds": round(best, 3), "quotes_per_cpu_second": round(rows / best),
        "us_per_signal": round(best / len(made) * 1e6, 1),
    }  # fmt: skip


def replay_once(
    settings: Settings, series: dict[Instrument, Quotes], made: list[Signal]
) -> tuple[float, int, float]:
    """Replay; return CPU seconds, fills, and the positions open on average, seen now and then."""
    held: list[int] = []
    begin = time.process_time()
    with unguarded_collection():  # as every replay runs
        driver = Driver(
            config(settings, tuple(series)), [Tape(*pair) for pair in series.items()],
            ListSignals(made), recorder(MemoryJournal()),
        )  # fmt: skip
        state = driver.engine.state
        driver.run(lambda _: held.append(len(state.positions)))
    spent = time.process_time() - begin
    return spent, state.counters.fills, sum(held) / max(len(held), 1)


def run(quick: bool = False) -> dict[str, Any]:
    """Run every benchmark; `quick` takes a tenth of the rows."""
    rows, count = (500_000, 500) if quick else (5_000_000, 2_000)
    begin = time.process_time()
    series = quotes(rows)
    made = time.process_time()
    for pyramid in ("bid_min", "bid_max", "ask_min", "ask_max"):
        getattr(series, pyramid)
    built = time.process_time()
    few, many = (100, 1_000) if quick else (1_000, 10_000)
    return {
        "columns_seconds": round(made - begin, 3),
        "pyramid_seconds": round(built - made, 3),
        "replay_few_signals": replay_speed(series, few),
        "replay_many_signals": replay_speed(series, many),
        "fifty_positions": many_positions(rows, many),
        "decision": in_memory(count),
        "decision_on_disk": on_disk(count),
        "document_bytes": document_bytes(),
    }
