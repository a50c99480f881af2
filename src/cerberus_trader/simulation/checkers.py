"""The checkers: what must hold after every run, told from the venue's ledger and the journal.

They stand outside of the engine: the venue says what really happened, the journal what the engine
wrote. Each violation is one sentence.
"""

import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, TransferReport
from cerberus_trader.domain.order import TERMINAL, WORKING, Order, Status, may_follow
from cerberus_trader.domain.position import protective_ids
from cerberus_trader.domain.row import Row, decode_row, encode_row
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import ADOPTED, State, equity, state_hash
from cerberus_trader.runtime.runner import STALL_S
from cerberus_trader.simulation.attempts import attempts_alike
from cerberus_trader.simulation.bare import bare_is_closed
from cerberus_trader.simulation.differences import (
    corrections_explained,
    expected,
    seen_often_enough,
    stood_long_enough,
)
from cerberus_trader.simulation.exits import closes_close, exits_granted, exits_leave
from cerberus_trader.simulation.obeyed import (
    late_fills_close,
    stops_empty,
    stops_hold,
    told_to_cancel,
)
from cerberus_trader.simulation.owners import (
    must_close,
    others_go_on,
    own_limits,
    own_places,
    own_results,
    summed,
)
from cerberus_trader.simulation.sights import fresh_when_approved, fresh_when_sent, opened_unseen
from cerberus_trader.simulation.trips import forced_closes_trip, losses_trip, unexplained_freezes

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
TOLERANCE = Decimal("0.01")
DENIED = "the venue denied it twice"
NO_PROFIT = "no profit order"
EPSILON_S = 1e-6


def check(world: "World") -> list[str]:
    """Return every violation of a run that has settled."""
    rows = [decode_row(row.body, place=f"row {row.seq}") for row in world.disk.rows]
    found = [
        *durable_first(world, rows),
        *durable_changes(world, rows),
        *once_at_the_venue(world, rows),
        *proven_over(world, rows),
        *judged_once(rows),
        *nothing_when_stopped(world),
        *opened_unseen(rows),
        *bare_is_closed(world, rows),
        *fresh_when_approved(world, rows),
        *fresh_when_sent(world, rows),
        *forced_closes_trip(rows),
        *unexplained_freezes(world, rows),
        *stops_cancel(rows),
        *others_go_on(rows),
        *stops_hold(world, rows),
        *late_fills_close(rows),
        *attempts_alike(rows),
        *exits_pass(rows),
        *exits_leave(world, rows),
        *exits_granted(world, rows),
        *fills_once(world, rows),
        *transfers_once(world, rows),
        *nothing_amiss(world, rows),
        *seen_often_enough(rows),
        *stood_long_enough(rows),
        *corrections_explained(world, rows),
        *lawful(rows),
        *replayed(world, rows),
    ]
    if world.life is not None and world.life.alive:
        found += [*agreement(world), *balanced(world.life.state, world.remember_max)]
        entries = {order.id: order for order in orders_of(rows)}
        found += [*own_places(world, entries), *own_limits(world), *own_results(world)]
        found += [*summed(world.life.state), *must_close(world.life.state)]
        found += [*stops_empty(world, rows, entries), *closes_close(world, rows)]
    return found


def durable_first(world: "World", rows: list[Row]) -> Iterator[str]:
    """Every order at the venue was durable in the journal before it left.

    Reducing orders may leave earlier when the disk has stalled. Orders of rows that a restored
    backup did not have are left out: they may have been sent again, under the same id.
    """
    lost = {order.id for order in orders_of(lost_rows(world))}
    times: dict[str, float] = {}
    written: dict[str, float] = {}
    for row, when, at in zip(rows, world.disk.times, world.disk.appended, strict=True):
        for fact in row.facts:
            if type(fact) is f.OrderSubmitted:
                times[fact.order.id], written[fact.order.id] = when, at
    for when, order, _ in world.sent:
        if order.id in lost:
            continue
        if order.id not in times:
            if not order.reduce_only:
                yield f"order {order.id} was sent and is not in the journal"
            continue
        early = times[order.id] - when
        waited = when - written[order.id]
        if early > 0 and not order.reduce_only:
            yield f"order {order.id} was sent {early:.3f} s before it was durable"
        elif any(when < start < written[order.id] for start in world.starts):
            continue  # an earlier life sent it, past a stalled disk, and its row was lost
        elif early > 0 and order.id in world.calm and waited < STALL_S - EPSILON_S:
            yield f"order {order.id} waited only {waited:.3f} s for a stalled disk"


