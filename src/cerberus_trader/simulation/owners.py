"""Checkers of what belongs to which strategy: places, results, limits, what it must give up."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.money import brief
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import Row
from cerberus_trader.engine.state import ADOPTED, State, StrategyState

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
TOLERANCE = Decimal("0.01")
Sums = tuple[Decimal, Decimal, Decimal]


def stopped_strategies(state: State) -> list[str]:
    """Return the strategies that an operator has stopped."""
    return [name for name, record in state.strategies.items() if record.status == "stopped"]


def must_close(state: State) -> Iterator[str]:
    """Every position that a flatten, of its strategy or of all, or a signal has not closed yet.

    A part of an entry that rests is closed when it fills.
    """
    scopes = [trip.scope for trip in state.trips.values() if trip.action == "flatten"]
    scopes += stopped_strategies(state)
    everything = state.flattening or "" in scopes
    for position in state.positions.values():
        if everything or position.strategy in scopes:
            yield f"{position.instrument} of {position.strategy} is to be closed"
    for place, target in state.targets.items():
        coming = [state.orders[name] for name in target.entries if name in state.orders]
        rest = sum((order.quantity - order.filled for order in coming), ZERO)
        held = state.positions[place].quantity if place in state.positions else ZERO
        if min(held, target.of - rest) > ZERO or target.owed >= rest:
            yield f"signals have closed {target.owed} of {place}, which is open"


def own_places(world: "World", entries: dict[str, Order]) -> Iterator[str]:
    """What a strategy's entry opened is its own, with us as at the venue; nobody else enters it."""
    assert world.life is not None
    state, venue = world.life.state, world.venue
    for position in state.positions.values():
        held = venue.positions.get(position.instrument)
        opened = entries.get(held.owner) if held is not None else None
        if position.strategy == ADOPTED and world.blank:
            continue  # nothing told whose it was, and the same signal came again
        if opened is not None and opened.strategy != position.strategy:
            yield f"{position.instrument} is {opened.strategy}'s, not {position.strategy}'s"
    if not world.surprised:
        for name in venue.intruders:
            yield f"order {name} entered a place that another strategy had taken"


def others_go_on(rows: list[Row]) -> Iterator[str]:
    """What stops one strategy closes and cancels nothing of another's in the same row."""
    owners: dict[str, str] = {}
    for row in rows:
        scopes = [x.scope for x in row.facts if type(x) is f.BreakerTripped]
        scopes += [x.strategy for x in row.facts if type(x) is f.StrategyChanged]
        for fact in row.facts:
            name = ""
            if type(fact) is f.OrderSubmitted:
                name, owners[fact.order.id] = fact.order.id, fact.order.strategy
            elif type(fact) is f.CancelRequested:
                name = fact.order_id
            owner = owners.get(name, "")
            if owner and scopes and "" not in scopes and owner not in scopes:
                yield f"order {name} of {owner} in a row that stops {scopes[0]}"


def own_limits(world: "World") -> Iterator[str]:
    """No strategy had more places at the venue than it was ever allowed."""
    if world.surprised:
        return
    for name, most in world.venue.most_of.items():
        if most > world.places_of.get(name, 0):
            yield f"{name} had {most} places, {world.places_of.get(name, 0)} were allowed"


def own_results(world: "World") -> Iterator[str]:
    """Each strategy has the results that its own positions had at the venue."""
    assert world.life is not None
    if world.surprised:
        return
    records, theirs = world.life.state.strategies, world.venue.results
    for name in dict.fromkeys([*records, *theirs]):
        if not name and world.troubles.others:
            continue  # a person's, elsewhere
        ours = records.get(name, StrategyState()).booked
        if abs(ours - theirs.get(name, ZERO)) > TOLERANCE:
            yield f"{name} has earned {theirs.get(name, ZERO)} at the venue, {ours} with us"


def summed(state: State) -> Iterator[str]:
    """What is kept of strategies and of the account is the sum of orders and positions."""
    records = state.strategies
    for name in dict.fromkeys([*records, *(p.strategy for p in state.positions.values())]):
        record = records.get(name, StrategyState())
        own = [p for p in state.positions.values() if p.strategy == name]
        gross = sum((p.cost for p in own), ZERO)
        books = {p.instrument: (p.sign * p.quantity, p.sign * p.cost) for p in own}
        if (record.positions, record.gross, record.books) != (len(own), gross, books):
            yield f"{name} does not hold the sum of its positions"
    c = state.counters
    if sum((x.booked for x in records.values()), ZERO) != c.realised - c.fees - c.funding:
        yield "the results of the strategies are not those of the account"
    if reserved(state) != state.reserved:
        yield f"reserved is {state.reserved}, the entries come to {reserved(state)}"


def reserved(state: State) -> dict[str, Sums]:
    """Sum by instrument what working entries may still take: notional, risk, margin."""
    sums: dict[str, Sums] = {}
    for order in state.orders.values():
        if order.reduce_only:
            continue
        share = (order.quantity - order.filled) / order.quantity
        left = brief(order.notional * share) if order.filled else order.notional
        risk = brief(order.risk * share) if order.filled else order.risk
        before = sums.get(order.instrument, (ZERO, ZERO, ZERO))
        sums[order.instrument] = (
            before[0] + left, before[1] + risk, before[2] + brief(left / order.leverage)
        )  # fmt: skip
    return sums
