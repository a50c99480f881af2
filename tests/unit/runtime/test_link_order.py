"""The link and the order of bookings: venues that count anew, ids that come again."""

import asyncio

from cerberus_trader.domain.events import Anomaly, FillReport, LinkEvent, OrderReport
from cerberus_trader.runtime.heard import GAP_S
from tests.kit import D
from tests.unit.runtime.test_link import Line, fill, virtually


def test_a_venue_that_counts_anew_loses_no_booking() -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill("a1", 7), fill("a2", 8)]
        await line.link.catch_up()
        line.link.on_word(fill("b1", 1))
        assert [x.place for x in line.of(Anomaly)] == ["b1"] and line.link.wake.is_set()
        line.client.replies["bookings"] = [fill("b1", 1), fill("b2", 2)]
        await line.link.catch_up()
        line.link.on_word(fill("b2", 2))
        line.link.on_word(fill("b3", 3))
        assert [x.trade_id for x in line.of(FillReport)] == ["a1", "a2", "b1", "b2", "b3"]
        assert len(line.of(Anomaly)) == 1

    virtually(main())


def test_a_list_that_begins_anew_is_taken_as_it_is() -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill("a1", 7), fill("a2", 8)]
        await line.link.catch_up()
        line.client.replies["bookings"] = [fill("b1", 1), fill("b2", 1)]
        await line.link.catch_up()
        await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == ["a1", "a2", "b1", "b2"]
        assert not line.of(Anomaly)

    virtually(main())


def test_a_conflict_holds_back_none_of_those_that_follow_and_is_said_once() -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill("a1", 1)]
        await line.link.catch_up()
        line.link.on_word(fill("a1", 2, fee=D(9)))
        line.link.on_word(fill("a2", 3))
        line.client.replies["bookings"] = [fill("a1", 1), fill("a1", 2, fee=D(9)), fill("a2", 3)]
        await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == ["a1", "a2"]
        assert [x.kind for x in line.of(Anomaly)] == ["trade_conflict"]

    virtually(main())


def test_a_conflict_behind_a_gap_does_not_displace_the_one_that_waits() -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill("a1", 1)]
        await line.link.catch_up()
        line.link.on_word(fill("a3", 3))
        line.link.on_word(fill("a3", 3, fee=D(9)))
        line.link.on_word(fill("a2", 2))
        line.client.replies["bookings"] = [fill("a1", 1), fill("a2", 2), fill("a3", 3)]
        await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == ["a1", "a2", "a3"]
        assert not line.of(FillReport)[2].fee

    virtually(main())


def test_a_list_that_contradicts_a_word_does_not_erase_it() -> None:
    """The word that waited for the first list was dropped with the row that contradicts it."""

    async def main() -> None:
        line = Line()
        line.link.on_word(fill("a7", 7, quantity=D(5)))
        line.client.replies["bookings"] = [fill("a7", 7, quantity=D(6))]
        await line.link.catch_up()
        assert [x.quantity for x in line.of(FillReport)] == [D(5)]
        assert [x.kind for x in line.of(Anomaly)] == ["trade_conflict"]

    virtually(main())


def test_no_order_is_asked_about_while_its_fills_may_wait_behind_a_gap() -> None:
    """The venue told that it had filled, we had no fill, and trading froze for want of it."""

    async def main() -> None:
        line = Line()
        order = line.entry()
        line.bench.take(OrderReport(line.bench.now, order.id, "unknown"))
        line.client.replies["bookings"] = [fill("a1", 1)]
        await line.link.catch_up()
        line.link.on_word(fill("a3", 3))
        assert not await line.link._look("timer") and not line.client.named("query")
        line.client.replies["bookings"] = [fill(f"a{n}", n) for n in (1, 2, 3)]
        assert await line.link._look("timer") and len(line.client.named("query")) == 1

    virtually(main())


def test_gaps_are_waited_for_at_the_same_time() -> None:
    """One after the other, ten of them kept everything from being booked for five minutes."""

    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill(f"a{n}", n) for n in range(1, 22, 2)]
        await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == ["a1"]
        await asyncio.sleep(GAP_S - 1)
        assert not await line.link.catch_up()
        await asyncio.sleep(2)
        assert await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == [f"a{n}" for n in range(1, 22, 2)]
        assert [x.kind for x in line.of(Anomaly)] == ["gap"] * 10

    virtually(main())


def test_a_line_that_broke_behind_its_first_answer_is_no_line() -> None:
    """It was held for connected, and an exit was sent into nothing instead of waiting for it.

    A venue that goes on breaking it is told of: it was tried anew for ever without a word.
    """

    async def main() -> None:
        line = Line()
        line.link.connected = False

        def broken() -> None:
            if len(line.client.named("connect")) < 3:
                line.link.on_lost("garbage")

        line.client.replies["connect"] = broken
        await asyncio.wait_for(line.link._connect(), 10.0)
        assert len(line.client.named("connect")) == 3
        assert [x.reason for x in line.of(LinkEvent)] == ["no connection for 0 s: garbage"]

    virtually(main())
