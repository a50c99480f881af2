"""Orders: from tickets to submissions, and from the venue's reports to booked fills."""

from decimal import Decimal

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, Command, ModifyOrder, SubmitOrder
from cerberus_trader.domain.events import FillReport, ModifyNotSent, OrderModified, OrderReport
from cerberus_trader.domain.instrument import Instrument, margin_level, reached
from cerberus_trader.domain.money import ONE, ZERO, brief, share_of
from cerberus_trader.domain.order import TERMINAL, Order, Reason, Status, may_follow, order_id
from cerberus_trader.domain.position import Position, Trade
from cerberus_trader.domain.settings import RETRIES_MAX
from cerberus_trader.engine.risk import (
    Approved,
    Reducing,
    reduce,
    reduction_id,
    uncovered,
)
from cerberus_trader.engine.state import ADOPTED, State, key_of, strategy_of
from cerberus_trader.engine.targets import still

REPORTED = {
    "accepted": Status.ACCEPTED,
    "rejected": Status.REJECTED,
    "canceled": Status.CANCELED,
    "expired": Status.EXPIRED,
    "not_sent": Status.NOT_SENT,
    "unknown": Status.UNKNOWN,
}
MS = 1_000_000
Levels = tuple[Decimal | None, Decimal | None]
"""Where a position's stop is, and the distance of its trailing stop."""
replace = msgspec.structs.replace


def submit_entry(ticket: Approved) -> f.OrderSubmitted:
    """Make the submission of an approved entry."""
    case, signal = ticket.case, ticket.case.signal
    sized, record = case.sizing, case.leverage
    assert sized is not None and record is not None
    limit = signal.order != "market"
    return f.OrderSubmitted(
        Order(
            ticket.order_id, case.strategy.account, case.name, signal.instrument, case.sign,
            "limit" if limit else "market", "add" if case.action == "add" else "entry",
            sized.quantity, signal.id, case.reference if limit else None, record.granted,
            False, "", ticket.bracket, case.now,
            signal.ts_ns + signal.expires_ms * MS if signal.expires_ms else 0,
            sized.notional, case.planned, bool(case.state.probation_left),
            fok=signal.order == "fok",
        )
    )  # fmt: skip


def submit_reduction(ticket: Reducing, now_ns: int, attempt: int = 0) -> f.OrderSubmitted:
    """Make the submission of a reduce-only market order."""
    return f.OrderSubmitted(
        Order(
            ticket.order_id, ticket.account, ticket.strategy, ticket.instrument, ticket.side,
            "market", ticket.reason, ticket.quantity, ticket.signal_id, None, ONE, True,
            ticket.closes, None, now_ns, attempt=attempt,
        )
    )  # fmt: skip


def adds(fact: f.Fact) -> bool:
    """Tell whether a fact submits an order that adds exposure."""
    return type(fact) is f.OrderSubmitted and not fact.order.reduce_only


def cancel_entries(state: State, reason: str, strategy: str = "") -> list[f.Fact]:
    """Ask for the cancellation of every working entry, of one strategy or of all."""
    found: list[f.Fact] = []
    for order_ids in state.entries.values():
        for name in order_ids:
            order = state.orders[name]
            if order.status is not Status.PENDING_CANCEL and strategy in ("", order.strategy):
                found.append(f.CancelRequested(name, reason))
    return found


def command_of(state: State, fact: f.Fact) -> Command | None:
    """Return the command that a fact asks of the outside, None for most facts."""
    if type(fact) is f.OrderSubmitted:
        return SubmitOrder(fact.order)
    if type(fact) is f.CancelRequested:
        order = state.orders.get(fact.order_id)
        if order is not None:
            return CancelOrder(order.id, order.account, order.instrument)
        if fact.instrument:
            return CancelOrder(fact.order_id, fact.account, fact.instrument)
    if type(fact) is f.ModifyRequested:
        order = state.orders[fact.order_id]
        return ModifyOrder(order.id, order.account, order.instrument, fact.price, fact.quantity)
    return None


