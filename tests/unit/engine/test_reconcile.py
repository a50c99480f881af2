"""Reconciliation: what the first look finds, and what proves that an order lives."""

from decimal import Decimal

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    FundingReport,
    LinkEvent,
    OperatorEvent,
    OrderReport,
    OrderStatus,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Status, order_id
from cerberus_trader.engine import books
from cerberus_trader.engine.apply import apply
from tests.kit import SECOND, Bench, decision, of, settings, submitted

D = Decimal


def test_the_first_look_opens_the_account_with_what_the_venue_holds() -> None:
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    step = bench.take(AccountReport(bench.now, "main", bench.now, "start", balance=D(2_000)))
    (moved,) = of(step, f.CashMoved)
    state = bench.state
    assert moved.amount == D(-8_000)
    assert state.balance == state.flows == state.day_equity == state.peak == D(2_000)
    assert not state.unreconciled and not of(step, f.MismatchFound)
    again = bench.take(AccountReport(bench.now, "main", bench.now, "timer", balance=D(1_990)))
    assert not of(again, f.CashMoved) and of(again, f.MismatchFound), "later it is a difference"


def test_a_fill_proves_that_an_order_lives_and_absences_are_counted_anew() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.take(OrderReport(bench.now, order.id, "unknown", "no answer in time"))

    def deny(seconds: int) -> None:
        bench.now += seconds * SECOND
        bench.take(OrderStatus(bench.now, order.id, bench.now, None))

    deny(0)
    deny(10)
    assert bench.state.doubts[order.id][1] == 1
    bench.fill(order, quantity=order.quantity / 4, leaves=order.quantity * 3 / 4)
    assert order.id not in bench.state.doubts
    bench.take(OrderReport(bench.now, order.id, "unknown", "no answer in time"))
    deny(0)
    assert bench.state.orders[order.id].status is Status.UNKNOWN
    deny(10)
    assert order.id in bench.state.orders, "one absence after the fill is not two"
    deny(1)
    assert order.id not in bench.state.orders


def test_a_shorter_window_proves_nothing_of_an_order_sent_with_a_longer_one() -> None:
    """The venue was told how long to take the order when it was sent."""
    longer = settings(reconcile={"submit_window_ms": 20_000, "skew_ms_max": 1_000})
    shorter = settings(reconcile={"submit_window_ms": 100, "skew_ms_max": 1_000})
    bench = Bench(longer)
    sent = bench.now
    order = submitted(bench.signal())
    items = tuple(bench.state.instruments.values())

    def deny(at_s: int) -> None:
        bench.now = sent + at_s * SECOND
        bench.take(OrderStatus(bench.now, order.id, bench.now, None))

    bench.take(OrderReport(bench.now, order.id, "unknown", "no answer in time"))
    bench.now += SECOND
    bench.take(ConfigEvent(bench.now, shorter, "shorter", items, ""))
    for at_s in (2, 10, 21, 22):  # the reload came a second after it was sent: 1 + 20 + 1
        deny(at_s)
        assert bench.state.orders[order.id].status is Status.UNKNOWN
    deny(23)
    deny(24)
    assert order.id not in bench.state.orders
    bench.now += SECOND
    later = submitted(bench.signal())
    sent = bench.now
    bench.take(OrderReport(bench.now, later.id, "unknown", "no answer in time"))
    for at_s in (0, 2, 3):
        assert later.id in bench.state.orders
        deny_later = OrderStatus(sent + at_s * SECOND, later.id, sent + at_s * SECOND, None)
        bench.take(deny_later)
    assert later.id not in bench.state.orders, "one that is sent later has the window of then"


def test_orders_on_their_way_hold_back_no_agreement_once_trading_is_open() -> None:
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    bench.take(AccountReport(bench.now, "main", bench.now, "start"))
    order = submitted(bench.signal())
    bench.now += SECOND
    step = bench.take(AccountReport(bench.now, "main", bench.now, "timer"))
    assert of(step, f.Reconciled) and bench.state.agreed["main"] == bench.now
    bench.take(LinkEvent(bench.now, "main", "lost"))
    step = bench.take(AccountReport(bench.now, "main", bench.now, "reconnect"))
    assert not of(step, f.Reconciled) and bench.state.orders[order.id]


