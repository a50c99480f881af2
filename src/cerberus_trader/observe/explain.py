"""Explain a decision: join its document with the limits it was held against, in plain words.

Documents store values by position. The names come from the tables of checks, factors, caps and
bounds; the limits from the configuration that the document names by its digest.
"""

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.domain.decision import Decision, RiskAssessment
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.money import ZERO, shown
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine import leverage as lev
from cerberus_trader.engine import sizing
from cerberus_trader.engine.checks import INTAKE, RISK, Check
from cerberus_trader.engine.intake import limits_of
from cerberus_trader.engine.state import strategy_from

VALUES_BEFORE_FORGOTTEN = 41
"""The most values of a document that was written before SIGNAL_FORGOTTEN ended the intake."""
SIZE_CODES = ("SIZE_BELOW_MINIMUM", "NOTIONAL_BELOW_MINIMUM")


class CheckRow(msgspec.Struct, frozen=True):
    """Hold one check as it was judged: its value and limit as text."""

    code: str
    words: str
    value: str
    limit: str
    passed: bool
    applied: bool


class NamedValue(msgspec.Struct, frozen=True):
    """Hold a named number of the document; `binding` marks the one that decided."""

    name: str
    value: str
    binding: bool = False


class Explanation(msgspec.Struct, frozen=True):
    """Hold a whole decision in words."""

    id: str
    ts_ns: int
    signal_id: str
    strategy: str
    instrument: str
    side: str
    action: str
    verdict: str
    code: str
    sentence: str
    checks: tuple[CheckRow, ...]
    leverage: tuple[NamedValue, ...]
    leverage_sentence: str
    sizing: tuple[NamedValue, ...]
    order_id: str
    equity: str
    config: str


class _Judged(NamedTuple):
    check: Check
    value: Any
    limit: Any
    applied: bool
    passed: bool


def _number(value: Any) -> Any:
    """Turn a stored decimal, which became text in the journal, into a number again."""
    if isinstance(value, str):
        try:
            return Decimal(value)
        except ArithmeticError:
            return value
    return value


def _judged(
    decision: Decision, settings: Settings, instruments: dict[str, Instrument]
) -> list[_Judged]:
    """Hold each stored value against its limit again, with nothing but the document."""
    table = INTAKE if decision.stage == 0 else INTAKE + RISK
    if decision.stage and len(decision.values) <= VALUES_BEFORE_FORGOTTEN:
        table = INTAKE[:-1] + RISK
    case = _case(decision, settings, instruments)
    lifted = settings.risk.lift_all
    rows = []
    for check, stored in zip(table, decision.values, strict=False):
        applied = decision.action != "close" or check.exits
        if not applied:
            rows.append(_Judged(check, None, None, False, True))
            continue
        if check.limit is None:
            passed, value, limit = not stored, stored, None
        else:
            value = _number(stored)
            limit, passed = None, False
            if not isinstance(value, str) and value is not None:
                limit = check.limit(case)
                passed = value <= limit if check.kind == "max" else value >= limit
        rows.append(_Judged(check, value, limit, True, passed or (lifted and not check.rule)))
    return rows


def _case(decision: Decision, settings: Settings, instruments: dict[str, Instrument]) -> Any:
    """Stand in for the case: only what limits read, taken from the document."""
    strategy = strategy_from(settings, decision.strategy)
    equity = Decimal(decision.equity)
    sized = decision.sizing
    return SimpleNamespace(
        settings=settings,
        strategy=strategy,
        equity=equity,
        limits=limits_of(settings, strategy, equity),
        instrument=instruments.get(decision.instrument),
        market=SimpleNamespace(interval_ns=decision.interval_ns),
        held=SimpleNamespace(free_margin=Decimal(decision.free_margin)),
        notional=sized.notional if sized is not None else ZERO,
    )


def recompute(
    decision: Decision, settings: Settings, instruments: dict[str, Instrument]
) -> tuple[str, str]:
    """Judge again from the stored values alone; return (verdict, code)."""
    for row in _judged(decision, settings, instruments):
        if not row.passed:
            return "denied", row.check.code
    return "approved", ""


def explain(
    decision: Decision, settings: Settings, instruments: dict[str, Instrument]
) -> Explanation:
    """Say what was decided, on which values, against which limits."""
    rows = _judged(decision, settings, instruments)
    return Explanation(
        decision.id, decision.ts_ns, decision.signal_id, decision.strategy, decision.instrument,
        decision.side, decision.action, decision.verdict, decision.code,
        _sentence(decision, rows), tuple(_check_row(row) for row in rows),
        _leverage_rows(decision), lev.sentence(decision.leverage) if decision.leverage else "",
        _sizing_rows(decision), decision.order_id, _text(decision.equity), decision.config,
    )  # fmt: skip


def why_not(
    decision: Decision, settings: Settings, instruments: dict[str, Instrument]
) -> list[str]:
    """Say what would have had to differ for an approval: a line per failed check, nearest first."""
    failed = [row for row in _judged(decision, settings, instruments) if not row.passed]
    return [_would_need(row) + _because(decision, row) for row in sorted(failed, key=_distance)]


def assessment(decision: Decision) -> RiskAssessment:
    """Show a decision with the fields of the design document (D-04.5)."""
    granted = int(decision.leverage.granted) if decision.leverage else 0
    quantity = decision.sizing.quantity if decision.sizing else ZERO
    approved = decision.verdict == "approved"
    reason = decision.code or (lev.sentence(decision.leverage) if decision.leverage else "exit")
    return RiskAssessment(approved, min(granted, 255), quantity if approved else ZERO, reason)


