"""The report's explained decisions: one folding block each, for trades and examples of denials."""

from html import escape
from typing import TYPE_CHECKING

from cerberus_trader.domain.decision import Decision
from cerberus_trader.observe.explain import Explanation, NamedValue
from cerberus_trader.replay.explained import explained
from cerberus_trader.replay.report_parts import when

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult

TRADES_MAX = 250
DENIALS_PER_CODE = 3
DENIALS_MAX = 60


def decision_blocks(result: "ReplayResult") -> tuple[str, frozenset[str]]:
    """Return the section of explained decisions, and the ids of those in it."""
    chosen = chosen_decisions(result)
    blocks = "".join(block(explained(result, decision)) for decision in chosen)
    total = len(result.collector.decisions)
    note = (
        f"{len(chosen)} of {total:,}: those behind the first {TRADES_MAX} trades, and the first"
        f" {DENIALS_PER_CODE} denials of each reason. All of them stand in decisions.jsonl."
    )
    html = f'<section><h2>Decisions, explained</h2><p class="hint">{note}</p>{blocks}</section>'
    return html, frozenset(decision.id for decision in chosen)


def chosen_decisions(result: "ReplayResult") -> list[Decision]:
    """Choose the decisions that the page explains, in order of time."""
    wanted = {record.decision_id for record in result.trades[:TRADES_MAX]}
    codes: dict[str, int] = {}
    shown = 0
    found = []
    for decision in result.collector.decisions:
        if decision.id in wanted:
            found.append(decision)
        elif decision.code and shown < DENIALS_MAX:
            codes[decision.code] = codes.get(decision.code, 0) + 1
            if codes[decision.code] <= DENIALS_PER_CODE:
                found.append(decision)
                shown += 1
    return found


def block(item: Explanation) -> str:
    """Make one block: the sentence, leverage and size, and the checks."""
    kind = "gain" if item.verdict == "approved" else "loss"
    label = item.code.replace("_", " ").lower() or item.verdict
    head = (
        f"<summary><b>{escape(item.id)}</b> {escape(item.side)} {escape(item.instrument)}"
        f' <span class="pill {kind}">{escape(label)}</span>'
        f' <span class="when">{when(item.ts_ns)} · {escape(item.strategy or "no strategy")} ·'
        f" signal {escape(item.signal_id)}</span></summary>"
    )
    leverage = f"<p>Leverage: {escape(item.leverage_sentence)}.</p>" if item.leverage else ""
    order = f"<p>Order <code>{escape(item.order_id)}</code></p>" if item.order_id else ""
    columns = "".join(
        f"<div><h3>{title}</h3>{inner}</div>"
        for title, inner in (
            ("Checks", checks_table(item)),
            ("Leverage", values_table(item.leverage)),
            ("Size, as notional", values_table(item.sizing)),
        )
        if inner
    )
    return (
        f'<details id="{escape(item.id)}">{head}<div class="body">'
        f'<p class="sentence">{escape(item.sentence)}</p>{leverage}'
        f'<div class="columns">{columns}</div>{order}</div></details>'
    )


def checks_table(item: Explanation) -> str:
    """Show the checks that measured something or failed; the silent ones are counted."""
    shown = [row for row in item.checks if row.applied and (row.limit or not row.passed)]
    silent = sum(row.applied for row in item.checks) - len(shown)
    rows = "".join(
        f'<tr{"" if row.passed else " class=failed"}><td class="l wrap">{escape(row.words)}</td>'
        f"<td>{escape(row.value)}</td><td>{escape(row.limit)}</td></tr>"
        for row in shown
    )
    return (
        '<table class="checks"><tr><th class="l">check</th><th>value</th><th>limit</th></tr>'
        f'{rows}</table><p class="hint">and {silent} more that found nothing.</p>'
    )


def values_table(values: tuple[NamedValue, ...]) -> str:
    """Show named numbers; the one that bound is marked."""
    if not values:
        return ""
    rows = "".join(
        f'<tr{" class=binding" if row.binding else ""}><td class="l">{escape(row.name)}'
        f"{' · binding' if row.binding else ''}</td><td>{escape(row.value)}</td></tr>"
        for row in values
    )
    return f'<table class="checks">{rows}</table>'
