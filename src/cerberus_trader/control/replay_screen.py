"""What replay, demo, diff and bench show in the terminal."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerberus_trader.replay.report_parts import TRIP_WORDS, lasted, money, percent, when

if TYPE_CHECKING:
    from rich.console import Console

    from cerberus_trader.replay.session import Progress, ReplayResult

DENIALS_MAX = 8
TRIPS_MAX = 5


def console(*, stderr: bool = False) -> "Console":
    """Make a console; colour and width follow the terminal."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


@contextmanager
def progress_bar(words: str, *, quiet: bool) -> Iterator["Progress | None"]:
    """Show a bar on standard error while something runs; none where nobody looks."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    screen = console(stderr=True)
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"),
               TimeElapsedColumn())  # fmt: skip
    with Progress(*columns, console=screen, transient=True) as bar:
        task = bar.add_task(words, total=1.0)
        yield lambda share: bar.update(task, completed=min(share, 1.0))


def show_result(result: "ReplayResult", out: Path | None) -> None:
    """Print a run's summary: result, activity, denials, trips, where the files are."""
    from rich.text import Text

    screen, found = console(), result.summary
    screen.print()
    screen.print(Text(result.title, style="bold"))
    span = lasted(found["end_ns"] - found["start_ns"])
    screen.print(Text(
        f"{len(result.tapes)} instrument(s), {found['ticks']:,} rows over {span}, to"
        f" {when(found['end_ns'])} UTC; {found['wall_seconds']:.2f} s", style="dim",
    ))  # fmt: skip
    if result.synthetic:
        screen.print(Text("Synthetic prices from a seed: nothing here was ever traded.",
                          style="yellow"))  # fmt: skip
    screen.print(figures_table(found))
    if found["denied"]:
        screen.print(denial_table(found["denied"]))
    for trip in found["breaker_trips"][:TRIPS_MAX]:
        words = TRIP_WORDS.get(trip["condition"], trip["condition"])
        scope = f" of {trip['scope']}" if trip["scope"] else ""
        screen.print(Text.assemble(
            ("breaker ", "bold red"),
            f"{when(trip['ts_ns'])}  {words}{scope}: {shown(trip['value'])} against"
            f" {shown(trip['limit'])}, {trip['action']}",
        ))  # fmt: skip
    more = len(found["breaker_trips"]) - TRIPS_MAX
    if more > 0:
        screen.print(Text(f"… and {more} more trips", style="dim"))
    for note in result.notes:
        screen.print(Text.assemble(("note    ", "bold yellow"), note))
    if result.naive is not None:
        other = result.naive.summary
        screen.print(Text.assemble(
            ("guard   ", "bold green"),
            (f"{result.naive.avoided} liquidations avoided", "bold"),
            f": the same signals at 30x end at {money(other['final_equity'])}, after a fall of"
            f" {percent(other['max_drawdown'])}",
        ))  # fmt: skip
    for refusal in result.refusals[:3]:
        screen.print(Text.assemble(("refused ", "bold yellow"), str(refusal)))
    if len(result.refusals) > 3:
        screen.print(Text(f"… and {len(result.refusals) - 3} more lines refused", style="dim"))
    for fault in result.collector.faults[:1]:
        screen.print(Text(f"the engine faulted and halted: {fault.error}", style="bold red"))
    if out is not None:
        screen.print(Text.assemble(("report  ", "bold blue"), str(out / "report.html")))
    screen.print()


def shown(text: str) -> str:
    """Shorten a number that stands as text; anything else stays."""
    try:
        return money(Decimal(text)).removesuffix(".00")
    except ArithmeticError:
        return text


def result_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines about money."""

    def ratio(name: str) -> str:
        return "–" if found[name] is None else f"{found[name]:.2f}"

    color = "green" if found["return"] > 0 else "red" if found["return"] < 0 else "default"
    return [
        ("final equity", f"[bold]{money(found['final_equity'])}[/]"),
        ("return", f"[{color}]{percent(found['return'], True)}[/]"),
        ("buy and hold", percent(found["buy_and_hold"], True)),
        ("deepest drawdown", percent(found["max_drawdown"])),
        ("Sharpe / Sortino", f"{ratio('sharpe')} / {ratio('sortino')}"),
        ("profit factor", ratio("profit_factor")),
        ("fees", money(found["fees"])),
        ("funding", money(found["funding"])),
    ]


def activity_rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the lines about what happened."""
    denied = sum(found["denied"].values())
    wins = f" ({100 * found['wins'] / found['trades']:.0f} % won)" if found["trades"] else ""
    return [
        ("signals", f"{found['signals']:,}"),
        ("approved", f"{found['approved']:,}"),
        ("denied", f"{denied:,}"),
        ("repeated / refused", f"{found['repeated']:,} / {found['refused']:,}"),
        ("fills", f"{found['fills']:,}"),
        ("trades", f"{found['trades']:,}{wins}"),
        ("still open", f"{found['open_positions']:,}"),
        ("liquidations", f"[bold]{found['liquidations']:,}[/]"),
    ]


def figures_table(found: dict[str, Any]) -> Any:
    """Set result and activity side by side."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("result", "activity"):
        table.add_column(heading, style="dim", header_style="bold")
        table.add_column(justify="right")
    for left, right in zip(result_rows(found), activity_rows(found), strict=True):
        table.add_row(*left, *right)
    return table


def denial_table(denied: dict[str, int]) -> Any:
    """Make bars of the most frequent denials."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("denied because", style="dim", header_style="bold")
    table.add_column(justify="right")
    table.add_column()
    most = max(denied.values())
    for code, count in list(denied.items())[:DENIALS_MAX]:
        bar = "▇" * max(1, round(24 * count / most))
        table.add_row(code.replace("_", " ").lower(), f"{count:,}", f"[yellow]{bar}[/]")
    if len(denied) > DENIALS_MAX:
        table.add_row(f"… {len(denied) - DENIALS_MAX} more", "", "")
    return table


def show_bench(found: dict[str, Any], heading: str = "") -> None:
    """Print the figures of a benchmark, nested tables with their names."""
    screen = console()
    for name, value in found.items():
        label = f"{heading} {name}".strip().replace("_", " ")
        if isinstance(value, dict):
            screen.print(f"[bold]{label}[/]")
            show_bench(value, " ")
        else:
            text = f"{value:,}" if isinstance(value, int | float) else str(value)
            screen.print(f"  {label:<32} {text:>18}")