def durable_changes(world: "World", rows: list[Row]) -> Iterator[str]:
    """Every change of an entry was durable in the journal before it left, whatever the disk does.

    Those of rows that a restored backup did not have are left out.
    """
    lost = {change for _, change in changes_of(lost_rows(world))}
    first: dict[tuple[str, Decimal, Decimal], float] = {}
    for number, change in changes_of(rows):
        first.setdefault(change, world.disk.times[number])
    for when, sent, _ in world.changed:
        change = (sent.order_id, sent.price, sent.quantity)
        if change in lost:
            continue
        if change not in first:
            yield f"a change of {sent.order_id} was sent and is not in the journal"
        elif first[change] > when:
            early = first[change] - when
            yield f"a change of {sent.order_id} was sent {early:.3f} s before it was durable"


def changes_of(rows: list[Row]) -> Iterator[tuple[int, tuple[str, Decimal, Decimal]]]:
    """Every change that was asked for, with its row's index."""
    for number, row in enumerate(rows):
        for fact in row.facts:
            if type(fact) is f.ModifyRequested:
                yield number, (fact.order_id, fact.price, fact.quantity)


def once_at_the_venue(world: "World", rows: list[Row]) -> Iterator[str]:
    """Each order is at the venue at most once, each signal's entry at most as approved."""
    for order_id, count in world.venue.accepted.items():
        if count > 1:
            yield f"the venue took order {order_id} {count} times"
    known: dict[str, Order] = {}
    approved: dict[str, Decimal] = {}
    traded: dict[str, Decimal] = {}
    for order in orders_of([*lost_rows(world), *rows]):
        before = approved.get(order.signal_id, ZERO)
        known[order.id] = order
        if order.reduce_only or order.attempt:
            continue
        # a lost one, sent again: the venue took either; without any memory it may take both
        approved[order.signal_id] = (
            before + order.quantity if world.blank else max(before, order.quantity)
        )
    for order_id, live in world.venue.orders.items():
        entry = known.get(order_id)
        if entry is not None and not entry.reduce_only:
            traded[entry.signal_id] = traded.get(entry.signal_id, ZERO) + live.filled
    for signal, quantity in traded.items():
        if quantity > approved.get(signal, ZERO):
            yield f"signal {signal} traded {quantity}, approved were {approved.get(signal, ZERO)}"


def proven_over(world: "World", rows: list[Row]) -> Iterator[str]:
    """What two denials have ended never arrives afterwards: nothing may be left on its way.

    Where the clock differs by more than is configured, or a history was lost, nothing proves it.
    """
    if world.skewed or world.disk.lost:
        return
    arrived = {order.id: ts_ns for ts_ns, order in world.venue.arrived}
    for row, at in zip(rows, world.disk.appended, strict=True):
        then_ns = world.wall.epoch_ns + int(at * 1e9)
        denied = [x for x in row.facts if type(x) is f.OrderChanged and x.reason == DENIED]
        for fact in denied:
            if arrived.get(fact.order_id, 0) > then_ns:
                yield f"order {fact.order_id} arrived after it was held for over"


