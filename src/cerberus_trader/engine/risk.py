"""Risk: judge a case, and make the only tickets from which an order can be submitted.

`Approved` needs every check to pass; `Reducing` needs an open position (or working entry) on the
other side, and never more than is open. Both are made here and nowhere else.
"""

from decimal import Decimal
from typing import Any, Literal

import msgspec

from cerberus_trader.domain.decision import Decision, LeverageRecord, SizingRecord
from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.instrument import BARE, Instrument, margin_level
from cerberus_trader.domain.money import HUNDRED, ONE, ZERO, brief, from_belief
from cerberus_trader.domain.order import Bracket, Order, Reason, Status, order_id
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine import decision_cache, leverage, sizing, stops
from cerberus_trader.engine.checks import INTAKE, RETRY, RISK, Check
from cerberus_trader.engine.intake import NOTHING, Case, Held, limits_of, stop_missing
from cerberus_trader.engine.state import State, day_fraction, drawdown, key_of

HOURS_OF_DAY = 24.0
ALL = INTAKE + RISK

replace = msgspec.structs.replace


class Approved(msgspec.Struct, frozen=True):
    """Permit one entry: every check passed on this case."""

    case: Case
    order_id: str
    bracket: Bracket


class Reducing(msgspec.Struct, frozen=True, gc=False):
    """Permit one reduce-only order: opposite side, at most what is open and not yet closing."""

    order_id: str
    account: str
    strategy: str
    instrument: str
    side: int
    quantity: Decimal
    closes: str
    reason: Reason
    signal_id: str


class Verdict(msgspec.Struct, frozen=True):
    """Hold a decision with the tickets it permits."""

    decision: Decision
    reducing: Reducing | None = None
    approved: Approved | None = None


def run_checks(case: Case, table: tuple[Check, ...], lifted: bool) -> tuple[list[Any], list[int]]:
    """Run every check of a table; return the values and the indexes of those that failed.

    A check that raises counts as failed.
    """
    values: list[Any] = []
    failed: list[int] = []
    exit_only = case.action == "close"
    for check in table:
        if exit_only and not check.exits:
            values.append(None)
            continue
        measure, limit = check.measure, check.limit
        try:
            value = measure(case)
            if limit is None:
                passed = not value
            else:
                if type(value) is Decimal:
                    value = brief(value)  # what is stored is what was judged
                passed = value <= limit(case) if check.kind == "max" else value >= limit(case)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            value, passed = type(error).__name__, False
        if not passed and (check.rule or not lifted):
            failed.append(len(values))
        values.append(value)
    return values, failed


def judge(case: Case) -> Verdict:
    """Judge a case: intake, analysis, leverage, size, levels, risk; one document either way."""
    lifted = case.settings.risk.lift_all
    values, failed = run_checks(case, INTAKE, lifted)
    if failed and case.action != "reverse":
        return Verdict(document(case, values, failed, INTAKE))
    if failed:
        return close_only(case)
    if case.action == "close":
        return close_verdict(case, values)
    plan(case)
    more, wrong = run_checks(case, RISK, lifted)
    if wrong and case.action == "reverse":
        return close_only(case)
    if wrong:
        first = len(INTAKE)
        return Verdict(document(case, values + more, [first + i for i in wrong], ALL))
    state, strategy = case.state, case.strategy
    group = order_id(state.engine_id, strategy.account, case.name, case.signal.id)
    decision = document(case, values + more, [], ALL, order=group + "e")
    closing = None
    if case.action == "reverse":
        closing = close_ticket(case, group + "x")
    return Verdict(decision, closing, Approved(case, group + "e", bracket_of(case)))


