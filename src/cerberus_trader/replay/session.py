"""One replay from inputs to results: load, run, measure."""

import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cerberus_trader.config import Loaded
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State
from cerberus_trader.instruments import load_instruments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.rows import Journal
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.replay.collector import Collector, Project
from cerberus_trader.replay.curve import equity_curve, grid
from cerberus_trader.replay.driver import Signals
from cerberus_trader.replay.heads import MergedSignals, drain, drive
from cerberus_trader.replay.inputs import (
    ReplayRequest,
    Sigmas,
    head_signals,
    load_tapes,
    settings_of,
    signals_of,
)
from cerberus_trader.replay.performance import FloatArray, buy_and_hold
from cerberus_trader.replay.report_parts import when
from cerberus_trader.replay.summary import summarise
from cerberus_trader.replay.tape import Tape
from cerberus_trader.replay.trades import TradeRecord, trade_records

ENGINE_ID = "replay"  # fixed, so that equal inputs give equal order ids
Progress = Callable[[float], None]


@dataclass
class Clock:
    """Hold when the work began, to tell wall and CPU seconds."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def spent(self) -> dict[str, float]:
        """Return the seconds since, and the process's peak memory."""
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return {
            "wall_seconds": round(time.perf_counter() - self.wall, 3),
            "cpu_seconds": round(time.process_time() - self.cpu, 3),
            "rss_mb_max": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1),
        }


@dataclass
class ReplayResult:
    """Hold all that came of a replay; `equity` and `hold` are values at `times`.

    `unread` says that there was no signal: every line of the file was refused.
    """

    title: str
    summary: dict[str, Any]
    collector: Collector
    state: State
    tapes: list[Tape]
    loaded: Loaded[Settings]
    times: Int64Array
    equity: FloatArray
    hold: FloatArray
    trades: list[TradeRecord]
    refusals: list[DataError]
    notes: list[str] = field(default_factory=list)
    naive: "Comparison | None" = None
    synthetic: bool = False
    unread: bool = False


@dataclass
class Comparison:
    """Hold the same signals traded without limits, beside the guarded run."""

    label: str
    summary: dict[str, Any]
    times: Int64Array
    equity: FloatArray
    liquidations: int
    avoided: int


def run_replay(request: ReplayRequest, progress: Progress | None = None) -> ReplayResult:
    """Run a replay, and write its folder where asked; raise `DataError` for bad input.

    `progress` is called with the share of the history that has passed, 0 to 1.
    """
    clock = Clock()
    if request.out is not None:
        from cerberus_trader.replay.outputs import check_target

        check_target(request.out)
    loaded = settings_of(request)
    known = load_instruments([Path(name) for name in loaded.settings.instruments])
    tapes = load_tapes(request, loaded, known)
    sources, refusals = signals_of(request, loaded, tapes)
    looked: dict[str, Any] = lookahead_of(request, loaded, tapes)
    title = "Replay of " + ", ".join(tape.name for tape in tapes)
    looked["files"] = [path.name for path in request.prices]
    if request.out is None:
        result = simulate(
            title, tapes, loaded, sources, MemoryJournal(engine_id=ENGINE_ID), clock=clock,
            refusals=refusals, reference=request.reference, close_at_end=request.close_at_end,
            progress=progress,
        )  # fmt: skip
        result.summary |= looked
        return result
    from cerberus_trader.replay.outputs import open_store, staged, write_outputs

    with staged(request.out) as folder:
        with open_store(folder) as (journal, project):
            result = simulate(
                title, tapes, loaded, sources, journal, clock=clock, refusals=refusals,
                reference=request.reference, close_at_end=request.close_at_end,
                progress=progress, project=project,
            )  # fmt: skip
        result.summary |= looked
        write_outputs(folder, result)
    return result


def lookahead_of(
    request: ReplayRequest, loaded: Loaded[Settings], tapes: list[Tape]
) -> dict[str, Any]:
    """Prove that the heads never look ahead, where asked; return what the summary says of it."""
    if not request.check_lookahead:
        return {}
    if request.signals is not None:
        raise DataError(
            "a file of signals cannot be woken again.", place="--check-lookahead",
            fix="give --head.",
        )  # fmt: skip

    from cerberus_trader.replay.lookahead import check_lookahead

    def again(tapes: list[Tape]) -> list[Signal]:
        if not tapes:
            return []
        return drain(MergedSignals(head_signals(request.head, loaded.settings, tapes)))

    found = check_lookahead(again, tapes)
    return {"lookahead": {**found._asdict(), "faults": list(found.faults)}}


def simulate(
    title: str,
    tapes: list[Tape],
    loaded: Loaded[Settings],
    sources: Sequence[Signals],
    journal: Journal,
    *,
    clock: Clock | None = None,
    refusals: list[DataError] | None = None,
    reference: bool = False,
    close_at_end: bool = False,
    progress: Progress | None = None,
    attach: Callable[[State], object] | None = None,
    project: Project | None = None,
) -> ReplayResult:
    """Run the engine over tapes and signals, and measure what came of it.

    `attach` is given the engine's state before the run, to be read only; `project` every row.
    """
    clock = clock or Clock()
    collector = Collector(journal, project)
    start, end = min(tape.start_ns for tape in tapes), max(tape.end_ns for tape in tapes)
    config = ConfigEvent(
        start - 1, loaded.settings, loaded.hash, tuple(tape.instrument for tape in tapes),
        ENGINE_ID,
    )  # fmt: skip
    with unguarded_collection():
        driver = drive(
            config, tapes, MergedSignals(sources), collector.record,
            sigmas={tape.name: Sigmas(tape.prices) for tape in tapes}, reference=reference,
            close_at_end=close_at_end,
        )  # fmt: skip
        if attach is not None:
            attach(driver.engine.state)
        span = max(end - start, 1)
        driver.run(progress and (lambda now: progress((now - start) / span)))
    state = driver.engine.state
    times = grid(tapes, collector.steps)
    balance = loaded.settings.account.balance
    equity = equity_curve(balance, tapes, collector.steps, times)
    hold = buy_and_hold(tapes, times) * float(balance)
    trades = trade_records(collector, tapes)
    result = ReplayResult(
        title, {}, collector, state, driver.tapes, loaded, times, equity, hold, trades,
        refusals or [], unread=bool(refusals) and not sources,
    )  # fmt: skip
    result.notes = latched(state)
    result.summary = {**summarise(result), **clock.spent()}
    return result


def latched(state: State) -> list[str]:
    """Say what stayed tripped to the end: in a replay nobody resets the breaker."""
    return [
        f"The breaker ({name.replace('_', ' ')}) tripped on {when(trip.ts_ns)} UTC and stayed open"
        " to the end, as nobody resets it in a replay: from then on nothing was opened"
        f"{f' by {trip.scope}' if trip.scope else ''}."
        for name, trip in state.trips.items()
    ]


@contextmanager
def unguarded_collection() -> Iterator[None]:
    """Pause the cycle collector: a replay makes many objects and no cycles among them."""
    import gc

    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
