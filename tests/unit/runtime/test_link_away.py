"""The link while there is no line: nothing is in doubt that never left, and it is said why."""

import asyncio

import msgspec
import pytest

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.events import (
    NO_LOOK,
    AccountReport,
    Anomaly,
    FillReport,
    LinkEvent,
    OperatorEvent,
    OrderModified,
    OrderReport,
    TimerEvent,
    TransferReport,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Status
from cerberus_trader.venues.base import AccountView
from tests.kit import NOON, D, submitted
from tests.unit.runtime.test_link import LOST, Line, fill, virtually


def test_without_a_line_an_exit_waits_for_it_and_an_entry_is_not_sent() -> None:
    """It was held for unknown, and each beat of the health timer added another one for ever."""

    async def main() -> None:
        line = Line(taking=True)
        entry = line.entry()
        line.bench.fill(entry, stop=D(98))
        exit_ = submitted(line.bench.signal("close"))
        line.link.connected = False
        await line.send(exit_)
        assert not line.events and not line.client.calls
        line.bench.take(OperatorEvent(NOON, "flatten", "anna"))
        beat = line.bench.take(TimerEvent(NOON, "health"))
        assert not beat.commands, "one is on its way"
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(1.0)
        assert [call[1] for call in line.client.named("submit")] == [exit_.id]
        running.cancel()

    virtually(main())


def test_an_entry_without_a_line_never_leaves() -> None:
    async def main() -> None:
        line = Line(taking=True)
        entry = line.entry()
        line.link.connected = False
        await line.send(entry)
        told = [(report.order_id, report.state) for report in line.of(OrderReport)]
        assert told == [(entry.id, "not_sent")] and not line.client.calls
        assert line.bench.state.ended[entry.id].status is Status.NOT_SENT

    virtually(main())


def test_what_waits_for_a_line_ends_with_the_process() -> None:
    async def main() -> None:
        line = Line()
        line.link.connected = False
        entry = line.entry()
        line.bench.fill(entry, stop=D(98))
        exit_ = submitted(line.bench.signal("close"))
        await line.send(exit_)
        assert line.link._requests
        await line.link.close()
        await asyncio.sleep(0.1)
        await line.send(exit_)  # from a timer that fires late
        assert not line.link._requests and not line.events and not line.client.named("submit")

    virtually(main())


def test_a_venue_that_cannot_be_reached_is_told_of_at_once_and_at_times() -> None:
    """A wrong endpoint looked like a slow start for ever."""

    async def main() -> None:
        line = Line()
        line.client.replies["connect"] = LOST
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(200.0)
        told = [event.reason for event in line.of(LinkEvent)]
        assert len(told) == 4 and told[0] == "no connection for 0 s: the line broke"
        assert all(words.startswith("no connection for ") for words in told)
        line.client.replies["connect"] = None
        await asyncio.sleep(20.0)
        assert line.of(LinkEvent)[4].state == "connected"
        running.cancel()

    virtually(main())


def test_a_change_that_nobody_asked_for_is_looked_into_at_once() -> None:
    line = Line()
    order = line.entry(order="limit", limit=D(100))
    line.bench.take(OrderReport(NOON, order.id, "accepted"))
    asked = line.bench.take(OperatorEvent(NOON, "modify", "me", "", order.id, price=D(99)))
    (change,) = asked.commands
    assert isinstance(change, ModifyOrder) and change.price is not None
    line.client.on_word(OrderModified(0, order.id, change.price, order.quantity))
    assert not line.link.wake.is_set()
    line.client.on_word(OrderModified(0, order.id, change.price, 2 * order.quantity))
    assert line.link.wake.is_set() and len(line.of(OrderModified)) == 2


@pytest.mark.parametrize(
    "strange", [{"instrument": "NONE"}, {"account": "spot"}], ids=["instrument", "account"]
)
def test_what_happened_elsewhere_is_passed_over_and_told_once(strange: dict[str, str]) -> None:
    """One trade in an instrument that is not configured broke the line, again and again."""

    async def main() -> None:
        line = Line()
        other = msgspec.structs.replace(fill("t2", 2), **strange)
        line.client.replies["bookings"] = [fill("t1", 1), other, fill("t3", 3)]
        for _ in range(3):
            await line.link.catch_up()
        line.client.on_word(other)
        assert [x.trade_id for x in line.of(FillReport)] == ["t1", "t3"]
        (told,) = line.of(Anomaly)
        assert (told.kind, told.place) == ("not_ours", "t2")
        assert next(iter(strange.values())) in told.detail

    virtually(main())


def test_a_transfer_of_another_account_is_none_of_ours() -> None:
    line = Line()
    line.client.on_word(TransferReport(0, "spot", D(5_000), "m1"))
    assert not line.of(TransferReport) and line.of(Anomaly)[0].kind == "not_ours"


def test_a_line_that_always_breaks_before_a_look_is_not_opened_without_pause() -> None:
    """It was opened three hundred times a second."""

    async def main() -> None:
        line = Line()

        def breaks() -> None:
            line.client.on_lost("garbage")
            raise LOST

        line.client.replies["account"] = breaks
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(100.0)
        assert 20 <= len(line.client.named("connect")) <= 40
        line.client.replies["account"] = AccountView(NOON, (), (), None)
        await asyncio.sleep(10.0)
        tried = len(line.client.named("connect"))
        assert line.of(AccountReport)
        line.client.on_lost("once")
        await asyncio.sleep(0.05)
        assert len(line.client.named("connect")) == tried + 1, "after a look it is opened at once"
        running.cancel()

    virtually(main())


def test_an_account_that_cannot_be_looked_at_for_long_is_not_reconciled() -> None:
    """Its venue answered that it was busy for an hour, and entries went on."""

    async def main() -> None:
        line = Line(taking=True, interval_ms=10_000)
        running = asyncio.ensure_future(line.link.run())
        await asyncio.sleep(5.0)
        assert not line.bench.state.unreconciled
        line.client.replies["account"] = LOST
        await asyncio.sleep(25.0)
        assert not line.bench.state.unreconciled, "a look may fail now and then"
        await asyncio.sleep(90.0)
        assert NO_LOOK in line.bench.state.unreconciled["main"]
        told = [x.reason for x in line.of(LinkEvent) if x.state == "lost"]
        assert 2 <= len(told) <= 4
        line.client.replies["account"] = AccountView(NOON, (), (), None)
        await asyncio.sleep(10.0)
        assert not line.bench.state.unreconciled
        running.cancel()

    virtually(main())


@pytest.mark.parametrize("twice", ["positions", "orders"])
def test_a_list_that_has_a_place_twice_is_garbage(twice: str) -> None:
    """Of two rows the last one won: what the other one held counted in no limit."""

    async def main() -> None:
        line = Line()
        line.link.connected = True
        held = VenuePosition("COIN", 1, D(1), D(100), D(10), D(10))
        rests = VenueOrder("foreign", "COIN", 1, D(1), "working")
        rows = {"positions": (held, held), "orders": (rests, rests)}
        view = AccountView(NOON, rows["orders"], (), None)
        if twice == "positions":
            view = AccountView(NOON, (), rows["positions"], None)
        line.client.replies["account"] = view
        assert await line.link._look("timer") is False
        (told,) = line.of(Anomaly)
        assert told.kind == "garbage" and "listed twice" in told.detail
        assert not line.of(AccountReport)

    virtually(main())


def test_a_number_that_never_comes_holds_nothing_back_for_ever() -> None:
    async def main() -> None:
        line = Line()
        line.link.connected = True
        line.client.replies["bookings"] = [fill(f"t{n}", n) for n in (1, 2, 4, 5)]
        assert await line.link._look("timer") is False, "the account shows what is not booked"
        line.client.on_word(fill("t7", 7))
        await asyncio.sleep(20.0)
        assert await line.link._look("timer") is False
        assert [x.trade_id for x in line.of(FillReport)] == ["t1", "t2"]
        await asyncio.sleep(20.0)
        line.client.replies["bookings"] = [fill(f"t{n}", n) for n in (1, 2, 4, 5, 6, 7)]
        assert await line.link._look("timer") is True
        assert [x.trade_id for x in line.of(FillReport)] == ["t1", "t2", "t4", "t5", "t6", "t7"]
        (told,) = line.of(Anomaly)
        assert (told.kind, told.detail) == ("gap", "3 and on, until 4")

    virtually(main())


def test_a_gap_that_is_filled_is_none() -> None:
    async def main() -> None:
        line = Line()
        line.client.replies["bookings"] = [fill("t1", 1), fill("t3", 3)]
        await line.link.catch_up()
        line.client.replies["bookings"] = [fill("t1", 1), fill("t2", 2), fill("t3", 3)]
        await line.link.catch_up()
        line.client.on_word(fill("t5", 5))
        await asyncio.sleep(40.0)
        await line.link.catch_up()
        assert [x.trade_id for x in line.of(FillReport)] == ["t1", "t2", "t3"]
        assert not line.of(Anomaly)

    virtually(main())
