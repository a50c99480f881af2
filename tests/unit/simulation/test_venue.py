"""The simulated venue: the oracle must itself be right."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from cerberus_trader.domain.events import FillReport, FundingReport, OrderReport, TransferReport
from cerberus_trader.domain.instrument import Instrument, Tier
from cerberus_trader.domain.order import Bracket, Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.venue import SimVenue

D = Decimal
TIERS = (Tier(D(0), D(1_000_000), D("0.0065"), D(75)),)


class Place:
    """Hold a venue with one instrument at 99.98/100, without a line: time is the loop's."""

    def __init__(self, **faults: float) -> None:
        item = Instrument("ALFA", tick=D("0.01"), lot=D("0.001"), notional_min=D(5),
                          taker_fee=D("0.001"), tiers=TIERS)  # fmt: skip
        self.venue = SimVenue(
            {"ALFA": item}, D(1_000), Random(1), self.now_ns,
            lambda s, call: asyncio.get_running_loop().call_later(s, call),
        )  # fmt: skip
        self.venue.faults = Faults(**faults)
        self.told: list[Any] = []
        self.venue.tell = self.told.append
        self.venue.price("ALFA", D("99.98"), D(100))
        self.count = 0

    def now_ns(self) -> int:
        return int(asyncio.get_running_loop().time() * 1e9) if asyncio._get_running_loop() else 0

    def order(self, side: int = 1, quantity: str = "1", *, kind: Any = "market",
              price: str | None = None, **fields: Any) -> Order:  # fmt: skip
        self.count += 1
        values: dict[str, Any] = {"leverage": D(10), **fields}
        name = values.pop("id", f"order{self.count}e")
        return Order(name, "main", "s", "ALFA", side, kind, "entry", D(quantity),
                     price=D(price) if price else None, **values)  # fmt: skip

    def submit(self, order: Order, before: int = 10**15) -> Any:
        return self.venue.submit(order, before)

    def close(self, entry: Order, quantity: str, side: int = -1) -> Order:
        return self.order(side, quantity, reduce_only=True, closes=entry.id)

    @property
    def fills(self) -> list[FillReport]:
        return [b for _, b in self.venue.bookings if isinstance(b, FillReport)]

    def sums(self) -> bool:
        """Tell whether the ledger sums to zero and its cash is the balance."""
        ledger = self.venue.ledger
        return sum(ledger.values()) == 0 and ledger["cash"] == self.venue.balance


def played(main: Callable[[Place], Any], **faults: float) -> Place:
    """Play at a venue in virtual time."""

    async def whole() -> Place:
        place = Place(**faults)
        await main(place)
        return place

    found: Place = run(whole(), Random(0))
    return found


def test_an_order_trades_once_however_often_it_is_sent() -> None:
    async def main(place: Place) -> None:
        order = place.order()
        assert place.submit(order) == (True, "", False)
        assert place.submit(order) == (True, "known already", False)
        await asyncio.sleep(1.0)
        place.submit(order)

    place = played(main)
    (fill,) = place.fills
    assert (fill.quantity, fill.price, fill.fee, fill.margin) == (D(1), D(100), D("0.1"), D(10))
    assert place.venue.accepted == {"order1e": 1}
    assert place.venue.balance == D("999.9") and place.sums()


def test_what_comes_too_late_is_refused() -> None:
    async def main(place: Place) -> None:
        await asyncio.sleep(2.0)
        assert place.submit(place.order(), 10**9).accepted is False

    assert not played(main).venue.arrived


@pytest.mark.parametrize(
    ("fault", "retry", "exit_passes"), [("busy", True, False), ("refused", False, True)]
)
def test_it_refuses_as_told(fault: str, retry: bool, exit_passes: bool) -> None:
    async def main(place: Place) -> None:
        ack = place.submit(place.order())
        assert (ack.accepted, ack.retry) == (False, retry)
        leaving = place.submit(place.close(place.order(), "1"))
        assert leaving.accepted is exit_passes

    played(main, **{fault: 1.0})


