"""Protective orders that their venue drops: it is found out, and the position is closed."""

from decimal import Decimal as D

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, OrderReport, OrderStatus
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Status
from tests.kit import SECOND, Bench, of, settings, submitted


def opened() -> tuple[Bench, str]:
    """Open a position with a stop at the venue; return the bench and the stop's id."""
    bench = Bench(settings(orders={"retries_max": 0}))
    order = bench.open(stop="98")
    return bench, order.id[:-1] + "s"


def look(bench: Bench, *orders: VenueOrder) -> list[f.OrderSubmitted]:
    """Look at the account, which holds the position and these orders; return what is submitted."""
    bench.now += 10 * SECOND
    held = bench.state.positions["main/COIN"]
    theirs = VenuePosition("COIN", 1, held.quantity, held.cost, held.margin, held.leverage)
    report = AccountReport(bench.now, "main", bench.now, "timer", orders, (theirs,))
    return of(bench.take(report), f.OrderSubmitted)


def answer(bench: Bench, name: str, word: str) -> list[f.OrderSubmitted]:
    """Let the venue answer for one order; return what is submitted."""
    bench.now += 10 * SECOND
    theirs = VenueOrder(name, "COIN", -1, D(1), word)  # type: ignore[arg-type]
    return of(bench.take(OrderStatus(bench.now, name, bench.now, theirs)), f.OrderSubmitted)


@pytest.mark.parametrize("word", ["canceled", "expired", "rejected"])
def test_a_stop_that_its_venue_ends_is_asked_about_and_its_position_closed(word: str) -> None:
    bench, stop = opened()
    bench.take(OrderReport(bench.now, stop, word, retry=True))  # type: ignore[arg-type]
    assert bench.state.orders[stop].status is Status.UNKNOWN, "the link asks about it at once"
    assert not of(bench.take(OrderReport(bench.now, stop, "canceled")), f.OrderChanged)
    assert not answer(bench, stop, "canceled"), "its position may have closed meanwhile"
    (close,) = answer(bench, stop, "canceled")
    assert close.order.reduce_only and close.order.quantity > 0


def test_a_stop_that_works_all_the_same_is_asked_about_no_more() -> None:
    bench, stop = opened()
    bench.take(OrderReport(bench.now, stop, "canceled"))
    assert not answer(bench, stop, "working")
    assert bench.state.orders[stop].status is Status.ACCEPTED
    bench.now += 10 * SECOND
    theirs = VenueOrder(stop, "COIN", -1, D(1), "working")
    assert not bench.take(OrderStatus(bench.now, stop, bench.now, theirs)).facts


def test_the_close_of_an_unprotected_position_is_tried_until_it_fills() -> None:
    bench, _ = opened()
    assert not look(bench)
    (close,) = look(bench)
    assert not look(bench), "its close is on its way"
    bench.take(OrderReport(bench.now, close.order.id, "rejected", "busy"))
    (again,) = look(bench)
    assert again.order.quantity == close.order.quantity and again.order.id != close.order.id


def test_a_take_profit_that_its_venue_ends_is_let_go() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, take_profit=D(110), stop=D(98))
    profit, stop = order.id[:-1] + "t", order.id[:-1] + "s"
    bench.take(OrderReport(bench.now, profit, "canceled"))
    for _ in range(2):
        assert not look(bench, VenueOrder(stop, "COIN", -1, D(1), "working"))
    assert profit not in bench.state.orders
    assert bench.state.positions["main/COIN"].take_profit is None
