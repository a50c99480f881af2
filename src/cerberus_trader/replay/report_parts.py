"""The report's parts in HTML: cards, tables, trips, the comparison. Everything is escaped."""

from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import TYPE_CHECKING

from cerberus_trader.domain.position import Trade
from cerberus_trader.replay.performance import max_drawdown
from cerberus_trader.replay.report_figures import currency
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


def trades_table(result: "ReplayResult", explained: frozenset[str]) -> str:
    """Make the table of trades, each linked to its decision where that is on the page."""
    records = result.trades[:ROWS_MAX]
    heads = (
        ("l", "trade"), ("l", "opened (UTC)"), ("", "held"), ("", "entry"), ("", "exit"),
        ("", "leverage"), ("l", "exit by"), ("", "net P&L"), ("", "R"), ("", "worst"),
        ("", "best"), ("l", "why"),
    )  # fmt: skip
    head = "".join(f'<th class="{kind}" data-sort>{escape(name)}</th>' for kind, name in heads)
    rows = "".join(trade_row(n, r, explained) for n, r in enumerate(records, 1))
    more = len(result.trades) - len(records)
    note = f" The first {ROWS_MAX} of {len(result.trades)} are shown." if more else ""
    return (
        "<section><h2>Trades</h2>"
        '<p class="hint">Worst and best are the excursions while the trade was open, in percent of'
        f" its entry and in R, the risk planned at its stop.{note}</p>"
        f'<div class="scroll"><table class="trades"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def trade_row(number: int, record: TradeRecord, explained: frozenset[str]) -> str:
    """Make one row; on a phone its cells become lines with names."""
    trade = record.trade
    side = "long" if trade.sign > 0 else "short"
    link = "–"
    if record.decision_id in explained:
        link = f'<a href="#{escape(record.decision_id)}">{escape(record.decision_id)}</a>'
    cells: list[tuple[str, str, str, str]] = [
        ("title l", "trade", f"{number}", f"{escape(trade.instrument)} {side}"
         f' <span class="pill">{escape(trade.strategy)}</span>'),
        ("l", "opened", str(trade.opened_ns), when(trade.opened_ns)),
        ("", "held", str(trade.closed_ns - trade.opened_ns),
         lasted(trade.closed_ns - trade.opened_ns)),
        ("", "entry", str(trade.entry_price), figure_text(trade.entry_price)),
        ("", "exit", str(trade.exit_price), figure_text(trade.exit_price)),
        ("", "leverage", str(trade.leverage), f"{trade.leverage:f}x"),
        ("l", "exit by", trade.reason, exit_pill(trade)),
        (tone(trade.pnl), "net P&L", str(trade.pnl), money(trade.pnl, True)),
        (tone(trade.r), "R", str(trade.r), f"{trade.r:+.2f}"),
        ("", "worst", str(record.worst), excursion_text(record.worst, record.worst_r)),
        ("", "best", str(record.best), excursion_text(record.best, record.best_r)),
        ("l", "why", record.decision_id.lstrip("d"), link),
    ]  # fmt: skip
    return "<tr>" + "".join(
        f'<td class="{kind}" data-name="{escape(name)}" data-value="{escape(value)}">{text}</td>'
        for kind, name, value, text in cells
    ) + "</tr>"  # fmt: skip


def excursion_text(fraction: float, in_r: float) -> str:
    """Write an excursion in percent and R."""
    return f"<span>{100 * fraction:+.1f} %<small>{in_r:+.1f} R</small></span>"


def exit_pill(trade: Trade) -> str:
    """Show the reason of an exit."""
    kind = "gain" if trade.reason == "take_profit" else ""
    if trade.reason in ("liquidation", "breaker", "margin"):
        kind = "loss"
    return f'<span class="pill {kind}">{escape(trade.reason.replace("_", " "))}</span>'


TRIP_WORDS = {
    "day_loss": "equity fell to the day's floor",
    "strategy_day_loss": "the strategy's own day fell to its floor",
    "drawdown": "equity fell to the drawdown floor",
    "losses": "losing trades in a row",
    "failures": "order failures in a row",
    "liquidation": "a position was liquidated",
}


def trips_table(result: "ReplayResult") -> str:
    """Make the table of breaker trips and releases, in order of time."""
    rows: list[tuple[int, str]] = []
    for trip in result.collector.trips:
        words = TRIP_WORDS.get(trip.condition, trip.condition)
        scope = f" ({trip.scope})" if trip.scope else ""
        action = "closed everything, blocked" if trip.action == "flatten" else "blocked new orders"
        rows.append((trip.ts_ns, row_of((
            ("l", when(trip.ts_ns)), ("l wrap", f"{words}{scope}"), ("", number(trip.value)),
            ("", number(trip.limit)), ("l wrap", action),
        ))))  # fmt: skip
    for reset in result.collector.resets:
        what = ", ".join(reset.conditions).replace("_", " ")
        rows.append((reset.ts_ns, row_of((
            ("l", when(reset.ts_ns)), ("l wrap", f"released: {what}"), ("", ""), ("", ""),
            ("l wrap", reset.reason),
        ))))  # fmt: skip
    rows.sort(key=lambda item: item[0])
    if not rows:
        return '<p class="hint">Nothing tripped.</p>'
    heads = (("l", "time (UTC)"), ("l", "condition"), ("", "value"), ("", "limit"), ("l", "effect"))
    head = "".join(f'<th class="{kind}">{name}</th>' for kind, name in heads)
    body = "".join(text for _, text in rows[:200])
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def number(text: str) -> str:
    """Shorten a number that stands as text; anything else stays."""
    try:
        return f"{Decimal(text):,.2f}".removesuffix(".00")
    except ArithmeticError:
        return text


def row_of(cells: Iterable[tuple[str, str]]) -> str:
    """Make a table row of (class, text)."""
    return "<tr>" + "".join(f'<td class="{k}">{escape(t)}</td>' for k, t in cells) + "</tr>"


def open_table(result: "ReplayResult") -> str:
    """Show what is still open at the end, apart from the trades."""
    if not result.state.positions:
        return ""
    by_name = {tape.name: tape for tape in result.tapes}
    rows = ""
    for item in result.state.positions.values():
        bid, ask = by_name[item.instrument].last_marks()
        last = bid if item.sign > 0 else ask
        gain = item.unrealised(last)
        rows += row_of((
            ("l", f"{item.instrument} {'long' if item.sign > 0 else 'short'}"),
            ("l", item.strategy), ("l", when(item.opened_ns)), ("", f"{item.quantity:f}"),
            ("", figure_text(item.entry_price)), ("", figure_text(last)),
            ("", figure_text(item.stop)), (tone(gain), money(gain, True)),
        ))  # fmt: skip
    heads = (("l", "position"), ("l", "strategy"), ("l", "opened (UTC)"), ("", "quantity"),
             ("", "entry"), ("", "last"), ("", "stop"),
             ("", f"P&L, {currency(result)}"))  # fmt: skip
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for kind, name in heads)
    return (
        "<section><h2>Still open at the end</h2>"
        f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div></section>'
    )