def modify(
    state: State, name: str, price: Decimal | None, quantity: Decimal | None, *, again: bool = False
) -> list[f.Fact] | str:
    """Ask for a change of a resting entry, or say why not.

    Limits were checked on the order as it was: a change may not raise what it can lose or cost.
    One at a time: of two on their way nobody knows which is told last. `again` judges one anew that
    was asked for already.
    """
    order = state.orders.get(name)
    if order is None or order.reduce_only or order.kind != "limit":
        return "no working limit entry has this id"
    if order.status not in (Status.ACCEPTED, Status.PARTIALLY_FILLED):
        return f"the order is {order.status.value}"
    if order.account in state.unreconciled:
        return f"the venue is not reconciled: {state.unreconciled[order.account]}"
    if not again and name in state.changes:
        # a venue outside tells of it, or a look does; on paper a restart alone can lose it
        window_ns = state.settings.reconcile.submit_window_ms * MS
        if order.account in state.agreed or state.now_ns < state.changes[name][0] + window_ns:
            return "a change of it is on its way"
    assert order.price is not None
    rule = state.instruments.get(order.instrument)
    if rule is None:
        return f"{order.instrument} is not configured any more"
    asked = rule.quantity_down(quantity) if quantity is not None else order.quantity
    wanted = price if price is not None else order.price
    rounded = rule.price_down(wanted) if order.side > 0 else rule.price_up(wanted)
    if not order.filled < asked <= order.quantity:
        return f"the quantity must lie above {order.filled:f} filled and at most {order.quantity:f}"
    if rounded * asked > order.notional or rounded <= ZERO:
        return f"the change would raise the order's notional above {order.notional:f}"
    stop = order.bracket.stop if order.bracket is not None else None
    dearer = (rounded - order.price) * order.side > ZERO
    moves = stop is None and rounded != order.price
    if strategy_of(state, order.strategy).add and (dearer or moves):
        # what else is there was judged by where this one's stop and price were
        return "its strategy adds to positions, whose stops would move: cancel it, and signal anew"
    if stop is not None and (rounded - stop) * order.side <= ZERO:
        return f"the price lies beyond the stop {stop:f}"
    if stop is not None and asked * abs(rounded - stop) > order.quantity * abs(order.price - stop):
        return "the change would raise the loss at the stop"
    if stop is not None and liquidated_first(order, rule, rounded, asked, stop):
        return f"it would be liquidated before the stop {stop:f}"
    return [f.ModifyRequested(order.id, rounded, asked)]


def liquidated_first(
    order: Order, rule: Instrument, price: Decimal, quantity: Decimal, stop: Decimal
) -> bool:
    """Tell whether an entry at other terms would be liquidated before its stop is reached."""
    cost = price * quantity
    level = margin_level(rule.tiers, order.side, quantity, cost, cost / order.leverage)
    return level is not None and reached(order.side, stop, level.numerator, level.denominator)


def on_modified(state: State, event: OrderModified) -> list[f.Fact]:
    """Take the venue's word that an entry has changed as was asked for.

    Words may come twice and late: of one that nobody waits for, a look must tell whether it holds.
    """
    order = state.orders.get(event.order_id)
    if order is None or state.changes.get(order.id, ())[1:] != (event.price, event.quantity):
        return []
    return replaced(order, event.price, event.quantity)


def replaced(order: Order, price: Decimal, quantity: Decimal) -> list[f.Fact]:
    """Take other terms of an entry, unless they are senseless: then what is reserved stays."""
    if quantity < order.filled or min(quantity, price) <= ZERO:
        return []
    notional = price * quantity
    risk = share_of(order.risk, quantity, order.quantity)
    if order.bracket is None or order.bracket.stop is None:  # may be its margin, or percent of it
        risk = max(risk, share_of(order.risk, notional, order.notional))
    return [f.OrderReplaced(order.id, price, quantity, notional, risk)]


def on_modify_not_sent(state: State, event: ModifyNotSent) -> list[f.Fact]:
    """Say that a change was held back: the order is what it was, and none is on its way."""
    found: list[f.Fact] = [f.CommandRefused("modify", "gate", f"{event.order_id}: {event.reason}")]
    order = state.orders.get(event.order_id)
    asked = state.changes.get(event.order_id, ())[1:]
    if order is not None and order.price is not None and asked == (event.price, event.quantity):
        found.append(unchanged(order, order.price))
    return found


