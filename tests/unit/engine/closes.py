"""What the tests of closes of signals share: an account at a venue outside, refusals, beats."""

from decimal import Decimal
from typing import Any

from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import AccountReport, OrderReport, TimerEvent
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.engine import Step
from tests.kit import SECOND, Bench, D, settings, submitted

PLACE = "main/COIN"


def outside(chosen: Any = None) -> Bench:
    """Return a bench whose account is at a venue outside, and agrees with it."""
    bench = Bench(chosen)
    bench.state.agreed["main"] = bench.now
    return bench


def refuse(bench: Bench, order: Order, state: str = "rejected", **fields: Any) -> Step:
    """Let the venue end an order for good; what it had filled is told along."""
    said: Any = state
    if state in ("canceled", "expired"):
        fields.setdefault("filled", bench.state.orders[order.id].filled)
    return bench.take(OrderReport(bench.now, order.id, said, "not now", **fields))


def beat(bench: Bench, after_s: int = 300) -> list[Decimal]:
    """Let the health timer beat after a while; return what is sent."""
    bench.now += after_s * SECOND
    step = bench.take(TimerEvent(bench.now, "health"))
    return [c.order.quantity for c in step.commands if isinstance(c, SubmitOrder)]


def look(bench: Bench, quantity: Decimal, name: str = "", *orders: VenueOrder) -> Step:
    """Let the venue tell what it holds, negative for a short position."""
    bench.now += 30 * SECOND
    sign, size = (1 if quantity > 0 else -1), abs(quantity)
    held = (VenuePosition("COIN", sign, size, 100 * size, D(20), D(5), name),) if quantity else ()
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", orders, held))


def closing(part: str | None = None) -> tuple[Bench, Order]:
    """Return a bench with a position of 20 that a signal has closed, and its close."""
    bench = outside()
    bench.open(stop="98")
    assert bench.state.positions[PLACE].quantity == D(20)
    asked = {"quantity": D(part)} if part else {}
    return bench, submitted(bench.signal("close", **asked))


def adding() -> Bench:
    """Return a bench whose strategy adds to what it holds."""
    strategies = {"default": Strategy(sources=("*",), add=True)}
    return outside(settings(strategies=strategies, risk={"group_risk_max": D(1)}))


def latest(bench: Bench) -> Order:
    """Return the close that is on its way."""
    return [o for o in bench.state.orders.values() if not o.protective][-1]