def test_ids_of_bookings_that_will_be_asked_for_again_are_never_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(books, "TRADES_MAX", 2)
    bench = Bench()
    bench.state.agreed["main"] = bench.now
    for _ in range(2):
        bench.open()
        bench.close("100")
    assert len(bench.state.trade_ids) == 4
    bench.state.agreed["main"] = bench.now + 3_600 * SECOND
    bench.open()
    assert list(bench.state.trade_ids) == ["main/t6", "main/t8"]  # all of the surplus at once
    for number in range(3):
        bench.take(
            FundingReport(bench.now, "main", "COIN", D("0.0001"), D(100), D(1), D(50), (),
                          f"p{number}")
        )  # fmt: skip
    assert list(bench.state.trade_ids) == ["main/funding p1", "main/funding p2"]


def test_an_entry_of_a_lost_history_is_cancelled_and_freezes_trading() -> None:
    bench = Bench()
    lost = order_id(bench.state.engine_id, "main", "default", "before the backup") + "e"
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    rows = (VenueOrder(lost, "COIN", 1, D(1), "working", D(0), D(50)),)
    first = bench.take(AccountReport(bench.now, "main", bench.now, "start", rows))
    assert not first.commands
    bench.now += SECOND
    second = bench.take(AccountReport(bench.now, "main", bench.now, "timer", rows))
    assert second.commands == (CancelOrder(lost, "main", "COIN"),)
    assert bench.state.trading == "frozen"


def test_what_was_found_in_an_account_counts_before_it_has_a_price() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    theirs = (VenuePosition("OTHER", 1, D(1_000), D(100_000), D(5_000), D(20)),)
    for _ in range(2):
        bench.now += SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "start", (), theirs))
    assert bench.state.trading == "active" and not bench.state.marks
    assert decision(bench.signal(marks=(("COIN", D(100)),))).verdict == "denied"
    assert not bench.state.entries


def test_an_order_that_was_seen_working_while_it_is_cancelled_is_denied_twice_anew() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    working = VenueOrder(order.id, "COIN", 1, order.quantity, "working")
    for theirs in (None, None, working, None, None):
        bench.now += 60 * SECOND
        bench.take(OrderStatus(bench.now, order.id, bench.now, theirs))
        assert order.id in bench.state.orders and bench.state.reserved
    bench.now += 60 * SECOND
    bench.take(OrderStatus(bench.now, order.id, bench.now))
    assert order.id in bench.state.ended and not bench.state.reserved


def test_a_balance_that_differs_by_the_same_amount_is_corrected_while_trading_goes_on() -> None:
    bench = Bench()
    for cause in ("start", "timer"):
        bench.take(AccountReport(bench.now, "main", bench.now, cause, balance=D(10_000)))
    corrected = []
    for _ in range(4):  # the second time it is gone from the venue again
        bench.now += 30 * SECOND
        bench.open()
        bench.close("100.5")  # the balance moves from look to look
        theirs = bench.state.balance - 5
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer", balance=theirs))
        corrected += of(step, f.BalanceCorrected)
    assert [fact.amount for fact in corrected] == [D(-5), D(-5)]
    assert of(step, f.Reconciled) and bench.state.balance == theirs


def test_each_account_is_suspected_by_its_own_looks() -> None:
    """Looked at in turns, with the same difference at the same place: both are seen twice."""
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    theirs = (VenuePosition("COIN", 1, D(1), D(100), D(20), D(5)),)
    for _ in range(2):
        for account, held in (("main", theirs), ("second", theirs), ("third", ())):
            bench.now += 60 * SECOND
            bench.take(AccountReport(bench.now, account, bench.now, "timer", (), held))
    assert list(bench.state.positions) == ["main/COIN", "second/COIN"]
    assert list(bench.state.suspects) == ["main/COIN", "second/COIN"]
    look = AccountReport(bench.now, "main", bench.now, "timer", (), theirs)
    assert of(bench.take(look), f.SuspicionEnded) == [f.SuspicionEnded("COIN", "main")]
    assert list(bench.state.suspects) == ["second/COIN"]


def test_a_suspicion_that_an_older_engine_ended_is_ended_in_any_account() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    theirs = (VenuePosition("COIN", 1, D(1), D(100), D(20), D(5)),)
    look = AccountReport(bench.now, "main", bench.now, "timer", (), theirs)
    bench.take(look)
    apply(bench.state, look, f.SuspicionEnded("OTHER"))
    assert bench.state.suspects
    apply(bench.state, look, f.SuspicionEnded("COIN"))
    assert not bench.state.suspects
