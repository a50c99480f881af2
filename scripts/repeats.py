"""Repeat the reliability part of the quick suite: what fails once in many runs is found (R20).

`python -m scripts.repeats [--times 20] [--jobs 3]`. Each run is a process of its own with other
hash seeds, with as many workers and the bytecode of `make test`; what failed is printed with the
time that each run took. Exit code 1 on any failure.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PATHS = (
    "tests/simulation", "tests/properties", "tests/scenarios", "tests/process", "tests/fuzz",
    "tests/unit/engine", "tests/unit/runtime", "tests/unit/journal", "tests/unit/simulation",
    "tests/unit/venues",
)  # fmt: skip
TIMES = 20
BYTECODE = Path(sys.prefix) / "bytecode"
Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def command(jobs: int) -> list[str]:
    """Return the command of one run."""
    plugins = ["-p", "no:cacheprovider", "-n", str(jobs), "--dist", "worksteal", "-m", "not slow"]
    return [sys.executable, "-m", "pytest", "-q", *plugins, *PATHS]


def outcome(output: str) -> tuple[str, list[str]]:
    """Return the last line of a run's output, and what failed in it, and why."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR", "E "))]
    return (lines[-1] if lines else "no output"), failed


def repeat(times: int, jobs: int, run: Run, say: Callable[[str], None]) -> int:
    """Repeat; return how many runs failed."""
    bad, took = 0, []
    for number in range(1, times + 1):
        begun = time.monotonic()
        done = run(command(jobs))
        took.append(time.monotonic() - begun)
        summary, failed = outcome(done.stdout)
        bad += done.returncode != 0
        say(f"{number:3} of {times}  {took[-1]:6.0f} s  {summary}")
        for line in failed:
            say(f"      {line}")
    say(f"R20: {times} runs, {bad} failed, {min(took):.0f} to {max(took):.0f} s each")
    return bad


def _run(parts: list[str]) -> "subprocess.CompletedProcess[str]":
    bytecode = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(BYTECODE)}
    environ = {**os.environ, **bytecode}  # some two hundred processes start in each run
    return subprocess.run(parts, capture_output=True, text=True, check=False, env=environ)


def main(argv: list[str] | None = None) -> int:
    """Repeat as often as asked for; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--times", type=int, default=TIMES)
    parser.add_argument("--jobs", type=int, default=3)
    chosen = parser.parse_args(argv)
    if chosen.times < 1 or chosen.jobs < 1:
        parser.error("--times and --jobs must be at least 1")
    return 1 if repeat(chosen.times, chosen.jobs, _run, lambda line: print(line, flush=True)) else 0


if __name__ == "__main__":
    sys.exit(main())
