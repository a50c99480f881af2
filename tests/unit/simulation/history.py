"""Histories by hand: rows at chosen times, and a world that has nothing but them."""

from decimal import Decimal
from random import Random
from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event, FillReport, OperatorEvent, SignalEvent
from cerberus_trader.domain.order import Bracket, Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.row import Row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.held import Held
from cerberus_trader.simulation.venue import SimVenue
from cerberus_trader.simulation.world import World

D = Decimal
THREE = D(3)


def row(event: Event, *facts: f.Fact) -> Row:
    return Row(1, event, facts)


def said(command: Any, target: str = "", *facts: f.Fact) -> Row:
    """Return the row of an operator's command."""
    return row(OperatorEvent(1, command, "me", target=target), *facts)


def entry(name: str = "1e", **fields: Any) -> Order:
    """Return an entry of the strategy a with a stop."""
    fields = {"bracket": Bracket(stop_pct=D(1)), "signal_id": "s" + name[0], **fields}
    return Order(name, "main", "a", "ALFA", 1, "market", "entry", D(3), **fields)


def leave(name: str = "2x", closes: str = "1e", **fields: Any) -> Order:
    """Return the close of what an entry has opened."""
    fields = {"quantity": D(3), "reduce_only": True, "closes": closes, **fields}
    return Order(name, "main", "a", "ALFA", -1, "market", "signal", **fields)


def asked(side: Any, *facts: f.Fact, **fields: Any) -> Row:
    """Return the row of a signal."""
    return row(SignalEvent(1, Signal("s1", 1, "ALFA", side, 0.7, "a", **fields), None), *facts)


def submitted(order: Order) -> f.OrderSubmitted:
    return f.OrderSubmitted(order)


def fill(order: Order, quantity: Decimal = THREE, trade: str = "t1") -> FillReport:
    return FillReport(1, order.id, trade, "main", order.instrument, order.side, quantity, D(100),
                      D(0), "taker", order.reason, D(1), D(0))  # fmt: skip


def filled(order: Order, quantity: Decimal = THREE, *facts: f.Fact, trade: str = "t1") -> Row:
    """Return the row of a fill that opens a position, or adds to one."""
    held = Position(order.id, "main", order.strategy, order.instrument, order.side, quantity,
                    quantity * 100, D(1), D(1), 1)  # fmt: skip
    booked = f.Filled(order.strategy, order.id, D(0), held, Status.FILLED)
    return row(fill(order, quantity, trade), booked, *facts)


def ended(order: Order, status: Status = Status.REJECTED) -> f.OrderChanged:
    return f.OrderChanged(order.id, status)


def world_of(*rows: Row) -> World:
    """Return a world whose rows were written a second apart, durable at once, with a line."""
    world = World(1, Faults(), 1.0)
    world.venue = SimVenue(world.items, D(1), Random(1), lambda: 0, lambda s, call: None)
    world.disk.appended = [float(number) for number in range(len(rows))]
    world.disk.times = list(world.disk.appended)
    world.lines = [(-9.0, True)]
    return world


def hold(world: World, order: Order, quantity: Decimal = THREE) -> None:
    """Let the venue hold what an entry has opened."""
    held = world.venue.positions[order.instrument] = Held(order.id, D(1))
    held.quantity = quantity
