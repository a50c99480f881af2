"""Measure whole processes: CPU seconds (user and system, children included) and peak memory.

    python -m scripts.bench_process [--quick] [--json]

The command runs as an installed one does after its first start: with its bytecode cached (in a
folder of this run's own); `uncached` is a start that must compile everything, the standard
library too.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from cerberus_trader.heads.lines import format_signal
from cerberus_trader.replay.bench import quotes, signals
from cerberus_trader.replay.price_files import save_npz

ROUNDS = 3
UNIT = 2**20 if sys.platform == "darwin" else 2**10
# What a process uses is told by its parent, so each command gets a parent of its own.
WATCH = (
    "import json, resource, subprocess, sys\n"
    "code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode\n"
    "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
    "print(json.dumps([code, used.ru_utime + used.ru_stime, used.ru_maxrss]))\n"
)


def watched(command: list[str], environ: dict[str, str]) -> tuple[float, float]:
    """Run a command; return its CPU seconds and peak memory in MB."""
    done = subprocess.run([sys.executable, "-S", "-c", WATCH, *command], env=environ,
                          capture_output=True, text=True, check=True)  # fmt: skip
    code, spent, peak = json.loads(done.stdout)
    if code:
        raise SystemExit(f"{' '.join(command)} failed: {done.stderr.strip()[-2000:]}")
    return spent, peak / UNIT


def command_figures(arguments: list[str], cache: Path) -> dict[str, float]:
    """Run a cerberus command several times; return the best, and what the first start took."""
    environ = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache)}
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [str(Path(sys.executable).with_name("cerberus")), *arguments]
    first = watched(command, environ)
    rounds = [watched(command, environ) for _ in range(ROUNDS)]
    return {
        "cpu_seconds": round(min(spent for spent, _ in rounds), 3),
        "rss_mb_max": round(min(peak for _, peak in rounds), 1),
        "uncached_cpu_seconds": round(first[0], 3),
    }


def run(quick: bool = False) -> dict[str, Any]:
    """Measure a whole replay with its report, and the help; `quick` takes a tenth of the rows."""
    rows, count = (100_000, 100) if quick else (1_000_000, 1_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        series = quotes(rows)
        save_npz(folder / "DOGEUSDT.npz", series)
        with (folder / "signals.jsonl").open("wb") as file:
            file.writelines(format_signal(one) + b"\n" for one in signals(series, count))
        replay = [
            "replay", "--prices", str(folder / "DOGEUSDT.npz"), "--signals",
            str(folder / "signals.jsonl"), "--profile", "research", "--out", str(folder / "out"),
        ]  # fmt: skip
        return {
            "whole_process": {"quotes": rows, "signals": count,
                              **command_figures(replay, folder / "cache")},
            "help": command_figures(["--help"], folder / "cache-help"),
        }  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    found = run(options.quick)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for name, figures in found.items():
        print(name.replace("_", " "))
        for key, value in figures.items():
            print(f"  {key.replace('_', ' '):<28}{value:>14,}")


if __name__ == "__main__":
    main()