def test_an_exit_closes_its_own_position_only_and_no_more_than_it() -> None:
    async def main(place: Place) -> None:
        entry = place.order(quantity="2")
        place.submit(entry)
        await asyncio.sleep(1.0)
        other = place.order()
        place.submit(place.close(other, "1"))  # bound to another entry: nothing to close
        place.submit(place.close(entry, "5"))
        await asyncio.sleep(1.0)
        place.submit(place.close(entry, "1"))
        await asyncio.sleep(1.0)

    place = played(main)
    assert [(fill.side, fill.quantity) for fill in place.fills] == [(1, D(2)), (-1, D(2))]
    assert place.venue.positions == {} and place.sums()
    assert place.venue.ledger["realised"] == D("0.04")
    ends = [word.state for word in place.told if isinstance(word, OrderReport)]
    assert ends == ["expired", "expired"]


def test_a_close_that_overtakes_its_entry_cancels_it() -> None:
    async def main(place: Place) -> None:
        entry = place.order(kind="limit", price="90")
        place.submit(entry)
        await asyncio.sleep(1.0)
        place.submit(place.close(entry, "1"))
        await asyncio.sleep(1.0)
        assert place.venue.orders[entry.id].state == "canceled"

    assert not played(main).fills


def test_a_limit_waits_for_its_price_and_expires_in_time() -> None:
    async def main(place: Place) -> None:
        first = place.order(kind="limit", price="99")
        second = place.order(kind="limit", price="90", expires_ns=3_000_000_000)
        place.submit(first)
        place.submit(second)
        await asyncio.sleep(1.0)
        assert not place.fills
        place.venue.price("ALFA", D("98.9"), D("98.95"))
        assert [fill.price for fill in place.fills] == [D("98.95")]
        await asyncio.sleep(5.0)
        place.venue.price("ALFA", D("98.9"), D("98.95"))
        assert place.venue.orders[second.id].state == "expired"

    played(main)


def test_parts_add_up_to_the_order() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(quantity="7"))
        await asyncio.sleep(60.0)

    place = played(main, partial=1.0)
    assert len(place.fills) > 1
    assert sum(fill.quantity for fill in place.fills) == 7
    assert [fill.sequence for fill in place.fills] == list(range(1, len(place.fills) + 1))
    assert place.fills[-1].leaves == 0 and place.sums()


def test_a_cancel_ends_what_works_and_only_that() -> None:
    async def main(place: Place) -> None:
        place.venue.cancel("nobody")
        order = place.order(kind="limit", price="90")
        place.submit(order)
        place.venue.cancel(order.id)
        place.venue.cancel(order.id)
        place.venue.cancel_some()
        other = place.order(kind="limit", price="91")
        place.submit(other)
        place.venue.cancel_some()
        assert place.venue.orders[other.id].reason == "by the venue"

    place = played(main)
    assert [word.state for word in place.told] == ["canceled", "canceled"]


@pytest.mark.parametrize(
    ("bracket", "price", "leg", "reason"),
    [
        (Bracket(stop=D(97)), "97", "s", "stop_loss"),
        (Bracket(stop_pct=D(2)), "98", "s", "stop_loss"),
        (Bracket(take_profit=D(103)), "103", "t", "take_profit"),
        (Bracket(take_profit_pct=D(4)), "104", "t", "take_profit"),
        (Bracket(trailing_pct=D(2)), "98", "r", "trailing_stop"),
        (None, "90.4", "l", "liquidation"),
    ],
)
def test_levels_act_at_their_price(
    bracket: Bracket | None, price: str, leg: str, reason: str
) -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(bracket=bracket))
        await asyncio.sleep(1.0)
        rows = place.venue.account().orders
        assert [row.order_id for row in rows] == ([f"order1e{leg}"] if bracket else [])
        place.venue.price("ALFA", D(price), D(price) + D("0.02"))

    place = played(main)
    assert (place.fills[-1].order_id, place.fills[-1].reason) == (f"order1e{leg}", reason)
    assert not place.venue.positions and place.sums()


