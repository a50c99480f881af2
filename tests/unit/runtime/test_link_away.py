"""The link while there is no line: nothing is in doubt that never left, and it is said why."""

import asyncio

from cerberus_trader.domain.events import LinkEvent, OrderReport
from cerberus_trader.domain.order import Status
from tests.kit import NOON, D, submitted
from tests.unit.runtime.test_link import LOST, Line, virtually


def test_without_a_line_nothing_is_sent_and_an_exit_is_tried_again() -> None:
    """It was held for unknown, and each beat of the health timer added another one for ever."""

    async def main() -> None:
        line = Line(taking=True)
        entry = line.entry()
        line.bench.fill(entry, stop=D(98))
        exit_ = submitted(line.bench.signal("close"))
        line.link.connected = False
        await line.send(exit_)
        assert [(x.state, x.retry) for x in line.of(OrderReport)] == [("not_sent", True)]
        assert not line.client.named("submit") and exit_.id not in line.bench.state.ended
        (again,) = [x for x in line.bench.state.orders.values() if not x.protective]
        assert again.reduce_only and again.attempt == 1 and again.send_after_ns > NOON
        other = line.entry(instrument="OTHER")
        await line.send(other)
        assert (line.of(OrderReport)[-1].order_id, line.of(OrderReport)[-1].retry) == (
            other.id,
            False,
        )
        assert line.bench.state.ended[other.id].status is Status.NOT_SENT

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
