"""Compare with NautilusTrader: the same quotes and signals through both engines, in one run.

The peer is installed into a virtual environment of its own (.peers/, about 700 MB, ignored by
git); it is never a dependency. Each engine runs in a process of its own with its columns loaded
and prepared (ours: the pyramids; theirs: quote objects), without garbage collection, silent,
the peer's risk engine and analysis switched off. CPU seconds of the run alone are compared; what
it takes from the file to the prepared columns stands beside. Stops and take-profits are native
orders on both sides. Usage:

    python -m scripts.bench_peers [--quick] [--json]
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import venv
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.heads.lines import format_signal
from cerberus_trader.instruments import load_instruments
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.bench import quotes, signals
from cerberus_trader.replay.price_files import save_npz
from scripts.bench_peers_fills import SAME, UNEXPLAINED, Difference, Fill, compare, trips_of

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
PEER = "nautilus_trader"
VERSION = "1.221.0"


class Case(NamedTuple):
    """Hold one case: `repeats` are the peer's runs, `digits` the decimals of its prices.

    `lift` adds quanta to every price: 585,000 makes 0.15000 with five decimals 60,000.0 with one.
    """

    rows: int
    signals: int
    repeats: int
    digits: int = 5
    lift: int = 0


CASES = (
    Case(1_000_000, 1_000, 3), Case(1_000_000, 10_000, 2), Case(5_000_000, 1_000, 1),
    Case(500_000, 5_000, 1, digits=1, lift=585_000),
)  # fmt: skip
QUICK = (Case(100_000, 100, 1), Case(100_000, 1_000, 1), Case(100_000, 1_000, 1, 1, 585_000))
RATIO_TARGET = 80  # at 5,000,000 quotes with 1,000 signals
SHOWN_MAX = 2
BASE = 15_000  # quanta around which the walk begins
BALANCE = 10_000_000


def environment() -> Path:
    """Return the interpreter of the peer's environment; install it the first time."""
    python = PEERS / "venv" / "bin" / "python"
    asked = f"import importlib.metadata as m; assert m.version('{PEER}') == '{VERSION}'"
    if python.exists():
        found = subprocess.run([python, "-c", asked], capture_output=True, check=False)
        if found.returncode == 0:
            return python
    print(f"installing {PEER} {VERSION} into {PEERS.name}/ (about 700 MB) …", file=sys.stderr)
    wanted = f"{PEER}=={VERSION}"
    uv = ROOT / ".tools" / "bin" / "uv"
    if uv.exists():
        commands = [[uv, "venv", "-q", "--clear", "-p", sys.executable, PEERS / "venv"],
                    [uv, "pip", "install", "-q", "-p", python, wanted]]  # fmt: skip
    else:
        venv.create(PEERS / "venv", with_pip=True, clear=True)
        commands = [[python, "-m", "pip", "install", "-q", "--only-binary", ":all:", wanted]]
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{PEER} could not be installed:\n{done.stderr.strip()}")
    return python


