"""Run the engine's own process under load for long, and see that nothing grows.

`python -m scripts.soak [--minutes 30] [--rate 1000]`: a played price file in which days pass (so
that finished days are sealed into segments and deleted within a budget), signals on standard
input at a steady rate, and once as many at once as may wait. Every few seconds memory, descriptors,
threads and disk are read from outside, and the engine is asked how many blocks of memory it uses
and what waits; at the end the journal is verified. After the first third, when what is bounded has
filled (a day is played in `DAY_S`, and two days are kept at most), blocks, descriptors, threads and
disk are held against what they were, and so is the process's own memory, which grows by steps where
more waits at once than ever before: pages of the mapped price files come on top as they are played.
Exit code 1 where a bound did not hold.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cerberus_trader.domain.errors import DataError
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.price_files import save_npz
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import ask

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("DOGEUSDT", "1000PEPEUSDT", "BTCUSDT", "ETHUSDT")
START_PRICES = {"DOGEUSDT": 20_000, "1000PEPEUSDT": 10_000, "BTCUSDT": 600_000, "ETHUSDT": 300_000}
DIGITS = {"DOGEUSDT": 5, "1000PEPEUSDT": 6, "BTCUSDT": 1, "ETHUSDT": 2}
START_NS = 1_760_000_400 * 1_000_000_000
DAY_S = 150.0
DAYS_MIN = 4
STEP_S = 15
SAMPLE_S = 5.0
ANSWER_S = 2.0
FLOOD = 25_000
"""So many come at once, as wherever an engine cannot follow for a while: more than may wait."""
FLOOD_AT = 1 / 6
"""The share of the run after which they come: before what is judged, with the memories full."""
RSS_MB_MAX = 128.0
POOL_THREADS = 2  # the loop's pool grows when upkeep first needs it
FILES_MAX = 8
FILES_MORE = 2
"""A child that begins has pipes for a moment, while the journal is read: the fewest stay."""
DISK_GROWTH = 1.25
SLOPE_MB_MAX = 1.0
SLOPE_MB_MAX_EARLY = 20.0
"""An hour has not filled every bound yet: the heap of what comes and goes takes its size."""
BLOCKS_GROWTH = 1.02
SETTLED = 1 / 3
"""The share of the run after which what is bounded has filled."""

CONFIG = """
[account]
balance = "100000000"
[sizing]
methods = ["risk"]
risk_fraction = "0.0000001"
[leverage]
volatility_factor_min = 1.0
success_factor_min = 1.0
[breaker]
losses_max = 0
day_loss_action = "off"
drawdown_action = "off"
[intake]
signal_age_ms_max = 600000
data_age_ms_max = 600000
[logging]
form = "json"
[retention]
enabled = true
days = 1
segment_rows = 100000
[strategies.soak]
sources = ["*"]
positions_max = 4
day_loss_action = "off"
"""
"""So little of so much is risked that fees end no day's trading."""


def prices(folder: Path, days: int) -> list[Path]:
    """Write a seeded walk of quotes, one in fifteen seconds, for each instrument."""
    rng = np.random.default_rng(7)
    rows = days * 86_400 // STEP_S
    ts = START_NS + np.arange(rows, dtype=np.int64) * (STEP_S * 1_000_000_000)
    found = []
    for name in NAMES:
        walk = START_PRICES[name] * np.exp(np.cumsum(rng.normal(0, 0.0006, rows)))
        bid = np.maximum(walk.astype(np.int64), 10)
        path = folder / f"{name}.npz"
        save_npz(path, Quotes(ts, bid, bid + 1, DIGITS[name]))
        found.append(path)
    return found