def unchanged(order: Order, price: Decimal) -> f.OrderReplaced:
    """Say that an entry has the terms it had: no change of it is on its way any more."""
    return f.OrderReplaced(order.id, price, order.quantity, order.notional, order.risk)


def on_report(state: State, event: OrderReport) -> list[f.Fact]:
    """Take the venue's word on an order's state; what cannot follow changes nothing.

    An order proven rejected for a cause that will pass is tried again, as a new order.
    """
    order = state.orders.get(event.order_id)
    status = REPORTED[event.state]
    if order is None or order.status is status or not may_follow(order.status, status):
        lives = order is not None and status is Status.ACCEPTED and order.id in state.doubts
        # its cancellation is on its way: that a venue denied it is counted anew
        return [f.OrderDoubted(event.order_id, event.ts_ns, 0)] if lives else []
    late = event.filled is not None and event.filled > order.filled
    if event.filled is None and order.reduce_only and order.account in state.agreed:
        # what it has filled is asked about, before more is closed than was asked for
        late = status in (Status.CANCELED, Status.EXPIRED)
    if status in TERMINAL and (late or order.protective):
        # its end has overtaken its fills: the exposure stays reserved until they are booked;
        # that of a protective order the end of its position, else this one is unprotected
        if not may_follow(order.status, Status.UNKNOWN) or order.status is Status.UNKNOWN:
            return []
        reason = "ended, with fills on their way" if late else f"{event.state} at the venue"
        return [f.OrderChanged(order.id, Status.UNKNOWN, reason)]
    facts: list[f.Fact] = [f.OrderChanged(order.id, status, event.reason)]
    if event.retry and status is Status.REJECTED and order.status is not Status.PENDING_CANCEL:
        facts += retry(state, order, event.ts_ns)
    return facts


def reduction(
    state: State, position: Position, reason: Reason, quantity: Decimal, now_ns: int, *,
    attempt: int = 0, cause: str = "",
) -> list[f.Fact]:  # fmt: skip
    """Submit the close of a quantity of a position, if there is anything to close.

    `cause` tells those apart that one event leads to.
    """
    if quantity <= ZERO:
        return []
    order = reduction_id(state, position, reason + cause)
    ticket = reduce(position, order, reason, "", quantity)
    return [submit_reduction(ticket, now_ns, attempt)]


def killed(state: State, order: Order, status: Status, now_ns: int) -> list[f.Fact]:
    """Kill what is left of a fill-or-kill order, and close what a killed one had filled.

    Where the venue knows such orders it has killed the rest itself, and the cancel finds nothing.
    """
    if not order.fok:
        return []
    if status is Status.ACCEPTED:
        return [f.CancelRequested(order.id, "fill or kill")]
    position = state.positions.get(key_of(order.account, order.instrument))
    leftover = state.settings.orders.fok_leftover
    if status not in TERMINAL or not order.filled or position is None or leftover == "keep":
        return []
    part = min(order.filled, uncovered(state, position))
    return reduction(state, position, "signal", part, now_ns, cause=order.id)


def rests(state: State, closed: Position) -> list[f.Fact]:
    """Ask for the cancellation of what is left of the entries that had opened a closed position."""
    found: list[f.Fact] = []
    for name in state.entries.get(key_of(closed.account, closed.instrument), ()):
        order = state.orders[name]
        if order.filled and order.side == closed.sign and order.status is not Status.PENDING_CANCEL:
            found.append(f.CancelRequested(name, "its position has closed"))
    return found


def killed_late(state: State, event: FillReport, position: Position, left: Decimal) -> list[f.Fact]:
    """Close what a fill-or-kill order filled after its end was told.

    `left` is what no close on its way takes.
    """
    ended = state.ended.get(event.order_id)
    if ended is None or not ended.order.fok or ended.status is Status.FILLED:
        return []
    if state.settings.orders.fok_leftover == "keep":
        return []
    return reduction(state, position, "signal", min(event.quantity, left), event.ts_ns)


