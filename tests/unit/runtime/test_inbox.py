"""The inbox: rank before age, bounds with a named overflow."""

import asyncio
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import Measured, OperatorEvent, OrderReport
from cerberus_trader.domain.settings_guard import Resources
from cerberus_trader.domain.signal import Signal
from cerberus_trader.runtime import inbox as module
from cerberus_trader.runtime.inbox import Command, Due, Inbox, Timed
from tests.kit import NOON


def signal(name: str = "s") -> Signal:
    return Signal(name, NOON, "COIN", "buy", 0.5, "head")


@pytest.mark.req("E-6.1.2")
async def test_reports_come_first_then_operators_signals_prices() -> None:
    inbox = Inbox()
    report = OrderReport(NOON, "o", "accepted")
    command = Command(OperatorEvent(0, "halt", "me"))
    due = Due(NOON)
    await inbox.put_price(due)
    inbox.put_signal(signal("a"))
    inbox.put_signal(signal("b"))
    inbox.put_command(command)
    inbox.put_report(report)
    assert inbox.depth() == {"reports": 1, "operator": 1, "signals": 2, "prices": 1}
    found: list[Any] = [await inbox.take() for _ in range(5)]
    assert found == [report, command, Timed(0, signal("a")), Timed(0, signal("b")), due]


@pytest.mark.req("D-10.6")
async def test_a_full_lane_refuses_and_the_feed_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OPERATOR_MAX", 1)
    inbox = Inbox()
    inbox.bound(Resources(signals_max=1, prices_max=1))
    inbox.put_signal(signal())
    with pytest.raises(DataError) as refused:
        inbox.put_signal(signal())
    assert refused.value.code == "INBOX_FULL"
    inbox.put_command(Command(OperatorEvent(0, "halt", "me")))
    with pytest.raises(DataError):
        inbox.put_command(Command(OperatorEvent(0, "halt", "me")))
    await inbox.put_price(Due(1))
    waiting = asyncio.ensure_future(inbox.put_price(Due(2)))
    await asyncio.sleep(0)
    assert not waiting.done()
    for _ in range(2):
        await inbox.take()
    assert await inbox.take() == Due(1)
    await waiting
    assert await inbox.take() == Due(2)


async def test_taking_waits_until_something_comes() -> None:
    inbox = Inbox()
    taking = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    inbox.put_signal(signal())
    assert await taking == Timed(0, signal())


async def test_a_flood_of_reports_keeps_no_halt_and_no_measurement_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "OPERATOR_MAX", 1)
    inbox, measured = Inbox(), Measured(0, "latency", 9_000.0)
    command = Command(OperatorEvent(0, "halt", "me"))
    for number in range(5):
        inbox.put_report(OrderReport(NOON, f"o{number}", "accepted"))
    inbox.put_command(command)
    inbox.put_measured(measured)  # the lane is full: it is taken all the same
    found = [await inbox.take() for _ in range(7)]
    assert [index for index, item in enumerate(found) if item in (command, measured)] == [1, 3]
    assert [x.order_id for x in found if isinstance(x, OrderReport)] == [f"o{n}" for n in range(5)]


async def test_a_price_has_its_turn_behind_any_backlog_of_signals() -> None:
    """A stop waited for a hundred thousand old signals of a watched folder."""
    inbox = Inbox()
    await inbox.put_price(Due(1))
    for number in range(10):
        inbox.put_signal(signal(str(number)))
    taken: list[Any] = []
    while Due(1) not in taken:
        inbox.put_signal(signal("more"))
        taken.append(await inbox.take())
    assert len(taken) == module.SIGNALS_RUNNING + 1
    await inbox.put_price(Due(2))
    assert [type(await inbox.take()) for _ in range(3)] == [Timed] * 3


async def test_while_the_disk_has_no_room_reports_and_operators_alone_are_taken() -> None:
    inbox = Inbox()
    inbox.held = lambda: True
    inbox.put_signal(signal())
    await inbox.put_price(Due(1))
    taking = asyncio.ensure_future(inbox.take())
    await asyncio.sleep(0.03)
    assert not taking.done()
    report = OrderReport(NOON, "o", "accepted")
    inbox.put_report(report)
    assert await taking == report
    inbox.held = bool
    assert isinstance(await inbox.take(), Timed)