class Soak:
    """Hold the process under load and what was read from outside of it."""

    def __init__(self, folder: Path, minutes: float, rate: int, config: str = CONFIG) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.seconds = minutes * 60.0
        self.rate = rate
        days = max(DAYS_MIN, round(self.seconds / DAY_S))
        self.speed = days * 86_400 * 0.98 / self.seconds
        self.samples: list[dict[str, float]] = []
        self.sent = 0
        self.rng = random.Random(7)
        path = folder / "soak.toml"
        path.write_text(config)
        words = [sys.executable, "-m", "cerberus_trader.control.engine_process",
                 "--state", str(self.state), "--config", str(path), "--stdin",
                 "--speed", f"{self.speed:.6f}"]  # fmt: skip
        for path in prices(folder, days):
            words += ["--prices", str(path)]
        with (folder / "log.jsonl").open("wb") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=log, stderr=log)

    def signals(self, count: int, passed_s: float) -> bytes:
        """Write signals of this moment of the file."""
        ts = START_NS + int(passed_s * self.speed * 1e9)
        lines = []
        for _ in range(count):
            self.sent += 1
            side = self.rng.choice(("buy", "sell", "close"))
            line = {"id": f"k{self.sent}", "ts_ns": ts, "instrument": self.rng.choice(NAMES),
                    "side": side, "confidence": 0.8, "source": "soak"}  # fmt: skip
            if side != "close":
                line["stop_loss_pct"] = 1
            lines.append(json.dumps(line))
        return ("\n".join(lines) + "\n").encode()

    def run(self, enough: Callable[[], bool] = lambda: False) -> None:
        """Feed and sample until the time is over, or it is enough."""
        assert self.process.stdin is not None
        time.sleep(2.0)
        begun = time.monotonic()
        sampled = 0.0
        while (passed := time.monotonic() - begun) < self.seconds:
            if self.process.poll() is not None:
                tail = (self.folder / "log.jsonl").read_text()[-2000:]
                raise SystemExit(f"the engine ended with {self.process.returncode}: {tail}")
            flood = FLOOD if passed > self.seconds * FLOOD_AT else 0
            due = int(passed * self.rate) + flood - self.sent
            if due > 0:
                self.process.stdin.write(self.signals(due, passed))
                self.process.stdin.flush()
            if passed >= sampled:
                sampled = passed + SAMPLE_S
                self.samples.append(self.sample(passed))
                self.show()
                if enough():
                    break
            time.sleep(0.02)

    def end(self) -> None:
        """Stop the engine in order."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.terminate()
        self.process.wait(60)

    def sample(self, passed: float) -> dict[str, float]:
        """Read memory, descriptors, threads, disk."""
        home = Path(f"/proc/{self.process.pid}")
        pages = int((home / "statm").read_text().split()[1])
        status = (home / "status").read_text()
        threads = int(status.split("Threads:")[1].split()[0])
        sizes = [f.stat().st_size for f in self.state.rglob("*") if f.is_file()]
        return {
            "s": passed, "rss_mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
            "highest_mb": int(status.split("VmHWM:")[1].split()[0]) / 1024,
            "own_mb": int(status.split("RssAnon:")[1].split()[0]) / 1024,
            "files": len(os.listdir(home / "fd")), "threads": threads,
            "disk_mb": sum(sizes) / 2**20,
            **{f"{name}_mb": sum(f.stat().st_size for f in self.state.rglob(f"{name}.db*")) / 2**20
               for name in ("journal", "views")},
            "segments": len(list(self.state.rglob("*.seg"))),
            **self.asked(),
        }  # fmt: skip

    def asked(self) -> dict[str, float]:
        """Ask for the blocks of memory in use, the signals that wait, the rows the views lack."""
        try:
            told = ask(self.state, frames.Status(), ANSWER_S)
        except DataError:
            return dict.fromkeys(("blocks", "waiting", "behind"), float("inf"))
        return {
            "blocks": float(told["memory_blocks"]),
            "waiting": float(self.sent - told["metrics"]["signals"]),
            "behind": float(told["views"]["behind"]),
        }

    def show(self) -> None:
        """Show the last sample as a line of progress."""
        last = self.samples[-1]
        words = ", ".join(f"{name} {value:.0f}" for name, value in last.items())
        print(f"\r{self.sent} signals, {words}   ", end="", flush=True)


def slope_per_hour(samples: list[dict[str, float]], name: str) -> float:
    """Return the least-squares slope of a value per hour, after the settling share."""
    late = samples[int(len(samples) * SETTLED) :]
    x = np.array([sample["s"] for sample in late]) / 3600.0
    y = np.array([sample[name] for sample in late])
    return float(np.polyfit(x, y, 1)[0]) if len(late) > 1 else 0.0


def figures(samples: list[dict[str, float]]) -> dict[str, Any]:
    """Return the highest values, and the range or slope of what has settled."""
    late = samples[int(len(samples) * SETTLED) :]
    half = len(late) // 2

    def fewest(name: str) -> list[float]:
        """What comes and goes comes on top of what stays: return the least of each half."""
        return [min(s[name] for s in part) for part in (late[: half + 1], late[half:])]

    return {
        "rss_mb_max": round(samples[-1]["highest_mb"], 1),
        "own_mb_max": round(max(s["own_mb"] for s in samples), 1),
        "own_mb_per_hour": round(slope_per_hour(samples, "own_mb"), 2),
        "blocks": fewest("blocks"),
        "files": [*fewest("files"), max(s["files"] for s in late)],
        "threads": [min(s["threads"] for s in late), max(s["threads"] for s in late)],
        "disk_mb_max": round(max(s["disk_mb"] for s in samples), 1),
    }


def verdict(soak: Soak, minutes: float) -> dict[str, Any]:
    """Sum up, with what did not hold."""
    verify = subprocess.run(
        [sys.executable, "-m", "cerberus_trader.control.main", "journal", "verify", "--json",
         "--state", str(soak.state)], capture_output=True, text=True, check=False,
    )  # fmt: skip
    found: dict[str, Any] = {
        "minutes": minutes, "signals": soak.sent,
        "signals_per_second": round(soak.sent / soak.seconds, 1), **figures(soak.samples),
        "segments_max": max(s["segments"] for s in soak.samples),
        "exit_code": soak.process.returncode, "verify_exit_code": verify.returncode,
    }  # fmt: skip
    found["missed"] = exceeded(found, soak.samples, minutes)
    if found["exit_code"] or found["verify_exit_code"]:
        found["missed"].append("the engine or the journal's verification failed")
    return found


def exceeded(found: dict[str, Any], samples: list[dict[str, float]], minutes: float) -> list[str]:
    """Name what grew past its bound."""
    missed = []
    if found["rss_mb_max"] >= RSS_MB_MAX:
        missed.append(f"memory reached {found['rss_mb_max']} MB")
    most = SLOPE_MB_MAX if minutes > 60 else SLOPE_MB_MAX_EARLY
    if minutes >= 30 and found["own_mb_per_hour"] >= most:
        missed.append(f"memory grew by {found['own_mb_per_hour']} MB an hour")
    before, after = found["blocks"]
    if minutes >= 10 and not after <= before * BLOCKS_GROWTH < float("inf"):
        missed.append(f"the engine's blocks of memory went from {before:.0f} to {after:.0f}")
    least, highest = found["threads"]
    if minutes >= 1 and highest - least > POOL_THREADS:
        missed.append(f"threads went from {least:.0f} to {highest:.0f}")
    before, after, most = found["files"]
    if minutes >= 1 and (after - before > FILES_MORE or most - min(before, after) > FILES_MAX):
        missed.append(f"files went from {before:.0f} to {after:.0f}, at most {most:.0f}")
    last = int(len(samples) * 0.75)  # days have been deleted since the second one
    disk = [sample["disk_mb"] for sample in samples]
    if minutes >= 1 and max(disk[last:]) > DISK_GROWTH * max(disk[:last]):
        missed.append(f"the disk went from {max(disk[:last]):.0f} to {max(disk[last:]):.0f} MB")
    return missed


def main() -> int:
    """Run the soak; print the samples' summary."""
    given = argparse.ArgumentParser(prog="soak")
    given.add_argument("--minutes", type=float, default=30.0)
    given.add_argument("--rate", type=int, default=1_000)
    given.add_argument("--keep", type=Path, help="write all samples there")
    options = given.parse_args()
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(Path(name), options.minutes, options.rate)
        try:
            soak.run()
            soak.end()
        finally:
            soak.process.kill()
        found = verdict(soak, options.minutes)
        if options.keep is not None:
            options.keep.write_text(json.dumps(soak.samples))
        lines = (Path(name) / "log.jsonl").read_text().splitlines()
        found["alerts"] = [line[:300] for line in lines if '"alert":true' in line][:5]
    print("\n" + json.dumps(found, indent=2))
    return 1 if found["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
