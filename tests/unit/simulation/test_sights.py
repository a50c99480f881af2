"""The checkers of what the engine acts on: each finds nothing in a sound run, and its own fault."""

from decimal import Decimal

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, Event, LinkEvent, TimerEvent
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import Row
from cerberus_trader.simulation import sights as s

D = Decimal


def order(name: str, *, reduce_only: bool = False) -> Order:
    return Order(name, "main", "sim", "ALFA", 1, "market", "entry", D(1), reduce_only=reduce_only)


def row(event: Event, *facts: f.Fact) -> Row:
    return Row(1, event, facts)


def test_an_entry_that_was_approved_before_the_line_was_looked_through() -> None:
    timer = TimerEvent(1, "health")
    enters, exits = f.OrderSubmitted(order("in")), f.OrderSubmitted(order("out", reduce_only=True))
    look = row(AccountReport(1, "main", 1, "timer", (), (), D(1)))
    for state in ("connecting", "connected", "lost"):
        line = row(LinkEvent(1, "main", state))  # type: ignore[arg-type]
        assert list(s.opened_unseen([line, row(timer, exits), look, row(timer, enters)])) == []
        found = list(s.opened_unseen([look, line, row(timer, enters), look]))
        assert found == [f"order in was approved, the line was {state} and no look came"]