def judged_once(rows: list[Row]) -> Iterator[str]:
    """A signal is judged once, however often it comes, while it is remembered."""
    judged: dict[str, int] = {}
    number, remembered = 0, sys.maxsize
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                remembered = min(remembered, fact.settings.intake.remember_max)
            elif type(fact) is f.SignalJudged:
                number += 1
                name = fact.decision.signal_id
                if number - judged.get(name, -remembered) <= remembered:
                    yield f"signal {name} was judged twice"
                judged[name] = number


def lost_rows(world: "World") -> list[Row]:
    """Return the rows that a restored backup did not have."""
    return [decode_row(row.body, place=f"lost row {row.seq}") for row in world.disk.lost]


def orders_of(rows: list[Row]) -> Iterator[Order]:
    """Every order that was ever submitted."""
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.OrderSubmitted:
                yield fact.order


def nothing_when_stopped(world: "World") -> Iterator[str]:
    """Nothing that adds exposure leaves while trading is stopped or the breaker is open."""
    for when, order, word in world.sent:
        if word:
            yield f"order {order.id} left at {when:.3f} s while trading was {word}"
    for when, change, word in world.changed:
        if word:
            yield f"a change of {change.order_id} left at {when:.3f} s while trading was {word}"


def stops_cancel(rows: list[Row]) -> Iterator[str]:
    """A halt, a trip or a person asks in the same row for the end of every entry that it stops."""
    entries: dict[str, str] = {}
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.OrderChanged and fact.status in TERMINAL:
                entries.pop(fact.order_id, None)
            elif type(fact) is f.Filled and isinstance(row.event, FillReport):
                if fact.status in TERMINAL:
                    entries.pop(row.event.order_id, None)
            elif type(fact) is f.CancelRequested:
                entries.pop(fact.order_id, None)
        for scope in (told_to_cancel(row), *map(scope_of_stop, row.facts)):
            left = [name for name, owner in entries.items() if scope in ("", owner)]
            if left:
                yield f"{left[0]} was left working by a stop"
        for fact in row.facts:
            if type(fact) is f.OrderSubmitted and not fact.order.reduce_only:
                entries[fact.order.id] = fact.order.strategy


def scope_of_stop(fact: f.Fact) -> str | None:
    """Return whose entries a fact stops: a strategy's, empty for all, None for nobody's."""
    if type(fact) is f.TradingStateChanged:
        return "" if fact.state == "halted" else None
    if type(fact) is f.StrategyChanged:
        return fact.strategy if fact.status == "stopped" else None
    return fact.scope if type(fact) is f.BreakerTripped else None


def exits_pass(rows: list[Row]) -> Iterator[str]:
    """What reduces exposure is never held back by the gate."""
    reducing = {order.id for order in orders_of(rows) if order.reduce_only}
    for row in rows:
        for fact in row.facts:
            held_back = type(fact) is f.OrderChanged and fact.status is Status.NOT_SENT
            if held_back and fact.order_id in reducing:  # type: ignore[union-attr]
                yield f"the gate held back an exit: {fact}"


def fills_once(world: "World", rows: list[Row]) -> Iterator[str]:
    """Every fill of the venue is booked exactly once, as it was.

    What a person traded before the engine ever agreed with the venue is none of its fills.
    """
    booked: dict[str, FillReport] = {}
    for row in rows:
        event = row.event
        if type(event) is FillReport and any(type(fact) is f.Filled for fact in row.facts):
            if event.trade_id in booked:
                yield f"fill {event.trade_id} was booked twice"
            booked[event.trade_id] = event
    real = {b.trade_id: b for _, b in world.venue.bookings if isinstance(b, FillReport)}
    for trade_id, fill in booked.items():
        theirs = real.get(trade_id)
        if theirs is None:
            yield f"fill {trade_id} was booked and never happened"
        elif (theirs.quantity, theirs.price, theirs.fee) != (fill.quantity, fill.price, fill.fee):
            yield f"fill {trade_id} was booked with another content"
    if not world.failures and not world.disk.lost:
        first = next((x.venue_ns for r in rows for x in r.facts if type(x) is f.Reconciled), 0)
        ours = {b.trade_id for ts, b in world.venue.bookings
                if isinstance(b, FillReport) and ts > first
                and b.instrument not in world.venue.outside}  # fmt: skip
        for trade_id in real:
            if trade_id in ours and trade_id not in booked:
                yield f"fill {trade_id} was never booked"


