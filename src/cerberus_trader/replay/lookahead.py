"""The look-ahead proof: cut the history where a head spoke, run again, and compare."""

from collections.abc import Callable
from dataclasses import fields
from itertools import zip_longest
from typing import NamedTuple, Protocol, TypeVar

import numpy as np

from cerberus_trader.domain.signal import Signal
from cerberus_trader.replay.tape import Tape


class Lookahead(NamedTuple):
    """Hold what the proof found: signals in all, histories tried, and one line per fault."""

    signals: int
    checked: int
    faults: tuple[str, ...]


class Replay(Protocol):
    """Run heads over tapes and return their signals, as often as asked, each time afresh."""

    def __call__(self, tapes: list[Tape]) -> list[Signal]: ...


def check_lookahead(
    run: Replay,
    tapes: list[Tape],
    *,
    runs_max: int = 32,
    progress: Callable[[int, int], None] | None = None,
) -> Lookahead:
    """Cut the history at each signal, run again, and compare the signals so far.

    A head that used anything later parts from its first run and is named. Where there are more
    than `runs_max` signals, so many are tried, evenly spread, the first and the last among them.
    """
    signals = run(tapes)
    times = sorted({signal.ts_ns for signal in signals})
    if len(times) > runs_max:
        picks = np.unique(np.linspace(0, len(times) - 1, runs_max).round().astype(int))
        times = [times[at] for at in picks.tolist()]
    faults: list[str] = []
    for number, t in enumerate(times):
        again = [signal for signal in run(cut_all(tapes, t)) if signal.ts_ns <= t]
        faults += parted([signal for signal in signals if signal.ts_ns <= t], again)
        if progress is not None:
            progress(number + 1, len(times))
    return Lookahead(len(signals), len(times), tuple(dict.fromkeys(faults)))


def parted(full: list[Signal], again: list[Signal]) -> list[str]:
    """Name the first signal of each source and instrument that is not the same in both runs."""
    found = []
    for source, name in dict.fromkeys((s.source, s.instrument) for s in (*full, *again)):
        first, second = (
            [s for s in signals if s.source == source and s.instrument == name]
            for signals in (full, again)
        )
        if first == second:
            continue
        a, b = next((a, b) for a, b in zip_longest(first, second) if a != b)
        t = min(signal.ts_ns for signal in (a, b) if signal is not None)
        with_, without = (f"{s.side} at {s.ts_ns}" if s is not None else "nothing" for s in (a, b))
        if with_ == without:
            without += " on other terms"
        found.append(
            f"head {source} on {name} looks ahead at {t}: {with_} with later prices, "
            f"{without} without them"
        )
    return found


def cut_all(tapes: list[Tape], t: int) -> list[Tape]:
    """Return the tapes as they were known at a time; those without a price then are left out."""
    return [cut(tape, t) for tape in tapes if tape.start_ns + tape.interval_ns <= t]


def cut(tape: Tape, t: int) -> Tape:
    """Return what was known of a tape at a time: closed bars, rows up to then."""
    marks = tape.marks
    span = marks.interval_ns if marks is not None and hasattr(marks, "interval_ns") else 0
    made = Tape(
        tape.instrument,
        until(tape.prices, t - tape.interval_ns),
        until(marks, t - span),
        until(tape.funding, t),
    )
    made.end_ns = min(tape.end_ns, t)  # time has passed up to here, even without a price
    return made


S = TypeVar("S")


def until(series: S, t: int) -> S:
    """Return a series of columns up to and with a time; None where it has no row by then."""
    if series is None:
        return series
    names = [field.name for field in fields(series)]  # type: ignore[arg-type]
    values = {name: getattr(series, name) for name in names}
    times = values["ts_open"] if "ts_open" in values else values["ts"]
    rows = int(times.searchsorted(t, "right"))
    if not rows:
        return None  # type: ignore[return-value]
    return type(series)(
        **{n: v[:rows] if isinstance(v, np.ndarray) else v for n, v in values.items()}
    )