def _distance(row: _Judged) -> float:
    """Measure how far a failed check is from passing, relative to its limit."""
    if row.limit is None or isinstance(row.value, str) or row.value is None:
        return float("inf")
    limit, value = float(row.limit), float(row.value)
    return abs(value - limit) / abs(limit) if limit else abs(value - limit)


REMEDIES = {
    "TRADING_HALTED": "`cerberus resume` ends a halt or a flatten, `thaw --token` a freeze",
    "BREAKER_OPEN": "`cerberus reset-breaker --token` releases it, once the cause is understood",
    "VENUE_UNRECONCILED": "it ends by itself when the venue's books and ours agree",
    "INSTRUMENT_UNKNOWN": "list its file under `instruments` in the configuration",
    "SOURCE_UNKNOWN": "name it in a strategy's `sources`",
    "MARKET_CLOSED": "it ends by itself when its market is open and its feed speaks",
    "SIGNAL_FORGOTTEN": "send what still holds as a new signal, with a time and an id of its own",
    "EQUITY_UNKNOWN": "give its prices too, or close it",
}
"""What a person can do where no value of the signal would have changed the verdict."""


def _would_need(row: _Judged) -> str:
    check = row.check
    if check.limit is None:
        remedy = REMEDIES.get(check.code, "")
        return f"{check.code}: {check.words}: {_text(row.value)}" + (
            f" ({remedy})" if remedy else ""
        )
    if row.limit is None:
        return f"{check.code}: {check.words} could not be measured ({_text(row.value)})"
    word = "at most" if check.kind == "max" else "at least"
    return f"{check.code}: {check.words} {_text(row.value)}, {word} {_text(row.limit)}"


def _because(decision: Decision, row: _Judged) -> str:
    """Say what made a size too small: the bound that left it, and a volatility not known yet."""
    sized, record = decision.sizing, decision.leverage
    if row.check.code not in SIZE_CODES or sized is None or sized.binding < 0:
        return ""
    bound = sizing.BOUNDS[sized.binding]
    text = f"; the {bound} bound left {_text(Decimal(sized.bounds[sized.binding] or ZERO))}"
    if record is not None and record.inputs and record.inputs[0] < 0.0:
        text += " (volatility is not known yet: it takes 30 bars of five minutes, or of the"
        text += " prices' own where they are longer)"
    return text


def _check_row(row: _Judged) -> CheckRow:
    limit = _text(row.limit)
    if limit:
        limit = ("≤ " if row.check.kind == "max" else "≥ ") + limit
    return CheckRow(
        row.check.code, row.check.words, _text(row.value), limit, row.passed, row.applied
    )


def _text(value: Any) -> str:
    """Write a value for people: six significant digits, no exponent."""
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return shown(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _sentence(decision: Decision, rows: list[_Judged]) -> str:
    """Say the decision in one plain sentence."""
    what = f"{decision.side} {decision.instrument}"
    if decision.verdict == "denied":
        failed = [row for row in rows if not row.passed]
        if not failed:
            return f"Denied to {what}: {decision.code}."
        return f"Denied to {what}: {_would_need(failed[0])}{_because(decision, failed[0])}."
    if decision.action == "close":
        return f"Approved to close {decision.instrument}: exits are never held back."
    sized, record = decision.sizing, decision.leverage
    if sized is None or record is None:
        return f"Approved to {what}."
    bound = sizing.BOUNDS[sized.binding] if sized.binding >= 0 else "no"
    return (
        f"Approved to {what}: {_text(Decimal(sized.quantity))} at about "
        f"{_text(Decimal(sized.price))} with {_text(Decimal(record.granted))}x; the {bound} bound "
        f"set the size."
    )


def _leverage_rows(decision: Decision) -> tuple[NamedValue, ...]:
    record = decision.leverage
    if record is None:
        return ()
    rows = [NamedValue("base", _text(Decimal(record.base)))]
    rows += [
        NamedValue(f"{name} (input)", _text(value))
        for name, value in zip(lev.INPUTS, record.inputs, strict=False)
    ]
    rows += [
        NamedValue(f"{name} factor", _text(value))
        for name, value in zip(lev.FACTORS, record.factors, strict=False)
    ]
    rows.append(NamedValue("raw", _text(record.raw), record.binding < 0))
    rows += [
        NamedValue(f"{name} cap", _text(value), index == record.binding)
        for index, (name, value) in enumerate(zip(lev.CAPS, record.caps, strict=False))
    ]
    rows.append(NamedValue("granted", _text(Decimal(record.granted))))
    return tuple(rows)


def _sizing_rows(decision: Decision) -> tuple[NamedValue, ...]:
    sized = decision.sizing
    if sized is None:
        return ()
    rows = [
        NamedValue(name, _text(Decimal(bound)), index == sized.binding)
        for index, (name, bound) in enumerate(zip(sizing.BOUNDS, sized.bounds, strict=True))
        if bound is not None
    ]
    rows.append(NamedValue("loss per unit at the stop", _text(Decimal(sized.loss_per_unit))))
    rows.append(NamedValue("notional granted", _text(Decimal(sized.notional))))
    rows.append(NamedValue("quantity granted", _text(Decimal(sized.quantity))))
    return tuple(rows)
