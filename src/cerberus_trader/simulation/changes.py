"""Changes of resting entries: what is asked for, and what must not be so when something leaves."""

from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.simulation.owners import stopped_strategies

if TYPE_CHECKING:
    from cerberus_trader.simulation.life import Life

MOVES = tuple(map(Decimal, ("-0.1", "0", "0.05", "0.2", "1")))
SHARES = tuple(map(Decimal, ("0.5", "0.9", "0.97", "1", "1.2")))


def draw(rng: Random, order: Order) -> tuple[Decimal, Decimal]:
    """Draw a price, farther from the market or nearer to it, and a quantity, smaller or larger."""
    assert order.price is not None
    move, share = rng.choice(MOVES), rng.choice(SHARES)
    return order.price + move * order.side, order.quantity * share


def word_of(life: "Life", leaving: Order | ModifyOrder) -> str:
    """Say why what adds exposure, or may, should not leave now; empty if it may."""
    if isinstance(leaving, Order):
        return "" if leaving.reduce_only else _stopped(life, leaving.strategy)
    order = life.state.orders.get(leaving.order_id)
    if order is None or order.status not in (Status.ACCEPTED, Status.PARTIALLY_FILLED):
        return "over for its order"
    record = life.state.strategies.get(order.strategy)
    if life.failed or (record is not None and record.status == "paused"):
        return "over" if life.failed else "paused"
    return _stopped(life, order.strategy)


def _stopped(life: "Life", strategy: str) -> str:
    state = life.state
    scopes = [trip.scope for trip in state.trips.values()]
    stopped = state.trading != "active" or "" in scopes or strategy in scopes
    stopped |= strategy in stopped_strategies(state)
    if state.unreconciled:
        return "not reconciled"
    return "stopped" if stopped else ""
