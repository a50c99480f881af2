"""What comes too late or out of place, and changes nothing but what it must."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.events import (
    AccountReport,
    LevelHit,
    OperatorEvent,
    OrderModified,
    OrderReport,
    OrderStatus,
    TimerEvent,
)
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine import breaker
from cerberus_trader.engine.apply import apply
from cerberus_trader.engine.books import end_order
from cerberus_trader.engine.state import key_of, state_bytes, state_from
from tests.kit import SECOND, Bench, of, settings, submitted


def resting(bench: Bench) -> str:
    """Let a limit entry rest; return its id."""
    order = submitted(bench.signal(order="limit", limit=D(99)))
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    return order.id


def theirs(name: str, state: Any, filled: str, quantity: D) -> VenueOrder:
    return VenueOrder(name, "COIN", 1, quantity, state, D(filled), D(99), False)


@pytest.mark.parametrize(
    "fact",
    [f.OrderReplaced("gone", D(1), D(1), D(1), D(0)), f.OrderDoubted("gone", 1, 1)],
)
def test_a_fact_of_an_order_that_is_gone_changes_nothing(fact: f.Fact) -> None:
    bench = Bench()
    before = state_bytes(bench.state)
    apply(bench.state, TimerEvent(bench.now, "health"), fact)
    end_order(bench.state, "gone", Status.CANCELED)
    assert state_bytes(bench.state) == before


def test_a_corrected_balance_that_nobody_suspected_is_booked() -> None:
    bench = Bench()
    fact = f.BalanceCorrected(bench.now, "main", D(-5), "by hand")
    apply(bench.state, TimerEvent(bench.now, "health"), fact)
    assert bench.state.balance == 9_995 and bench.state.suspects == {}


def test_silence_marks_a_position_and_leaves_what_is_closed_alone() -> None:
    bench = Bench()
    bench.open()
    place = key_of("main", "COIN")
    (fact,) = bench.take(LevelHit(bench.now, "silence", place, ())).facts
    assert isinstance(fact, f.HealthChanged) and fact.stale and bench.state.positions[place].stale
    assert bench.take(LevelHit(bench.now, "silence", "main/NONE", ())).facts == ()
    marks = bench.marks({"COIN": "100"})
    (heard,) = bench.take(LevelHit(bench.now, "margin", place, marks)).facts
    assert isinstance(heard, f.HealthChanged) and not heard.stale


def test_a_withdrawal_names_the_limit_that_it_would_reach() -> None:
    bench = Bench(settings(strategies={"default": Strategy(sources=("*",))}))
    bench.open()
    bench.close("90")
    state = bench.state
    assert breaker.reached_without(state, (), D(1)) == ""
    assert breaker.reached_without(state, (), state.balance) == ""
    names = {breaker.reached_without(state, (), state.balance - D(n)) for n in (1, 10, 100)}
    assert names - {""}, "most of it may not go while a loss weighs"
    off = {"day_loss_action": "off", "drawdown_action": "off"}
    tight = Strategy(sources=("*",), day_loss=D("0.01"))
    alone = Bench(settings(breaker=off, strategies={"default": tight}))
    alone.open()
    alone.close("99")
    gone = alone.state.balance - D(1)
    assert breaker.reached_without(alone.state, (), gone) == "day loss of default"


def test_an_entry_of_an_instrument_that_left_is_not_changed() -> None:
    bench = Bench()
    name = resting(bench)
    del bench.state.instruments["COIN"]
    event = OperatorEvent(bench.now, "modify", "ann", target=name, price=D(98))
    (refused,) = of(bench.take(event), f.CommandRefused)
    assert "not configured any more" in refused.reason


def test_an_answer_about_one_order_alone_never_proves_that_the_positions_agree() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    name = resting(bench)
    quantity = bench.state.orders[name].quantity
    answer = theirs(name, "canceled", "0.001", quantity)
    for _ in range(4):
        bench.take(OrderStatus(bench.now, name, bench.now, answer))
    assert name in bench.state.orders, "its fills are missing, and nobody looked at the account"
    for _ in range(2):
        bench.now += SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (answer,), (), None))
    assert name not in bench.state.orders


def test_an_order_made_as_small_as_it_has_filled_ends_filled() -> None:
    bench = Bench()
    name = resting(bench)
    order = bench.state.orders[name]
    half = order.quantity / 2
    bench.take(OperatorEvent(bench.now, "modify", "me", "", name, amount=half, price=D(99)))
    bench.fill(order, quantity=half)
    bench.take(OrderModified(bench.now, name, D(99), half))
    bench.take(OrderStatus(bench.now, name, bench.now, theirs(name, "filled", str(half), half)))
    assert bench.state.ended[name].status is Status.FILLED


def test_a_strategy_that_stops_closes_its_own_positions_alone() -> None:
    both = {name: Strategy(sources=(name,)) for name in ("one", "two")}
    bench = Bench(settings(strategies=both, risk={"positions_max": 5}))
    bench.open(source="one")
    bench.open(source="two", instrument="OTHER")
    step = bench.take(OperatorEvent(bench.now, "stop_strategy", "ann", target="two"))
    assert [x.order.instrument for x in of(step, f.OrderSubmitted)] == ["OTHER"]


def test_a_snapshot_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        state_from(b"{")


def test_an_entry_that_is_listed_nowhere_gives_back_nothing() -> None:
    bench = Bench()
    name = resting(bench)
    reserved = dict(bench.state.reserved)
    assert reserved and list(bench.state.entries.pop(key_of("main", "COIN"))) == [name]
    end_order(bench.state, name, Status.CANCELED)
    assert bench.state.reserved == reserved and name in bench.state.ended
