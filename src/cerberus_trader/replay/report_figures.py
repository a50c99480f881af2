"""The report's figures as plain plotly dictionaries: data and layout, no plotly import.

Colours are names (`@gain`, `@muted`), which the page resolves for its light or dark theme. Times
are milliseconds. No line has more than `POINTS_MAX` points; what is thinned keeps lows and highs.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cerberus_trader.market.columns import Bars
from cerberus_trader.replay.curve import thin, thin_extremes
from cerberus_trader.replay.performance import FloatArray, drawdowns
from cerberus_trader.replay.tape import Tape
from cerberus_trader.replay.trades import TradeRecord

if TYPE_CHECKING:
    from cerberus_trader.replay.session import Comparison, ReplayResult

Figure = dict[str, Any]

POINTS_MAX = 3_000
BUCKETS_MAX = 1_400
TRADES_MAX = 1_000  # trades drawn in a price picture
CROWDED = 100  # more trades than this are marked smaller
MS = 1_000_000
FACTOR_COLORS = ("@violet", "@accent", "@amber", "@loss")
FACTOR_SYMBOLS = ("circle", "square", "diamond", "triangle-down")


def figures(result: "ReplayResult") -> dict[str, Figure]:
    """Return every figure of the page by the name of its place."""
    found = {
        "equity": equity_figure(result),
        "leverage": leverage_figure(result),
        "denials-reason": reasons_figure(result),
        "denials-strategy": verdicts_figure(result, "strategy"),
        "denials-instrument": verdicts_figure(result, "instrument"),
        "excursions": excursion_figure(result.trades),
        "costs": cost_figure(result),
    }
    for number, tape in enumerate(result.tapes):
        own = [record for record in result.trades if record.trade.instrument == tape.name]
        found[f"price-{number}"] = price_figure(result, tape, own[-TRADES_MAX:])
    if result.naive is not None:
        found["naive"] = naive_figure(result, result.naive)
    return found


def numbers(values: Iterable[float]) -> list[float | None]:
    """Round for the page: seven significant digits, None for what is no number."""
    return [None if value != value else float(f"{value:.7g}") for value in values]


def stamps(values: Iterable[int]) -> list[float]:
    """Turn nanoseconds into the page's milliseconds."""
    return [int(value) / MS for value in values]


def line(x: list[float], y: list[float | None], name: str, color: str, **more: Any) -> Figure:
    """Make a line trace."""
    style = {"color": color, "width": more.pop("width", 2), "dash": more.pop("dash", "solid")}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": style, **more}


