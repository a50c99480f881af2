"""Fill or kill, emulated where the venue rests the order; further attempts after a rejection."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import (
    ConfigEvent,
    FillReport,
    LinkEvent,
    OperatorEvent,
    OrderReport,
)
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.risk import outgrown
from tests.kit import ITEMS, NOON, Bench, changed, of, settings, submitted

D = Decimal


def fok(bench: Bench) -> Order:
    """Submit a fill-or-kill entry."""
    step = bench.signal(order="fok", limit=D(100))
    order = submitted(step)
    assert order.fok and order.kind == "limit"
    return order


def report(bench: Bench, order: Order, state: Any, **fields: Any) -> Step:
    """Let the venue say something of an order."""
    return bench.take(OrderReport(bench.now, order.id, state, **fields))


def part(bench: Bench, order: Order, quantity: Decimal) -> Step:
    """Let the venue fill a part."""
    return bench.fill(order, quantity=quantity, leaves=order.quantity - quantity)


@pytest.mark.req("P-15.3")
def test_what_a_venue_lets_rest_of_a_fill_or_kill_order_is_killed() -> None:
    bench = Bench()
    order = fok(bench)
    step = report(bench, order, "accepted")
    assert step.commands == (CancelOrder(order.id, "main", "COIN"),)
    assert bench.state.orders[order.id].status is Status.PENDING_CANCEL
    report(bench, order, "canceled")
    assert not bench.state.orders and not bench.state.reserved


@pytest.mark.req("P-15.3")
def test_the_filled_part_of_a_killed_order_is_closed_by_default() -> None:
    bench = Bench()
    order = fok(bench)
    third = (order.quantity / 3).quantize(D("0.001"))
    assert part(bench, order, third).commands == (CancelOrder(order.id, "main", "COIN"),)
    step = report(bench, order, "canceled")
    (close,) = [c.order for c in step.commands if isinstance(c, SubmitOrder)]
    assert (close.reduce_only, close.quantity, close.side) == (True, third, -1)


@pytest.mark.req("P-15.3")
def test_the_filled_part_is_kept_where_configured() -> None:
    bench = Bench(settings(orders={"fok_leftover": "keep"}))
    order = fok(bench)
    part(bench, order, D(1))
    assert report(bench, order, "expired").commands == ()
    assert bench.state.positions["main/COIN"].quantity == 1


def test_a_fill_or_kill_order_that_fills_whole_is_a_position_like_any_other() -> None:
    bench = Bench()
    order = fok(bench)
    assert bench.fill(order).commands == ()
    assert bench.state.positions["main/COIN"].quantity == order.quantity


@pytest.mark.req("E-2.3.3")
def test_a_rejection_that_will_pass_is_tried_again_with_pauses_that_double() -> None:
    bench = Bench(settings(orders={"retries_max": 2, "backoff_ms": 100}))
    first = submitted(bench.signal())
    second = submitted(report(bench, first, "rejected", retry=True))
    third = submitted(report(bench, second, "rejected", retry=True))
    assert [o.attempt for o in (first, second, third)] == [0, 1, 2]
    assert len({o.id for o in (first, second, third)}) == 3
    assert first.bracket is not None and first.bracket.protects
    for again in (second, third):
        assert (again.bracket, again.leverage) == (first.bracket, first.leverage)
        assert (again.side, again.price, again.quantity) == (first.side, None, first.quantity)
    assert second.send_after_ns == bench.now + 100_000_000
    assert third.send_after_ns == bench.now + 200_000_000
    assert report(bench, third, "rejected", retry=True).commands == ()
    assert not bench.state.orders and not bench.state.reserved


@pytest.mark.req("E-2.3.3")
@pytest.mark.parametrize("state", ["unknown", "not_sent", "canceled", "expired", "accepted"])
def test_nothing_but_a_proven_rejection_is_tried_again(state: str) -> None:
    bench = Bench()
    step = report(bench, submitted(bench.signal()), state, retry=True)
    assert not any(isinstance(c, SubmitOrder) for c in step.commands)


def test_an_entry_is_not_tried_again_once_trading_has_stopped_but_an_exit_is() -> None:
    bench = Bench()
    entry = submitted(bench.signal())
    bench.take(OperatorEvent(bench.now, "halt", "me"))
    assert report(bench, entry, "rejected", retry=True).commands == ()
    bench.take(OperatorEvent(bench.now, "resume", "me"))
    bench.open(instrument="OTHER", id="other")
    bench.take(OperatorEvent(bench.now, "halt", "me"))
    close = submitted(bench.take(OperatorEvent(bench.now, "flatten", "me")))
    again = submitted(report(bench, close, "rejected", retry=True))
    assert again.reduce_only and again.quantity == close.quantity


def test_a_fill_through_zero_closes_the_position_and_opens_the_other_side() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    order = bench.open(price="100")
    values = {
        "ts_ns": bench.now, "order_id": "by hand", "trade_id": "h1", "account": "main",
        "instrument": "COIN", "side": -1, "quantity": order.quantity + 2, "price": D(110),
        "fee": D("0.3"), "liquidity": "taker", "reason": "entry", "margin": D(220),
        "leaves": D(0),
    }  # fmt: skip
    step = bench.take(FillReport(**values))
    (filled,) = [fact for fact in step.facts if isinstance(fact, f.Filled)]
    assert filled.realised == 10 * order.quantity
    assert filled.trade is not None and filled.trade.quantity == order.quantity
    position = bench.state.positions["main/COIN"]
    assert (position.sign, position.quantity, position.cost) == (-1, D(2), D(220))
    counters = bench.state.counters
    assert bench.state.balance == bench.state.flows + counters.realised - counters.fees


def test_the_rejection_that_trips_the_breaker_is_not_tried_again() -> None:
    bench = Bench(settings(breaker={"failures_max": 2}))
    order = submitted(bench.signal())
    again = submitted(bench.take(OrderReport(bench.now, order.id, "rejected", "busy", retry=True)))
    assert again.attempt == 1
    step = bench.take(OrderReport(bench.now, again.id, "rejected", "busy", retry=True))
    assert [fact.condition for fact in of(step, f.BreakerTripped)] == ["failures"]
    assert step.commands == () and not bench.state.entries


def test_the_close_that_trips_the_breaker_is_tried_again() -> None:
    bench = Bench(settings(breaker={"failures_max": 1}))
    bench.open()
    order = submitted(bench.signal("close"))
    step = bench.take(OrderReport(bench.now, order.id, "rejected", "busy", retry=True))
    assert of(step, f.BreakerTripped) and submitted(step).reduce_only


@pytest.mark.parametrize(
    "before",
    [
        LinkEvent(NOON, "main", "lost", "reset"),
        OperatorEvent(NOON, "pause_strategy", "t", target="default"),
        OperatorEvent(NOON, "halt", "t"),
    ],
    ids=["line lost", "strategy paused", "halted"],
)
def test_nothing_is_tried_again_where_nothing_may_be_opened(before: Any) -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.take(before)
    step = bench.take(OrderReport(bench.now, order.id, "rejected", "busy", retry=True))
    assert step.commands == () and not bench.state.entries


FREE = Strategy(sources=("*",), add=True, reverse=True)


def reload(bench: Bench, **sections: Any) -> None:
    """Put another configuration in force."""
    chosen = changed(settings(**sections), strategies={"default": FREE})
    bench.take(ConfigEvent(bench.now, chosen, "c2", ITEMS))


def waiting(bench: Bench, *words: Any, **fields: Any) -> Order:
    """Let an entry be rejected, so that its next attempt waits."""
    first = submitted(bench.signal(*words, **fields))
    return submitted(report(bench, first, "rejected", retry=True))


@pytest.mark.req("E-2.3.3")
@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"risk": {"positions_max": 1}}, ""),  # its own place counts once
        ({"risk": {"positions_max": 0}}, "POSITIONS_MAX: places taken 1, at most 0"),
        ({"risk": {"gross_exposure_max": D("0.01")}}, "GROSS_EXPOSURE"),
        ({"risk": {"group_risk_max": D("0.0001")}}, "GROUP_RISK"),
        ({"leverage": {"cap": D(1)}}, "LEVERAGE: "),
        ({"leverage": {"cap": D(1)}, "sizing": {"obey_quantity": True}}, ""),
        ({"risk": {"positions_max": 0, "lift_all": True}}, ""),
    ],
)
def test_what_waits_for_its_next_attempt_is_held_against_the_limits_as_they_are_now(
    sections: Any, told: str
) -> None:
    bench = Bench()
    again = waiting(bench)
    assert again.attempt == 1 and again.leverage > 1 and outgrown(bench.state, again) == ""
    reload(bench, **sections)
    found = outgrown(bench.state, again)
    assert (found.startswith(told) and bool(found)) if told else not found


def test_an_attempt_of_what_is_not_configured_any_more_is_not_sent() -> None:
    bench = Bench()
    again = waiting(bench)
    bench.take(ConfigEvent(bench.now, settings(), "c2", ITEMS[1:]))
    assert outgrown(bench.state, again).startswith("INSTRUMENT_UNKNOWN")
    other = changed(settings(), strategies={"other": FREE})
    bench.take(ConfigEvent(bench.now, other, "c3", ITEMS))
    assert "not configured any more" in outgrown(bench.state, again)


def test_an_attempt_that_adds_or_reverses_is_held_against_what_is_left_open() -> None:
    bench = Bench()
    reload(bench)
    held = bench.open(stop="98")
    again = waiting(bench)
    assert again.reason == "add" and outgrown(bench.state, again) == ""
    room = (held.quantity + again.quantity) * 100 / 10_000
    reload(bench, risk={"position_exposure_max": room})
    assert outgrown(bench.state, again) == ""
    reload(bench, risk={"position_exposure_max": room - D("0.001")})
    assert outgrown(bench.state, again).startswith("POSITION_EXPOSURE")
    bench = Bench()
    reload(bench)
    bench.open()
    step = bench.signal("sell")
    entry = next(c.order for c in step.commands
                 if isinstance(c, SubmitOrder) and not c.order.reduce_only)  # fmt: skip
    again = submitted(report(bench, entry, "rejected", retry=True))
    reload(bench, risk={"gross_exposure_max": again.notional / 10_000})
    assert outgrown(bench.state, again) == "", "what it closes first is out of the way"
