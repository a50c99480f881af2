"""A resting entry may be made smaller or moved, never what it may cost."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import ModifyOrder, SubmitOrder
from cerberus_trader.domain.events import (
    AccountReport,
    LinkEvent,
    ModifyNotSent,
    OperatorEvent,
    OrderModified,
    OrderReport,
)
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Paper
from cerberus_trader.engine.engine import Step
from cerberus_trader.venues.paper.venue import PaperVenue
from tests.kit import COIN, SECOND, Bench, settings, submitted

D = Decimal


def resting(bench: Bench, **fields: Any) -> Order:
    """Let a limit entry rest at the venue."""
    order = submitted(bench.signal(**{"order": "limit", "limit": D(100), **fields}))
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    return order


def modify(bench: Bench, order_id: str, price: Any = None, amount: Any = None) -> Step:
    """Ask for a change."""
    return bench.take(
        OperatorEvent(bench.now, "modify", "me", "", order_id, amount=amount, price=price)
    )


def test_a_leg_that_a_person_moves_at_the_venue_reserves_nothing() -> None:
    bench = Bench()
    entry = submitted(bench.signal())
    bench.fill(entry, stop=D(98), take_profit=D(110))
    leg = bench.state.orders[entry.id[:-1] + "t"]
    assert not bench.take(OrderModified(bench.now, leg.id, D(111), leg.quantity)).facts
    bench.close("98")
    assert not bench.state.reserved and not bench.state.orders


@pytest.mark.parametrize(("price", "quantity"), [("99", "0.5"), ("0", "2"), ("99", "-1")])
def test_a_change_below_what_has_filled_or_without_a_price_is_no_change(
    price: str, quantity: str
) -> None:
    bench = Bench()
    order = resting(bench)
    bench.fill(order, "99", quantity=D(1), leaves=order.quantity - 1)
    before = dict(bench.state.reserved)
    for name in (None, "noted"):
        bench.now += SECOND
        listed = VenueOrder(order.id, "COIN", 1, D(quantity), "working", D(0), D(price))
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer", (listed,)))
        found = [x.action for x in step.facts if type(x) is f.MismatchFound and x.kind == "terms"]
        assert found == [name or "suspected"]
    assert bench.state.reserved == before


@pytest.mark.req("E-2.3.1")
def test_a_change_is_asked_for_and_holds_once_the_venue_says_so() -> None:
    bench = Bench()
    order = resting(bench)
    before = bench.state.reserved["COIN"]
    half = COIN.quantity_down(order.quantity / 2)
    step = modify(bench, order.id, D(99), half)
    assert step.commands == (ModifyOrder(order.id, "main", "COIN", D(99), half),)
    assert bench.state.orders[order.id].quantity == order.quantity
    assert bench.state.reserved["COIN"] == before
    bench.take(OrderModified(bench.now, order.id, D(99), half))
    after = bench.state.orders[order.id]
    assert (after.price, after.quantity, after.notional) == (D(99), half, half * 99)
    assert bench.state.reserved["COIN"][0] == half * 99
    bench.fill(after, "99")
    assert not bench.state.reserved and not bench.state.entries


@pytest.mark.parametrize(
    ("price", "amount", "words"),
    [
        (D("100.5"), None, "raise the order's notional"),
        (None, D(10_000), "the quantity must lie above 0"),
        (None, D(0), "the quantity must lie above 0"),
        (None, D("0.0009"), "the quantity must lie above 0"),  # less than a lot
        (D(-1), None, "beyond the stop"),
        (D(50), None, "beyond the stop"),
    ],
)
def test_what_would_cost_more_is_refused(price: Any, amount: Any, words: str) -> None:
    bench = Bench()
    order = resting(bench, stop_loss=D(98), stop_loss_pct=None)
    step = modify(bench, order.id, price, amount)
    (refused,) = step.facts
    assert isinstance(refused, f.CommandRefused) and words in refused.reason
    assert step.commands == ()


def test_a_smaller_order_may_not_lose_more_at_its_stop() -> None:
    bench = Bench()
    order = resting(bench, stop_loss=D(98), stop_loss_pct=None)
    half = COIN.quantity_down(order.quantity / 2)
    (refused,) = modify(bench, order.id, D(103), half).facts
    assert isinstance(refused, f.CommandRefused) and "loss at the stop" in refused.reason
    assert isinstance(modify(bench, order.id, D(101), half).facts[0], f.ModifyRequested)


def test_only_a_working_limit_entry_can_change() -> None:
    bench = Bench()
    assert "no working limit entry" in modify(bench, "nobody", D(1)).facts[0].reason
    order = submitted(bench.signal(order="limit", limit=D(100)))
    assert "the order is submitted" in modify(bench, order.id, D(99)).facts[0].reason


def test_a_change_that_never_left_changes_nothing_and_is_told() -> None:
    bench = Bench()
    order = resting(bench)
    held = bench.state.orders[order.id]
    before = bench.state.reserved["COIN"]
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(99), half)
    said = ModifyNotSent(bench.now, order.id, "trading is halted", D(99), half)
    told, _ = bench.take(said).facts
    assert told == f.CommandRefused("modify", "gate", f"{order.id}: trading is halted")
    assert bench.state.orders[order.id] == held and bench.state.reserved["COIN"] == before
    assert not bench.state.changes
    (alone,) = bench.take(ModifyNotSent(bench.now, "over", "trading is halted")).facts
    assert isinstance(alone, f.CommandRefused)


def test_a_change_that_never_left_does_not_end_the_waiting_for_a_later_one() -> None:
    bench = Bench()
    order = resting(bench)
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(99), order.quantity)
    bench.now += 5 * SECOND
    modify(bench, order.id, D(98), half)
    (alone,) = bench.take(ModifyNotSent(bench.now, order.id, "late", D(99), order.quantity)).facts
    assert isinstance(alone, f.CommandRefused)
    bench.take(OrderModified(bench.now, order.id, D(98), half))
    assert terms(bench, order) == (D(98), half)


def test_without_a_fixed_stop_a_dearer_price_takes_its_risk_along() -> None:
    """The margin is at risk: it goes with the notional, not with the quantity."""
    bench = Bench(settings(levels={"stop_required": False}))
    order = resting(bench, stop_loss_pct=None, quantity=D(3), limit=D(50))
    before = bench.state.reserved["COIN"][1]
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(100), half)
    bench.take(OrderModified(bench.now, order.id, D(100), half))
    assert bench.state.reserved["COIN"][1] == before


def test_with_a_fixed_stop_risk_goes_with_the_quantity() -> None:
    bench = Bench()
    order = resting(bench, stop_loss=D(98), stop_loss_pct=None)
    before = bench.state.reserved["COIN"][1]
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(101), half)
    bench.take(OrderModified(bench.now, order.id, D(101), half))
    after = bench.state.reserved["COIN"][1]
    assert abs(after - before / 2) < before / 1_000
    assert not look(bench, order, 101, half).commands and terms(bench, order) == (D(101), half)


def test_a_change_may_not_put_the_stop_beyond_liquidation() -> None:
    bench = Bench()
    order = resting(bench, stop_loss=D(92), stop_loss_pct=None, leverage=D(5))
    assert order.leverage == 5
    (refused,) = modify(bench, order.id, D(125), COIN.quantity_down(order.quantity / 5)).facts
    assert isinstance(refused, f.CommandRefused) and "liquidated before the stop" in refused.reason


def test_no_change_is_asked_for_before_the_venue_was_looked_at() -> None:
    """Held back by the gate later, it made forget that one before it was on its way."""
    bench = Bench()
    order = resting(bench)
    bench.take(LinkEvent(bench.now, "main", "lost", "the line broke"))
    (refused,) = modify(bench, order.id, D(99)).facts
    assert isinstance(refused, f.CommandRefused) and "the line broke" in refused.reason


def test_one_change_at_a_time_is_on_its_way() -> None:
    """Of two nobody knows which one the venue takes last."""
    bench = Bench()
    order = resting(bench)
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(99), half)
    (refused,) = modify(bench, order.id, D(99), order.quantity).facts
    assert isinstance(refused, f.CommandRefused) and "on its way" in refused.reason
    bench.take(OrderModified(bench.now, order.id, D(99), half))
    (asked,) = modify(bench, order.id, D(98), half).facts
    assert isinstance(asked, f.ModifyRequested), "the first one was told"
    bench.now += 5 * SECOND
    (asked,) = modify(bench, order.id, D(97), half).facts
    assert isinstance(asked, f.ModifyRequested), "on paper it was lost in a restart"
    bench.take(OrderReport(bench.now, order.id, "canceled"))
    assert not bench.state.changes


def test_at_a_venue_outside_a_look_must_show_that_a_change_is_lost() -> None:
    """By the clock alone it was over, while a late list could still be shown."""
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    bench.take(AccountReport(bench.now, "main", bench.now, "start"))
    order = resting(bench)
    half = COIN.quantity_down(order.quantity / 2)
    before = bench.state.orders[order.id]
    modify(bench, order.id, D(99), half)
    bench.now += 60 * SECOND
    (refused,) = modify(bench, order.id, D(98), half).facts
    assert isinstance(refused, f.CommandRefused) and "on its way" in refused.reason
    bench.now -= 55 * SECOND  # the venue looked when it could still arrive
    look(bench, order, 100, order.quantity)
    assert order.id in bench.state.changes
    look(bench, order, 100, order.quantity)
    assert not bench.state.changes and bench.state.orders[order.id] == before
    assert isinstance(modify(bench, order.id, D(98), half).facts[0], f.ModifyRequested)


def test_a_change_that_says_nothing_new_changes_nothing() -> None:
    bench = Bench()
    order = resting(bench)
    assert order.price is not None
    same = OrderModified(bench.now, order.id, order.price, order.quantity)
    assert bench.take(same).facts == ()
    assert bench.take(OrderModified(bench.now, "nobody", D(1), D(1))).facts == ()


def look(bench: Bench, order: Order, price: Any, quantity: Decimal) -> Step:
    """Let the venue list an entry."""
    bench.now += SECOND
    listed = VenueOrder(order.id, "COIN", 1, quantity, "working", D(0), D(price))
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", (listed,)))


def terms(bench: Bench, order: Order) -> tuple[Decimal | None, Decimal]:
    now = bench.state.orders[order.id]
    return now.price, now.quantity


def test_terms_that_the_venue_goes_on_listing_are_taken() -> None:
    bench = Bench()
    order = resting(bench)
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    look(bench, order, 97, order.quantity)
    assert terms(bench, order)[0] == D(100), "it may be from before something that was told"
    look(bench, order, 97, order.quantity)
    assert terms(bench, order)[0] == D(97)
    assert bench.state.reserved["COIN"][0] == order.quantity * 97


def test_what_was_asked_for_is_taken_from_the_first_list_that_has_it() -> None:
    bench = Bench()
    order = resting(bench)
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(99), half)
    look(bench, order, 99, half)
    assert terms(bench, order) == (D(99), half) and not bench.state.changes
    assert not bench.state.suspects


def test_old_words_and_old_lists_do_not_bring_old_terms_back() -> None:
    """A repeated word lowered what the venue had meanwhile raised again: a fill was too large."""
    bench = Bench()
    order = resting(bench)
    half = COIN.quantity_down(order.quantity / 2)
    modify(bench, order.id, D(99), half)
    word = OrderModified(bench.now, order.id, D(99), half)
    bench.take(word)
    look(bench, order, 100, order.quantity)  # from before the change
    assert terms(bench, order) == (D(99), half)
    modify(bench, order.id, D(98), half)
    assert not bench.take(word).facts, "said twice"
    for _ in range(2):
        look(bench, order, 97, half)  # of somebody else, while ours is on its way
    assert terms(bench, order) == (D(97), half) and order.id in bench.state.changes
    bench.take(OrderModified(bench.now, order.id, D(98), half))
    assert terms(bench, order) == (D(98), half) and not bench.state.changes


@pytest.mark.req("E-2.3.1")
def test_the_paper_venue_changes_a_resting_entry_and_no_other() -> None:
    items: dict[str, Instrument] = {"COIN": COIN}
    venue = PaperVenue(Paper(latency_ms=0), items, lambda ts, name: ())
    bench = Bench()
    order = submitted(bench.signal(order="limit", limit=D(100)))
    change = ModifyOrder(order.id, "main", "COIN", D(99), order.quantity)
    venue.submit(SubmitOrder(order), bench.now)
    assert venue.modify(change, bench.now) == []  # still on its way
    (waiting,) = venue.book.arriving.values()
    venue.execute(waiting, bench.now, D(101), D("101.01"))
    assert venue.modify(change, bench.now) == [
        OrderModified(bench.now, order.id, D(99), order.quantity)
    ]
    assert venue.book.resting[order.id].order.price == D(99)