def outgrown(state: State, order: Order) -> str:
    """Name the limit that an entry no longer fits as limits and books are now; empty if it does.

    Its own exposure is reserved, so it counts once, at the last known prices.
    """
    side: Literal["buy", "sell"] = "buy" if order.side > 0 else "sell"
    signal = Signal(order.signal_id, state.now_ns, order.instrument, side, 0.0, order.strategy)
    case = Case(state, SignalEvent(state.now_ns, signal, None))
    if (case.name, case.strategy.account) != (order.strategy, order.account):
        return f"the strategy {order.strategy} is not configured any more"
    held = case.position
    case.action = "entry" if held is None else "add" if held.sign == order.side else "reverse"
    case.held = stops.held_at_worst(case, case.instrument or BARE)
    if held is not None and held.sign != order.side:
        case.held = without(case, held)
    case.limits = limits_of(case.settings, case.strategy, case.equity)
    values, failed = run_checks(case, RETRY, case.settings.risk.lift_all)
    if not failed:
        most = min(case.settings.leverage.cap, case.strategy.leverage_max)
        if order.leverage <= most or case.settings.sizing.obey_quantity:
            return ""
        return f"LEVERAGE: {order.leverage:f}, at most {most:f}"
    check, value = RETRY[failed[0]], values[failed[0]]
    most_now = f", at most {check.limit(case)}" if check.limit is not None else ""
    return f"{check.code}: {check.words} {value}{most_now}"


def close_only(case: Case) -> Verdict:
    """Judge a reversal whose entry is denied as the close that it also is: exits pass."""
    case.action = "close"
    case.leverage = case.sizing = None
    case.cache_key, case.cache_hit, case.held = "", False, NOTHING
    return judge(case)


def close_verdict(case: Case, values: list[Any]) -> Verdict:
    """Approve a close of what the signal's strategy holds."""
    group = order_id(case.state.engine_id, case.strategy.account, case.name, case.signal.id)
    decision = document(case, values, [], INTAKE, order=group + "x")
    return Verdict(decision, close_ticket(case, group + "x"))


def close_ticket(case: Case, order: str) -> Reducing:
    """Permit closing the position or cancelling the working entry that the signal is bound to."""
    position, entry = case.position, case.entry
    asked = case.signal.quantity if case.sign == 0 else None
    if position is not None:
        if asked is not None and asked < position.quantity and case.instrument is not None:
            asked = case.instrument.quantity_down(asked)
        left = uncovered(case.state, position)  # a close of a part may be on its way
        asked = left if asked is None else min(asked, left)
        return reduce(position, order, "signal", case.signal.id, asked)
    assert entry is not None
    quantity = entry.quantity if asked is None else min(asked, entry.quantity)
    return Reducing(
        order, entry.account, entry.strategy, entry.instrument, -entry.side, quantity, entry.id,
        "signal", case.signal.id,
    )  # fmt: skip


def reduce(
    position: Position, order: str, reason: Reason, signal_id: str = "",
    quantity: Decimal | None = None,
) -> Reducing:  # fmt: skip
    """Permit closing a position, or at most the given quantity of it."""
    open_ = position.quantity
    return Reducing(
        order, position.account, position.strategy, position.instrument, -position.sign,
        open_ if quantity is None else min(quantity, open_), position.id, reason, signal_id,
    )  # fmt: skip


def uncovered(
    state: State, position: Position, booked: str = "", filled: Decimal = ZERO
) -> Decimal:
    """Return how much of a position no close on its way will take.

    A close whose outcome nobody knows does not count: it may never have arrived, and a second
    reduce-only order cannot take more than is open. `booked` names an order of which `filled` is
    in `position` already, and not yet in the state.
    """
    left = position.quantity
    if not state.closings:
        return left
    for close_id in state.closings.get(key_of(position.account, position.instrument), ()):
        order = state.orders[close_id]
        if order.closes == position.id and order.status is not Status.UNKNOWN:
            left -= order.quantity - order.filled - (filled if close_id == booked else ZERO)
    return max(left, ZERO)


def flatten(state: State, reason: Reason, strategy: str = "") -> list[Reducing]:
    """Permit closing what no close on its way takes, of one strategy or of all, largest first."""
    tickets = []
    for position in sorted(state.positions.values(), key=lambda held: -held.cost):
        if strategy and position.strategy != strategy:
            continue
        left = uncovered(state, position)
        if left > ZERO:
            order = reduction_id(state, position, reason)
            tickets.append(reduce(position, order, reason, "", left))
    return tickets


