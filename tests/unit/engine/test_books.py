"""The books: sums that contain a position are those of the strategy that owns it."""

from decimal import Decimal as D

from cerberus_trader.domain.events import OrderReport
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.state import strategy_pnl
from tests.kit import Bench, changed, settings, submitted

FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
TWO = {"a": Strategy(sources=("a",)), "b": Strategy(sources=("b",))}


def test_a_late_fill_of_one_strategys_order_at_anothers_place_belongs_to_the_owner() -> None:
    bench = Bench(settings(strategies=TWO, leverage=FREE, reconcile={"unexplained": "accept"}))
    late = submitted(bench.signal(source="a"))
    bench.take(OrderReport(bench.now, late.id, "canceled"))
    order = bench.open(source="b")
    bench.fill(late, quantity=D(1))
    records = bench.state.strategies
    assert records["b"].positions == 1 and records["b"].books["COIN"][0] == order.quantity + 1
    assert records["b"].gross == bench.state.positions["main/COIN"].cost
    assert "a" not in records or not (records["a"].books or records["a"].gross)
    bench.fill(changed(late, side=-1), "90", quantity=D(1))
    assert strategy_pnl(bench.state, "b") == bench.state.balance - 10_000 - 10 * order.quantity
    assert strategy_pnl(bench.state, "a") == 0


def test_opposite_positions_in_two_accounts_keep_what_they_gained() -> None:
    bench = Bench(settings(strategies=TWO, leverage=FREE, reconcile={"unexplained": "accept"}))
    order = submitted(bench.signal(source="a"))
    bench.fill(order, "100")
    bench.fill(changed(order, side=-1, account="second"), "110")
    assert bench.state.strategies["a"].positions == 2
    assert strategy_pnl(bench.state, "a") == 10 * order.quantity
    bench.fill(changed(order, side=-1), "105")
    bench.fill(changed(order, account="second"), "105")
    assert bench.state.strategies["a"].books == {}
    assert strategy_pnl(bench.state, "a") == 10 * order.quantity == bench.state.balance - 10_000
