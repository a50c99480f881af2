"""Heads in a replay are woken at the right times, in order, and see what is their own."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.settings import Breaker, Intake, Settings, Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import state_hash
from cerberus_trader.heads.base import (
    HeadRun,
    HeadSpec,
    View,
    Wake,
    on_bar,
    on_level,
    on_quote,
    on_timer,
    on_times,
)
from cerberus_trader.heads.base.registry import Config, find_head
from cerberus_trader.market.columns import Quotes
from cerberus_trader.replay.driver import NEVER
from cerberus_trader.replay.heads import (
    HeadSignals,
    ListSignals,
    MergedSignals,
    drain,
    drive,
    heads_on,
)
from cerberus_trader.replay.tape import Tape
from tests.unit.heads.worlds import ITEM, MINUTE, START, bars, quotes, tape


class Watcher:
    """Remember every wake; yield what the test asks for."""

    def __init__(self, config: Any) -> None:
        self.seen: list[tuple[int, float, float, int]] = []
        self.accounts: list[Any] = []
        self.act: Any = lambda view: ()
        self.times: list[int] = []

    def signals(self, view: View) -> Iterator[Signal]:
        self.seen.append((view.now_ns, view.bid, view.ask, view.bar_count))
        self.accounts.append(view.account)
        yield from self.act(view)

    def next_ns(self, after_ns: int) -> int | None:
        return next((t for t in self.times if t > after_ns), None)


def watch(wake: Wake, on: Tape, source: str = "me") -> tuple[HeadSignals, Watcher]:
    spec = HeadSpec("watcher", Watcher, Config, lambda _: wake, lambda _: 0)
    run = HeadRun(spec, Config(), source, on.name)
    return HeadSignals(run, on), run.head


def test_a_bar_head_wakes_at_every_close_with_that_close() -> None:
    series = bars(200)
    signals, head = watch(on_bar(), tape(series))
    drain(signals)
    assert [row[0] for row in head.seen] == (series.ts_open + series.interval_ns).tolist()
    assert [row[1] for row in head.seen] == (series.close / 10_000).tolist()
    assert [row[3] for row in head.seen] == list(range(1, len(series) + 1))


def test_coarser_bars_are_joined_and_finer_ones_are_the_files_own() -> None:
    series = bars(400, minutes=5, gaps=False)
    signals, head = watch(on_bar("1h"), tape(series))
    drain(signals)
    closes = series.ts_open + series.interval_ns
    assert [row[0] for row in head.seen] == closes[closes % (60 * MINUTE) == 0].tolist()
    finer, same = watch(on_bar("1m"), tape(series))
    drain(finer)
    assert len(same.seen) == 400


def test_bars_of_quotes_close_without_the_quote_that_follows() -> None:
    ts = START + np.array([0, 10, 400, 1300]) * 10**9
    bid = np.array([10_000, 10_010, 10_020, 10_030])
    signals, head = watch(on_bar("5m"), tape(Quotes(ts, bid, bid + 2, 4)))
    drain(signals)
    # 0 to 300 s holds two, 300 to 600 s one; the last bar would close after the end
    assert [(t - START) // 10**9 for t, *_ in head.seen] == [300, 600]
    assert head.seen[0][1:] == (1.001, 1.0012, 1)
    assert signals.run.desk.history.bars[-1].close == pytest.approx(1.0021)


def test_a_timer_wakes_at_multiples_within_the_data() -> None:
    series = bars(100, minutes=15, gaps=False)
    signals, head = watch(on_timer("7m"), tape(series))
    drain(signals)
    times = [row[0] for row in head.seen]
    assert all(t % (7 * MINUTE) == 0 for t in times)
    assert times[0] > START + 15 * MINUTE - 1
    assert times[-1] <= START + 100 * 15 * MINUTE
    assert len(times) in (211, 212, 213)
    for now, bid, _, count in head.seen:
        known = int(series.ts_open.searchsorted(now - series.interval_ns, "right"))
        assert (bid, count) == (series.close[known - 1] / 10_000, known)


def test_a_quote_head_wakes_once_per_instant_on_its_last_row() -> None:
    series = quotes(500)
    signals, head = watch(on_quote(), tape(series))
    drain(signals)
    assert [row[0] for row in head.seen] == np.unique(series.ts).tolist()
    for now, bid, ask, _ in head.seen[::50]:
        row = int(series.ts.searchsorted(now, "right")) - 1
        assert (bid, ask) == (series.bid[row] / 10_000, series.ask[row] / 10_000)


@pytest.mark.parametrize("kind", ["quotes", "bars"])
def test_a_level_head_wakes_where_the_price_reaches_its_level(kind: str) -> None:
    series = quotes(3_000) if kind == "quotes" else bars(3_000)
    signals, head = watch(on_level(), tape(series))

    def act(view: View) -> Iterator[Signal]:
        view.watch(below=view.price * 0.99, above=view.price * 1.01)
        yield from ()

    head.act = act
    drain(signals)
    assert len(head.seen) > 10
    low, high, times = (
        (series.bid, series.ask, series.ts)
        if isinstance(series, Quotes)
        else (series.low, series.high, series.ts_open + series.interval_ns)
    )
    for (before, bid, ask, _), (now, *_) in zip(head.seen, head.seen[1:], strict=False):
        price = (bid + ask) / 2
        hit = (low / 10_000 <= price * 0.99) | (high / 10_000 >= price * 1.01)
        assert now == int(times[(times > before) & hit][0])


def test_a_head_may_name_its_times_also_before_and_after_the_prices() -> None:
    series = bars(10, gaps=False)
    signals, head = watch(on_times(), tape(series))
    head.times = [START - 5, START + 20 * MINUTE, START + 10**6 * MINUTE]
    signals.next = signals.following(signals, -1)
    drain(signals)
    assert [row[0] for row in head.seen] == head.times
    assert np.isnan(head.seen[0][1])
    assert [row[3] for row in head.seen] == [0, 1, 10]


def test_a_head_whose_times_do_not_go_on_is_refused() -> None:
    signals, head = watch(on_times(), tape(bars(10)))
    head.times = [START]
    signals.next = START
    head.next_ns = lambda after_ns: START  # type: ignore[method-assign]
    with pytest.raises(DataError, match="names the time"):
        drain(signals)


def test_sources_merge_in_time_and_then_in_the_order_given() -> None:
    one = [Signal(f"a{i}", t, "X", "buy", 0.5, "a") for i, t in enumerate((5, 1, 5, 9))]
    two = [Signal(f"b{i}", t, "X", "buy", 0.5, "b") for i, t in enumerate((5, 7))]
    merged = MergedSignals([ListSignals(two), ListSignals(one)])
    taken = []
    while (now := merged.next_ns()) != NEVER:
        taken.append((now, [signal.id for signal in merged.take()]))
    assert taken == [(1, ["a1"]), (5, ["b0", "a0", "a2"]), (7, ["b1"]), (9, ["a3"])]
    assert MergedSignals([]).next_ns() == NEVER


class Calm:
    def at(self, t: int) -> tuple[float, float]:
        return 0.06, 0.06


def config() -> ConfigEvent:
    chosen = Settings(
        intake=Intake(data_age_ms_max=10**9),
        breaker=Breaker(losses_max=0),
        strategies={"me": Strategy(budget=Decimal("0.5")), "other": Strategy()},
    )
    return ConfigEvent(START - 1, chosen, "c", (ITEM,), "engine")


@pytest.mark.req("P-07.2", "E-2.2.1")
def test_a_head_sees_its_own_position_budget_and_verdicts_and_no_others() -> None:
    on = tape(bars(60, gaps=False))
    mine, head = watch(on_bar(), on)
    other, stranger = watch(on_bar(), on, "other")

    def act(view: View) -> Iterator[Signal]:
        if view.bar_count in (3, 6):
            yield view.buy("low", stop_loss_pct=8)
        if view.bar_count == 10:
            yield view.close()

    head.act = act
    driver = drive(
        config(), [on], MergedSignals([mine, other]), lambda e, f: None, sigmas={ITEM.name: Calm()}
    )
    driver.run()
    positions = [account.position for account in head.accounts]
    assert [p is not None for p in positions[:12]] == [False] * 3 + [True] * 7 + [False] * 2
    assert positions[3] is not None
    assert positions[3].strategy == "me"
    assert all(account.position is None for account in stranger.accounts)
    assert head.accounts[0].budget == Decimal(5_000)
    assert head.accounts[6].codes == ("approved", "POSITION_SAME_SIDE")
    assert stranger.accounts[-1].codes == ()
    assert driver.engine.state.counters.orders > 0


@pytest.mark.req("P-25.1", "E-2.2.1")
def test_search_and_visit_agree_with_a_head() -> None:
    hashes = []
    for reference in (False, True):
        on = tape(bars(1_500))
        made = heads_on(find_head("mock"), {"chance": 0.2}, "me", [on])
        rows: list[Any] = []
        driver = drive(
            config(), [on], MergedSignals(made), lambda e, f, rows=rows: rows.append((e, f)),
            sigmas={ITEM.name: Calm()}, reference=reference, close_at_end=True,
        )  # fmt: skip
        driver.run()
        assert driver.engine.state.counters.trades > 5
        assert driver.engine.state.counters.faults == 0
        hashes.append((state_hash(driver.engine.state), rows))
    assert hashes[0] == hashes[1]
