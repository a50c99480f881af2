"""The report's parts in HTML: cards, tables, trips, the comparison. Everything is escaped."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from cerberus_trader.domain.order import FORCED
from cerberus_trader.domain.position import Trade
from cerberus_trader.replay.performance import max_drawdown
from cerberus_trader.replay.trades import TradeRecord

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult

SECOND_NS = 1_000_000_000
ROWS_MAX = 600  # trades in the table; the rest is named and stands in fills.csv


def when(ts_ns: int) -> str:
    """Write a time for people, UTC to the minute."""
    return datetime.fromtimestamp(ts_ns // SECOND_NS, UTC).strftime("%Y-%m-%d %H:%M")


def lasted(span_ns: int) -> str:
    """Write a duration for people: two units at most."""
    minutes, seconds = divmod(span_ns // SECOND_NS, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min" if minutes else f"{seconds} s"


def money(value: Decimal | float | str, signed: bool = False) -> str:
    """Write an amount to the cent."""
    number = float(value)
    return f"{number:+,.2f}" if signed else f"{number:,.2f}"


def figure_text(price: Decimal | float | None) -> str:
    """Write a price to seven significant digits, without an exponent."""
    if price is None:
        return "–"
    text = f"{Decimal(f'{price:.7g}'):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def percent(value: float, signed: bool = False) -> str:
    """Write a fraction in percent."""
    return f"{100 * value:+.2f} %" if signed else f"{100 * value:.2f} %"


def tone(value: float | Decimal) -> str:
    """Name the class of a gain or a loss."""
    return "gain" if value > 0 else "loss" if value < 0 else ""


def card(name: str, value: str, note: str = "", kind: str = "") -> str:
    """Make one card."""
    return (
        f'<div class="card"><span class="name">{escape(name)}</span>'
        f'<b class="{kind}">{escape(value)}</b><span>{escape(note)}</span></div>'
    )


def cards(result: "ReplayResult") -> str:
    """Make the row of cards at the top."""
    found = result.summary
    hold = max_drawdown(result.hold).fraction
    denied = sum(found["denied"].values())
    total = max(found["signals"], 1)
    losses = found["trades"] - found["wins"]
    share = found["wins"] / found["trades"] if found["trades"] else 0.0
    ratio = "–" if found["sharpe"] is None else f"{found['sharpe']:.2f}"
    sortino = "–" if found["sortino"] is None else f"{found['sortino']:.2f}"
    factor = "–" if found["profit_factor"] is None else f"{found['profit_factor']:.2f}"
    items = [
        card("final equity", money(found["final_equity"]),
             f"{percent(found['return'], True)}, holding {percent(found['buy_and_hold'], True)}",
             tone(found["return"])),
        card("deepest drawdown", percent(found["max_drawdown"]), f"holding: {percent(hold)}"),
        card("trades", f"{found['trades']}",
             f"{found['wins']} won, {losses} lost: {100 * share:.0f} %"),
        card("signals denied", f"{100 * denied / total:.0f} %",
             f"{denied} of {found['signals']}, each with its reason"),
        card("liquidations", str(found["liquidations"]), "positions lost whole",
             "loss" if found["liquidations"] else "gain"),
        card("Sharpe", ratio, f"Sortino {sortino}, profit factor {factor}"),
        card("exposure", percent(found["exposure_time"]), "of the time something was open"),
        card("costs", money(Decimal(found["fees"]) + Decimal(found["funding"])),
             f"fees {money(found['fees'])}, funding {money(found['funding'], True)}"),
    ]  # fmt: skip
    return f'<div class="cards">{"".join(items)}</div>'


def comparison(result: "ReplayResult") -> str:
    """Set the guarded run beside the same signals without limits."""
    naive = result.naive
    if naive is None:
        return ""

    def column(label: str, summary: dict[str, object], bad: bool) -> str:
        rows = [
            ("liquidations", str(summary["liquidations"])),
            ("final equity", money(str(summary["final_equity"]))),
            ("deepest drawdown", percent(float(str(summary["max_drawdown"])))),
            ("trades", str(summary["trades"])),
            ("fees", money(str(summary["fees"]))),
        ]
        lines = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
        kind = ' class="bad"' if bad else ""
        return f"<div{kind}><h3>{escape(label)}</h3><dl>{lines}</dl></div>"

    return (
        "<section><h2>What the guard is worth</h2>"
        f'<p class="hint">{escape(NAIVE_WORDS)}</p>'
        f'<p class="avoided"><b>{naive.avoided}</b> liquidations avoided</p>'
        f'<div class="versus">{column("Cerberus", result.summary, False)}'
        f"{column(naive.label, naive.summary, True)}</div>"
        '<div class="figure" data-figure="naive"></div></section>'
    )


NAIVE_WORDS = (
    "The very same signals, traded at 30x with a tenth of the equity as margin each, no cap,"
    " no breaker, and only the stops that the signals themselves bring."
)


class Cell(NamedTuple):
    """Hold a cell: its classes, its HTML, and the value that sorting compares."""

    kind: str
    html: str
    value: str = ""


def table(heads: Sequence[tuple[str, str]], rows: Iterable[Sequence[Cell]], *, sort: bool) -> str:
    """Make a table of (class, name) columns; on a phone each row becomes a card of names."""
    attribute = " data-sort" if sort else ""
    head = "".join(f'<th class="{kind}"{attribute}>{escape(name)}</th>' for kind, name in heads)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td class="{cell.kind}" data-name="{escape(name)}" data-value="{escape(cell.value)}">'
            f"{cell.html}</td>"
            for (_, name), cell in zip(heads, row, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table class="stack"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def trades_table(result: "ReplayResult", explained: frozenset[str]) -> str:
    """Make the table of trades, each linked to its decision where that is on the page."""
    records = result.trades[:ROWS_MAX]
    heads = (
        ("l", "trade"), ("l", "opened (UTC)"), ("", "entry"), ("", "exit"), ("", "leverage"),
        ("l", "exit by"), ("", "net P&L"), ("", "worst"), ("", "best"), ("l", "why"),
    )  # fmt: skip
    more = len(result.trades) - len(records)
    note = f" The first {ROWS_MAX} of {len(result.trades)} are shown." if more else ""
    rows = (trade_row(number, record, explained) for number, record in enumerate(records, 1))
    return (
        "<section><h2>Trades</h2>"
        '<p class="hint">Worst and best are the excursions while the trade was open, in percent of'
        f" its entry and in R, the risk planned at its stop.{note}</p>"
        f"{table(heads, rows, sort=True)}</section>"
    )


def trade_row(number: int, record: TradeRecord, explained: frozenset[str]) -> list[Cell]:
    """Make the cells of one trade."""
    trade = record.trade
    side = "long" if trade.sign > 0 else "short"
    link = "–"
    if record.decision_id in explained:
        link = f'<a href="#{escape(record.decision_id)}">{escape(record.decision_id)}</a>'
    held = lasted(trade.closed_ns - trade.opened_ns)
    return [
        Cell("title l", f'{escape(trade.instrument)} {side} <span class="pill">'
             f"{escape(trade.strategy)}</span>", str(number)),
        Cell("l", two(when(trade.opened_ns), f"for {held}"), str(trade.opened_ns)),
        Cell("", figure_text(trade.entry_price), str(trade.entry_price)),
        Cell("", figure_text(trade.exit_price), str(trade.exit_price)),
        Cell("", f"{trade.leverage:f}x", str(trade.leverage)),
        Cell("l", exit_pill(trade), trade.reason),
        Cell(tone(trade.pnl), two(money(trade.pnl, True), f"{trade.r:+.2f} R"), str(trade.pnl)),
        Cell("", two(f"{100 * record.worst:+.1f} %", f"{record.worst_r:+.1f} R"),
             str(record.worst)),
        Cell("", two(f"{100 * record.best:+.1f} %", f"{record.best_r:+.1f} R"),
             str(record.best)),
        Cell("l", link, record.decision_id.lstrip("d")),
    ]  # fmt: skip


def two(line: str, below: str) -> str:
    """Set a small line below another."""
    return f"<span>{escape(line)}<small>{escape(below)}</small></span>"


def exit_pill(trade: Trade) -> str:
    """Show the reason of an exit."""
    kind = "gain" if trade.reason == "take_profit" else ""
    if trade.reason in (*FORCED, "breaker", "margin"):
        kind = "loss"
    return f'<span class="pill {kind}">{escape(trade.reason.replace("_", " "))}</span>'


TRIP_WORDS = {
    "day_loss": "equity fell to the day's floor",
    "strategy_day_loss": "the strategy's own day fell to its floor",
    "drawdown": "equity fell to the drawdown floor",
    "losses": "losing trades in a row",
    "failures": "order failures in a row",
    "liquidation": "a position was liquidated",
    "deleveraging": "the venue closed a position that gained",
}


def trips_table(result: "ReplayResult") -> str:
    """Make the table of breaker trips and releases, in order of time."""
    rows: list[tuple[int, list[Cell]]] = []
    for trip in result.collector.trips:
        words = TRIP_WORDS.get(trip.condition, trip.condition)
        scope = f" ({trip.scope})" if trip.scope else ""
        action = "closed everything, blocked" if trip.action == "flatten" else "blocked new orders"
        cells = (
            when(trip.ts_ns),
            f"{words}{scope}",
            number(trip.value),
            number(trip.limit),
            action,
        )
        rows.append((trip.ts_ns, plain_cells(TRIP_HEADS, cells)))
    for reset in result.collector.resets:
        what = f"released: {', '.join(reset.conditions).replace('_', ' ')}"
        cells = (when(reset.ts_ns), what, "–", "–", reset.reason)
        rows.append((reset.ts_ns, plain_cells(TRIP_HEADS, cells)))
    if not rows:
        return '<p class="hint">Nothing tripped.</p>'
    rows.sort(key=lambda item: item[0])
    return table(TRIP_HEADS, (cells for _, cells in rows[:TRIPS_MAX]), sort=False)


TRIPS_MAX = 200
TRIP_HEADS = (
    ("title l", "time (UTC)"), ("l wrap", "condition"), ("", "value"), ("", "limit"),
    ("l wrap", "effect"),
)  # fmt: skip


def plain_cells(heads: Sequence[tuple[str, str]], texts: Iterable[str]) -> list[Cell]:
    """Make cells of texts, with the classes of their columns."""
    return [Cell(kind, escape(text)) for (kind, _), text in zip(heads, texts, strict=True)]


def number(text: str) -> str:
    """Shorten a number that stands as text; anything else stays."""
    try:
        return f"{Decimal(text):,.2f}".removesuffix(".00")
    except ArithmeticError:
        return text


OPEN_HEADS = (
    ("title l", "position"), ("l", "strategy"), ("l", "opened (UTC)"), ("", "quantity"),
    ("", "entry"), ("", "last"), ("", "stop"), ("", "unrealised P&L"),
)  # fmt: skip


def open_table(result: "ReplayResult") -> str:
    """Show what is still open at the end, apart from the trades."""
    if not result.state.positions:
        return ""
    by_name = {tape.name: tape for tape in result.tapes}
    rows = []
    for item in result.state.positions.values():
        bid, ask = by_name[item.instrument].last_marks()
        last = bid if item.sign > 0 else ask
        gain = item.unrealised(last)
        cells = plain_cells(OPEN_HEADS, (
            f"{item.instrument} {'long' if item.sign > 0 else 'short'}", item.strategy,
            when(item.opened_ns), f"{item.quantity:f}", figure_text(item.entry_price),
            figure_text(last), figure_text(item.stop), money(gain, True),
        ))  # fmt: skip
        rows.append([*cells[:-1], cells[-1]._replace(kind=tone(gain))])
    return f"<section><h2>Still open at the end</h2>{table(OPEN_HEADS, rows, sort=False)}</section>"
