"""Folding: the only code that changes the state, one function per fact. It never decides."""

from collections import OrderedDict
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event, FillReport, marks_of
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import TERMINAL, Order, Status
from cerberus_trader.domain.position import Position, protective_ids, protective_orders
from cerberus_trader.engine.state import (
    DAY_NS,
    ENDED_MAX,
    TRADES_MAX,
    CacheEntry,
    Ended,
    Exposure,
    State,
    StrategyState,
    Trip,
    key_of,
)

NOTHING = (ZERO, ZERO, ZERO)

replace = msgspec.structs.replace


def advance(state: State, event: Event) -> None:
    """Take the event's number and stamp; time never runs backwards."""
    state.seq += 1
    if event.ts_ns > state.now_ns:
        state.now_ns = event.ts_ns


def apply(state: State, event: Event, fact: f.Fact) -> None:
    """Fold one fact of an event into the state."""
    FOLDS[type(fact)](state, event, fact)


def record_of(state: State, name: str) -> StrategyState:
    """Return a strategy's record, made when first needed."""
    record = state.strategies.get(name)
    if record is None:
        record = state.strategies[name] = StrategyState()
    return record


def note_marks(state: State, event: Event) -> None:
    """Keep the event's prices of what is held as the last known ones."""
    for name, price in marks_of(event):
        state.marks[name] = price


def forget(mapping: dict[str, Any]) -> None:
    """Drop the oldest entry of a bounded record."""
    cast("OrderedDict[str, Any]", mapping).popitem(last=False)


def config_applied(state: State, event: Event, fact: f.ConfigApplied) -> None:
    """Put a configuration in force; the first one also opens the account."""
    if not state.config:
        state.engine_id = fact.engine_id
        state.balance = state.flows = state.peak = fact.settings.account.balance
        state.day_equity = state.balance
        state.day = fact.ts_ns // DAY_NS
    state.settings, state.config = fact.settings, fact.digest
    state.instruments = {item.name: item for item in fact.instruments}
    state.risk_version += 1


def judged(state: State, event: Event, fact: f.SignalJudged) -> None:
    """Remember the signal, count the verdict, keep the analysis."""
    decision, counters = fact.decision, state.counters
    counters.signals += 1
    if decision.verdict == "approved":
        counters.approved += 1
    else:
        counters.denied[decision.code] = counters.denied.get(decision.code, 0) + 1
    remember(state, decision.signal_id, decision.ts_ns)
    note_marks(state, event)
    record = decision.leverage
    cache = state.cache
    if not decision.cache_key or record is None:
        return
    if decision.cache_hit:
        counters.cache_hits += 1
        cache[decision.cache_key] = cache.pop(decision.cache_key)
        return
    counters.cache_misses += 1
    limits = state.settings.cache
    expires = decision.ts_ns + limits.ttl_ms * 1_000_000
    cache.pop(decision.cache_key, None)
    cache[decision.cache_key] = CacheEntry(expires, record.inputs, record.factors, record.raw)
    while (
        len(cache) > limits.entries_max or next(iter(cache.values())).expires_ns <= decision.ts_ns
    ):
        forget(cache)  # ends at the latest with the entry just made


def remember(state: State, signal_id: str, ts_ns: int) -> None:
    """Remember a signal's id, and forget those older than the configured time."""
    seen, intake = state.seen, state.settings.intake
    seen[signal_id] = ts_ns
    oldest = ts_ns - intake.remember_ms * 1_000_000
    while len(seen) > intake.remember_max or next(iter(seen.values())) < oldest:
        forget(seen)


def ignored(state: State, event: Event, fact: f.SignalIgnored) -> None:
    """Count a repeated signal."""
    state.counters.repeated += 1


def submitted(state: State, event: Event, fact: f.OrderSubmitted) -> None:
    """Hold a new order, and reserve its exposure until its proven end."""
    order = fact.order
    state.orders[order.id] = order
    state.counters.orders += 1
    key = key_of(order.account, order.instrument)
    if order.reduce_only:
        state.closings[key] = (*state.closings.get(key, ()), order.id)
        return
    state.entries[key] = (*state.entries.get(key, ()), order.id)
    reserve(state, order, 1)
    state.risk_version += 1


