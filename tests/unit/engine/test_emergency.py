"""The emergency stop, by a limit or by a person: entries first, then positions, stops last."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import (
    LevelHit,
    Measured,
    OperatorEvent,
    OrderReport,
    TimerEvent,
)
from cerberus_trader.domain.order import Status, emergency_id, order_id
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.engine.engine import Step
from tests.kit import Bench, changed, decision, of, settings, submitted

SEVERE = {
    "day_loss": {"drawdown_action": "off"},
    "drawdown": {"day_loss_action": "off"},
    "memory_hard": {},
}


def chosen(**breaker: Any) -> Settings:
    """Let trades be large, and only the account's own limits watch them."""
    made = settings(
        risk={"group_risk_max": D(1), "positions_max": 10},
        sizing={"risk_fraction": D("0.5"), "methods": ("risk",)},
        breaker={"losses_max": 0, "cooldown_ms": 0, "drawdown_soft": D(0), **breaker},
    )
    return changed(made, strategies={"default": Strategy(sources=("*",), day_loss_action="off")})


class Crisis:
    """Hold two protected positions and a working entry, then let something severe happen."""

    def __init__(self, condition: str) -> None:
        self.condition = condition
        self.bench = Bench(chosen(**SEVERE.get(condition, {})))
        self.bench.open(confidence=0.9, stop="50")
        self.bench.open(instrument="OTHER", confidence=0.1, stop="50")
        self.entry = submitted(
            self.bench.signal(instrument="THIRD", order="limit", limit=D(90), confidence=0.1)
        )
        self.stops = [
            order.id for order in self.bench.state.orders.values() if order.kind == "stop"
        ]

    def strike(self) -> Step:
        if self.condition == "memory_hard":
            return self.bench.take(Measured(self.bench.now, "memory_hard", 9_999.0))
        marks = (("COIN", D(60)), ("OTHER", D(100)))
        return self.bench.take(LevelHit(self.bench.now, "equity", "", marks))

    @property
    def working(self) -> dict[str, Any]:
        return {i: o for i, o in self.bench.state.orders.items() if o.kind == "stop"}


@pytest.mark.req("E-3.2.3", "E-9.1.1", "E-9.1.3", "C-10.4", "P-04.3")
@pytest.mark.parametrize("condition", SEVERE)
def test_a_severe_limit_cancels_entries_first_then_closes_everything(condition: str) -> None:
    crisis = Crisis(condition)
    assert len(crisis.stops) == 2
    step = crisis.strike()
    assert [trip.condition for trip in of(step, f.BreakerTripped)] == [condition]
    assert of(step, f.BreakerTripped)[0].action == "flatten"
    first, *closes = step.commands
    assert isinstance(first, CancelOrder) and first.order_id == crisis.entry.id
    orders = [command.order for command in closes if isinstance(command, SubmitOrder)]
    assert [(o.instrument, o.reduce_only, o.kind, o.reason) for o in orders] == [
        ("COIN", True, "market", "breaker"), ("OTHER", True, "market", "breaker"),
    ]  # fmt: skip
    held = {p.instrument: p.quantity for p in crisis.bench.state.positions.values()}
    assert {o.instrument: o.quantity for o in orders} == held
    # the stops protect until the close is filled, each one that of its own position
    assert list(crisis.working) == crisis.stops
    crisis.bench.fill(orders[0], "60")
    assert list(crisis.working) == crisis.stops[1:]
    crisis.bench.fill(orders[1], "100")
    assert crisis.working == {} and crisis.bench.state.positions == {}
    assert decision(crisis.bench.signal(instrument="THIRD")).code == "BREAKER_OPEN"


@pytest.mark.req("E-9.1.3", "C-10.4")
@pytest.mark.parametrize("condition", SEVERE)
def test_an_entry_that_filled_meanwhile_is_closed_too(condition: str) -> None:
    crisis = Crisis(condition)
    crisis.strike()
    late = crisis.bench.fill(crisis.entry, "90", stop=D(50))
    order = submitted(late)
    assert (order.instrument, order.reduce_only) == ("THIRD", True)
    assert order.quantity == crisis.entry.quantity


@pytest.mark.req("C-10.4", "E-3.2.3")
def test_a_close_that_failed_is_sent_again_until_it_is_flat() -> None:
    crisis = Crisis("memory_hard")
    orders = [c.order for c in crisis.strike().commands if isinstance(c, SubmitOrder)]
    bench = crisis.bench
    bench.take(OrderReport(bench.now, orders[0].id, "rejected", "no"))
    assert bench.state.positions["main/COIN"].quantity == orders[0].quantity
    bench.now += 1
    step = bench.take(TimerEvent(bench.now, "health", bench.marks({})))
    (again,) = [c.order for c in step.commands if isinstance(c, SubmitOrder)]
    assert again.closes == orders[0].closes and again.id != orders[0].id
    bench.fill(again)
    bench.fill(orders[1])
    assert bench.state.positions == {}


