"""A stop that is missing at its venue: what its position counts while it is being closed."""

from decimal import Decimal as D

from cerberus_trader.domain.events import AccountReport
from cerberus_trader.domain.execution import VenuePosition
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
