"""Many simulated runs at once, and the smallest failing one: what a person looks at first."""

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.simulation.faults import HIGH, Faults, draw, drawn, without
from cerberus_trader.simulation.world import Result, simulate

INVARIANTS = (
    "every order that adds was durable before it left, every exit unless the disk stalled",
    "every order is at the venue at most once, every entry as approved, also when tried again",
    "nothing that adds leaves while trading is stopped or blind; no exit is held back or denied",
    "every fill of the venue is booked exactly once, as it was, whatever was lost or doubled",
    "after healing, positions, stops, working orders and cash are those of the venue's own ledger",
    "never more instruments had exposure at the venue than are allowed, unknown orders counted",
    "nothing stays in question, or open though it was closed; no correction or freeze was needed",
    "statuses follow the table, the engine's time never runs back, deciding never fails",
    "deciding the journal again gives the same rows, folding it the same state",
    "the ledger sums to exactly zero",
    "places and results belong to the strategy that opened them; a stop of one spares the others",
    "losses at their floor and forced closes trip, what nobody can explain freezes",
)
UNASKED = (
    (("human_per_minute", "restored"), "a person traded past the engine or an older backup came"
     " back: limits at the venue itself, that nothing was corrected, how long a stop was missing"),
    (("clock_steps_per_minute",), "the clock was stepped: how old prices were, how late entries"
     " left, that nothing was given up too early, how long a stop was missing"),
)  # fmt: skip
"""What cannot be asked of a run with one of some faults, and why."""
SHRINK_RUNS = 60
COUNTS = ("_per_minute", "_s")
"""How the names of rates end that are no shares of 1."""


class Tally(msgspec.Struct):
    """Sum what many runs came to."""

    runs: int = 0
    crashes: int = 0
    sync_crashes: int = 0
    orders: int = 0
    fills: int = 0
    rows: int = 0
    violations: int = 0
    seconds: float = 0.0
    failing: list[int] = []

    def add(self, result: Result) -> None:
        """Count a run."""
        self.runs += 1
        self.crashes += result.crashes
        self.sync_crashes += result.sync_crashes
        self.orders += result.orders
        self.fills += result.fills
        self.rows += result.rows
        self.violations += len(result.violations)
        if result.violations:
            self.failing.append(result.seed)


def parse_faults(text: str) -> Faults:
    """Read faults from `name=rate,name=rate`; a bare name takes the highest rate of a swarm.

    Raises `DataError` naming what is not known.
    """
    chosen: dict[str, float] = {}
    for part in (piece.strip() for piece in text.split(",") if piece.strip()):
        name, _, rate = part.partition("=")
        if name not in Faults.__struct_fields__:
            raise DataError(
                f"{name!r} is no fault.", place="--faults",
                fix=f"choose from {', '.join(Faults.__struct_fields__)}.",
            )  # fmt: skip
        try:
            chosen[name] = float(rate) if rate else getattr(HIGH, name)
        except ValueError:
            raise DataError(f"{rate!r} is no rate.", place=f"--faults {name}",
                            fix="give a number.") from None  # fmt: skip
        most = 1e4 if name.endswith(COUNTS) else 1.0
        if not 0.0 <= chosen[name] <= most:
            raise DataError(f"{rate} is no rate.", place=f"--faults {name}",
                            fix=f"give 0 to {most:g}.")  # fmt: skip
    return Faults(**chosen)


def script_of(seed: int, faults: dict[str, float], minutes: float) -> str:
    """Return the one line that runs this again."""
    named = ",".join(f"{name}={rate!r}" for name, rate in faults.items())
    return f"cerberus sim --seed {seed} --minutes {minutes:g}" + (
        f" --faults {named}" if named else " --faults latency_s"
    )


def unasked(faults: dict[str, float]) -> list[str]:
    """Say what could not be asked of a run with these faults."""
    return [words for names, words in UNASKED if any(faults.get(name) for name in names)]


def run_seed(job: tuple[int, float, Faults | None]) -> Result:
    """Run one seed with the faults given, or those it draws."""
    seed, minutes, faults = job
    return simulate(seed, minutes=minutes, faults=faults)


def run_many(
    seeds: Iterable[int], minutes: float, jobs: int, seen: Callable[[Result, Tally], None],
    faults: Faults | None = None,
) -> Tally:  # fmt: skip
    """Run many seeds, in as many processes as asked for; `seen` hears of each."""
    tally, begun = Tally(failing=[]), time.monotonic()
    for result in _results([(seed, minutes, faults) for seed in seeds], jobs):
        tally.add(result)
        tally.seconds = time.monotonic() - begun
        seen(result, tally)
    return tally


def _results(work: list[tuple[int, float, Faults | None]], jobs: int) -> Iterator[Result]:
    if jobs <= 1:
        yield from map(run_seed, work)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(run_seed, work, chunksize=8)


def shrink(seed: int, faults: Faults, minutes: float, say: Callable[[str], None]) -> Result:
    """Return a failing run with as few faults and as little time as were found to suffice."""
    best, runs = simulate(seed, minutes=minutes, faults=faults), 0
    smaller = True
    while smaller and runs < SHRINK_RUNS:
        smaller = False
        for name in list(drawn(faults)):
            runs += 1
            tried = without(faults, name)
            result = simulate(seed, minutes=minutes, faults=tried)
            if result.violations:
                faults, best, smaller = tried, result, True
                say(f"fails without {name} too")
        shorter = minutes / 2
        if shorter >= 0.05:
            runs += 1
            result = simulate(seed, minutes=shorter, faults=faults)
            if result.violations:
                minutes, best, smaller = shorter, result, True
                say(f"fails within {shorter:g} minutes")
    return best


def faults_of(seed: int, text: str | None) -> Faults:
    """Return the named faults, or those that the seed draws."""
    return parse_faults(text) if text is not None else draw(seed)


def report(result: Result) -> dict[str, Any]:
    """Return a run as plain values, with the line that repeats it."""
    found: dict[str, Any] = msgspec.to_builtins(result)
    found["script"] = script_of(result.seed, result.faults, result.minutes)
    return found