def reserve(state: State, order: Order, sign: int) -> None:
    """Add (or take back) an entry's notional, risk and margin to what is reserved."""
    notional, risk, margin = state.reserved.get(order.instrument, NOTHING)
    left, planned = order.notional, order.risk
    if order.filled:
        left *= (order.quantity - order.filled) / order.quantity
        planned *= left / order.notional if order.notional else ZERO
    locked = left / order.leverage
    if sign > 0:
        notional, risk, margin = notional + left, risk + planned, margin + locked
    else:
        notional, risk, margin = notional - left, risk - planned, margin - locked
    if notional <= ZERO:
        state.reserved.pop(order.instrument, None)
    else:
        state.reserved[order.instrument] = (notional, risk, margin)


def end_order(state: State, order_id: str, status: Status, filled: Decimal = ZERO) -> None:
    """Move an order to its end, and release what it reserved; `filled` is its last fill."""
    order = state.orders.pop(order_id, None)
    if order is None:
        return
    key = key_of(order.account, order.instrument)
    if strike(state.entries, key, order_id):
        reserve(state, order, -1)
    strike(state.closings, key, order_id)
    state.ended[order_id] = Ended(order, status, order.filled + filled)
    if state.doubts:
        state.doubts.pop(order_id, None)
    if len(state.ended) > ENDED_MAX:
        forget(state.ended)


def strike(places: dict[str, tuple[str, ...]], key: str, order_id: str) -> bool:
    """Take an order out of its place; tell whether it was there."""
    held = places.get(key, ())
    if order_id not in held:
        return False
    if len(held) == 1:
        del places[key]
    else:
        places[key] = tuple([item for item in held if item != order_id])
    return True


def cancel_requested(state: State, event: Event, fact: f.CancelRequested) -> None:
    """Mark an order as asked to be cancelled; its exposure stays reserved."""
    order = state.orders.get(fact.order_id)
    if order is not None:
        state.orders[fact.order_id] = replace(order, status=Status.PENDING_CANCEL)


def order_changed(state: State, event: Event, fact: f.OrderChanged) -> None:
    """Take the venue's word on an order."""
    if fact.status in TERMINAL:
        end_order(state, fact.order_id, fact.status)
        state.risk_version += 1
    elif fact.order_id in state.orders:
        order = state.orders[fact.order_id]
        state.orders[fact.order_id] = replace(order, status=fact.status)
        if fact.status is not Status.UNKNOWN:
            state.doubts.pop(fact.order_id, None)


def filled(state: State, event: FillReport, fact: f.Filled) -> None:
    """Book a fill: cash, position, exposure, order, protection, the strategy's record."""
    state.trade_ids[f"{event.account}/{event.trade_id}"] = event.ts_ns
    if len(state.trade_ids) > TRADES_MAX:
        forget(state.trade_ids)
    note_marks(state, event)
    counters = state.counters
    counters.fills += 1
    counters.fees += event.fee
    counters.realised += fact.realised
    gain = fact.realised - event.fee
    state.balance += gain
    record = record_of(state, fact.strategy)
    record.booked += gain
    hold(state, record, key_of(event.account, event.instrument), fact.position)
    order = state.orders.get(event.order_id)
    if order is None:
        late_fill(state, event)
    elif fact.status is Status.FILLED:
        end_order(state, event.order_id, Status.FILLED, event.quantity)
    else:
        keep_partial(state, order, event, fact)
    protect(state, fact.position_id, fact.position)
    if event.reason == "liquidation":
        counters.liquidations += 1
    if fact.trade is not None:
        counters.trades += 1
        if fact.trade.pnl > ZERO:
            counters.wins += 1
        else:
            counters.losses += 1
    state.risk_version += 1


def keep_partial(state: State, order: Order, event: FillReport, fact: f.Filled) -> None:
    """Keep a partly filled order, releasing the filled part of its reservation."""
    canceling = order.status is Status.PENDING_CANCEL
    status = order.status if canceling else fact.status
    after = replace(order, status=status, filled=order.filled + event.quantity)
    if order.id in state.entries.get(key_of(order.account, order.instrument), ()):
        reserve(state, order, -1)
        reserve(state, after, 1)
    state.orders[order.id] = after


def late_fill(state: State, event: FillReport) -> None:
    """Count a fill of an order that had ended."""
    ended = state.ended.get(event.order_id)
    if ended is not None:
        state.ended[event.order_id] = replace(ended, filled=ended.filled + event.quantity)


def protect(state: State, before_id: str, after: Position | None) -> None:
    """Hold the protective orders of a position, and end those of the one it replaces."""
    if after is not None:
        for child in protective_orders(after):
            state.orders[child.id] = child
    if after is None or after.id != before_id:
        for child_id in protective_ids(before_id):
            if child_id in state.orders:
                end_order(state, child_id, Status.CANCELED)


