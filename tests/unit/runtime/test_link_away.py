"""The link while there is no line: nothing is in doubt that never left, and it is said why."""

import asyncio

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.events import (
    LinkEvent,
    OperatorEvent,
    OrderModified,
    OrderReport,
    TimerEvent,
)
from cerberus_trader.domain.order import Status
from tests.kit import NOON, D, submitted
from tests.unit.runtime.test_link import LOST, Line, virtually


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
