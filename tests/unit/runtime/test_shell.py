"""The shell: what stands around an engine, and how it begins after a fold."""

import asyncio
from typing import Any

import pytest

from cerberus_trader.domain.errors import ConfigError
from cerberus_trader.domain.events import LinkEvent, OperatorEvent
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.runtime.clock import FileClock
from cerberus_trader.runtime.inbox import Instant
from cerberus_trader.runtime.recover import recover
from cerberus_trader.runtime.shell import Shell, check_covers, config_event
from tests.kit import COIN, ITEMS, NOON, OTHER, SECOND, Bench, D, settings, submitted
from tests.unit.runtime.test_link import Client, virtually
from tests.unit.runtime.test_trading import FREE, tick


def shell_of(journal: Any, state: State, **fields: Any) -> Shell:
    chosen = settings(paper={"latency_ms": 50}, leverage=FREE, sizing={"methods": ("risk",)})
    return Shell(state, journal, chosen, FileClock(max(NOON, state.now_ns)), **fields)


def config(shell: Shell, digest: str = "c", items: Any = ITEMS) -> Any:
    named = {item.name: item for item in items}
    chosen = settings(paper={"latency_ms": 50}, leverage=FREE, sizing={"methods": ("risk",)})
    return config_event(chosen, digest, named, "engine", shell.clock.now_ns(), "start")


def kinds(shell: Shell) -> list[str]:
    return [row.kind for row in shell.journal.rows()]


def test_a_configuration_is_journalled_only_where_it_or_an_instrument_is_new() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        first = shell_of(journal, State())
        await first.begin(config(first))
        again = shell_of(journal, recover(journal.restore()))
        await again.begin(config(again))
        assert kinds(again) == ["config"]
        other = shell_of(journal, recover(journal.restore()))
        await other.begin(config(other, digest="d"))
        fewer = shell_of(journal, recover(journal.restore()))
        await fewer.begin(config(fewer, digest="d", items=(COIN, OTHER)))
        assert kinds(fewer) == ["config"] * 3
        assert list(fewer.state.instruments) == ["COIN", "OTHER"]

    virtually(main())


def test_with_a_venue_outside_nothing_may_be_opened_before_it_was_looked_at() -> None:
    async def main() -> None:
        client = Client()
        shell = shell_of(MemoryJournal(), State(), client=client)
        await shell.begin(config(shell))
        assert shell.link is not None and shell.runner.venue is shell.link
        (event,) = shell.runner.inbox.reports
        assert event == LinkEvent(0, "main", "connecting", "not yet reconciled")
        tasks = [asyncio.ensure_future(work) for work in (shell.trading.run(), shell.link.run())]
        await asyncio.sleep(1.0)
        assert not shell.state.unreconciled and shell.state.agreed == {"main": NOON}
        for task in tasks:
            task.cancel()

    virtually(main())


async def with_an_order(journal: Any) -> Shell:
    """Begin a shell on the paper venue and let it submit an entry that is still on its way."""
    shell = shell_of(journal, State())
    await shell.begin(config(shell))
    await shell.trading.on_instant(Instant(NOON, (tick("100", NOON),)))
    signal = Signal("s1", NOON, "COIN", "buy", 0.7, "head", stop_loss_pct=D(2))
    await shell.trading.judge(signal, NOON)
    assert [order.status for order in shell.state.orders.values()] == [Status.SUBMITTED]
    return shell


def test_an_order_found_at_start_lapses_where_it_is_too_late_to_execute() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        await with_an_order(journal)
        soon = shell_of(journal, recover(journal.restore()))
        await soon.begin(config(soon))
        assert len(soon.state.orders) == 1, "it may still execute"
        late = shell_of(journal, recover(journal.restore()))
        late.clock.advance(NOON + 3_600 * SECOND)
        await late.begin(config(late))
        assert not late.state.orders and not late.state.reserved
        assert [e.status for e in late.state.ended.values()] == [Status.EXPIRED]

    virtually(main())


def test_a_cancellation_that_was_asked_for_is_asked_for_again_at_start() -> None:
    async def main() -> None:
        journal = MemoryJournal()
        shell = await with_an_order(journal)
        (name,) = shell.state.orders
        shell.desk.venue.cancel = lambda *given: []  # type: ignore[assignment, method-assign]
        shell.runner.commit(OperatorEvent(shell.clock.now_ns(), "cancel_all", "ann"))
        again = shell_of(journal, recover(journal.restore()))
        assert again.state.orders[name].status is Status.PENDING_CANCEL
        await again.begin(config(again))
        assert name not in again.state.orders
        assert again.state.ended[name].status is Status.CANCELED

    virtually(main())


@pytest.mark.parametrize("what", ["position", "order"])
def test_an_account_or_an_instrument_with_something_open_is_kept(what: str) -> None:
    """After a reload the close of a position was denied: it was looked for on another account."""
    bench = Bench(
        settings(strategies={"a": Strategy(sources=("head",)), "b": Strategy(sources=("x",))})
    )
    names = list(bench.state.instruments)
    order = submitted(bench.signal())
    if what == "position":
        bench.fill(order, stop=D(98))
    other = settings(strategies={"a": Strategy(account="second"), "b": Strategy(account="second")})
    with pytest.raises(ConfigError) as refused:
        check_covers(bench.state, other, names[1:], "cerberus.toml")
    told = str(refused.value)
    assert "strategies.a.account" in told and "strategies.b" not in told and "COIN" in told
    check_covers(bench.state, settings(strategies={"b": Strategy()}), names, "cerberus.toml")
