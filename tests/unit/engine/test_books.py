"""The books: sums that contain a position are those of the strategy that owns it."""

from decimal import Decimal as D

from cerberus_trader.domain.events import OrderReport
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.state import strategy_pnl
from tests.kit import COIN, Bench, changed, settings, submitted

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


def test_nothing_open_leaves_nothing_reserved_and_no_margin() -> None:
    # thirds and sevenths have no end: what their sums round away must not stay for ever
    strategies = {"a": Strategy(sources=("a",), add=True)}
    bench = Bench(settings(strategies=strategies, leverage=FREE, risk={"group_risk_max": D(1)}))
    orders = [
        submitted(bench.signal(source="a", stop_loss_pct=D(3), price=price))
        for price in ("100", "101", "99")
    ]
    third = COIN.quantity_down(orders[0].quantity / 3)
    for order in orders:
        bench.fill(order, quantity=third, leaves=D(1), margin=order.quantity / 7)
    for order in reversed(orders):
        bench.take(OrderReport(bench.now, order.id, "canceled"))
    assert not bench.state.reserved and not bench.state.entries
    for name, margin in (("OTHER", D(1) / 7), ("THIRD", D(10) / 13)):
        bench.fill(submitted(bench.signal(source="a", instrument=name)), margin=margin)
    for name in ("COIN", "THIRD", "OTHER"):
        bench.close("100", instrument=name)
    assert bench.state.margin == 0


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
