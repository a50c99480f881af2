"""The report: one HTML page that needs nothing else, written from a replay's result."""

import json
import re
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cerberus_trader import __version__
from cerberus_trader.domain.errors import SystemFailure
from cerberus_trader.replay import report_parts as parts
from cerberus_trader.replay.report_decisions import decision_blocks
from cerberus_trader.replay.report_figures import (
    BUCKETS_MAX,
    POINTS_MAX,
    TRADES_MAX,
    figures,
)

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult

PAGE = Path(__file__).parent / "page"
MARK = (
    '<svg viewBox="0 0 32 32" fill="none" stroke="currentColor" stroke-width="2.2"'
    ' stroke-linejoin="round" aria-hidden="true"><path d="M4 8l4 3 3-5 5 5 5-5 3 5 4-3v9'
    'c0 6-5 9-12 12C9 26 4 23 4 17z"/><path d="M11 16h.01M16 18.5h.01M21 16h.01"'
    ' stroke-linecap="round" stroke-width="3"/></svg>'
)
SYNTHETIC = (
    "Synthetic market: every price here was generated from a seed and was never traded. The page"
    " shows how the guard works; it says nothing about what a strategy earns."
)


def write_report(path: Path, result: "ReplayResult") -> None:
    """Write the page; about 5 MB, nearly all of it the drawing library."""
    values = {
        "version": escape(__version__),
        "css": asset("report.css"),
        "mark": MARK,
        "title": escape(result.title),
        "lead": escape(lead(result)),
        "banner": banner(result),
        "body": body(result),
        "footer": footer(result),
        "figures": script_json(figures(result)),
        "js": asset("report.js"),
    }
    pieces = re.split(r"\{\{(\w+)\}\}", asset("report.html"))
    with path.open("wb") as file:
        for index, piece in enumerate(pieces):
            if index % 2 and piece == "plotly":
                file.write(library())
            else:
                file.write((values[piece] if index % 2 else piece).encode("utf-8"))


def asset(name: str) -> str:
    """Read a piece of the page that comes with the package."""
    return (PAGE / name).read_text(encoding="utf-8")


def library() -> bytes:
    """Read the drawing library from the installed package, without importing it."""
    spec = find_spec("plotly")
    if spec is None or spec.origin is None:
        raise SystemFailure(
            "the package plotly is not installed.", code="REPORT_LIBRARY", place="report.html",
            fix="pip install plotly.",
        )  # fmt: skip
    return (Path(spec.origin).parent / "package_data" / "plotly.min.js").read_bytes()


def script_json(value: Any) -> str:
    """Encode for a script element: no character may end or open a tag."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def lead(result: "ReplayResult") -> str:
    """Say in one line what was replayed."""
    found = result.summary
    span = found["end_ns"] - found["start_ns"]
    files = f" From {', '.join(found['files'])}." if found.get("files") else ""
    return (
        f"{len(result.tapes)} instrument(s), {found['ticks']:,} rows over {parts.lasted(span)}:"
        f" {parts.when(found['start_ns'])} to {parts.when(found['end_ns'])} UTC."
        f"{files} {found['signals']:,} signals judged, {found['approved']:,} approved."
        f" Took {found['wall_seconds']:.2f} s."
    )


def banner(result: "ReplayResult") -> str:
    """Say what must not be overlooked."""
    found = []
    if result.synthetic:
        found.append(("", SYNTHETIC))
    if result.loaded.settings.risk.lift_all:
        found.append(("warn", "Research profile: the limits are lifted; checks are only recorded."))
    if result.collector.faults:
        fault = result.collector.faults[0]
        found.append(("warn", f"The engine faulted and halted: {fault.error} ({fault.event})."))
    if result.refusals:
        first = str(result.refusals[0])
        found.append(("warn", f"{len(result.refusals)} signal line(s) were refused. {first}"))
    found += [("", note) for note in result.notes]
    return "".join(f'<p class="banner {kind}">{escape(text)}</p>' for kind, text in found)


def section(title: str, hint: str, inner: str) -> str:
    """Make a section with a heading and a line below it."""
    return f'<section><h2>{escape(title)}</h2><p class="hint">{escape(hint)}</p>{inner}</section>'


def place(figure: str) -> str:
    """Make the place of a figure."""
    return f'<div class="figure" data-figure="{figure}"></div>'


def body(result: "ReplayResult") -> str:
    """Put the page together."""
    blocks, explained = decision_blocks(result)
    denials = "".join(
        section(title, hint, place(f"denials-{name}"))
        for name, title, hint in (
            ("reason", "Denials by reason", "The first check that failed, most frequent on top."),
            ("strategy", "By strategy", "What each strategy asked for, and what it got."),
            ("instrument", "By instrument", "The same for each instrument."),
        )
    )
    return "".join((
        parts.cards(result),
        parts.comparison(result),
        section("Equity and drawdown", "Against holding equal shares of every instrument.",
                place("equity")),
        prices(result),
        section("Leverage and its factors",
                "Confidence gives a base; the factors only lower it; caps bind what is left. Pale"
                " dots belong to signals that were denied.", place("leverage")),
        f'<div class="split">{denials}</div>',
        section("The circuit breaker", "A trip blocks whatever adds exposure, never an exit.",
                parts.trips_table(result)),
        '<div class="split">',
        section("How far trades ran", "Each trade's worst and best excursion.",
                place("excursions")),
        section("Where the money went", "From realised gains over costs to the net result.",
                place("costs")),
        "</div>",
        parts.open_table(result),
        parts.trades_table(result, explained),
        blocks,
    ))  # fmt: skip


def prices(result: "ReplayResult") -> str:
    """Make the price pictures, one tab per instrument, the most traded one first."""
    traded = {tape.name: 0 for tape in result.tapes}
    for record in result.trades:
        traded[record.trade.instrument] += 1
    order = sorted(range(len(result.tapes)), key=lambda n: -traded[result.tapes[n].name])
    tabs = "".join(
        f'<button type="button" data-show="price-{number}"'
        f' aria-selected="{"true" if number == order[0] else "false"}">'
        f"{escape(result.tapes[number].name)} · {traded[result.tapes[number].name]}</button>"
        for number in order
    )
    return section(
        "Prices, entries, exits and levels",
        "Stops, take-profits and liquidation prices as they stood after each entry, drawn while"
        " the trade was open. The number beside a name counts its trades.",
        f'<div class="tabs" data-for="price">{tabs}</div>'
        f'<div class="figure" id="price" data-figure="price-{order[0]}"></div>',
    )


def footer(result: "ReplayResult") -> str:
    """Say what was thinned, what the figures mean, and how to find this run again."""
    found = result.summary
    return (
        f"<p>Lines hold at most {POINTS_MAX:,} points, chosen so that highs and lows stay; prices"
        f" are joined to at most {BUCKETS_MAX:,} steps with their range; a price picture shows the"
        f" last {TRADES_MAX:,} trades. Equity is valued at bookings and on a grid of at most 20,000"
        " times. Sharpe and Sortino: daily, 365 days, no risk-free rate. Holding pays no fees."
        " Past prices do not promise anything.</p>"
        f"<p>Engine {escape(found['engine'])} · configuration <code>{found['config'][:16]}</code>"
        f" · state <code>{found['state_hash'][:16]}</code></p>"
    )
