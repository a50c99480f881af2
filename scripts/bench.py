"""Print every figure of this machine beside its target, all measured within one run.

    python -m scripts.bench [--quick] [--json]

CPU seconds, the best of several rounds. `--quick` takes a tenth of the rows: the figures are
then no measure of the targets. Exit code 0 whether targets are met or not.
"""

import argparse
import importlib
import importlib.util
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from cerberus_trader.replay import bench
from scripts import bench_process

LIVE = "cerberus_trader.runtime.bench_live"


class Figure(NamedTuple):
    """Hold one figure: where it stands in what was measured, and its target.

    A target is a ceiling, or a `floor`; None: no target, for reading.
    """

    label: str
    path: str
    unit: str = ""
    target: float | None = None
    floor: bool = False


FIGURES = (
    Figure("replay, 5,000,000 quotes, 1,000 signals", "replay_few_signals.quotes_per_cpu_second",
           "quotes/s", 25_000_000, floor=True),
    Figure("replay, 5,000,000 quotes, 10,000 signals", "replay_many_signals.quotes_per_cpu_second",
           "quotes/s", 3_000_000, floor=True),
    Figure("replay, fifty positions, 10,000 signals", "fifty_positions.quotes_per_cpu_second",
           "quotes/s", 5_000_000, floor=True),
    Figure("  positions open on average", "fifty_positions.open_on_average", "", 50, floor=True),
    Figure("making the columns (once)", "columns_seconds", "s"),
    Figure("building the pyramids (once)", "pyramid_seconds", "s"),
    Figure("filled decision, journal in memory", "decision.filled_us", "µs", 45),
    Figure("exit, journal in memory", "decision.exit_us", "µs"),
    Figure("denied decision, journal in memory", "decision.denied_us", "µs", 45),
    Figure("filled decision, journal and views on disk", "decision_on_disk.filled_us", "µs", 100),
    Figure("exit, journal and views on disk", "decision_on_disk.exit_us", "µs"),
    Figure("denied decision, journal and views on disk", "decision_on_disk.denied_us", "µs"),
    Figure("bytes of a filled decision, all files", "document_bytes.filled", "B", 3_500),
    Figure("  of these in the journal's rows", "document_bytes.filled_rows", "B"),
    Figure("bytes of a denied decision, all files", "document_bytes.denied", "B", 1_500),
    Figure("  of these in the journal's rows", "document_bytes.denied_rows", "B"),
    Figure("whole process, 1,000,000 quotes, 1,000 signals", "whole_process.cpu_seconds", "s",
           1.5),
    Figure("  peak memory", "whole_process.rss_mb_max", "MB", 130),
    Figure("  without cached bytecode", "whole_process.uncached_cpu_seconds", "s"),
    Figure("cerberus --help", "help.cpu_seconds", "s", 0.3),
    Figure("  without cached bytecode", "help.uncached_cpu_seconds", "s"),
)  # fmt: skip


def measure(quick: bool) -> dict[str, Any]:
    """Run the benchmarks of replay and decision, of whole processes, and of the live path."""
    found = {**bench.run(quick), **bench_process.run(quick)}
    if importlib.util.find_spec(LIVE) is not None:
        found["live"] = importlib.import_module(LIVE).run()
    return found


def value_of(found: dict[str, Any], path: str) -> float:
    """Return the figure that stands at a dotted path."""
    for name in path.split("."):
        found = found[name]
    return found  # type: ignore[return-value]


def verdict(figure: Figure, reached: float) -> str:
    """Tell whether a figure reaches its target; empty without one."""
    if figure.target is None:
        return ""
    met = reached >= figure.target if figure.floor else reached <= figure.target
    return "met" if met else "missed"


def judged(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Set every figure beside its target."""
    return [
        {
            "figure": figure.label.strip(), "reached": value_of(found, figure.path),
            "unit": figure.unit, "target": figure.target, "floor": figure.floor,
            "verdict": verdict(figure, value_of(found, figure.path)),
        }
        for figure in FIGURES
    ]  # fmt: skip


def number(value: float | None) -> str:
    """Write a number with thousands separated."""
    return "" if value is None else f"{value:,}"


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Write the table, then whatever the live path measured."""
    yield f"{'':<48}{'reached':>13} {'':<9}{'target':>13}"
    for figure in FIGURES:
        reached = value_of(found, figure.path)
        sign = "" if figure.target is None else "≥" if figure.floor else "≤"
        target = f"{sign} {number(figure.target)}" if sign else ""
        row = f"{figure.label:<48}{number(reached):>13} {figure.unit:<9}{target:>13}"
        yield f"{row}  {verdict(figure, reached)}".rstrip()
    if "live" in found:
        yield "live"
        yield from nested(found["live"], "  ")


def nested(found: dict[str, Any], indent: str) -> Iterator[str]:
    """Write nested figures by their names."""
    for name, value in found.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield label
            yield from nested(value, indent + "  ")
        else:
            text = number(value) if isinstance(value, int | float) else str(value)
            yield f"{label:<48}{text:>13}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    options = parser.parse_args()
    found = measure(options.quick)
    if options.json:
        print(json.dumps({"figures": judged(found), "measured": found}, indent=2))
    else:
        print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