def partly(state: State, name: str) -> list[f.Fact]:
    """Kill the rest of a fill-or-kill order of which a part has filled."""
    order = state.orders.get(name)
    if order is None or not order.fok or order.status is Status.PENDING_CANCEL:
        return []
    return [f.CancelRequested(name, "fill or kill")]


def retry(state: State, order: Order, now_ns: int) -> list[f.Fact]:
    """Submit the next attempt of a rejected order, to be sent after a pause that doubles.

    The gate has the last word when the pause is over: an entry may be too late by then.
    """
    limits = state.settings.orders
    if order.attempt >= limits.retries_max or (order.filled and not order.reduce_only):
        return []
    if not order.reduce_only and held_back(state, order):
        return []
    left = still(state, order) if order.reason == "signal" else order.quantity - order.filled
    if not left:
        return []  # somebody else has closed it
    attempt = order.attempt + 1
    name = retry_id(state, order.account, order.strategy, order.id, attempt)
    pause = limits.backoff_ms * MS << order.attempt
    after = replace(
        order, id=name, quantity=left, filled=ZERO,
        status=Status.SUBMITTED, attempt=attempt, send_after_ns=now_ns + pause,
    )  # fmt: skip
    return [f.OrderSubmitted(after)]


def retry_id(state: State, account: str, strategy: str, before: str, attempt: int) -> str:
    """Derive the id of an order's next attempt from the one before it."""
    return order_id(state.engine_id, account, strategy, before, attempt) + before[-1]


def is_known(state: State, account: str, strategy: str, name: str) -> bool:
    """Tell whether an order is known that a signal leads to, though the signal is not.

    The signal was forgotten under a flood of others, or with a history that a restored backup has
    lost: then the venue has told of the entry, or of one of its retries.
    """
    if name in state.orders or name in state.ended:
        return True
    for attempt in range(1, RETRIES_MAX + 1) if state.lost else ():
        if name in state.lost:
            return True
        name = retry_id(state, account, strategy, name, attempt)
    return name in state.lost


def held_back(state: State, order: Order) -> bool:
    """Tell whether nothing new may be opened by an entry's strategy, or on its account."""
    record = state.strategies.get(order.strategy)
    status = (record.status if record else "") or strategy_of(state, order.strategy).status
    stopped = state.trading != "active" or bool(state.trips) or status != "active"
    return stopped or order.account in state.unreconciled


def book_fill(state: State, event: FillReport) -> f.Filled | None:
    """Book a fill from any status, once per (account, trade id); None for a repeated one."""
    if f"{event.account}/{event.trade_id}" in state.trade_ids:
        return None
    order = state.orders.get(event.order_id)
    if order is None and event.order_id in state.ended:
        order = state.ended[event.order_id].order
    before = state.positions.get(key_of(event.account, event.instrument))
    strategy = order.strategy if order else before.strategy if before else ADOPTED
    if before is None or before.sign == event.side:
        after: Position | None = opened(state, event, order, before, strategy)
        realised, trade = ZERO, None
    elif event.quantity <= before.quantity:
        after, realised, trade = reduced(state, event, before)
    else:
        after, realised, trade = crossed(state, event, order, before, strategy)
    held = before or after
    assert held is not None
    done = event.leaves <= ZERO
    if order is not None and not order.reduce_only:  # fills may come in any order
        done = order.filled + event.quantity >= order.quantity
    status = Status.FILLED if done else Status.PARTIALLY_FILLED
    # what happens at a place is its owner's: also a late fill of another strategy's order
    owner = before.strategy if before is not None else strategy
    return f.Filled(owner, held.id, realised, after, status, trade)


