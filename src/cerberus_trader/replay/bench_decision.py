"""Benchmarks of one decision: what it costs the processor, and how many bytes it leaves.

A filled decision is the signal (judged, submitted) and its fill; an exit is the fill of its
stop; a denied one fails at the last stage. Each figure is the mean of a round, the best of some.
"""

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

from cerberus_trader import __version__
from cerberus_trader.domain.events import ConfigEvent, Event, FillReport, SignalEvent
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import encode_row
from cerberus_trader.domain.settings import Breaker, Intake, Risk, Settings
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.observe.projector import Projector
from cerberus_trader.replay.session import unguarded_collection

D = Decimal
START = 1_700_000_000_000_000_000
SECOND_NS = 1_000_000_000
ROUNDS = 5
BID, ASK, MID = D("0.15000"), D("0.15001"), D("0.150005")

Record = Callable[[Event, tuple[Fact, ...]], int]


@functools.cache
def instrument() -> Instrument:
    """Return the instrument that is traded, loaded once and outside of every figure."""
    return load_instruments()["DOGEUSDT"]


def guarded(positions_max: int = 10) -> Settings:
    """Return the default limits, wide enough that equal trades can follow each other."""
    return Settings(
        intake=Intake(data_age_ms_max=10**9, signal_age_ms_max=10**9),
        breaker=Breaker(losses_max=0),
        risk=Risk(positions_max=positions_max, group_risk_max=D(1)),
    )


def signal_of(number: int, now: int, item: Instrument) -> SignalEvent:
    """Make a signal to buy, with the market it is judged on."""
    signal = Signal(f"s{number}", now, item.name, "buy", 0.7, "x", stop_loss_pct=D(2))
    return SignalEvent(now, signal, Snapshot(now, BID, ASK, 0, 0.05, 0.05))


def entry_of(order: Order, now: int) -> FillReport:
    """Make the fill of an entry."""
    return FillReport(
        now, order.id, order.id, "main", order.instrument, 1, order.quantity, ASK, D("0.05"),
        "taker", "entry", D(100), D(0), D("0.14700"), marks=((order.instrument, MID),),
    )  # fmt: skip


def exit_of(order: Order, now: int) -> FillReport:
    """Make the fill of its stop."""
    id_ = order.id[:-1] + "s"
    return FillReport(
        now, id_, id_, "main", order.instrument, -1, order.quantity, D("0.15002"), D("0.05"),
        "taker", "stop_loss", D(0), D(0), marks=((order.instrument, MID),),
    )  # fmt: skip


def begun(settings: Settings, record: Record) -> tuple[Engine, Instrument]:
    """Return an engine that has its configuration."""
    item, engine = instrument(), Engine()
    event = ConfigEvent(START - 1, settings, "bench", (item,), "bench")
    record(event, engine.step(event).facts)
    return engine, item


class Spent:
    """Hold what a round cost the calling thread (seconds), and the bytes it recorded."""

    def __init__(self) -> None:
        self.entries = self.exits = 0.0
        self.entry_bytes = self.exit_bytes = 0


def trade(count: int, record: Record) -> Spent:
    """Enter and leave `count` times.

    The thread's clock is a system call, which costs more than a check and leaves the caches
    cold: it tells the whole, and a cheap clock the shares.
    """
    spent, clock = Spent(), time.perf_counter
    engine, item = begun(guarded(), record)
    first = time.thread_time()
    for number in range(count):
        now = START + number * SECOND_NS
        begin = clock()
        event = signal_of(number, now, item)
        step = engine.step(event)
        spent.entry_bytes += record(event, step.facts)
        order = step.commands[0].order  # type: ignore[union-attr]
        fill = entry_of(order, now)
        spent.entry_bytes += record(fill, engine.step(fill).facts)
        middle = clock()
        out = exit_of(order, now)
        spent.exit_bytes += record(out, engine.step(out).facts)
        spent.entries += middle - begin
        spent.exits += clock() - middle
    share = (time.thread_time() - first) / max(spent.entries + spent.exits, 1e-9)
    spent.entries *= share
    spent.exits *= share
    return spent


def deny(count: int, record: Record) -> None:
    """Judge `count` signals that a limit denies at the last stage."""
    engine, item = begun(guarded(positions_max=0), record)
    for number in range(count):
        event = signal_of(number, START + number * SECOND_NS, item)
        record(event, engine.step(event).facts)