def test_what_strikes_twice_closes_once() -> None:
    crisis = Crisis("day_loss")
    crisis.strike()
    step = crisis.bench.take(Measured(crisis.bench.now, "memory_hard", 9_999.0))
    assert list(crisis.bench.state.trips) == ["day_loss", "memory_hard"]
    assert step.commands == ()


# -- a person ------------------------------------------------------------------------------


def operate(bench: Bench, command: Any, **fields: Any) -> Step:
    return bench.take(OperatorEvent(bench.now, command, "ann", "now", **fields))


@pytest.mark.req("C-10.4", "E-9.1.1")
def test_a_person_flattens_in_the_same_order_without_a_token() -> None:
    crisis = Crisis("none")
    step = operate(crisis.bench, "flatten")
    first, *closes = step.commands
    assert isinstance(first, CancelOrder) and first.order_id == crisis.entry.id
    orders = [command.order for command in closes if isinstance(command, SubmitOrder)]
    assert [order.instrument for order in orders] == ["COIN", "OTHER"]
    assert all(order.reduce_only and order.reason == "operator" for order in orders)
    assert list(crisis.working) == crisis.stops
    for order in orders:
        crisis.bench.fill(order)
    assert crisis.bench.state.positions == {} and crisis.working == {}


@pytest.mark.req("E-9.1.1")
@pytest.mark.parametrize(
    ("command", "code"),
    [("halt", "TRADING_HALTED"), ("freeze", "TRADING_HALTED"), ("cancel_all", ""),
     ("flatten", ""), ("stop_strategy", "STRATEGY_INACTIVE"),
     ("pause_strategy", "STRATEGY_INACTIVE")],
)  # fmt: skip
def test_stopping_needs_no_token_and_cancels_at_once(command: Any, code: str) -> None:
    crisis = Crisis("none")
    step = operate(crisis.bench, command, target="default")
    assert not of(step, f.CommandRefused)
    canceled = [c.order_id for c in step.commands if isinstance(c, CancelOrder)]
    status = crisis.bench.state.orders[crisis.entry.id].status
    if command == "pause_strategy":  # a pause opens nothing more, and leaves what works
        assert canceled == []
    else:
        assert canceled == [crisis.entry.id] and status is Status.PENDING_CANCEL
    assert list(crisis.working) == crisis.stops
    found = decision(crisis.bench.signal(instrument="THIRD", confidence=0.1))
    assert not code or found.code == code


@pytest.mark.req("E-9.1.1", "C-06.3")
@pytest.mark.parametrize(("stop", "arm"), [("freeze", "thaw"), ("", "reset_breaker")])
def test_arming_again_needs_a_token(stop: Any, arm: Any) -> None:
    crisis = Crisis("none" if stop else "day_loss")
    if stop:
        operate(crisis.bench, stop)
    else:
        crisis.strike()

    def stopped() -> bool:
        state = crisis.bench.state
        return state.trading != "active" or bool(state.trips)

    for command in (arm, "resume"):
        operate(crisis.bench, command)
        assert stopped()
    operate(crisis.bench, arm, authorised=True)
    assert not stopped()


@pytest.mark.parametrize("named", [True, False])
def test_a_close_past_the_engine_is_booked_as_what_it_is(named: bool) -> None:
    """It came back as a lost order: an alert of the one thing that must not happen."""
    bench = Bench()
    entry = bench.open(stop="98")
    held = bench.state.positions["main/COIN"]
    name = emergency_id(bench.state.engine_id, "main", entry.id if named else "COIN", 3)
    close = changed(entry, id=name, side=-1, reduce_only=True, reason="operator")
    step = bench.fill(close, "101", quantity=held.quantity)
    assert not of(step, f.MismatchFound) and not bench.state.positions
    (booked,) = of(step, f.Filled)
    assert booked.trade is not None and booked.trade.reason == "operator"


def test_a_reducing_order_of_ours_that_nobody_sent_past_the_engine_is_a_lost_one() -> None:
    bench = Bench()
    bench.open(stop="98")
    held = bench.state.positions["main/COIN"]
    lost = order_id(bench.state.engine_id, "main", "default", "lost") + "x"
    close = changed(bench.state.orders[held.id[:-1] + "s"], id=lost, reason="operator")
    (found,) = of(bench.fill(close, "101", quantity=held.quantity), f.MismatchFound)
    assert found.kind == "lost_order"
    emptied = bench.fill(close, "101", quantity=held.quantity)
    assert of(emptied, f.MismatchFound), "nothing is held, and nobody had closed it"
