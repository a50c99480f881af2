"""The engine: number an event, decide on it, fold the facts, hand out the commands.

`decide` changes nothing. If it raises, the state stays as it was, the fact is `Faulted`, trading
halts, and exits go on.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain import events as e
from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import Command
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Reason, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.engine import (
    breaker,
    killswitch,
    operator,
    orders,
    portfolio,
    reconcile,
    risk,
    strategies,
    targets,
)
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.intake import Case
from cerberus_trader.engine.state import (
    ADOPTED,
    DAY_NS,
    State,
    equity,
    key_of,
    strategy_of,
    strategy_pnl,
    strategy_state,
)

FAILED = (Status.REJECTED, Status.UNKNOWN)
"""What counts as an order failure; one that was held back before it left is none."""


class Step(msgspec.Struct, frozen=True, gc=False):
    """Hold what came of one event."""

    facts: tuple[f.Fact, ...]
    commands: tuple[Command, ...]


class Engine:
    """Hold the state, and take events one at a time."""

    def __init__(self, state: State | None = None) -> None:
        self.state = state if state is not None else State()

    def step(self, event: e.Event) -> Step:
        """Decide on an event and fold what follows; return facts and commands."""
        state = self.state
        advance(state, event)
        day = new_day(state, event)
        for fact in day:
            apply(state, event, fact)
        try:
            decided = decide(state, event)
        except Exception as error:  # named boundary: a fault halts, it never escapes
            fault = f.Faulted(f"{type(error).__name__}: {error}", type(event).__name__)
            decided = [fault, *orders.cancel_entries(state, "fault")]
        commands = []
        for fact in decided:
            command = orders.command_of(state, fact)
            if command is not None:
                commands.append(command)
            apply(state, event, fact)
        return Step((*day, *decided), tuple(commands))


def decide(state: State, event: e.Event) -> list[f.Fact]:
    """Return the facts that follow from an event; change nothing."""
    return HANDLERS[type(event)](state, event)


def new_day(state: State, event: e.Event) -> list[f.Fact]:
    """Begin the UTC day at the first event at or after midnight; the clock never goes back.

    With something held it is one that brings prices, or the timer of the day: the last known ones
    may be old, and every loss of the day would be counted from them.
    """
    day = state.now_ns // DAY_NS
    if not state.config or day <= state.day:
        return []
    marks = e.marks_of(event)
    if state.exposures and not marks and type(event) is not e.TimerEvent:
        return []
    now = equity(state, marks)
    bases = tuple((name, strategy_pnl(state, name, marks)) for name in state.strategies)
    facts: list[f.Fact] = [f.DayStarted(day, now, bases)]
    if now > state.peak:
        facts.append(f.PeakRaised(now))
    released = breaker.day_release(state)
    if released:
        facts.append(f.BreakerReset(state.now_ns, released, "day", "new UTC day", 0))
    return facts


def on_config(state: State, event: e.ConfigEvent) -> list[f.Fact]:
    """Put a configuration in force; the first one names the engine.

    One that newly pauses or stops a strategy is a later word than that of who resumed it. One that
    tightens a limit may find it reached.
    """
    engine_id = state.engine_id or event.engine_id
    facts: list[f.Fact] = [
        f.ConfigApplied(event.ts_ns, event.digest, engine_id, event.settings, event.instruments)
    ]
    facts += reconcile.left_venue(state, event.settings)
    for name, strategy in event.settings.strategies.items():
        before = strategy_of(state, name).status
        resumed = strategy_state(state, name).status == "active"
        if resumed and strategy.status not in ("active", before):
            facts.append(f.StrategyChanged(name, "", "configuration"))
    trips = breaker.reload_trips(state, event)
    return facts + breaker.consequences(state, trips, event.ts_ns)


def on_signal(state: State, event: e.SignalEvent) -> list[f.Fact]:
    """Judge a signal, once per id; an approval submits its order."""
    if event.signal.id in state.seen:
        return [f.SignalIgnored(event.signal.id, event.signal.source)]
    case = Case(state, event)
    verdict = risk.judge(case)
    for ticket in (verdict.reducing, verdict.approved):
        if ticket is not None and orders.is_known(
            state, case.strategy.account, case.name, ticket.order_id
        ):
            return [f.SignalIgnored(event.signal.id, event.signal.source)]
    facts: list[f.Fact] = [f.SignalJudged(verdict.decision)]
    if case.equity > state.peak:
        facts.append(f.PeakRaised(case.equity))
    if verdict.reducing is not None:
        held = case.position
        if state.entries and held is not None and targets.asks_all(event, held):
            facts += orders.rests(state, held)  # else they go on opening what is being closed
        facts.append(orders.submit_reduction(verdict.reducing, case.now))
    if verdict.approved is not None:
        facts.append(orders.submit_entry(verdict.approved))
    return facts


def on_fill(state: State, event: e.FillReport) -> list[f.Fact]:
    """Book a fill; score a closed trade; trip what the loss reaches, at once."""
    booked = orders.book_fill(state, event)
    if booked is None:
        return []
    now, marks = event.ts_ns, event.marks
    key = key_of(event.account, event.instrument)
    before = state.positions.get(key)
    current = equity(state, marks)
    change = portfolio.change_of(state, event, before, booked)
    after = current + change
    facts: list[f.Fact] = [booked, *reconcile.fill_facts(state, event)]
    if after > state.peak:
        facts.append(f.PeakRaised(after))
    trips = breaker.booking_trips(state, now, after, booked.strategy, marks, change)
    trips += breaker.forced_trip(state, now, event)
    if booked.status is Status.PARTIALLY_FILLED:
        facts += orders.partly(state, event.order_id)
    if booked.trade is not None and before is not None:
        score = strategies.score(state, booked.trade, before)
        facts.append(score)
        if state.entries:
            facts += orders.rests(state, before)
        trips += breaker.trade_trips(state, now, score.total_streak)
    if state.failures:
        facts += breaker.failure_facts(state, now)
    if trips:
        facts += breaker.consequences(state, trips, now, gone=key)
    position = booked.position
    if position is None:
        return facts
    left = risk.uncovered(state, position, event.order_id, event.quantity)
    flat = flat_reason(state, position, trips)
    if flat:
        return facts + orders.reduction(state, position, flat, left, now)
    late = orders.killed_late(state, event, position, left)
    if late:
        return facts + late
    return facts + ([] if trips else margin_facts(state, position, marks, now, left))


def flat_reason(
    state: State, position: Position, trips: Sequence[f.BreakerTripped] = ()
) -> Reason | None:
    """Say why a position may not stay open: a trip or an operator that flattens, or a stopped
    strategy.

    Each holds until it is reset, so that what fills after it is closed too.
    """
    if trips or state.trips:
        scopes = [trip.scope for trip in trips if trip.action == "flatten"]
        scopes += [trip.scope for trip in state.trips.values() if trip.action == "flatten"]
        if "" in scopes or position.strategy in scopes:
            return "breaker"
    if state.flattening:
        return "operator"
    record = state.strategies.get(position.strategy)
    return "operator" if record is not None and record.status == "stopped" else None


def on_order_report(state: State, event: e.OrderReport) -> list[f.Fact]:
    """Take the venue's word on an order; count failures."""
    facts: list[f.Fact] = list(orders.on_report(state, event))
    if facts:
        status = orders.REPORTED[event.state]
        first = facts[0]
        if type(first) is f.OrderChanged and status is first.status:
            facts += orders.killed(state, state.orders[event.order_id], status, event.ts_ns)
        if status in FAILED:
            counted = breaker.failure_facts(state, event.ts_ns, event.order_id)
            if any(type(fact) is f.BreakerTripped for fact in counted):
                facts = [fact for fact in facts if not orders.adds(fact)]  # no retry past a trip
            facts += counted
        elif state.failures and status is Status.ACCEPTED:
            facts += breaker.failure_facts(state, event.ts_ns)
    return facts


