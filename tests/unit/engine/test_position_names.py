"""The names that a venue has for positions: ours where it knows them, or some of its own making."""

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import order_id
from cerberus_trader.engine.engine import Step
from tests.kit import SECOND, Bench, D, of

THEIRS = "COIN-long-77"


def opened() -> tuple[Bench, VenueOrder, VenueOrder]:
    """Open a position with stop and take-profit; return them as the venue lists them."""
    bench = Bench()
    order = bench.open(stop="98")
    held = bench.state.positions["main/COIN"]
    group = order.id[:-1]
    stop = VenueOrder(group + "s", "COIN", -1, held.quantity, "working", D(0), D(98), True)
    profit = VenueOrder(group + "t", "COIN", -1, held.quantity, "working", D(0), D(120), True)
    return bench, stop, profit


def look(bench: Bench, name: str, *orders: VenueOrder, more: int = 0) -> Step:
    """Let the venue tell of the position, under this name."""
    bench.now += 30 * SECOND
    p = bench.state.positions["main/COIN"]
    held = VenuePosition(
        "COIN", p.sign, p.quantity + more, p.cost, p.margin, p.leverage, name
    )  # fmt: skip
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", orders, (held,)))


def test_a_name_of_the_venue_s_own_making_costs_no_stop() -> None:
    """It was taken over, its legs were looked for under it, and the position was closed."""
    bench, stop, _ = opened()
    before = bench.state.positions["main/COIN"]
    for _ in range(4):
        step = look(bench, THEIRS, stop)
        assert not step.commands and of(step, f.Reconciled)
    assert bench.state.positions["main/COIN"] == before


def test_a_stop_that_is_missed_is_missed_under_any_name() -> None:
    bench, _, profit = opened()
    sent = [look(bench, THEIRS, profit).commands for _ in range(2)]
    assert not sent[0] and [c.order.closes for c in sent[1]] == [profit.order_id[:-1] + "e"]


def test_a_position_that_grew_keeps_its_name_and_stop() -> None:
    bench, stop, _ = opened()
    before = bench.state.positions["main/COIN"]
    for _ in range(2):
        look(bench, THEIRS, stop, more=1)
    after = bench.state.positions["main/COIN"]
    assert (after.id, after.stop) == (before.id, D(98))
    assert after.quantity == before.quantity + 1


@pytest.mark.parametrize("ours", [True, False])
def test_another_name_is_taken_where_it_is_ours_or_nothing_of_ours_rests(ours: bool) -> None:
    bench, stop, _ = opened()
    name = order_id(bench.state.engine_id, "main", "default", "of another entry") + "e"
    said, orders = (name, (stop,)) if ours else (THEIRS, ())
    for _ in range(2):
        step = look(bench, said, *orders)
    assert of(step, f.PositionCorrected)
    assert bench.state.positions["main/COIN"].id == said