def opened(
    state: State, event: FillReport, order: Order | None, before: Position | None, strategy: str
) -> Position:
    """Return the position after an entry's fill."""
    quantity, cost = event.quantity, event.quantity * event.price
    risk = order.risk if order is not None else ZERO
    if order is not None and quantity != order.quantity:
        risk = brief(risk * quantity / order.quantity)
    bracket = order.bracket if order is not None else None
    guarded = bracket is not None and bracket.protects
    if before is None:
        return Position(
            event.order_id, event.account, strategy, event.instrument, event.side,
            quantity, cost, order.leverage if order else ONE, event.margin,
            event.ts_ns, event.stop, event.take_profit, event.trailing,
            trailed(event.price, event.side, (event.stop, event.trailing), quantity, cost, risk),
            ZERO, event.fee, ZERO, order.signal_id if order else "",
            order.probation if order else False, stop_ns=state.now_ns, guarded=guarded,
        )  # fmt: skip
    levels = protection(event, before)
    quantity, cost, risk = before.quantity + quantity, before.cost + cost, before.risk + risk
    return Position(
        before.id, before.account, before.strategy, before.instrument, before.sign,
        quantity, cost, before.leverage, event.margin,
        before.opened_ns, levels[0], event.take_profit, levels[1],
        trailed(event.price, event.side, levels, quantity, cost, risk),
        before.realised, before.fees + event.fee, before.funding, before.signal_id,
        before.probation, before.health, stop_ns=state.now_ns, guarded=guarded or before.guarded,
    )  # fmt: skip


def trailed(
    begins: Decimal, side: int, levels: Levels, quantity: Decimal, cost: Decimal, risk: Decimal
) -> Decimal:
    """Return the risk of a position whose trailing stop, if that is its only one, begins so."""
    stop, trailing = levels
    if stop is not None or trailing is None:
        return risk
    return max(risk, (cost - quantity * (begins - side * trailing)) * side)


def protection(event: FillReport, before: Position) -> Levels:
    """Return stop and trailing distance after a fill: where the venue tells none, what there was.

    What it has lost is missed at the next look, and the position closed: not held without a word.
    """
    if event.stop is None and event.trailing is None:
        return before.stop, before.trailing
    return event.stop, event.trailing


def crossed(
    state: State, event: FillReport, order: Order | None, before: Position, strategy: str
) -> tuple[Position, Decimal, Trade | None]:
    """Return the position that a fill opens beyond the one it closes, and what that one gained."""
    fee = share_of(event.fee, before.quantity, event.quantity)
    _, realised, trade = reduced(state, replace(event, quantity=before.quantity, fee=fee), before)
    rest = replace(event, quantity=event.quantity - before.quantity, fee=event.fee - fee)
    return opened(state, rest, order, None, strategy), realised, trade


def reduced(
    state: State, event: FillReport, before: Position
) -> tuple[Position | None, Decimal, Trade | None]:
    """Return the position after a closing fill, the gain realised, and the trade if it ended."""
    whole = event.quantity >= before.quantity
    cost = before.cost if whole else share_of(before.cost, event.quantity, before.quantity)
    gain = event.quantity * event.price - cost
    realised = gain if before.sign > 0 else -gain
    fees = before.fees + event.fee
    if not whole:
        return lessened(state, event, before, cost, realised), realised, None
    pnl = before.realised + realised - fees - before.funding
    trade = Trade(
        before.id, before.account, before.strategy, before.instrument, before.sign,
        event.quantity, before.cost / before.quantity, event.price, before.leverage,
        before.opened_ns, event.ts_ns, event.reason, pnl, fees, before.funding,
        float(pnl / before.risk) if before.risk else 0.0, before.signal_id,
    )  # fmt: skip
    return None, realised, trade


def lessened(
    state: State, event: FillReport, before: Position, cost: Decimal, realised: Decimal
) -> Position:
    """Return what a closing fill leaves of a position, less the cost of what it closed."""
    left, rest, sign = before.quantity - event.quantity, before.cost - cost, before.sign
    risk, stop_ns = before.risk * left / before.quantity, before.stop_ns
    levels = stop, trailing = protection(event, before)
    if levels != (before.stop, before.trailing):  # told late: it may have begun at the entry
        begins = min(event.price * sign, before.entry_price * sign) * sign
        risk, stop_ns = trailed(begins, sign, levels, left, rest, risk), state.now_ns
    return Position(
        before.id, before.account, before.strategy, before.instrument, sign,
        left, rest, before.leverage, event.margin, before.opened_ns,
        stop, event.take_profit, trailing, risk,
        before.realised + realised, before.fees + event.fee, before.funding, before.signal_id,
        before.probation, before.health, stop_ns=stop_ns, guarded=before.guarded,
    )  # fmt: skip