def memory_record() -> Record:
    """Return what records into a journal in memory and tells the bytes."""
    journal = MemoryJournal()

    def record(event: Event, facts: tuple[Fact, ...]) -> int:
        body = encode_row(event, facts)
        journal.append(event.ts_ns, type(event).__name__, body)
        return len(body)

    return record


@contextmanager
def disk_record(folder: Path) -> Iterator[Record]:
    """Give what records into journal and views on disk, as a replay with a folder does."""
    journal = SqliteJournal(
        folder, engine_id="bench", engine_version=__version__,
        options=JournalOptions(durability="none"),
    )  # fmt: skip
    with journal, ViewsWriter(folder, scratch=True) as writer:
        projector = Projector(writer)

        def record(event: Event, facts: tuple[Fact, ...]) -> int:
            body = encode_row(event, facts)
            projector.take(journal.append(event.ts_ns, type(event).__name__, body), event, facts)
            return len(body)

        yield record
        projector.flush()
        writer.finish()


def in_memory(count: int) -> dict[str, float]:
    """Return CPU microseconds of the engine's thread: filled, exit, denied; journal in memory."""
    instrument()
    rounds = [trade(count, memory_record()) for _ in range(ROUNDS)]
    denied = []
    for _ in range(ROUNDS):
        begin = time.thread_time()
        deny(count, memory_record())
        denied.append(time.thread_time() - begin)
    return {
        "filled_us": round(min(one.entries for one in rounds) / count * 1e6, 1),
        "exit_us": round(min(one.exits for one in rounds) / count * 1e6, 1),
        "denied_us": round(min(denied) / count * 1e6, 1),
    }


def on_disk(count: int) -> dict[str, float]:
    """Return all CPU microseconds, the journal's thread and the last sync included.

    What the other thread spends belongs to entries and exits in proportion to their bytes.
    """
    instrument()
    filled, exits, denied = [], [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as name:
            begin = time.process_time()
            with unguarded_collection(), disk_record(Path(name)) as record:
                spent = trade(count, record)
            rest = time.process_time() - begin - spent.entries - spent.exits
        share = spent.entry_bytes / (spent.entry_bytes + spent.exit_bytes)
        filled.append(spent.entries + rest * share)
        exits.append(spent.exits + rest * (1 - share))
        with tempfile.TemporaryDirectory() as name:
            begin = time.process_time()
            with unguarded_collection(), disk_record(Path(name)) as record:
                deny(count, record)
            denied.append(time.process_time() - begin)
    return {
        "filled_us": round(min(filled) / count * 1e6, 1),
        "exit_us": round(min(exits) / count * 1e6, 1),
        "denied_us": round(min(denied) / count * 1e6, 1),
    }


def document_bytes(count: int = 1_000) -> dict[str, int]:
    """Return the bytes of a filled (signal and fill) and of a denied decision.

    `_row` is what the journal's rows hold; the others count journal and views on disk together,
    as the growth of both files per decision, their indexes included.
    """
    sizes: list[int] = []

    def note(event: Event, facts: tuple[Fact, ...]) -> int:
        sizes.append(len(encode_row(event, facts)))
        return sizes[-1]

    trade(1, note)
    deny(1, note)
    return {
        "filled_rows": sizes[1] + sizes[2], "denied_rows": sizes[-1],
        "filled": (stored(entries, count) - stored(entries, 0)) // count,
        "denied": (stored(deny, count) - stored(deny, 0)) // count,
    }  # fmt: skip


def entries(count: int, record: Record) -> None:
    """Enter and leave `count` times, recording the entries only."""
    trade(count, lambda event, facts: 0 if is_exit(event) else record(event, facts))


def is_exit(event: Event) -> bool:
    """Tell whether an event is the fill of a stop."""
    return type(event) is FillReport and event.reason == "stop_loss"


def stored(act: Callable[[int, Record], None], count: int) -> int:
    """Return the bytes of journal and views after `count` decisions."""
    with tempfile.TemporaryDirectory() as name:
        with disk_record(Path(name)) as record:
            act(count, record)
        return sum(path.stat().st_size for path in Path(name).glob("*.db"))
