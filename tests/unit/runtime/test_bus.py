"""The bus: durable facts by kind, strategy and instrument, from now on or from a journal row."""

import asyncio
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import Measured, OperatorEvent, OrderReport
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.row import encode_row
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.runtime import bus as module
from cerberus_trader.runtime.bus import Bus, Filter, Published, Subscription
from tests.kit import NOON, Bench, D, settings


class Town:
    """Hold an engine whose rows go into a journal and then onto the bus."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bench = Bench(settings(risk={"group_risk_max": D(1)}))
        self.journal = SqliteJournal(folder, engine_id="engine")
        self.written = 0
        self.bus = Bus(folder, self.bench.state)
        self.bus.seq = 0
        self.publish()

    def publish(self) -> None:
        """Write what the engine has done since, and publish it once it is durable."""
        for event, facts in self.bench.rows[self.written :]:
            kind = str(type(event).__struct_config__.tag)
            self.written = self.journal.append(event.ts_ns, kind, encode_row(event, facts))
            self.journal.wait_durable(self.written, 10.0)
            self.bus.take(self.written, event, facts)

    def trade(self, instrument: str) -> None:
        self.bench.open(instrument=instrument)
        self.bench.close("101", instrument=instrument)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    made = Town(tmp_path)
    yield made
    made.journal.close()


async def take(subscription: Subscription, count: int) -> list[Published]:
    found: list[Published] = []
    async with aclosing(subscription.__aiter__()) as rows:  # type: ignore[type-var]
        async for row in rows:
            found.append(row)
            if len(found) == count:
                break
    return found


def kinds(rows: list[Published]) -> list[str]:
    return [type(fact).__name__ for row in rows for fact in row.facts]


@pytest.mark.req("E-6.1.1")
async def test_a_subscriber_gets_every_row_from_now_on_in_order(town: Town) -> None:
    subscription = town.bus.subscribe()
    town.trade("COIN")
    town.publish()
    rows = await take(subscription, 3)
    assert [row.seq for row in rows] == [2, 3, 4]
    assert [(row.event, row.facts) for row in rows] == town.bench.rows[1:4]
    assert town.bus.subscriptions == {}


async def test_a_waiting_subscriber_wakes_with_the_next_row(town: Town) -> None:
    taking = asyncio.ensure_future(take(town.bus.subscribe(), 1))
    await asyncio.sleep(0)
    assert not taking.done()
    town.bench.signal()
    town.publish()
    assert [row.seq for row in await taking] == [2]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (Filter(kinds=(f.Filled,)), ["Filled"] * 4),
        (Filter(kinds=(f.Filled, f.OrderSubmitted), instruments=("OTHER",)),
         ["OrderSubmitted", "Filled", "Filled"]),
        (Filter(kinds=(f.OrderChanged,), instruments=("COIN",)), ["OrderChanged"]),
        (Filter(kinds=(f.OrderChanged,), instruments=("OTHER",)), []),
        (Filter(kinds=(f.Filled,), strategies=("default",)), ["Filled"] * 4),
        (Filter(strategies=("nobody",)), []),
        (Filter(kinds=(f.FeedChanged,), instruments=("THIRD",)), ["FeedChanged"]),
        (Filter(kinds=(f.BreakerTripped,)), ["BreakerTripped"]),
        (Filter(kinds=(f.BreakerTripped,), strategies=("default",)), []),
        (Filter(kinds=(f.TradingStateChanged,), instruments=("COIN",)), []),
    ],
)  # fmt: skip
@pytest.mark.parametrize("replayed", [False, True])
async def test_a_filter_chooses_by_kind_strategy_and_instrument(
    town: Town, chosen: Filter, expected: list[str], replayed: bool
) -> None:
    live = town.bus.subscribe(chosen)
    town.trade("COIN")
    town.trade("OTHER")
    order = town.bench.signal()
    (submitted,) = [c.order for c in order.commands]  # type: ignore[union-attr]
    town.bench.take(OrderReport(NOON, submitted.id, "canceled"))
    town.bench.take(Measured(NOON, "feed", 1e6, "THIRD"))
    town.bench.take(Measured(NOON, "latency", 1e6))
    town.bench.take(OperatorEvent(NOON, "halt", "ann"))
    town.publish()
    if replayed:
        live.close()
        found = town.bus.read(chosen, 1, town.bus.seq)
    else:
        found = list(live.queue)
    assert kinds(found) == expected


@pytest.mark.req("E-6.1.3")
async def test_a_subscriber_may_begin_at_any_row_of_the_journal(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 3)
    for name in ("COIN", "OTHER", "THIRD"):
        town.trade(name)
    town.publish()
    last = town.written
    assert last == 10
    subscription = town.bus.subscribe(after_seq=4)
    town.bench.signal()  # comes while the journal is read
    town.publish()
    rows = await take(subscription, 7)
    assert [row.seq for row in rows] == [5, 6, 7, 8, 9, 10, 11]
    bodies = [encode_row(row.event, row.facts) for row in rows]
    assert bodies == [encode_row(*row) for row in town.bench.rows[4:11]]
    assert [row.seq for row in await take(town.bus.subscribe(after_seq=-5), 1)] == [1]
    ahead = town.bus.subscribe(after_seq=10**9)
    town.bench.signal(instrument="OTHER")
    town.publish()
    assert [row.seq for row in await take(ahead, 1)] == [12]


async def test_a_slow_subscriber_is_dropped_and_can_go_on_where_it_was(town: Town) -> None:
    slow, quick = town.bus.subscribe(most=2), town.bus.subscribe()
    town.trade("COIN")
    town.trade("OTHER")
    town.publish()
    assert list(town.bus.subscriptions) == [quick]
    seen = []
    with pytest.raises(DataError) as dropped:
        async for row in slow:
            seen.append(row.seq)
    assert seen == [2, 3] and dropped.value.code == "SUBSCRIBER_SLOW"
    assert "2 rows waited" in dropped.value.message and dropped.value.place == "row 3"
    again = await take(town.bus.subscribe(after_seq=slow.resume_seq), 4)
    assert [row.seq for row in again] == [4, 5, 6, 7]
    assert [row.seq for row in await take(quick, 6)] == [2, 3, 4, 5, 6, 7]


async def test_there_are_never_more_subscribers_than_the_limit(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSCRIBERS_MAX", 1)
    one = town.bus.subscribe()
    with pytest.raises(DataError, match="1 subscribers already"):
        town.bus.subscribe()
    one.close()
    town.bus.subscribe()


def test_a_fact_about_an_order_that_is_forgotten_is_about_nothing(town: Town) -> None:
    event = OperatorEvent(NOON, "halt", "ann")
    fact = f.OrderChanged("gone", Status.CANCELED)
    assert town.bus.subject(event, fact) == ("", "")
    order = next(c.order for c in town.bench.signal().commands)  # type: ignore[union-attr]
    assert town.bus.subject(event, f.OrderChanged(order.id, Status.ACCEPTED)) == (
        "default", "COIN",
    )  # fmt: skip
