"""Folding: the only code that changes the state, one function per fact. It never decides."""

from collections.abc import Callable
from typing import Any

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import (
    Event,
    FillReport,
    FundingReport,
    OperatorEvent,
    TransferReport,
)
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import TERMINAL, Status
from cerberus_trader.engine import targets
from cerberus_trader.engine.apply_venue import VENUE_FOLDS
from cerberus_trader.engine.books import (
    doubt_stop,
    end_order,
    forget,
    hold,
    keep_partial,
    late_fill,
    note_marks,
    protect,
    record_of,
    remember_booking,
    reserve,
)
from cerberus_trader.engine.state import (
    ADOPTED,
    COMMANDS_MAX,
    DAY_NS,
    CacheEntry,
    State,
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


def config_applied(state: State, event: Event, fact: f.ConfigApplied) -> None:
    """Put a configuration in force; the first one also opens the account."""
    if not state.config:
        state.engine_id = fact.engine_id
        state.balance = state.flows = state.peak = fact.settings.account.balance
        state.day_equity = state.balance
        state.day = fact.ts_ns // DAY_NS
    if state.trips:
        state.cooldown_ms = max(state.cooldown_ms, state.settings.breaker.cooldown_ms)
    before_ms = state.settings.reconcile.submit_window_ms if state.config else 0
    if before_ms > fact.settings.reconcile.submit_window_ms:  # what was sent has the longer one
        state.window_end_ns = max(state.window_end_ns, fact.ts_ns + before_ms * 1_000_000)
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
    """Remember when a signal was judged, and forget those older than the configured time.

    Its own time would not do: one that is stamped in the future would deny all that follow it.
    """
    seen, intake = state.seen, state.settings.intake
    seen[signal_id] = ts_ns
    oldest = ts_ns - intake.remember_ms * 1_000_000
    while len(seen) > intake.remember_max or next(iter(seen.values())) < oldest:
        state.forgotten_ns = max(state.forgotten_ns, forget(seen))


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
        targets.aim(state, event, order)
        return
    state.entries[key] = (*state.entries.get(key, ()), order.id)
    reserve(state, order, 1)
    state.risk_version += 1


def cancel_requested(state: State, event: Event, fact: f.CancelRequested) -> None:
    """Mark an order as asked to be cancelled; its exposure stays reserved."""
    order = state.orders.get(fact.order_id)
    if order is not None:
        state.orders[fact.order_id] = replace(order, status=Status.PENDING_CANCEL)
        if order.status is Status.PENDING_CANCEL:  # asked again: the venue has shown it working
            state.doubts.pop(fact.order_id, None)


def order_changed(state: State, event: Event, fact: f.OrderChanged) -> None:
    """Take the venue's word on an order."""
    if fact.status in TERMINAL:
        end_order(state, fact.order_id, fact.status)
        state.risk_version += 1
    elif fact.order_id in state.orders:
        order = state.orders[fact.order_id]
        state.orders[fact.order_id] = after = replace(order, status=fact.status)
        doubt_stop(state, after)
        if fact.status is not Status.UNKNOWN:
            state.doubts.pop(fact.order_id, None)
            state.failed.pop(fact.order_id, None)


def modify_requested(state: State, event: Event, fact: f.ModifyRequested) -> None:
    """Note what was asked for: the order is what it was until the venue says otherwise."""
    state.changes[fact.order_id] = (event.ts_ns, fact.price, fact.quantity)


def order_replaced(state: State, event: Event, fact: f.OrderReplaced) -> None:
    """Hold an entry as it is at the venue now, and what it reserves.

    Where it is neither what was asked for nor what it was, a change is still on its way.
    """
    order = state.orders.get(fact.order_id)
    if order is None:
        return
    terms = (fact.price, fact.quantity)
    if terms in (state.changes.get(order.id, ())[1:], (order.price, order.quantity)):
        state.changes.pop(order.id, None)
    after = replace(
        order, price=fact.price, quantity=fact.quantity, notional=fact.notional, risk=fact.risk
    )
    reserve(state, order, -1)
    reserve(state, after, 1)
    state.orders[order.id] = after
    state.risk_version += 1


def filled(state: State, event: FillReport, fact: f.Filled) -> None:
    """Book a fill: cash, position, exposure, order, protection, the strategy's record."""
    remember_booking(state, f"{event.account}/{event.trade_id}", event.ts_ns)
    note_marks(state, event)
    counters = state.counters
    counters.fills += 1
    counters.fees += event.fee
    counters.realised += fact.realised
    gain = fact.realised - event.fee
    state.balance += gain
    record_of(state, fact.strategy).booked += gain
    key = key_of(event.account, event.instrument)
    before = state.positions.get(key)
    hold(state, key, fact.position)
    state.filled_ns[key] = event.ts_ns
    if key in state.targets:
        targets.follow_fill(state, key, event, before, fact)
    order = state.orders.get(event.order_id)
    if order is None:
        late_fill(state, event)
    elif fact.status is Status.FILLED:
        end_order(state, event.order_id, Status.FILLED, event.quantity)
    else:
        keep_partial(state, order, event, fact)
    told = event.stop is not None or event.trailing is not None
    protect(state, fact.position_id, fact.position, told=told)
    if event.reason == "liquidation":
        counters.liquidations += 1
    if fact.trade is not None:
        counters.trades += 1
        if fact.trade.pnl > ZERO:
            counters.wins += 1
        else:
            counters.losses += 1
    state.risk_version += 1


def funding_booked(state: State, event: FundingReport, fact: f.FundingBooked) -> None:
    """Book a funding payment, which moves the margin of a position that is still open."""
    position = fact.position
    note_marks(state, event)
    if event.name:
        remember_booking(state, f"{event.account}/{event.name}", fact.ts_ns)
    state.balance -= fact.amount
    state.counters.funding += fact.amount
    owner = position.strategy if position is not None else ADOPTED
    record_of(state, owner).booked -= fact.amount
    if position is not None:
        hold(state, key_of(position.account, position.instrument), position)
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
    if fact.order_id in state.orders:
        state.failed[fact.order_id] = fact.since_ns


def tripped(state: State, event: Event, fact: f.BreakerTripped) -> None:
    """Latch a breaker condition."""
    name = f"{fact.condition}:{fact.scope}" if fact.scope else fact.condition
    lasting = not state.settings.breaker.day_release  # as it is now: no reload loosens it
    state.trips[name] = Trip(fact.ts_ns, fact.scope, fact.value, fact.limit, fact.action, lasting)
    state.risk_version += 1


def reset(state: State, event: Event, fact: f.BreakerReset) -> None:
    """Release breaker conditions, on probation where the reset says so."""
    for name in fact.conditions:
        state.trips.pop(name, None)
    if fact.probation:
        state.probation_left = fact.probation
    if fact.probation or "losses" in fact.conditions:
        state.streak = 0
        for record in state.strategies.values():
            record.streak = 0
    if fact.probation or "failures" in fact.conditions:
        state.failures = 0
    if not state.trips:
        state.cooldown_ms = 0
    state.risk_version += 1


def trading_state_changed(state: State, event: Event, fact: f.TradingStateChanged) -> None:
    """Take the operator's state of trading; a flatten holds until trading is active again.

    A freeze covers a halt, before it or after: what is halted beneath stays so when it is thawed.
    """
    if fact.state != "frozen":
        state.halted = fact.state == "halted"
    elif type(event) is OperatorEvent and event.command == "halt":
        state.halted = True
    state.trading = fact.state
    state.flattening = fact.flatten or (state.flattening and fact.state != "active")
    state.risk_version += 1


def strategy_changed(state: State, event: Event, fact: f.StrategyChanged) -> None:
    """Take a strategy's status from the operator."""
    record_of(state, fact.strategy).status = fact.status


def command_refused(state: State, event: Event, fact: f.CommandRefused) -> None:
    """Change nothing: a refused command is only recorded."""


def command_repeated(state: State, event: Event, fact: f.CommandRepeated) -> None:
    """Change nothing: it was carried out before."""


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
    if type(event) is TransferReport:
        remember_booking(state, f"{event.account}/{event.name}", event.ts_ns)
    elif type(event) is OperatorEvent and event.command_id:
        state.commands[event.command_id] = (event.ts_ns, fact.amount)
        if len(state.commands) > COMMANDS_MAX:
            forget(state.commands)
    state.balance += fact.amount
    state.flows += fact.amount
    state.peak += fact.amount
    state.day_equity += fact.amount
    state.risk_version += 1


def faulted(state: State, event: Event, fact: f.Faulted) -> None:
    """Halt: deciding failed, so nothing new may be opened."""
    state.counters.faults += 1
    state.halted = True
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
    f.ModifyRequested: modify_requested,
    f.OrderReplaced: order_replaced,
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
    f.CommandRepeated: command_repeated,
    f.DayStarted: day_started,
    f.PeakRaised: peak_raised,
    f.CashMoved: cash_moved,
    f.Faulted: faulted,
    f.RetentionApplied: retention_applied,
    **VENUE_FOLDS,
}
