"""A stop that is missing at its venue: what its position counts while it is being closed."""

from decimal import Decimal as D

from cerberus_trader.domain.events import AccountReport, OrderReport
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.order import Status
from cerberus_trader.engine.intake import unstopped
from tests.kit import SECOND, Bench


def test_a_position_whose_stop_is_missing_counts_with_its_margin_until_it_is_closed() -> None:
    bench = Bench()
    bench.open(stop="98")
    held, group = bench.state.positions["main/COIN"], bench.state.instruments["COIN"].group
    there = VenuePosition("COIN", 1, held.quantity, held.cost, held.margin, D(5))

    def look() -> None:
        bench.now += 10 * SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), (there,)))

    look()
    assert unstopped(bench.state, group) == 0, "its absence was seen once"
    look()
    assert unstopped(bench.state, group) == held.margin - held.risk > 0
    assert unstopped(bench.state, "another") == 0


def test_a_stop_of_which_nobody_knows_counts_as_missing_and_is_asked_about() -> None:
    bench = Bench()
    bench.open(stop="98")
    held, group = bench.state.positions["main/COIN"], bench.state.instruments["COIN"].group
    stop = held.id[:-1] + "s"
    bench.take(OrderReport(bench.now, stop, "canceled"))
    assert unstopped(bench.state, group) == held.margin - held.risk
    bench.take(OrderReport(bench.now, stop, "accepted"))
    assert unstopped(bench.state, group) == 0
    bench.close("101", quantity=held.quantity / 2, leaves=D(0), order_id="part", margin=held.margin,
                take_profit=D(120))  # fmt: skip
    assert bench.state.orders[stop].status is Status.UNKNOWN, "the fill told of none"
    assert bench.state.orders[held.id[:-1] + "t"].status is Status.ACCEPTED
    left = bench.state.positions["main/COIN"]
    assert unstopped(bench.state, group) == left.margin - left.risk > 0
