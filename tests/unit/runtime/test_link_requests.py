"""The link: how many requests to a venue are under way at once (resources.requests_max)."""

import asyncio
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import Event, OrderReport
from cerberus_trader.domain.order import Order
from cerberus_trader.runtime.clock import FileClock
from cerberus_trader.runtime.link import Link
from cerberus_trader.venues.base import Ack
from tests.kit import NOON, SECOND, Bench, D, settings, submitted


class Slow:
    """Be a venue that answers when the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.canceled: list[str] = []
        self.answers: dict[str, asyncio.Future[Ack]] = {}

    async def submit(self, order: Order, send_before_ns: int) -> Ack:
        self.sent.append(order.id)
        self.answers[order.id] = asyncio.get_running_loop().create_future()
        return await self.answers[order.id]

    async def cancel(self, command: CancelOrder) -> None:
        self.canceled.append(command.order_id)


class Rig:
    """Hold a link with room for two requests, and three entries."""

    def __init__(self) -> None:
        self.bench = Bench(settings(resources={"requests_max": 2}, risk={"group_risk_max": D(1)}))
        self.venue, self.clock = Slow(), FileClock(NOON)
        self.put: list[Event] = []
        self.refusals: dict[str, str] = {}
        client: Any = self.venue
        self.link = Link(
            client, "main", self.bench.state, self.clock, self.put.append,
            lambda order: NOON + 5 * SECOND, lambda order: self.refusals.get(order.id, ""),
            lambda change: "",
        )  # fmt: skip
        self.link.connected = True
        self.orders = [
            submitted(self.bench.signal(instrument=name)) for name in ("COIN", "OTHER", "THIRD")
        ]

    async def submit(self, *orders: Order) -> None:
        for order in orders:
            self.link.submit(SubmitOrder(order), NOON)
        await settle()

    async def answer(self, order: Order) -> None:
        self.venue.answers[order.id].set_result(Ack(True))
        await settle()

    def reports(self) -> list[tuple[str, str, str]]:
        return [(r.order_id, r.state, r.reason) for r in self.put if isinstance(r, OrderReport)]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.req("D-10.6")
async def test_an_entry_waits_for_room_and_goes_as_soon_as_there_is_some() -> None:
    rig = Rig()
    one, two, three = rig.orders
    await rig.submit(one, two, three)
    assert rig.venue.sent == [one.id, two.id]
    await rig.answer(two)
    assert rig.venue.sent == [one.id, two.id, three.id]
    await rig.answer(three)
    assert [(i, s) for i, s, _ in rig.reports()] == [(two.id, "accepted"), (three.id, "accepted")]
    rig.link.give_up()


async def test_what_reduces_and_a_cancellation_wait_for_nothing() -> None:
    rig = Rig()
    one, two, three = rig.orders
    exit_ = msgspec.structs.replace(three, id="x", reduce_only=True)
    await rig.submit(one, two, exit_)
    assert rig.venue.sent == [one.id, two.id, "x"]
    rig.link.cancel(CancelOrder(one.id, "main", "COIN"), NOON)
    await settle()
    assert rig.venue.canceled == [one.id]
    rig.link.give_up()


async def test_an_entry_that_is_canceled_while_it_waits_is_never_sent() -> None:
    rig = Rig()
    one, two, three = rig.orders
    await rig.submit(one, two, three)
    rig.link.cancel(CancelOrder(three.id, "main", "THIRD"), NOON)
    await rig.answer(one)
    assert rig.venue.sent == [one.id, two.id] and rig.venue.canceled == []
    assert (three.id, "not_sent", "canceled while it waited to be sent") in rig.reports()
    rig.link.give_up()


@pytest.mark.parametrize("why", ["late", "halted", "ended"])
async def test_an_entry_whose_time_has_passed_while_it_waited_is_not_sent(why: str) -> None:
    rig = Rig()
    one, two, three = rig.orders
    await rig.submit(one, two, three)
    if why == "late":
        rig.clock.advance(NOON + 5 * SECOND + 1)
    elif why == "halted":
        rig.refusals[three.id] = "trading is halted"
    else:
        del rig.bench.state.orders[three.id]
    await rig.answer(one)
    assert rig.venue.sent == [one.id, two.id]
    said = {"late": "late: the time to send it has passed", "halted": "trading is halted"}
    expected = [(three.id, "not_sent", said[why])] if why in said else []
    assert [r for r in rig.reports() if r[0] == three.id] == expected
    rig.link.give_up()


async def test_giving_up_sends_nothing_that_waited() -> None:
    rig = Rig()
    await rig.submit(*rig.orders)
    rig.link.give_up()
    await settle()
    assert len(rig.venue.sent) == 2