def hold(state: State, record: StrategyState, key: str, after: Position | None) -> None:
    """Replace a position, and every sum that contains it."""
    before = state.positions.get(key)
    if before is not None:
        weigh(state, record, before, -1)
    if after is not None:
        state.positions[key] = after
        weigh(state, record, after, 1)
    else:
        state.positions.pop(key, None)


def weigh(state: State, record: StrategyState, position: Position, sign: int) -> None:
    """Add a position to the sums, or take it out of them."""
    name = position.instrument
    exposure = state.exposures.get(name)
    if exposure is None:
        exposure = state.exposures[name] = Exposure()
    quantity, cost = position.quantity, position.cost
    risk, margin = position.risk, position.margin
    if sign < 0:
        quantity, cost, risk, margin = -quantity, -cost, -risk, -margin
    record.positions += sign
    record.gross += cost
    state.margin += margin
    exposure.risk += risk
    if position.sign > 0:
        exposure.long += quantity
    else:
        exposure.short += quantity
        quantity, cost = -quantity, -cost
    exposure.cost += cost
    if not exposure.long and not exposure.short:
        del state.exposures[name]
    net, net_cost = record.books.get(name, (ZERO, ZERO))
    net += quantity
    if net:
        record.books[name] = (net, net_cost + cost)
    else:
        record.books.pop(name, None)


def funding_booked(state: State, event: Event, fact: f.FundingBooked) -> None:
    """Book a funding payment, which moves the position's margin."""
    position = fact.position
    note_marks(state, event)
    if fact.payment_id:
        state.trade_ids[f"{position.account}/{fact.payment_id}"] = fact.ts_ns
    state.balance -= fact.amount
    state.counters.funding += fact.amount
    record = record_of(state, position.strategy)
    record.booked -= fact.amount
    hold(state, record, key_of(position.account, position.instrument), position)
    state.risk_version += 1


def health_changed(state: State, event: Event, fact: f.HealthChanged) -> None:
    """Keep a position's state of health."""
    key = key_of(fact.account, fact.instrument)
    position = state.positions.get(key)
    if position is not None:
        state.positions[key] = replace(position, health=fact.state, stale=fact.stale)


def scored(state: State, event: Event, fact: f.StrategyScored) -> None:
    """Keep a strategy's record after a closed trade."""
    record = record_of(state, fact.strategy)
    record.wins, record.losses = fact.wins, fact.losses
    record.streak, record.success_low = fact.streak, fact.success_low
    state.streak = fact.total_streak
    state.probation_left = fact.probation_left


def failure_counted(state: State, event: Event, fact: f.FailureCounted) -> None:
    """Keep the count of consecutive order failures."""
    state.failures, state.failures_since_ns = fact.count, fact.since_ns


def tripped(state: State, event: Event, fact: f.BreakerTripped) -> None:
    """Latch a breaker condition."""
    name = f"{fact.condition}:{fact.scope}" if fact.scope else fact.condition
    state.trips[name] = Trip(fact.ts_ns, fact.scope, fact.value, fact.limit, fact.action)
    state.risk_version += 1


def reset(state: State, event: Event, fact: f.BreakerReset) -> None:
    """Release breaker conditions, on probation where the reset says so."""
    for name in fact.conditions:
        state.trips.pop(name, None)
    if fact.probation:
        state.probation_left = fact.probation
        state.streak = 0
        for record in state.strategies.values():
            record.streak = 0
    state.failures = 0
    state.risk_version += 1


def trading_state_changed(state: State, event: Event, fact: f.TradingStateChanged) -> None:
    """Take the operator's state of trading."""
    state.trading = fact.state
    state.risk_version += 1


def strategy_changed(state: State, event: Event, fact: f.StrategyChanged) -> None:
    """Take a strategy's status from the operator."""
    record_of(state, fact.strategy).status = fact.status


def command_refused(state: State, event: Event, fact: f.CommandRefused) -> None:
    """Change nothing: a refused command is only recorded."""


def day_started(state: State, event: Event, fact: f.DayStarted) -> None:
    """Begin a UTC day."""
    note_marks(state, event)
    state.day, state.day_equity = fact.day, fact.equity
    for name, base in fact.strategies:
        record_of(state, name).day_base = base
    state.risk_version += 1


def peak_raised(state: State, event: Event, fact: f.PeakRaised) -> None:
    """Keep the new equity peak."""
    state.peak = fact.equity


