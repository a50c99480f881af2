"""What the close of a signal left open: it is remembered, and closed at the next beat."""

from decimal import Decimal

import pytest

from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import AccountReport, OrderReport, OrderStatus, TimerEvent
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.order import Order
from cerberus_trader.engine.state import State, state_bytes, state_from
from tests.kit import SECOND, Bench, D, changed, submitted

PLACE = "main/COIN"


def refuse(bench: Bench, order: Order, state: str = "rejected") -> None:
    """Let the venue end an order for good."""
    bench.take(OrderReport(bench.now, order.id, state, "not now"))  # type: ignore[arg-type]


def beat(bench: Bench) -> list[Decimal]:
    """Let the health timer beat; return what is sent."""
    bench.now += 5 * SECOND
    step = bench.take(TimerEvent(bench.now, "health"))
    return [c.order.quantity for c in step.commands if isinstance(c, SubmitOrder)]


def owing(part: str | None = None) -> tuple[Bench, Order]:
    """Return a bench with a position that a signal has closed, and its close."""
    bench = Bench()
    bench.open(stop="98")
    asked = {"quantity": D(part)} if part else {}
    return bench, submitted(bench.signal("close", **asked))


@pytest.mark.parametrize("state", ["rejected", "canceled", "expired", "not_sent"])
def test_a_close_that_the_venue_ends_is_asked_for_until_it_is_done(state: str) -> None:
    bench, close = owing()
    for _ in range(3):
        refuse(bench, close, state)
        assert bench.state.owed == {PLACE: close.quantity}
        assert beat(bench) == [close.quantity]
        assert not bench.state.owed and beat(bench) == [], "one is on its way"
        (close,) = [o for o in bench.state.orders.values() if not o.protective]
        assert close.reason == "signal" and close.reduce_only
    bench.fill(close)
    assert not bench.state.positions and not bench.state.owed and beat(bench) == []


def test_retries_come_first() -> None:
    bench, close = owing()
    for attempt in range(bench.state.settings.orders.retries_max):
        step = bench.take(OrderReport(bench.now, close.id, "rejected", "busy", retry=True))
        close = submitted(step)
        assert close.attempt == attempt + 1 and not bench.state.owed and beat(bench) == []
    bench.take(OrderReport(bench.now, close.id, "rejected", "busy", retry=True))
    assert beat(bench) == [close.quantity]


@pytest.mark.parametrize("part", [None, "4"])
def test_a_close_that_never_arrived_is_sent_anew(part: str | None) -> None:
    """It was lost with the requests that a break of the line, or a restart, swallowed."""
    bench, close = owing(part=part)
    bench.take(OrderReport(bench.now, close.id, "unknown", "no answer in time"))
    for _ in range(4):
        bench.now += 5 * SECOND
        bench.take(OrderStatus(bench.now, close.id, bench.now, None))
    assert close.id not in bench.state.orders and beat(bench) == [close.quantity]


def test_what_a_close_has_filled_is_not_owed_also_where_it_is_told_late() -> None:
    bench, close = owing()
    bench.fill(close, quantity=D(3), leaves=close.quantity - 3)
    refuse(bench, close, "canceled")
    rest = close.quantity - 3
    assert bench.state.owed == {PLACE: rest}
    bench.fill(close, quantity=D(2), leaves=D(0))
    assert bench.state.owed == {PLACE: rest - 2} and beat(bench) == [rest - 2]


def test_what_else_closes_a_position_is_not_owed_any_more() -> None:
    bench, close = owing()
    refuse(bench, close)
    bench.close("98")
    assert not bench.state.owed and not bench.state.positions
    bench, close = owing(part="4")
    refuse(bench, close)
    held = bench.state.positions[PLACE]
    bench.close("98", quantity=held.quantity - 1)
    assert bench.state.owed == {PLACE: D(1)}, "no more than is open"


def test_a_fill_through_zero_leaves_another_position_which_nobody_has_closed() -> None:
    bench, close = owing()
    refuse(bench, close)
    bench.close("98", quantity=close.quantity + 1)
    assert bench.state.positions[PLACE].sign == -1 and not bench.state.owed


@pytest.mark.parametrize("how", ["reason", "position"])
def test_only_the_close_of_a_signal_is_owed_and_only_by_its_position(how: str) -> None:
    """Limits, operators and margin ask again by themselves."""
    bench, close = owing()
    if how == "reason":
        bench.state.orders[close.id] = changed(close, reason="breaker")
    else:
        held = bench.state.positions[PLACE]
        bench.state.positions[PLACE] = changed(held, id="another")
    refuse(bench, close)
    assert not bench.state.owed


@pytest.mark.parametrize("fills", [True, False])
def test_an_entry_on_its_way_that_was_closed_is_closed_when_it_fills(fills: bool) -> None:
    bench = Bench()
    entry = submitted(bench.signal())
    close = submitted(bench.signal("close"))
    refuse(bench, close)
    assert bench.state.owed == {PLACE: entry.quantity} and beat(bench) == []
    if fills:
        bench.fill(entry)
        assert beat(bench) == [entry.quantity]
    else:
        refuse(bench, entry)
    assert not bench.state.owed


@pytest.mark.parametrize(
    ("sign", "quantity", "left"), [(1, 2, 2), (1, 50, 50), (-1, 2, 0), (0, 0, 0)]
)
def test_what_the_venue_does_not_hold_is_not_owed(sign: int, quantity: int, left: int) -> None:
    bench, close = owing()
    refuse(bench, close)
    most = min(D(left), close.quantity)
    held = bench.state.positions[PLACE]
    there = (VenuePosition("COIN", sign, D(quantity), D(100 * quantity), D(20), D(5), held.id),)
    for _ in range(2):
        bench.now += 30 * SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), there if sign else ()))
    assert bench.state.owed == ({PLACE: most} if most else {})


def test_what_is_owed_survives_a_restart() -> None:
    bench, close = owing()
    refuse(bench, close)
    again: State = state_from(state_bytes(bench.state))
    assert again.owed == {PLACE: close.quantity}
