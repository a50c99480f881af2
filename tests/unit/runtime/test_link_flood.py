"""The link under a flood: what waits is bounded, the line is broken, everything is asked again."""

import asyncio
from typing import Any

import pytest

from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import (
    AccountReport,
    Anomaly,
    FillReport,
    LinkEvent,
    OrderReport,
)
from cerberus_trader.domain.framing import encode
from cerberus_trader.runtime import link as module
from cerberus_trader.venues.base import Ack
from cerberus_trader.venues.remote import wire
from cerberus_trader.venues.remote.venue import RemoteVenue
from tests.kit import NOON, D
from tests.unit.runtime.test_link import Line, fill, virtually
from tests.unit.venues.test_remote import scripted, until

MOST = 10


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WORDS_MAX", MOST)
    monkeypatch.setattr(module, "AHEAD_MAX", MOST)


class Crowd(Line):
    """Hold a link whose words wait until the test takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.link.waiting = lambda: len(self.events)

    def take(self) -> list[Any]:
        """Take everything that waits."""
        taken = list(self.events)
        self.events.clear()
        return taken


def states(events: list[Any]) -> list[str]:
    return [x.state for x in events if isinstance(x, LinkEvent)]


def test_a_venue_that_repeats_its_words_fills_no_memory_and_is_asked_again() -> None:
    async def main() -> None:
        line = Crowd()
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(1.0)
        line.take()
        for _ in range(100 * MOST):
            line.link.on_word(OrderReport(0, "o", "accepted"))
        assert len(line.events) == MOST + 2  # and what is said of it
        await asyncio.sleep(10.0)
        assert len(line.client.named("connect")) == 1, "nothing is asked before there is room"
        assert len(line.client.named("close")) == 1
        taken = line.take()
        assert [x.kind for x in taken if isinstance(x, Anomaly)] == ["flood"]
        assert states(taken) == ["lost"]
        await asyncio.sleep(1.0)
        after = line.take()
        assert states(after) == ["connected"]
        (look,) = [x for x in after if isinstance(x, AccountReport)]
        assert look.cause == "reconnect"
        line.link.on_word(OrderReport(0, "o", "canceled"))  # the new line is heard
        assert [type(x) for x in line.events] == [OrderReport]
        running.cancel()

    virtually(main())


def test_bookings_that_come_ahead_of_their_number_are_bounded_and_none_is_missed() -> None:
    async def main() -> None:
        line = Line()
        every = [fill(f"t{n}", n) for n in range(1, 4 * MOST)]
        line.client.replies["bookings"] = every[:1]
        await line.link.catch_up()
        line.link.connected = True
        for booking in every[2:]:  # the second one was lost
            line.link.on_word(booking)
        assert len(line.link._ahead) == 0 and not line.link.connected
        assert [x.kind for x in line.of(Anomaly)] == ["flood"]
        assert [x.trade_id for x in line.of(FillReport)] == ["t1"]
        line.client.replies["bookings"] = every
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(1.0)
        assert [x.trade_id for x in line.of(FillReport)] == [x.trade_id for x in every]
        running.cancel()

    virtually(main())


def test_a_long_list_waits_for_room_instead() -> None:
    async def main() -> None:
        line = Crowd()
        line.client.replies["bookings"] = [fill(f"t{n}", n) for n in range(1, 3 * MOST)]
        await line.link.catch_up()
        line.client.replies["bookings"] = [fill(f"t{n}", n) for n in range(1, 5 * MOST)]
        asking = asyncio.ensure_future(line.link.catch_up())
        await asyncio.sleep(1.0)
        assert not asking.done() and len(line.take()) == 3 * MOST - 1
        await asking
        assert len(line.take()) == 2 * MOST and not line.client.named("close")

    virtually(main())


def test_a_list_with_too_many_gaps_breaks_the_line() -> None:
    async def main() -> None:
        line = Line()
        line.link.connected = True
        line.client.replies["bookings"] = [fill(f"t{n}", 2 * n) for n in range(1, 3 * MOST)]
        assert await line.link._look("timer") is False
        assert [x.kind for x in line.of(Anomaly)] == ["flood"] and not line.of(AccountReport)
        assert len(line.link._ahead) == 0 and line.link.lost.is_set()

    virtually(main())


def test_what_we_say_ourselves_is_never_lost() -> None:
    async def main() -> None:
        line = Crowd()
        order = line.entry()
        for _ in range(2 * MOST):
            line.link.on_word(OrderReport(0, "o", "accepted"))
        line.take()
        line.client.replies["submit"] = Ack(False, "no margin")
        line.events += [OrderReport(NOON, "o", "accepted")] * MOST
        line.link.connected = True
        line.link.submit(SubmitOrder(order), NOON)
        line.refusal = ""
        await asyncio.sleep(1.0)
        assert [x.state for x in line.of(OrderReport) if x.order_id == order.id] == ["rejected"]
        line.refusal = "trading is halted"
        line.link.submit(SubmitOrder(order), NOON)
        await asyncio.sleep(1.0)
        assert line.of(OrderReport)[-1].state == "not_sent"

    virtually(main())


async def test_a_line_that_floods_is_closed_and_the_next_one_is_heard() -> None:
    lines = 0

    def answer(request: wire.Request) -> list[bytes]:
        nonlocal lines
        if isinstance(request, wire.Account):
            held = encode(wire.Holds(request.number, NOON, (), (), D(1)))
            flood = [encode(wire.Spoken(OrderReport(0, "o", "accepted")))] * 100 * MOST
            return [held] if lines > 1 else [*flood, held]
        if isinstance(request, wire.Bookings):
            return [encode(wire.Booked(request.number, (), False))]
        lines += isinstance(request, wire.Hello)
        return [encode(wire.Done(request.number, NOON))]

    async with scripted(answer) as where:
        line = Crowd()
        line.link.client = client = RemoteVenue(where)
        client.on_word, client.on_lost = line.link.on_word, line.link.on_lost
        running = asyncio.ensure_future(line.link.run())
        await until(lambda: "lost" in states(line.events))
        await asyncio.sleep(0.05)
        assert lines == 1 and len(line.take()) <= MOST + 5
        await until(lambda: line.of(AccountReport))
        assert lines == 2 and not line.of(OrderReport)
        running.cancel()
        await line.link.close()