def reduction_id(state: State, position: Position, reason: str) -> str:
    """Derive the id of a reduction from the position, its reason and the event's number."""
    cause = f"{position.id}:{reason}:{state.seq}"
    return order_id(state.engine_id, position.account, position.strategy, cause) + "x"


def plan(case: Case) -> None:
    """Plan levels, leverage and size of an entry; what fails shows in the risk checks."""
    instrument, market = case.instrument, case.market
    assert instrument is not None and market is not None
    if case.signal.order != "market" and case.signal.limit is not None:
        limit = case.signal.limit
        buy = case.sign > 0
        case.reference = instrument.price_down(limit) if buy else instrument.price_up(limit)
    else:
        case.reference = market.bid if market.bid == market.ask else (market.bid + market.ask) / 2
    plan_levels(case, instrument)
    if case.action == "add" or case.state.entries:
        case.away = stops.away(case)
    case.held = stops.held_at_worst(case, instrument)
    if case.action == "reverse" and case.position is not None:
        case.held = without(case, case.position)
    case.limits = limits_of(case.settings, case.strategy, case.equity)
    case.unit = unit_of(case, instrument)
    record, sized = leverage_and_size(case, instrument)
    case.leverage, case.granted = record, record.granted
    case.sizing, case.quantity, case.notional = sized, sized.quantity, sized.notional
    case.risk = case.planned = brief(case.notional * case.unit)
    if case.away > case.stop_fraction:
        case.risk = brief(case.notional * max(case.unit, far_unit(case, instrument)))
    if case.granted:
        case.margin = margin = case.notional / case.granted
        case.liquidation = margin_level(
            instrument.tiers, case.sign, case.quantity, case.notional, margin
        )


def unit_of(case: Case, instrument: Instrument, leverage: Decimal = ZERO) -> Decimal:
    """Return what one unit of notional may lose: down to the stop, without one its whole margin.

    Before the leverage is granted, the most that may be granted stands for it.
    """
    unit = sizing.loss_per_unit(case.settings.sizing, instrument, case.stop_fraction)
    if case.stop_fraction:
        return unit
    most = leverage or min(case.settings.leverage.cap, case.strategy.leverage_max)
    return max(unit, ONE / most)


def far_unit(case: Case, instrument: Instrument) -> Decimal:
    """Return what one unit of notional may lose at the farthest stop that may come to hold."""
    if case.away <= case.stop_fraction:
        return ZERO
    return sizing.loss_per_unit(case.settings.sizing, instrument, case.away)


def without(case: Case, position: Position) -> Held:
    """Take the position that a reversal closes first out of what is held."""
    held = case.held
    prices = dict(case.marks)
    mark = prices.get(position.instrument) or case.state.marks.get(position.instrument, ZERO)
    notional = position.quantity * mark
    tiers = (case.instrument or BARE).tiers
    missing = stop_missing(case.state, position)
    return replace(
        held,
        gross=max(held.gross - notional, ZERO),
        group=max(held.group - notional, ZERO),
        group_risk=max(held.group_risk - position.open_risk(tiers, missing=missing), ZERO),
        free_margin=held.free_margin + position.margin,
        strategy=held.strategy - position.cost,
    )


def plan_levels(case: Case, instrument: Instrument) -> None:
    """Round the levels (a stop towards the entry, a take-profit away) and check their sides."""
    signal, sign, reference = case.signal, case.sign, case.reference
    stop = signal.stop_loss
    if stop is None:
        percent = signal.stop_loss_pct
        if percent is None and case.settings.levels.stop_required:
            percent = default_stop_pct(case)
        if percent is not None:
            stop = reference * (HUNDRED - sign * percent) / HUNDRED
    if stop is not None:
        case.raw_stop = stop
        stop = instrument.price_up(stop) if sign > 0 else instrument.price_down(stop)
        case.stop = stop
        if (stop >= reference) if sign > 0 else (stop <= reference):
            case.fault = f"stop {stop} is not beyond the reference {reference}"
        case.stop_fraction = abs(reference - stop) / reference
    profit = signal.take_profit
    if profit is None:
        percent = signal.take_profit_pct
        multiple = case.settings.levels.reward_multiple
        if percent is None and multiple and case.stop_fraction:
            percent = case.stop_fraction * HUNDRED * multiple
        if percent is not None:
            profit = reference * (HUNDRED + sign * percent) / HUNDRED
    if profit is not None:
        profit = instrument.price_up(profit) if sign > 0 else instrument.price_down(profit)
        case.take_profit = profit
        if (profit <= reference) if sign > 0 else (profit >= reference):
            case.fault = f"take-profit {profit} is not beyond the reference {reference}"
    case.trailing = signal.trailing
    if case.trailing is None and signal.trailing_pct is not None:
        case.trailing = reference * signal.trailing_pct / HUNDRED
    if case.stop is None and case.trailing is not None:
        case.stop_fraction = case.trailing / reference