def cash_moved(state: State, event: Event, fact: f.CashMoved) -> None:
    """Book a deposit or withdrawal; peak and day start move along, so that it is no P&L."""
    state.balance += fact.amount
    state.flows += fact.amount
    state.peak += fact.amount
    state.day_equity += fact.amount
    state.risk_version += 1


def link_changed(state: State, event: Event, fact: f.LinkChanged) -> None:
    """Open nothing new on an account until it is reconciled."""
    state.unreconciled[fact.account] = fact.reason or fact.state
    state.risk_version += 1


def order_doubted(state: State, event: Event, fact: f.OrderDoubted) -> None:
    """Keep how often a venue did not know an order."""
    if fact.order_id in state.orders:
        state.doubts[fact.order_id] = (fact.since_ns, fact.absent)


def mismatch_found(state: State, event: Event, fact: f.MismatchFound) -> None:
    """Keep a difference: acted on once, then known."""
    if fact.kind not in ("foreign_fill", "overfill", "lost_order"):
        detail = f"{fact.kind} {fact.ours} {fact.theirs}"
        state.suspects[fact.place] = (detail, fact.action != "suspected")


def suspicion_ended(state: State, event: Event, fact: f.SuspicionEnded) -> None:
    """Forget a difference that is gone."""
    state.suspects.pop(fact.place, None)


def position_corrected(state: State, event: Event, fact: f.PositionCorrected) -> None:
    """Hold a position as the venue has it."""
    key = key_of(fact.account, fact.instrument)
    before, after = fact.before, fact.after
    if before is not None and (after is None or after.strategy != before.strategy):
        hold(state, record_of(state, before.strategy), key, None)
    if after is not None:
        hold(state, record_of(state, after.strategy), key, after)
    protect(state, before.id if before is not None else "", after)
    state.risk_version += 1


def balance_corrected(state: State, event: Event, fact: f.BalanceCorrected) -> None:
    """Take the venue's balance; what it differs by is a loss or gain of the account."""
    state.balance += fact.amount
    state.counters.corrections += fact.amount
    state.risk_version += 1


def reconciled(state: State, event: Event, fact: f.Reconciled) -> None:
    """Let new exposure be opened on an account again."""
    state.agreed[fact.account] = fact.venue_ns
    if state.unreconciled.pop(fact.account, None) is not None:
        state.risk_version += 1


def anomaly_noted(state: State, event: Event, fact: f.AnomalyNoted) -> None:
    """Count what cannot be right."""
    state.counters.anomalies += 1


def feed_changed(state: State, event: Event, fact: f.FeedChanged) -> None:
    """Keep which feeds are silent."""
    state.silent.pop(fact.instrument, None)
    state.silent |= {fact.instrument: fact.ts_ns} if fact.silent else {}


def faulted(state: State, event: Event, fact: f.Faulted) -> None:
    """Halt: deciding failed, so nothing new may be opened."""
    state.counters.faults += 1
    state.trading = "frozen" if state.trading == "frozen" else "halted"
    state.risk_version += 1


def retention_applied(state: State, event: Event, fact: f.RetentionApplied) -> None:
    """Change nothing: the state holds no history."""


FOLDS: dict[type, Callable[[State, Any, Any], None]] = {
    f.ConfigApplied: config_applied,
    f.SignalJudged: judged,
    f.SignalIgnored: ignored,
    f.OrderSubmitted: submitted,
    f.CancelRequested: cancel_requested,
    f.OrderChanged: order_changed,
    f.Filled: filled,
    f.FundingBooked: funding_booked,
    f.HealthChanged: health_changed,
    f.StrategyScored: scored,
    f.FailureCounted: failure_counted,
    f.BreakerTripped: tripped,
    f.BreakerReset: reset,
    f.TradingStateChanged: trading_state_changed,
    f.StrategyChanged: strategy_changed,
    f.CommandRefused: command_refused,
    f.DayStarted: day_started,
    f.PeakRaised: peak_raised,
    f.CashMoved: cash_moved,
    f.LinkChanged: link_changed,
    f.OrderDoubted: order_doubted,
    f.MismatchFound: mismatch_found,
    f.SuspicionEnded: suspicion_ended,
    f.PositionCorrected: position_corrected,
    f.BalanceCorrected: balance_corrected,
    f.Reconciled: reconciled,
    f.AnomalyNoted: anomaly_noted,
    f.FeedChanged: feed_changed,
    f.Faulted: faulted,
    f.RetentionApplied: retention_applied,
}