def transfers_once(world: "World", rows: list[Row]) -> Iterator[str]:
    """Money that was moved at the venue is booked exactly once, in its amount.

    What was moved before the first agreement may be in the opening balance.
    """
    booked: dict[str, Decimal] = {}
    first = 0
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.Reconciled:
                first = first or fact.venue_ns
            elif type(row.event) is TransferReport and type(fact) is f.CashMoved:
                if row.event.transfer_id in booked:
                    yield f"transfer {row.event.transfer_id} was booked twice"
                booked[row.event.transfer_id] = fact.amount
    for ts, theirs in world.venue.bookings:
        if isinstance(theirs, TransferReport):
            ours = booked.pop(theirs.transfer_id, None)
            if ours is None and ts > first and not world.failures:
                yield f"transfer {theirs.transfer_id} was never booked"
            elif ours is not None and ours != theirs.amount:
                yield f"transfer {theirs.transfer_id} was booked with {ours}"
    for name in booked:
        yield f"transfer {name} was booked and never happened"


def nothing_amiss(world: "World", rows: list[Row]) -> Iterator[str]:
    """No difference stayed long enough to be acted on, and limits held at the venue itself.

    A person who trades past the engine, or a history that ends before the venue's, makes
    differences, and exposure that it did not choose.
    """
    if world.surprised:
        return
    limit = world.positions_max
    if world.venue.most > limit:
        yield f"{world.venue.most} instruments had exposure at the venue, {limit} were allowed"
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.MismatchFound:
                if expected(world, fact):
                    continue
                if fact.action != "suspected" and fact.kind != "lost_order":
                    yield f"{fact.kind} {fact.place}: {fact.ours} {fact.theirs}, {fact.action}"
            elif type(fact) is f.BalanceCorrected and world.troubles.untold:
                continue  # held against what the venue never told, by a checker of its own
            elif type(fact) in (f.PositionCorrected, f.BalanceCorrected):
                reason = getattr(fact, "reason", "")
                if reason != "the venue's margin" and not (world.drops and reason == NO_PROFIT):
                    yield f"a correction was needed: {reason}"


def lawful(rows: list[Row]) -> Iterator[str]:
    """Statuses follow the table, the engine's time never runs back, deciding never failed."""
    status: dict[str, Status] = {}
    last = 0
    for row in rows:
        if row.event.ts_ns < last:
            yield f"time ran back by {last - row.event.ts_ns} ns"
        last = max(last, row.event.ts_ns)
        for fact in row.facts:
            if type(fact) is f.Faulted:
                yield f"deciding failed: {fact.error} on {fact.event}"
            elif type(fact) is f.OrderSubmitted:
                status[fact.order.id] = Status.SUBMITTED
            elif type(fact) is f.OrderChanged:
                before = status.get(fact.order_id)
                if before is not None and not may_follow(before, fact.status):
                    yield f"order {fact.order_id}: {before.value} became {fact.status.value}"
                status[fact.order_id] = fact.status
            elif type(fact) is f.Filled and type(row.event) is FillReport:
                if status.get(row.event.order_id) is not Status.PENDING_CANCEL:
                    status[row.event.order_id] = fact.status
                for leg in protective_ids(fact.position_id):  # held anew, as the fill tells of it
                    status.pop(leg, None)
            elif type(fact) is f.CancelRequested and fact.order_id in status:
                status[fact.order_id] = Status.PENDING_CANCEL


def gains(state: State) -> tuple[Decimal, ...]:
    """Return what money coming in or going out must leave alone: the day's P&L, the fall, gains."""
    now, counters = equity(state), state.counters
    return now - state.day_equity, state.peak - now, counters.realised, counters.corrections


