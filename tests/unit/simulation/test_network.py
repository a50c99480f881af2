"""The simulated network: what each fault does to a request, an answer and a word."""

import asyncio
from collections.abc import Coroutine
from random import Random
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.errors import VenueGarbage, VenueLost
from cerberus_trader.domain.events import FillReport, OrderReport
from cerberus_trader.domain.order import Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.network import SimClient
from tests.kit import bookings_of
from tests.unit.simulation.test_venue import Place


class Net(Place):
    """Hold a client that speaks with a venue over a line."""

    def __init__(self, **faults: float) -> None:
        super().__init__()
        self.words: list[Any] = []
        self.lost: list[str] = []
        self.client = SimClient(self.venue, Random(1), Faults(**faults))
        self.client.on_word = self.words.append
        self.client.on_lost = self.lost.append

    async def submit(self, order: Order) -> Any:
        async with asyncio.timeout(30.0):
            return await self.client.submit(order, self.now_ns() + 10**12)


def virtually(main: Coroutine[Any, Any, None]) -> None:
    run(main, Random(0))


def test_a_kind_line_carries_requests_answers_and_words() -> None:
    async def main() -> None:
        net = Net()
        order = net.order(kind="limit", price="90")
        with pytest.raises(VenueLost):
            await net.submit(order)
        await net.client.connect()
        assert (await net.submit(order)).accepted
        assert (await net.client.query(order)).order is not None
        await net.client.cancel(CancelOrder(order.id, "main", "ALFA"))
        await asyncio.sleep(1.0)
        assert [type(word) for word in net.words] == [OrderReport]
        assert (await net.client.query(order)).order.state == "canceled"
        view = await net.client.account("main")
        assert view.orders == () and view.balance == 1_000
        assert await bookings_of(net.client) == []
        await net.client.close()
        with pytest.raises(VenueLost):
            await net.client.account("main")

    virtually(main())


def test_a_lost_request_never_arrives_and_a_lost_answer_still_counts() -> None:
    async def main(fault: str, arrived: int) -> None:
        net = Net(**{fault: 1.0})
        await net.client.connect()
        with pytest.raises(TimeoutError):
            await net.submit(net.order())
        await asyncio.sleep(5.0)
        assert len(net.venue.arrived) == arrived

    virtually(main("request_lost", 0))
    virtually(main("answer_lost", 1))


def test_garbage_is_an_answer_that_says_nothing() -> None:
    async def main() -> None:
        net = Net(garbage=1.0)
        await net.client.connect()
        with pytest.raises(VenueGarbage):
            await net.submit(net.order())
        assert len(net.venue.arrived) == 1

    virtually(main())


@pytest.mark.parametrize(("fault", "heard"), [("word_twice", 2), ("word_lost", 0)])
def test_words_come_twice_or_never(fault: str, heard: int) -> None:
    async def main() -> None:
        net = Net(**{fault: 1.0})
        await net.client.connect()
        await net.submit(net.order())
        await asyncio.sleep(5.0)
        assert len([w for w in net.words if isinstance(w, FillReport)]) == heard
        assert len(await bookings_of(net.client)) == 1, "it can be asked for again"

    virtually(main())


@pytest.mark.parametrize("half_open", [False, True])
def test_a_partition_loses_everything_and_a_half_open_one_does_not_say_so(half_open: bool) -> None:
    async def main() -> None:
        net = Net()
        await net.client.connect()
        net.client.partition(half_open)
        assert net.lost == ([] if half_open else ["the connection was reset"])
        with pytest.raises(TimeoutError if half_open else VenueLost):
            await net.submit(net.order())
        with pytest.raises(VenueLost):
            await net.client.connect()
        assert net.venue.arrived == []
        net.client.heal()
        assert len(net.lost) == 1, "a line breaks once"
        await net.client.connect()
        assert (await net.submit(net.order())).accepted

    virtually(main())


def test_a_dead_process_hears_nothing_but_what_it_sent_arrives() -> None:
    async def main() -> None:
        net = Net(latency_s=1.0)
        await net.client.connect()
        task = asyncio.ensure_future(net.submit(net.order()))
        await asyncio.sleep(0.0)
        await asyncio.sleep(0.0)
        net.client.dead = True
        with pytest.raises(TimeoutError):
            await task
        assert len(net.venue.arrived) == 1 and net.words == []
        net.client.partition(False)
        net.client.heal()
        assert net.lost == []

    virtually(main())


def test_an_answer_may_be_very_late() -> None:
    async def main() -> None:
        net = Net(latency_tail=1.0)
        await net.client.connect()
        begun = asyncio.get_running_loop().time()
        await net.submit(net.order())
        assert asyncio.get_running_loop().time() - begun >= 1.0
        net.client.faults = msgspec.structs.replace(net.client.faults, latency_tail=0.0)

    virtually(main())


def test_only_an_answer_on_the_line_that_is_open_shows_the_account() -> None:
    async def main() -> None:
        net = Net(latency_s=0.5)
        await net.client.connect()
        assert net.client.unseen
        early = asyncio.ensure_future(net.client.account("main"))
        await asyncio.sleep(0.0)
        assert net.client.reset()
        await net.client.connect()
        await early
        assert net.client.unseen, "it was asked on the line before"
        await net.client.account("main")
        assert not net.client.unseen

    virtually(main())