def on_funding(state: State, event: e.FundingReport) -> list[f.Fact]:
    """Book funding, and trip what it reaches."""
    booked = portfolio.book_funding(state, event)
    if booked is None:
        return []
    position = booked.position
    after = equity(state, event.marks) - event.amount
    facts: list[f.Fact] = [booked]
    if after > state.peak:
        facts.append(f.PeakRaised(after))
    owner = position.strategy if position is not None else ADOPTED
    trips = breaker.booking_trips(state, event.ts_ns, after, owner, event.marks, -event.amount)
    if trips:
        return facts + breaker.consequences(state, trips, event.ts_ns)
    if position is None:
        return facts
    left = risk.uncovered(state, position)
    return facts + margin_facts(state, position, event.marks, event.ts_ns, left)


def on_transfer(state: State, event: e.TransferReport) -> list[f.Fact]:
    """Book money that was moved at the venue, once: it has happened and cannot be refused.

    What is left may have reached a limit, because a loss weighs more in it, or may not carry the
    entries that work. Before the first agreement nobody knows what the account holds.
    """
    if f"{event.account}/{event.name}" in state.trade_ids:
        return []
    if event.account in state.unreconciled and event.account not in state.agreed:
        return [f.CashMoved(event.amount, "the venue")]
    facts = portfolio.move_cash(state, event.marks, event.amount, "the venue")
    trips = breaker.moved_trips(state, event.ts_ns, event.marks, event.amount)
    if trips:
        return facts + breaker.consequences(state, trips, event.ts_ns)
    if event.amount < ZERO and -event.amount > portfolio.free_balance(state, event.marks):
        facts += orders.cancel_entries(state, "withdrawal")
    return facts