def replayed(world: "World", rows: list[Row]) -> Iterator[str]:
    """Deciding again gives the same facts, and folding them the same state."""
    again, folded = Engine(), State()
    for number, row in enumerate(rows, 1):
        step = again.step(row.event)
        if encode_row(row.event, step.facts) != world.disk.rows[number - 1].body:
            yield f"row {number} ({type(row.event).__name__}) is decided otherwise a second time"
            return
        advance(folded, row.event)
        for fact in row.facts:
            before = gains(folded) if type(fact) is f.CashMoved else None
            apply(folded, row.event, fact)
            if before is not None and gains(folded) != before:
                yield f"row {number}: money that was moved counts as a gain or loss"
        yield from losses_trip(folded, row)
    if state_hash(again.state) != state_hash(folded):
        yield "the folded state differs from the decided one"
    life = world.life
    whole = life is not None and life.alive and life.journal.last_seq == len(rows)
    if life is not None and whole and state_hash(life.state) != state_hash(folded):
        yield "the living state differs from its own journal"


def agreement(world: "World") -> Iterator[str]:
    """After healing both sides hold the same: positions, working orders, cash."""
    assert world.life is not None
    state, venue = world.life.state, world.venue
    ours = {p.instrument: p.sign * p.quantity for p in state.positions.values()}
    theirs = {
        name: held.quantity for name, held in venue.positions.items() if name not in venue.outside
    }
    if ours != theirs:
        yield f"positions differ: {ours} with us, {theirs} at the venue"
    protective = ("stop", "take_profit", "trailing")
    working = {
        o.id: (o.price, o.quantity) for o in state.orders.values() if o.kind not in protective
    }
    there = {
        name: (live.order.price, live.order.quantity)
        for name, live in venue.orders.items()
        if live.state == "working" and live.order.instrument not in venue.outside
    }  # fmt: skip
    if working != there:
        yield f"orders differ: {working} with us, {there} at the venue"
    yield from stops_differ(world)
    if abs(state.balance - venue.balance) > TOLERANCE:
        yield f"balances differ: {state.balance} with us, {venue.balance} at the venue"
    if sum(venue.ledger.values()) != ZERO:
        yield "the venue's own ledger does not sum to zero"


def stops_differ(world: "World") -> Iterator[str]:
    """Every stop is where the venue has it; one that was found there stays the venue's.

    One for a part is enough where a trailing stop is for all.
    """
    assert world.life is not None
    state, venue = world.life.state, world.venue
    for position in state.positions.values():
        held = venue.positions.get(position.instrument)
        if held is None or position.strategy == ADOPTED:  # found there: its levels stay theirs
            continue
        entry = venue.orders.get(held.owner)
        asked = entry is not None and entry.order.side == held.sign
        bracket = entry.order.bracket if entry is not None and asked else None
        if bracket is not None and bracket.protects and held.stop is held.trailing is None:
            yield f"position {position.id} has no stop, and was to have one"
        elif held.trailing is None and held.stopped and held.stopped < abs(held.quantity):
            yield f"the stop of {position.id} is for {held.stopped} of {held.quantity}"
        elif (position.stop, position.trailing) != (held.stop, held.trailing):
            ours, there = (position.stop, position.trailing), (held.stop, held.trailing)
            yield f"stops of {position.id} differ: {ours} with us, {there} there"


def balanced(state: State, remember_max: int) -> Iterator[str]:
    """Cash is exactly what flowed in, was earned, and was paid."""
    c = state.counters
    if state.balance != state.flows + c.realised - c.fees - c.funding + c.corrections:
        yield "the ledger does not sum to zero"
    for order in state.orders.values():
        if order.status not in WORKING:
            yield f"order {order.id} is held and {order.status.value}"
    if len(state.seen) > remember_max:  # a smaller one acts at the next signal
        yield "the memory of signals grew past its bound"
