"""Measure the reliability goals that need no second process: one table, exit code 1 on a violation.

`python -m scripts.reliability [--scale 1.0] [--only R5,R8] [--jobs 2] [--json]`. Scale 1.0 is the
size of each goal (some hours on two cores); the default takes about three minutes. R2 is `make
mutants`, R9, R10 and R14 are process tests (`make test`, `make test-all`), R15 is `make soak`.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

from scripts import reliability_goals as work
from scripts.reliability_goals import Part
from tests.fuzz import damage

SCALE = 0.01
SWARM_SEED = 1_000_000
DAMAGE_JOB = 4_000
Job = Callable[[], Part]


class Line(NamedTuple):
    """Hold one row of the table."""

    goal: str
    what: str
    size: int
    full: int
    counts: dict[str, int]
    violations: list[str]
    seconds: float


class Run:
    """Hold the options, and run jobs with a line of progress."""

    def __init__(self, scale: float, jobs: int, quiet: bool) -> None:
        self.scale, self.jobs, self.quiet = scale, jobs, quiet
        self.goal = ""

    def sized(self, full: int) -> int:
        """Return the size that the scale asks for."""
        return max(1, round(full * self.scale))

    def all(self, jobs: list[Job], hash_seed: str = "0") -> list[Part]:
        """Run jobs in fresh processes, on as many cores as asked for, under a hash seed."""
        os.environ["PYTHONHASHSEED"] = hash_seed
        found: list[Part] = []
        with ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn")) as pool:
            for part in pool.map(_call, jobs):
                found.append(part)
                if not self.quiet:
                    done = f"{self.goal}: {len(found)}/{len(jobs)} jobs"
                    print(f"\r{done:<60}", end="", file=sys.stderr, flush=True)
        return found


def _call(job: Job) -> Part:
    return job()


def cut(total: int, step: int, first: int = 0) -> Iterator[tuple[int, int]]:
    """Cut a number of items into jobs: (first, how many)."""
    for at in range(0, total, step):
        yield first + at, min(step, total - at)


def crashes(run: Run) -> list[Part]:
    """R1: 19,500 runs have some 100,800 crashes."""
    jobs = cut(run.sized(19_500), 8, SWARM_SEED)
    return run.all([partial(work.swarm, first, count) for first, count in jobs])


def replays(run: Run) -> list[Part]:
    """R3: journals recorded under one hash seed, decided again under three."""
    with tempfile.TemporaryDirectory() as name:
        jobs = list(cut(run.sized(10_000), 20))
        parts = run.all([partial(work.record, *job, Path(name)) for job in jobs])
        for hash_seed in ("0", "1", "random"):
            again: list[Job] = [partial(work.decide_again, *job, Path(name)) for job in jobs]
            parts += run.all(again, hash_seed)
    return parts


def twice(run: Run) -> list[Part]:
    """R4: each seed in two processes with different hash seeds."""
    jobs = list(cut(run.sized(500), 4))
    sides = [
        run.all([partial(work.traces, *job) for job in jobs], hash_seed)
        for hash_seed in ("0", "random")
    ]
    parts = []
    for job, one, other in zip(jobs, *sides, strict=True):
        pairs = enumerate(zip(one.answer, other.answer, strict=True), job[0])
        parts.append(Part(one.size, {}, [f"seed {n} differs" for n, (a, b) in pairs if a != b]))
    return parts


def unknowns(run: Run) -> list[Part]:
    """R5: 1,600 lossy runs submit some 102,000 orders."""
    return run.all([partial(work.lossy, *job) for job in cut(run.sized(1_600), 10)])


def fills(run: Run) -> list[Part]:
    """R6."""
    return run.all([partial(work.sequences, *job) for job in cut(run.sized(1_000_000), 2_000)])


def hostile(run: Run) -> list[Part]:
    """R7: as many inputs into each parser."""
    jobs: list[Job] = [
        partial(work.fuzz, name, first, count)
        for name in work.codec_names()
        for first, count in cut(run.sized(1_000_000), 10_000)
    ]
    return run.all(jobs)


def damaged(run: Run) -> list[Part]:
    """R8: every cut and every flipped bit of a small journal as a crash left it."""
    with tempfile.TemporaryDirectory() as name:
        victim = damage.make_victim(Path(name), old=6, new=3, body_bytes=40)
        total = sum(1 for _ in damage.every_damage(victim))
        jobs: list[Job] = [
            partial(work.damages, victim.folder, first, first + count, min(run.scale, 1.0))
            for first, count in cut(total, max(DAMAGE_JOB, int(DAMAGE_JOB / run.scale / 4)))
        ]
        return run.all(jobs)


def limits(run: Run) -> list[Part]:
    """R13."""
    return run.all([partial(work.random_streams, *job) for job in cut(run.sized(1_000_000), 4_000)])


GOALS: dict[str, tuple[str, int, Callable[[Run], list[Part]]]] = {
    "R1": ("crash points", 100_000, crashes),
    "R3": ("journals decided again under three hash seeds", 10_000, replays),
    "R4": ("seeds run twice", 500, twice),
    "R5": ("submits, 15 % answers and 10 % requests lost", 100_000, unknowns),
    "R6": ("fill sequences against a ledger", 1_000_000, fills),
    "R7": ("hostile inputs, over all parsers", 0, hostile),
    "R8": ("cuts and flips of a small journal's files", 0, damaged),
    "R13": ("random order streams", 1_000_000, limits),
}


def measure(run: Run, goal: str) -> Line:
    """Run one goal."""
    what, full, act = GOALS[goal]
    run.goal, begun = goal, time.monotonic()
    parts = act(run)
    counts: dict[str, int] = {}
    for part in parts:
        for name, count in part.counts.items():
            counts[name] = counts.get(name, 0) + count
    violations = [words for part in parts for words in part.violations]
    if goal == "R7":
        counts["parsers"] = len(work.codec_names())
        full = counts["parsers"] * 1_000_000
    elif goal == "R8":
        full = round(sum(part.size for part in parts) / min(run.scale, 1.0))
    seconds = time.monotonic() - begun
    return Line(goal, what, sum(p.size for p in parts), full, counts, violations, seconds)


def table(lines: list[Line]) -> str:
    """Write the table."""
    rows = ["goal  size reached           of  violations   seconds  what"]
    for x in lines:
        more = ", ".join(f"{count:,} {name}" for name, count in x.counts.items())
        rows.append(f"{x.goal:<4} {x.size:>13,} {x.full:>12,} {len(x.violations):>11}"
                    f" {x.seconds:>9.1f}  {x.what}{f' ({more})' if more else ''}")  # fmt: skip
        rows.append(f"{'':<42}{'':<13}python -m scripts.reliability --only {x.goal} --scale 1")
    return "\n".join(rows)


def main() -> int:
    """Measure, and print."""
    given = argparse.ArgumentParser(prog="reliability")
    given.add_argument("--scale", type=float, default=SCALE, help="1.0 is the size of each goal")
    given.add_argument("--only", default=",".join(GOALS), help="goals, such as R5,R8")
    given.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    given.add_argument("--json", action="store_true")
    options = given.parse_args()
    chosen = [name.strip() for name in options.only.split(",")]
    if options.scale <= 0 or any(name not in GOALS for name in chosen):
        given.error(f"the scale is above 0, the goals are {', '.join(GOALS)}")
    run = Run(options.scale, options.jobs, options.json)
    lines = [measure(run, goal) for goal in chosen]
    if not options.json:
        print(f"\r{'':<60}\r", end="", file=sys.stderr)
    for line in lines:
        for words in line.violations[:10]:
            print(f"{line.goal} VIOLATED: {words}", file=sys.stderr)
    shown: Any = [line._asdict() for line in lines]
    print(json.dumps(shown, indent=2) if options.json else table(lines))
    return 1 if any(line.violations for line in lines) else 0


if __name__ == "__main__":
    sys.exit(main())