def run(command: list[Any], job: dict[str, Any]) -> dict[str, Any]:
    """Run one engine on a job in its own process; return the figures it prints."""
    done = subprocess.run([*command, json.dumps(job)], cwd=ROOT, capture_output=True, text=True,
                          check=False)  # fmt: skip
    if done.returncode:
        raise SystemExit(f"{command[1:]} failed:\n{done.stderr.strip()[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def job_of(folder: Path, series: Quotes, one: Case) -> dict[str, Any]:
    """Write quotes and signals as files; return what both engines are told."""
    item = load_instruments()["DOGEUSDT"]
    prices = folder / f"{one.rows}-{one.digits}.npz"
    lines = folder / f"{one.rows}-{one.digits}-{one.signals}.jsonl"
    quantity = 1_000 if one.digits == 5 else 1
    scale = Decimal(BASE) / (BASE + one.lift)  # levels as many quanta away at any price
    asked = [
        msgspec.structs.replace(
            signal,
            quantity=Decimal(quantity),
            stop_loss_pct=(signal.stop_loss_pct or 0) * scale,
            take_profit_pct=(signal.take_profit_pct or 0) * scale,
        )
        for signal in signals(series, one.signals)
    ]
    if not prices.exists():
        save_npz(prices, series)
    lines.write_bytes(b"".join(format_signal(signal) + b"\n" for signal in asked))
    return {
        "name": item.name, "tick": f"{Decimal(1).scaleb(-one.digits):f}", "digits": one.digits,
        "maker_fee": str(item.maker_fee), "taker_fee": str(item.taker_fee), "balance": BALANCE,
        "leverage": "3", "quantity": quantity, "repeats": one.repeats, "prices": str(prices),
        "signals": str(lines),
    }  # fmt: skip


def measure_case(folder: Path, python: Path, one: Case) -> dict[str, Any]:
    """Run one case on both engines, compare speed and fills."""
    walk = quotes(one.rows)
    series = Quotes(walk.ts, walk.bid + one.lift, walk.ask + one.lift, one.digits)
    job = job_of(folder, series, one)
    mine, other = folder / "ours.json", folder / "theirs.json"
    ours = run([sys.executable, "-m", "scripts.bench_peers_ours"],
               {**job, "repeats": max(3, one.repeats), "fills": str(mine)})  # fmt: skip
    theirs = run([python, "-m", "scripts.bench_peers_nautilus"], {**job, "fills": str(other)})
    left, right = json.loads(mine.read_bytes()), json.loads(other.read_bytes())
    table, kinds = compare(
        trips_of([fill(*entry[:3]) for entry in left], [entry[3] for entry in left]),
        trips_of([fill(*entry) for entry in right]),
        series,
    )
    path = PEERS / f"fills-{one.rows}-{one.signals}-{one.digits}.csv"
    write_table(path, table)
    return {
        "quotes": one.rows, "signals": one.signals, "digits": one.digits, "fills": len(left),
        "peer_fills": len(right), "orders": orders_of(left),
        "ours": figures(ours, one.rows), "peer": figures(theirs, one.rows),
        "ratio": round(theirs["cpu_seconds"] / ours["cpu_seconds"], 1),
        "ratio_prepared": round(
            (theirs["cpu_seconds"] + theirs["prepare_seconds"])
            / (ours["cpu_seconds"] + ours["prepare_seconds"]), 1),
        "peer_inexact": theirs["inexact"],
        "trips": dict(kinds), "differences": str(path.relative_to(ROOT)),
        "examples": [row_of(pair) for pair in examples(table)],
    }  # fmt: skip


def examples(table: list[Difference]) -> list[Difference]:
    """Return the first differences of each class."""
    counts: Counter[str] = Counter({SAME: SHOWN_MAX})
    found = []
    for one in table:
        if counts[one.kind] < SHOWN_MAX:
            counts[one.kind] += 1
            found.append(one)
    return found


def fill(ts_ns: int, side: str, price: str) -> Fill:
    """Read a fill."""
    return Fill(ts_ns, side, Decimal(price))


def figures(found: dict[str, Any], rows: int) -> dict[str, Any]:
    """Round what an engine measured."""
    return {
        "cpu_seconds": round(found["cpu_seconds"], 4),
        "prepare_seconds": round(found["prepare_seconds"], 3),
        "quotes_per_cpu_second": round(rows / found["cpu_seconds"]),
        "rss_mb_max": round(found["rss_mb_max"], 1),
    }


def orders_of(fills: list[list[Any]]) -> int:
    """Count the orders behind fills: an entry has stop and take-profit, a signal's exit is one."""
    return sum({"entry": 3, "signal": 1}.get(one[3], 0) for one in fills)


def per_order(few: dict[str, Any], many: dict[str, Any], side: str) -> float:
    """Return the CPU microseconds that one more order costs: between two cases of equal quotes."""
    spent = many[side]["cpu_seconds"] - few[side]["cpu_seconds"]
    return round(spent / (many["orders"] - few["orders"]) * 1e6, 1)


def row_of(one: Difference) -> list[str]:
    """Set two trips side by side: time, side, price of entry and exit, and the class."""
    cells = []
    for trip in (one.ours, one.theirs):
        for part in (trip and trip.entry, trip and trip.exit):
            cells += [str(value) for value in part] if part else ["", "", ""]
    return [*cells, one.kind]


def write_table(path: Path, table: list[Difference]) -> None:
    """Write all trips side by side as CSV."""
    names = [f"{side}_{leg}_{what}" for side in ("ours", "peer") for leg in ("entry", "exit")
             for what in ("ts_ns", "side", "price")]  # fmt: skip
    path.parent.mkdir(exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*names, "class"])
        writer.writerows(row_of(one) for one in table)


