"""Load: bursts of signals, many positions at once, and memory that stays flat."""

import gc
import tracemalloc
from decimal import Decimal as D

import pytest

from cerberus_trader.domain.events import Event
from cerberus_trader.domain.facts import Fact, Faulted, Filled
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine import books
from cerberus_trader.replay import bench
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.tape import Tape
from tests.kit import Bench, changed, settings
from tests.properties.worlds import Listed
from tests.unit.venues.market import COIN, MS, T0, bars, quotes, research, signal


@pytest.mark.req("D-09.9", "E-13.3.2", "C-14.2")
def test_five_thousand_signals_in_one_minute_are_all_judged_in_order() -> None:
    series = quotes(*((ms, 10000 + ms % 7, 10001 + ms % 7) for ms in range(0, 61_000, 10)))
    made = [
        Signal(f"s{n}", T0 + n * 12 * MS, "COIN", "buy" if n % 2 else "sell", 0.5, "x",
               quantity=D(1), leverage=D(1))
        for n in range(5_000)
    ]  # fmt: skip
    rows = []
    config = bench.config(research(), (COIN,), T0)
    driver = Driver(config, [Tape(COIN, series)], Listed(made), lambda e, f: rows.append((e, f)))
    driver.run()
    counters = driver.engine.state.counters
    assert counters.signals == 5_000 and counters.faults == 0
    assert counters.approved + sum(counters.denied.values()) == 5_000
    assert counters.fills > 2_000
    times = [event.ts_ns for event, _ in rows]
    assert times == sorted(times)
    assert not [x for _, facts in rows for x in facts if isinstance(x, Faulted)]


@pytest.mark.req("D-09.10", "C-08.2", "E-13.3.2")
def test_fifty_positions_over_ten_instruments_are_managed_at_once() -> None:
    items = [changed(COIN, name=f"C{n}") for n in range(10)]
    series = bars(*((10000, 10010, 9990, 10000),) * 8, (10000, 10000, 8000, 9000))
    chosen = changed(
        research(),
        strategies={
            f"b{n}": Strategy(account=f"a{n}", day_loss_action="off", sources=(f"b{n}",))
            for n in range(5)
        },
    )
    made = [
        changed(signal(60_000, name=item.name, stop_loss=D(95)), source=f"b{n}",
                id=f"{item.name}{n}")
        for item in items
        for n in range(5)
    ]  # fmt: skip
    opened = closed = most = 0

    def record(event: Event, facts: tuple[Fact, ...]) -> None:
        nonlocal opened, closed, most
        opened += sum(isinstance(x, Filled) and x.position is not None for x in facts)
        closed += sum(isinstance(x, Filled) and x.position is None for x in facts)
        most = max(most, opened - closed)

    tapes = [Tape(item, series) for item in items]
    driver = Driver(bench.config(chosen, tuple(items), T0), tapes, Listed(made), record)
    driver.run()
    state = driver.engine.state
    assert most == 50
    assert state.counters.fills == 100 and state.positions == {}
    assert state.exposures == {} and state.orders == {} and state.reserved == {}


@pytest.mark.req("D-10.4", "D-10.11")
def test_a_steady_stream_of_decisions_keeps_nothing_but_bounded_records(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(books, "ENDED_MAX", 200)
    monkeypatch.setattr(books, "TRADES_MAX", 200)
    work = Bench(
        settings(intake={"remember_max": 100}, cache={"entries_max": 64}, breaker={"losses_max": 0})
    )

    def trades(count: int) -> None:
        for _ in range(count):
            work.open()
            work.close("100.01")
            work.now += 1_000_000
            work.rows.clear()

    tracemalloc.start()
    trades(300)  # fills every bounded record: ended orders, ids, cache
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    trades(600)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 50_000  # the same records, not one kept per trade
    state = work.state
    assert len(state.seen) == 100 and len(state.cache) <= 64
    assert len(state.ended) == len(state.trade_ids) == 200


@pytest.mark.req("C-17.5", "D-09.3", "E-13.1.3")
def test_documents_are_small() -> None:
    size = bench.document_bytes(200)
    assert size["denied_rows"] < 1_000 and size["filled_rows"] < 2_000
    assert size["denied"] < 1_500