def test_a_trailing_stop_follows_the_best_price() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(bracket=Bracket(trailing_pct=D(2))))
        await asyncio.sleep(1.0)
        for price in ("110", "108.01"):
            place.venue.price("ALFA", D(price), D(price) + D("0.02"))
        assert place.venue.positions and place.fills[-1].trailing == D("2")
        place.venue.price("ALFA", D(108), D("108.02"))

    place = played(main)
    assert place.fills[-1].reason == "trailing_stop" and place.fills[-1].trailing is None


def test_funding_moves_cash_and_margin_and_only_where_something_is_held() -> None:
    async def main(place: Place) -> None:
        place.venue.fund("ALFA", D("0.01"))
        place.submit(place.order(quantity="2"))
        await asyncio.sleep(1.0)
        place.venue.fund("ALFA", D("0.01"))

    place = played(main)
    (payment,) = [b for _, b in place.venue.bookings if isinstance(b, FundingReport)]
    assert payment.amount == D("1.9998") and payment.margin == D(20) - D("1.9998")
    assert place.sums() and place.venue.ledger["funding"] == payment.amount


def test_its_owner_moves_what_no_position_holds() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(quantity="50"))
        await asyncio.sleep(1.0)
        assert place.venue.balance == D(995)
        assert place.venue.transfer(D(-496)) == "only 495 is free"
        assert place.venue.transfer(D(-495)) == place.venue.transfer(D(7)) == ""

    place = played(main)
    moved = [b for _, b in place.venue.bookings if isinstance(b, TransferReport)]
    assert [(b.amount, b.sequence) for b in moved] == [(D(-495), 2), (D(7), 3)]
    assert place.venue.balance == D(507) and place.sums()


@pytest.mark.parametrize(("side", "gaining", "losing"), [(1, "105", "95"), (-1, "95", "105")])
def test_what_gains_may_be_closed_to_cover_what_others_lost(
    side: int, gaining: str, losing: str
) -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(side, quantity="2"))
        await asyncio.sleep(1.0)
        for price in (losing, gaining):
            place.venue.price("ALFA", D(price), D(price))
            place.venue.deleverage("ALFA", D("0.75"))
        place.venue.deleverage("ALFA", D("0.0001"))  # less than a lot
        place.venue.deleverage("BRAVO", D(1))  # not held

    place = played(main)
    assert [(b.order_id, b.reason, b.quantity) for b in place.fills[1:]] == [
        ("adl2", "deleveraging", D("1.5"))
    ]
    assert abs(place.venue.positions["ALFA"].quantity) == D("0.5") and place.sums()


def test_a_person_may_trade_through_zero() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(quantity="2"))
        await asyncio.sleep(1.0)
        place.venue.trade_by_hand("ALFA", -1, D(3))

    place = played(main)
    held = place.venue.positions["ALFA"]
    assert (held.quantity, held.cost, held.owner) == (D(-1), D("-99.98"), "hand2")
    assert place.sums()
    (row,) = place.venue.account().positions
    assert (row.sign, row.quantity, row.cost) == (-1, D(1), D("99.98"))


def test_an_entry_against_an_open_position_is_cancelled() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order())
        await asyncio.sleep(1.0)
        place.submit(place.order(-1))
        await asyncio.sleep(1.0)

    place = played(main)
    assert place.told[-1].reason == "the other side is open"


def test_a_list_may_lack_what_has_just_come_and_shows_it_later() -> None:
    async def main(place: Place) -> None:
        order = place.order(kind="limit", price="90")
        place.submit(order)
        assert place.venue.query(order.id).order is None
        assert place.venue.account().orders == ()
        await asyncio.sleep(1.0)
        assert place.venue.query(order.id).order is not None
        assert len(place.venue.account().orders) == 1
        assert place.venue.query("nobody").order is None

    played(main, late_list=1.0)


def test_most_counts_instruments_with_a_position_or_a_working_entry() -> None:
    async def main(place: Place) -> None:
        place.submit(place.order(kind="limit", price="90"))
        place.submit(place.order(kind="limit", price="91"))
        await asyncio.sleep(1.0)

    venue = played(main).venue
    assert venue.most == 1 and venue.most_of == {"s": 1}