def measure(cases: tuple[Case, ...]) -> dict[str, Any]:
    """Run all cases; return them with the cost of an order on either side."""
    python = environment()
    with tempfile.TemporaryDirectory() as name:
        found = [measure_case(Path(name), python, one) for one in cases]
    return {
        "peer": f"{PEER} {VERSION}",
        "cases": found,
        "us_per_order": per_order(found[0], found[1], "ours"),
        "peer_us_per_order": per_order(found[0], found[1], "peer"),
    }


def show(found: dict[str, Any]) -> None:
    """Print the comparison as a table."""
    print(f"{'':<34}{'Cerberus':>16}{found['peer']:>26}{'ratio':>9}")
    for one in found["cases"]:
        ours, peer = one["ours"], one["peer"]
        target = f"  target {RATIO_TARGET}: {'met' if one['ratio'] >= RATIO_TARGET else 'missed'}"
        print(f"\n{one['quotes']:,} quotes, {one['signals']:,} signals, {one['orders']:,} orders,"
              f" {one['digits']} decimals")  # fmt: skip
        for label, key in (("  quotes per CPU second", "quotes_per_cpu_second"),
                           ("  CPU seconds", "cpu_seconds"),
                           ("  file to columns, CPU seconds", "prepare_seconds"),
                           ("  peak memory, MB", "rss_mb_max")):  # fmt: skip
            speed = key == "quotes_per_cpu_second"
            ratio = f"{one['ratio']:>8}x" if speed else ""
            ends = target if speed and one["quotes"] == 5_000_000 else ""
            print(f"{label:<34}{ours[key]:>16,}{peer[key]:>26,}{ratio}{ends}")
        print(f"  both together     {'':>56}{one['ratio_prepared']:>8}x")
        show_fills(one)
    print(f"\n{'µs per order':<34}{found['us_per_order']:>16,}{found['peer_us_per_order']:>26,}")


def show_fills(one: dict[str, Any]) -> None:
    """Print how the fills compare: counts by class, and examples."""
    total = sum(one["trips"].values())
    print(f"  fills: {one['fills']:,} and {one['peer_fills']:,}; round trips side by side:")
    for kind, count in Counter(one["trips"]).most_common():
        print(f"    {count:>6,} of {total:,}  {kind}")
    off = one["peer_inexact"]
    print(f"    prices that the peer stores inexactly: {100 * off['stored']:.0f} %, that it gives"
          f" back inexactly as floats: {100 * off['read_as_float']:.0f} %")  # fmt: skip
    for cells in one["examples"]:
        ours, peer = " ".join(cells[:6]), " ".join(cells[6:12])
        print(f"      e.g. {cells[-1]}\n        ours {ours}\n        peer {peer}")
    print(f"    all of them: {one['differences']}")


def main() -> int:
    """Compare, print, and return 1 if a difference between the fills is unexplained."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    found = measure(QUICK if options.quick else CASES)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found)
    return int(any(UNEXPLAINED in one["trips"] for one in found["cases"]))


if __name__ == "__main__":
    raise SystemExit(main())