def default_stop_pct(case: Case) -> Decimal:
    """Return the stop of a signal without one: k sigma of the holding time, within bounds."""
    limits = case.settings.levels
    sigma = case.market.sigma if case.market else -1.0
    if not sigma > 0.0:
        return limits.stop_pct_max
    share: float = limits.holding_hours / HOURS_OF_DAY
    percent = from_belief(limits.stop_sigma * sigma * share**0.5 * 100.0, 4)
    return min(max(percent, limits.stop_pct_min), limits.stop_pct_max)


def leverage_and_size(case: Case, instrument: Instrument) -> tuple[LeverageRecord, SizingRecord]:
    """Grant leverage and size: bounds without leverage give the tier, the tier its caps."""
    settings, market, signal = case.settings, case.market, case.signal
    assert market is not None
    if settings.sizing.obey_quantity and signal.quantity is not None:
        return obeyed(case, instrument, signal.quantity)
    fall, base, room = drawdown(case.state, case.equity), base_of(case), room_of(case)
    ask = sizing.Ask(
        case.reference, signal.quantity, signal.volume, signal.confidence, market.sigma,
        case.record.success_low, scale_of(case, fall), far_unit(case, instrument),
    )  # fmt: skip
    bounds = sizing.free_bounds(settings.sizing, case.strategy, ask, room, case.equity, case.unit)
    planned = sizing.least(bounds)
    record = leverage.grant(
        settings.leverage, base, analysis_of(case, base, fall),
        caps_of(case, instrument, planned[0]),
    )  # fmt: skip
    if not case.stop_fraction:  # the less leverage, the more may be lost
        case.unit = unit_of(case, instrument, record.granted)
        bounds = sizing.free_bounds(
            settings.sizing, case.strategy, ask, room, case.equity, case.unit
        )
        planned = sizing.least(bounds)
    sized = sizing.size(
        settings.sizing, case.strategy, instrument, ask, room, bounds, planned, case.equity,
        case.unit, record.granted,
    )  # fmt: skip
    return record, sized


def obeyed(
    case: Case, instrument: Instrument, quantity: Decimal
) -> tuple[LeverageRecord, SizingRecord]:
    """Grant exactly what the signal asks for (research): quantity to the lot, its leverage."""
    asked = case.signal.leverage or ONE
    case.unit = unit_of(case, instrument, asked)
    quantity = instrument.quantity_down(quantity)
    notional = quantity * case.reference
    bounds: list[Decimal | None] = [None] * len(sizing.BOUNDS)
    bounds[0] = notional
    record = LeverageRecord(asked, (), (), float(asked), (), -1, asked)
    size = SizingRecord(case.reference, case.unit, tuple(bounds), 0, notional, quantity)
    return record, size


def base_of(case: Case) -> Decimal:
    """Return the base leverage: by confidence, the low one on probation."""
    limits = case.settings.leverage
    base = leverage.base_of(limits, case.level)
    return min(base, limits.low) if case.state.probation_left else base


def scale_of(case: Case, fall: Decimal) -> Decimal:
    """Return what multiplies the size: probation's share, half from the soft drawdown on."""
    limits = case.settings.breaker
    scale = limits.half_open_size if case.state.probation_left else ONE
    if limits.drawdown_soft and fall >= limits.drawdown_soft:
        scale /= 2
    return scale