def equity_figure(result: "ReplayResult") -> Figure:
    """Draw equity against buy-and-hold, with the breaker's trips, over the drawdown."""
    rows = thin_extremes(result.equity, POINTS_MAX)
    x = stamps(result.times[rows])
    own_fall, hold_fall = drawdowns(result.equity)[rows], drawdowns(result.hold)[rows]
    money = "%{y:,.2f}"
    data = [
        line(x, numbers(result.hold[rows]), "buy and hold", "@muted", width=1.4,
             hovertemplate=money),
        line(x, numbers(result.equity[rows]), "Cerberus", "@accent", width=2.4,
             hovertemplate=money),
        line(x, numbers(-100 * hold_fall), "hold drawdown", "@muted", width=1, yaxis="y2",
             showlegend=False, hovertemplate="%{y:.1f} %"),
        line(x, numbers(-100 * own_fall), "drawdown", "@loss", width=1.2, yaxis="y2",
             fill="tozeroy", fillcolor="@loss-soft", showlegend=False,
             hovertemplate="%{y:.1f} %"),
    ]  # fmt: skip
    trips = result.collector.trips[:200]
    if trips:
        at = np.array([trip.ts_ns for trip in trips], dtype=np.int64)
        near = np.minimum(result.times.searchsorted(at), len(result.times) - 1)
        data.append({
            "type": "scatter", "mode": "markers", "name": "breaker trip", "x": stamps(at),
            "y": numbers(result.equity[near]),
            "text": [f"{trip.condition} {trip.scope}".strip() for trip in trips],
            "hovertemplate": "breaker: %{text}<extra></extra>",
            "marker": {"symbol": "octagon", "size": 11, "color": "@loss",
                       "line": {"width": 2, "color": "@panel"}},
        })  # fmt: skip
    layout = {
        "height": 460, "hovermode": "x unified",
        "xaxis": {"type": "date", "anchor": "y2"},
        "yaxis": {"domain": [0.34, 1], "title": {"text": currency(result)}},
        "yaxis2": {"domain": [0, 0.27], "title": {"text": "drawdown"}, "ticksuffix": " %",
                   "rangemode": "tozero", "nticks": 4},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def currency(result: "ReplayResult") -> str:
    """Return the account's currency."""
    return result.loaded.settings.account.currency


def naive_figure(result: "ReplayResult", naive: "Comparison") -> Figure:
    """Draw the guarded and the unguarded equity on one logarithmic axis."""
    rows = thin_extremes(result.equity, POINTS_MAX)
    other = thin_extremes(naive.equity, POINTS_MAX)
    floor = float(result.equity[0]) * 1e-3
    unguarded = numbers(np.maximum(naive.equity[other], floor))
    data = [
        line(stamps(naive.times[other]), unguarded, naive.label, "@loss", width=2,
             hovertemplate="%{y:,.0f}"),
        line(stamps(result.times[rows]), numbers(result.equity[rows]), "Cerberus", "@accent",
             width=2.4, hovertemplate="%{y:,.0f}"),
    ]  # fmt: skip
    layout = {
        "height": 320, "hovermode": "x unified", "xaxis": {"type": "date"},
        "yaxis": {"type": "log", "title": {"text": f"{currency(result)}, log"},
                  "tickformat": "~s", "dtick": "D1" if unguarded_is_narrow(unguarded) else 1},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def unguarded_is_narrow(values: Sequence[float | None]) -> bool:
    """Tell whether a curve stays within a decade, where a log axis needs finer ticks."""
    seen = [value for value in values if value is not None]
    return max(seen) < 10 * min(seen)


def price_figure(result: "ReplayResult", tape: Tape, trades: list[TradeRecord]) -> Figure:
    """Draw an instrument's prices with entries, exits, and the levels that protected them."""
    times, low, high, last = buckets(tape)
    x = stamps(times)
    data = [
        line(x, numbers(high), "high", "@muted-soft", width=0, hoverinfo="skip", showlegend=False),
        line(x, numbers(low), "range", "@muted-soft", width=0, fill="tonexty",
             fillcolor="@muted-soft", hoverinfo="skip", showlegend=False),
        line(x, numbers(last), "price", "@text", width=1.2, hovertemplate="%{y}<extra></extra>"),
        levels("stop", "@loss", "solid", [(r, r.stop) for r in trades]),
        levels("take-profit", "@gain", "solid", [(r, r.take_profit) for r in trades]),
        levels("liquidation", "@violet", "dot", [(r, r.liquidation) for r in trades]),
        holding(trades),
        entries(trades, 1), entries(trades, -1), exits(trades),
    ]  # fmt: skip
    layout = {
        "height": 480, "hovermode": "closest",
        "xaxis": {"type": "date", "range": stamps((tape.start_ns, tape.end_ns))},
        "yaxis": {"title": {"text": f"{tape.name}, {tape.instrument.quote}"},
                  "range": price_range(low, high, trades)},
    }  # fmt: skip
    return {"data": [trace for trace in data if trace["x"]], "layout": layout}


def price_range(low: FloatArray, high: FloatArray, trades: list[TradeRecord]) -> list[float]:
    """Return an axis range that shows all prices, and levels that are not far away."""
    bottom, top = float(low.min()), float(high.max())
    seen = [float(level) for r in trades for level in (r.stop, r.liquidation) if level is not None]
    bottom = max(min([bottom, *seen]), bottom * 0.85)
    top = min(max([top, *seen]), top * 1.15)
    pad = (top - bottom) * 0.04 or top * 0.01
    return numbers([bottom - pad, top + pad])  # type: ignore[return-value]


def buckets(tape: Tape) -> tuple[Any, FloatArray, FloatArray, FloatArray]:
    """Join rows to at most `BUCKETS_MAX` points: time known, low, high, last price."""
    size = max(1, -(-tape.rows // BUCKETS_MAX))
    starts = np.arange(0, tape.rows, size)
    ends = np.minimum(starts + size, tape.rows) - 1
    prices, scale = tape.prices, 10.0**-tape.digits
    if isinstance(prices, Bars):
        lows, highs, lasts = prices.low, prices.high, prices.close[ends].astype(np.float64)
    else:
        lows, highs = prices.bid, prices.ask
        lasts = (prices.bid[ends].astype(np.float64) + prices.ask[ends]) / 2
    low = np.minimum.reduceat(lows, starts) * scale
    high = np.maximum.reduceat(highs, starts) * scale
    return tape.ts[ends] + tape.interval_ns, low, high, lasts * scale


def levels(name: str, color: str, dash: str, found: list[tuple[TradeRecord, Any]]) -> Figure:
    """Draw a level as one segment per trade, from its entry to its exit."""
    x: list[float | None] = []
    y: list[float | None] = []
    for record, level in found:
        if level is not None:
            begin, end = stamps((record.trade.opened_ns, record.trade.closed_ns))
            x += [begin, end, None]
            y += [*numbers((float(level), float(level))), None]
    style = {"color": color, "width": 1.4, "dash": dash}
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": name, "line": style,
            "hovertemplate": f"{name} %{{y}}<extra></extra>", "connectgaps": False}  # fmt: skip


def holding(trades: list[TradeRecord]) -> Figure:
    """Draw the way of each trade from entry to exit."""
    x: list[float | None] = []
    y: list[float | None] = []
    for record in trades:
        x += [*stamps((record.trade.opened_ns, record.trade.closed_ns)), None]
        y += [*numbers((float(record.trade.entry_price), float(record.trade.exit_price))), None]
    return {"type": "scatter", "mode": "lines", "x": x, "y": y, "name": "held",
            "line": {"color": "@accent", "width": 1.2, "dash": "dot"}, "hoverinfo": "skip",
            "showlegend": False}  # fmt: skip


def entries(trades: list[TradeRecord], sign: int) -> Figure:
    """Mark the entries of one side."""
    own = [record for record in trades if record.trade.sign == sign]
    words = "long" if sign > 0 else "short"
    return {
        "type": "scatter", "mode": "markers", "name": f"{words} entry",
        "x": stamps(record.trade.opened_ns for record in own),
        "y": numbers(float(record.trade.entry_price) for record in own),
        "text": [
            f"{words} {record.trade.quantity:f} at {record.trade.leverage:f}x"
            f"<br>strategy {record.trade.strategy}" for record in own
        ],
        "hovertemplate": "%{text}<br>entry %{y}<extra></extra>",
        "marker": {"symbol": "triangle-up" if sign > 0 else "triangle-down",
                   "size": 11 if len(trades) <= CROWDED else 7,
                   "color": "@gain" if sign > 0 else "@amber",
                   "line": {"width": 1.5 if len(trades) <= CROWDED else 0.5,
                            "color": "@panel"}},
    }  # fmt: skip


def exits(trades: list[TradeRecord]) -> Figure:
    """Mark the exits, coloured by their result."""
    return {
        "type": "scatter", "mode": "markers", "name": "exit",
        "x": stamps(record.trade.closed_ns for record in trades),
        "y": numbers(float(record.trade.exit_price) for record in trades),
        "text": [
            f"{record.trade.reason.replace('_', ' ')}<br>{float(record.trade.pnl):+,.2f}"
            f" ({record.trade.r:+.2f} R)" for record in trades
        ],
        "hovertemplate": "%{text}<br>exit %{y}<extra></extra>",
        "marker": {
            "symbol": ["star-diamond" if record.trade.reason == "liquidation" else "circle"
                       for record in trades],
            "size": 8 if len(trades) <= CROWDED else 5,
            "color": ["@gain" if record.trade.pnl > 0 else "@loss" for record in trades],
            "line": {"width": 1.5 if len(trades) <= CROWDED else 0.5, "color": "@panel"},
        },
    }  # fmt: skip


def leverage_figure(result: "ReplayResult") -> Figure:
    """Draw the base, what was granted, and the factors between them, at every analysis."""
    found = [item for item in result.collector.decisions
             if item.leverage is not None and item.leverage.factors]  # fmt: skip
    picked = [found[row] for row in thin(len(found), POINTS_MAX).tolist()]
    records = [item.leverage for item in picked if item.leverage is not None]
    x = stamps(item.ts_ns for item in picked)
    texts = [binding_words(record) for record in records]
    data: list[Figure] = [
        {"type": "scatter", "mode": "markers", "name": "base by confidence", "x": x,
         "y": [float(record.base) for record in records], "hovertemplate": "base %{y}x",
         "marker": {"symbol": "line-ew-open", "size": 9, "color": "@muted"}},
        {"type": "scatter", "mode": "markers", "name": "granted", "x": x,
         "y": [float(record.granted) for record in records], "text": texts,
         "hovertemplate": "granted %{y}x<br>%{text}<extra></extra>",
         "marker": {"size": 8, "color": "@accent",
                    "opacity": [1.0 if item.verdict == "approved" else 0.35 for item in picked]}},
    ]  # fmt: skip
    names = ("volatility", "success", "day", "drawdown")
    for index, name in enumerate(names):
        data.append(
            {"type": "scatter", "mode": "markers", "name": f"{name} factor", "x": x, "yaxis": "y2",
             "y": numbers(record.factors[index] for record in records),
             "marker": {"size": 6, "color": FACTOR_COLORS[index], "opacity": 0.75,
                        "symbol": FACTOR_SYMBOLS[index]},
             "hovertemplate": f"{name} %{{y:.2f}}<extra></extra>"}
        )  # fmt: skip
    layout = {
        "height": 460, "hovermode": "closest",
        "xaxis": {"type": "date", "anchor": "y2",
                  "range": stamps((result.summary["start_ns"], result.summary["end_ns"]))},
        "yaxis": {"domain": [0.42, 1], "title": {"text": "leverage"}, "ticksuffix": "x",
                  "rangemode": "tozero"},
        "yaxis2": {"domain": [0, 0.34], "title": {"text": "factors"}, "range": [0, 1.08],
                   "nticks": 4},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def binding_words(record: Any) -> str:
    """Name what bound the leverage."""
    from cerberus_trader.engine.leverage import CAPS

    if record.binding < 0:
        return f"factors bind: {record.raw:.1f}x"
    return f"{CAPS[record.binding]} cap binds: {record.caps[record.binding]:.1f}x"


def reasons_figure(result: "ReplayResult") -> Figure:
    """Draw how often each code denied."""
    found = sorted(result.state.counters.denied.items(), key=lambda item: item[1])[-16:]
    data = [{
        "type": "bar", "orientation": "h", "x": [count for _, count in found],
        "y": [code.replace("_", " ").lower() for code, _ in found],
        "marker": {"color": "@amber"}, "hovertemplate": "%{y}: %{x}<extra></extra>",
        "text": [count for _, count in found], "textposition": "auto", "cliponaxis": False,
    }]  # fmt: skip
    layout = {
        "height": 90 + 26 * max(len(found), 2), "showlegend": False, "bargap": 0.3,
        "xaxis": {"rangemode": "tozero", "showgrid": True}, "yaxis": {"automargin": True},
    }  # fmt: skip
    return {"data": data, "layout": layout}


def verdicts_figure(result: "ReplayResult", attribute: str) -> Figure:
    """Draw approvals and denials by strategy or instrument."""
    counts: dict[str, list[int]] = {}
    for decision in result.collector.decisions:
        pair = counts.setdefault(getattr(decision, attribute) or "?", [0, 0])
        pair[decision.verdict == "denied"] += 1
    names = sorted(counts, key=lambda name: sum(counts[name]))[-20:]
    bars = [
        {"type": "bar", "orientation": "h", "name": word, "y": names,
         "x": [counts[name][index] for name in names], "marker": {"color": color},
         "text": [counts[name][index] or "" for name in names], "textposition": "inside",
         "insidetextanchor": "middle", "textangle": 0,
         "hovertemplate": f"%{{y}}: %{{x}} {word}<extra></extra>"}
        for index, (word, color) in enumerate((("approved", "@gain"), ("denied", "@amber")))
    ]  # fmt: skip
    layout = {
        "height": 110 + 30 * max(len(names), 2),
        "barmode": "stack",
        "bargap": 0.3,
        "yaxis": {"automargin": True},
    }
    return {"data": bars, "layout": layout}


def excursion_figure(trades: list[TradeRecord]) -> Figure:
    """Draw each trade's result against how far it went against us, in percent of the entry."""
    rows = thin(len(trades), POINTS_MAX).tolist()
    data = []
    for word, color, won in (("won", "@gain", True), ("lost", "@loss", False)):
        own = [trades[row] for row in rows if (trades[row].trade.pnl > 0) is won]
        data.append({
            "type": "scatter", "mode": "markers", "name": word,
            "x": numbers(100 * record.worst for record in own),
            "y": numbers(100 * record.best for record in own),
            "text": [f"{r.trade.instrument} {r.trade.r:+.2f} R, {r.trade.reason}" for r in own],
            "hovertemplate": "%{text}<br>worst %{x:.2f} %, best %{y:.2f} %<extra></extra>",
            "marker": {"size": 9, "color": color, "opacity": 0.85},
        })  # fmt: skip
    layout = {
        "height": 340,
        "hovermode": "closest",
        "xaxis": {"title": {"text": "worst excursion"}, "ticksuffix": " %"},
        "yaxis": {"title": {"text": "best excursion"}, "ticksuffix": " %"},
    }
    return {"data": data, "layout": layout}


def cost_figure(result: "ReplayResult") -> Figure:
    """Draw the way from realised gains over costs to the net result."""
    counters = result.state.counters
    unrealised = float(result.summary["unrealised_pnl"])
    steps = [
        ("realised", float(counters.realised)), ("fees", -float(counters.fees)),
        ("funding", -float(counters.funding)), ("unrealised", unrealised),
    ]  # fmt: skip
    net = sum(value for _, value in steps)
    data = [{
        "type": "waterfall", "x": [name for name, _ in steps] + ["net"],
        "y": numbers([value for _, value in steps] + [net]),
        "measure": ["relative"] * len(steps) + ["total"],
        "text": [f"{value:+,.0f}" for _, value in steps] + [f"{net:+,.0f}"],
        "textposition": "outside", "cliponaxis": False,
        "increasing": {"marker": {"color": "@gain"}}, "decreasing": {"marker": {"color": "@loss"}},
        "totals": {"marker": {"color": "@accent"}},
        "connector": {"line": {"color": "@muted", "width": 1}},
        "hovertemplate": "%{x} %{text}<extra></extra>",
    }]  # fmt: skip
    layout = {"height": 340, "showlegend": False, "yaxis": {"title": {"text": currency(result)}}}
    return {"data": data, "layout": layout}