def on_level(state: State, event: e.LevelHit) -> list[f.Fact]:
    """Act on an engine level that the market reached; a dead level is ignored."""
    if event.kind == "equity":
        if event.scope:
            pnl = strategy_pnl(state, event.scope, event.marks)
            trips = breaker.strategy_trips(state, event.ts_ns, event.scope, pnl)
        else:
            trips = breaker.equity_trips(state, event.ts_ns, equity(state, event.marks))
        return breaker.consequences(state, trips, event.ts_ns)
    position = state.positions.get(event.scope)
    if position is None:
        return []
    if event.kind == "silence":
        return [
            f.HealthChanged(
                position.account, position.instrument, position.health, True, "no price"
            )
        ]
    left = risk.uncovered(state, position)
    return margin_facts(state, position, event.marks, event.ts_ns, left)


def margin_facts(
    state: State, position: Position, marks: Marks, now_ns: int, left: Decimal
) -> list[f.Fact]:
    """Hold a position's margin against its thresholds: watch, reduce by half, close.

    `left` is what no close on its way takes.
    """
    mark = portfolio.mark_of(state, position.instrument, marks)
    if mark is None:
        return []
    health = portfolio.health_at(state, position, mark)
    if health == position.health and not position.stale:
        return []
    facts: list[f.Fact] = [
        f.HealthChanged(position.account, position.instrument, health, False, f"mark {mark:f}")
    ]
    worse = portfolio.ORDER.index(health) > portfolio.ORDER.index(position.health)
    if worse and health == "critical":
        facts += orders.reduction(state, position, "margin", left, now_ns)
    elif worse and health == "danger":
        rule = state.instruments.get(position.instrument, BARE)
        half = rule.quantity_down(position.quantity / 2)
        part = half - (position.quantity - left)
        facts += orders.reduction(state, position, "margin", part, now_ns)
    return facts


def on_timer(state: State, event: e.TimerEvent) -> list[f.Fact]:
    """Check every position on the health timer; the day begins by itself.

    What may not stay open and has no close on its way, because one failed, is closed again.
    """
    facts: list[f.Fact] = []
    if event.kind == "health":
        for position in state.positions.values():
            left = risk.uncovered(state, position)
            flat = flat_reason(state, position)
            mark = portfolio.mark_of(state, position.instrument, event.marks)
            if flat is None and position.health == "critical" and mark is not None:
                # its close was submitted when it became so; one that recovered is left alone
                still = portfolio.health_at(state, position, mark) == "critical"
                flat = "margin" if still else None
            again = targets.due(state, position, event.ts_ns) if flat is None else ZERO
            if flat is not None and left > ZERO:
                facts += orders.reduction(state, position, flat, left, event.ts_ns)
            elif again:
                facts += orders.reduction(state, position, "signal", again, event.ts_ns, attempt=1)
            elif any(name == position.instrument for name, _ in event.marks):
                # a price that is only remembered says nothing new, and keeps it stale
                facts += margin_facts(state, position, event.marks, event.ts_ns, left)
        if state.targets:
            facts += targets.cancel_again(state)
    return facts


def on_end(state: State, event: e.EndOfData) -> list[f.Fact]:
    """Close what is open at the end of a replay, where asked."""
    if not event.close:
        return []
    return [
        orders.submit_reduction(ticket, event.ts_ns)
        for ticket in risk.flatten(state, "end_of_data")
    ]


def on_retention(state: State, event: e.RetentionEvent) -> list[f.Fact]:
    """Record a deletion of history; it needs no deciding."""
    return [
        f.RetentionApplied(event.what, event.first_seq, event.last_seq, event.reason, event.actor)
    ]


HANDLERS: dict[type, Callable[[State, Any], list[f.Fact]]] = {
    e.ConfigEvent: on_config,
    e.SignalEvent: on_signal,
    e.FillReport: on_fill,
    e.OrderReport: on_order_report,
    e.OrderModified: orders.on_modified,
    e.ModifyNotSent: orders.on_modify_not_sent,
    e.FundingReport: on_funding,
    e.TransferReport: on_transfer,
    e.LevelHit: on_level,
    e.TimerEvent: on_timer,
    e.OperatorEvent: operator.on_operator,
    e.LinkEvent: reconcile.on_link,
    e.OrderStatus: reconcile.on_status,
    e.AccountReport: reconcile.on_account,
    e.Anomaly: reconcile.on_anomaly,
    e.Measured: killswitch.on_measured,
    e.EndOfData: on_end,
    e.RetentionEvent: on_retention,
}