def analysis_of(case: Case, base: Decimal, fall: Decimal) -> leverage.Analysis:
    """Return the analysis from the cache, or make it; the case remembers which."""
    state, settings, market = case.state, case.settings, case.market
    assert market is not None
    if settings.cache.ttl_ms:
        case.cache_key = decision_cache.cache_key(
            state, case.signal.instrument, case.sign, base, case.name, case.reference, market.sigma,
        )  # fmt: skip
        kept = decision_cache.look_up(state, case.cache_key, case.now)
        if kept is not None:
            case.cache_hit = True
            return kept
    inputs = (
        market.sigma,
        case.record.success_low,
        float(day_fraction(state, case.equity)),
        float(fall) if fall else 0.0,
    )
    return leverage.analyse(settings.leverage, base, inputs, settings.breaker.day_loss_float)


def caps_of(case: Case, instrument: Instrument, planned: Decimal | None) -> tuple[float, ...]:
    """Return the caps on leverage in the order of `leverage.CAPS`."""
    settings, strategy, unlimited = case.settings, case.strategy, leverage.UNLIMITED
    limits = settings.leverage
    tier = instrument.tier_of(planned if planned is not None else case.equity)
    liquidation = account = unlimited
    if case.stop_fraction:
        liquidation = leverage.liquidation_cap(
            limits, tier.rate_float if tier is not None else 0.0, float(case.stop_fraction),
            case.sign,
        )  # fmt: skip
    margin = case.equity * strategy.budget
    if margin > ZERO and not settings.risk.lift_all:
        # what is left of the gross limit, over the equal share of one place in the budget
        places = max(1, settings.risk.positions_max)
        account = float((case.limits.gross - case.held.gross) * places / margin)
    asked = case.signal.leverage
    return (
        tier.leverage_float if tier is not None else 1.0,
        liquidation,
        account,
        unlimited,
        limits.cap_float,
        strategy.leverage_float,
        float(asked) if asked is not None else unlimited,
    )


def room_of(case: Case) -> sizing.Room:
    """Return what the limits leave; everything where they are lifted."""
    risk, held, limits = case.settings.risk, case.held, case.limits
    if risk.lift_all:
        return sizing.Room(None, None, None, None, None, None, held.free_margin)
    position = case.position.cost if case.position and case.action == "add" else ZERO
    return sizing.Room(
        limits.position - position - held.place,
        limits.group - held.group,
        limits.gross - held.gross,
        limits.group_risk - held.group_risk,
        limits.strategy - case.record.gross - held.strategy,
        risk.order_notional_max or None,
        held.free_margin,
    )


def bracket_of(case: Case) -> Bracket:
    """Return the protective orders of an approved entry; what the signal named stays as named."""
    signal = case.signal
    limit = case.settings.paper.take_profit_order == "limit"
    pct = signal.stop_loss_pct
    if signal.stop_loss is None and pct is None and case.stop is not None:
        pct = default_stop_pct(case)
    stop = case.stop if signal.stop_loss is not None else None
    profit, profit_pct = None, signal.take_profit_pct
    if signal.take_profit is not None:
        profit = case.take_profit
    elif profit_pct is None and case.take_profit is not None:
        profit_pct = case.stop_fraction * HUNDRED * case.settings.levels.reward_multiple
    return Bracket(stop, pct, profit, profit_pct, signal.trailing, signal.trailing_pct, limit)


def document(
    case: Case, values: list[Any], failed: list[int], table: tuple[Check, ...], order: str = ""
) -> Decision:
    """Write the decision's document."""
    state, signal = case.state, case.signal
    return Decision(
        f"d{state.seq}", case.now, signal.id, case.name, signal.instrument, signal.side,
        state.config, "denied" if failed else "approved",
        table[failed[0]].code if failed else "", case.action,
        0 if len(values) == len(INTAKE) else 1, tuple(values), tuple(failed), case.equity,
        state.risk_version, case.cache_key, case.cache_hit, case.leverage, case.sizing, order,
        case.market.interval_ns if case.market else 0, case.held.free_margin,
    )  # fmt: skip
