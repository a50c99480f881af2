"""The trading loop: levels one after another, timers from state, a flood of signals."""

import asyncio
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.errors import DataError, JournalError
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    Event,
    FillReport,
    FundingReport,
    LevelHit,
    Measured,
    OperatorEvent,
    OrderReport,
    OrderStatus,
)
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.settings_guard import Resources
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import Target
from cerberus_trader.runtime.inbox import Command, Due, Instant, Outcome, Timed
from cerberus_trader.runtime.prices import POINT, Tick
from cerberus_trader.runtime.status import status_of
from cerberus_trader.runtime.trading import DAY, EXPIRY, HEALTH, NEVER, SILENCE, Trading
from tests.kit import ITEMS, NOON, SECOND, D, changed
from tests.unit.runtime.test_runner import Rig

MS = 1_000_000
FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}


def tick(price: str, ts: int, name: str = "COIN") -> Tick:
    return Tick(name, POINT, D(price), D(price), ts)


class Loop:
    """Hold a trading loop whose journal is durable at once."""

    def __init__(self, **sections: Any) -> None:
        sections.setdefault("sizing", {"methods": ("risk",)})
        sections.setdefault("leverage", FREE)
        self.rig = Rig(**sections)
        append = self.rig.journal.append

        def sync(ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
            self.rig.journal.reached = append(ts_ns, kind, body)
            return self.rig.journal.reached

        self.rig.journal.append = sync  # type: ignore[method-assign]
        self.trading = Trading(self.rig.runner, self.rig.market, self.rig.desk)

    @property
    def state(self) -> Any:
        return self.rig.state

    async def price(self, price: str, ms: int, name: str = "COIN", **fields: Any) -> None:
        ts = NOON + ms * MS
        await self.trading.on_instant(Instant(ts, (tick(price, ts, name)._replace(**fields),)))

    async def buy(self, name: str = "s1", instrument: str = "COIN", **fields: Any) -> None:
        now = self.rig.clock.now_ns()
        await self.trading.judge(
            Signal(name, now, instrument, "buy", 0.7, "head", **fields), now
        )  # fmt: skip

    def kinds(self) -> list[str]:
        return [row.kind for row in self.rig.journal.rows()]


@pytest.mark.req("C-19.2")
async def test_a_signal_fills_at_the_first_price_after_the_latency() -> None:
    loop = Loop(paper={"latency_ms": 50, "slippage_bps": D(0)})
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2), take_profit_pct=D(3))
    await loop.price("101", 49)
    assert not loop.state.positions
    await loop.price("102", 50)
    (position,) = loop.state.positions.values()
    assert position.entry_price == D(102) and position.stop == D("99.96")
    await loop.price("105.06", 60)
    assert not loop.state.positions and loop.state.counters.wins == 1


async def test_a_trailing_stop_follows_every_price_and_survives_in_bests() -> None:
    loop = Loop(paper={"latency_ms": 0, "slippage_bps": D(0)})
    await loop.price("100", 0)
    await loop.buy(trailing=D(2), stop_loss_pct=D(5))
    await loop.price("100", 1)
    (position,) = loop.state.positions.values()
    await loop.price("104", 2)
    assert loop.rig.desk.bests == {position.id: D(104)}
    await loop.price("102.01", 3)
    assert loop.state.positions
    await loop.price("102", 4)
    assert not loop.state.positions
    loop.rig.desk.forget()
    assert loop.rig.desk.bests == {}


@pytest.mark.req("E-3.2.1")
async def test_an_equity_floor_trips_at_the_price_that_reaches_it_once() -> None:
    loop = Loop(breaker={"day_loss": D("0.005"), "day_loss_action": "flatten"},
                paper={"latency_ms": 0, "slippage_bps": D(0)})  # fmt: skip
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(10))
    await loop.price("100", 1)
    (position,) = loop.state.positions.values()
    fall = D(49) / position.quantity
    await loop.price(str(round(100 - fall, 2)), 2)
    assert not loop.state.trips
    await loop.price("93", 3)
    assert list(loop.state.trips) == ["day_loss"]
    assert loop.kinds().count("level") == 1
    assert not loop.state.positions  # flattened at this very moment's price


async def test_timers_are_looked_up_from_the_state() -> None:
    loop = Loop(health={"silence_ms_max": 30_000, "interval_ms": 5_000})
    assert loop.trading.next_timer().ts_ns == NEVER
    loop.state.targets["main/COIN"] = Target("x", D(1), D(1))
    assert loop.trading.next_timer().kind == HEALTH, "an entry that a signal closed may rest"
    loop.state.targets.clear()
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2))
    await loop.price("100", 100)
    begun = loop.rig.clock.now_ns()
    found = []
    for _ in range(7):
        timer = loop.trading.next_timer()
        found.append(timer.kind)
        await loop.trading.on_due(Due(timer.ts_ns))
    assert found[:5] == [HEALTH] * 5 and SILENCE in found
    assert loop.rig.clock.now_ns() - begun == 30 * SECOND
    (position,) = loop.state.positions.values()
    assert position.stale
    loop.trading.health_timer = False
    assert loop.trading.next_timer().kind == DAY


async def test_a_resting_entry_expires_at_its_time_without_a_price() -> None:
    loop = Loop(paper={"latency_ms": 0})
    await loop.price("100", 0)
    await loop.buy(order="limit", limit=D(90), expires_ms=500, stop_loss_pct=D(2))
    await loop.price("100", 1)
    timer = loop.trading.next_timer()
    assert (timer.kind, timer.ts_ns) == (EXPIRY, NOON + 500 * MS)
    await loop.trading.on_due(Due(NOON + 500 * MS))
    assert not loop.state.entries and loop.trading.next_timer().ts_ns == NEVER


async def test_funding_on_a_live_price_is_paid_by_who_holds() -> None:
    loop = Loop(paper={"latency_ms": 0})
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2))
    await loop.price("100", 1)
    (position,) = loop.state.positions.values()
    await loop.price("100", 2, funding=D("0.001"))
    assert loop.state.counters.funding == position.quantity * D(100) * D("0.001")


@pytest.mark.req("D-09.9", "E-13.3.2", "C-14.2", "D-10.10")
async def test_a_flood_of_signals_is_judged_one_by_one_and_all_is_journalled() -> None:
    loop = Loop(risk={"positions_max": 3})
    names = ("COIN", "OTHER", "THIRD")
    for name in names:
        await loop.price("100", 0, name)
    now = loop.rig.clock.now_ns()
    for number in range(5_000):
        loop.rig.runner.inbox.put_signal(
            Signal(f"s{number}", now, names[number % 3], "buy", 0.7, "head", stop_loss_pct=D(2))
        )
    running = asyncio.ensure_future(loop.trading.run())
    while any(loop.rig.runner.inbox.depth().values()):
        await asyncio.sleep(0)
    running.cancel()
    counters = loop.state.counters
    assert counters.signals == 5_000 and counters.faults == 0
    assert counters.approved == counters.orders
    assert counters.approved + sum(counters.denied.values()) == 5_000
    assert loop.kinds().count("signal") == 5_000 == loop.rig.runner.metrics.decisions.count


@pytest.mark.req("D-10.6")
@pytest.mark.req("E-3.2.1")
async def test_a_reload_is_held_against_the_prices_of_the_moment() -> None:
    loop = Loop(paper={"latency_ms": 0, "slippage_bps": D(0)})
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(10))
    await loop.price("100", 1)
    await loop.price("93", 2)
    assert not loop.state.trips and loop.state.positions
    limits = msgspec.structs.replace(loop.state.settings.breaker, day_loss=D("0.005"))
    tight = changed(loop.state.settings, breaker=limits)
    await loop.trading.on_command(Command(ConfigEvent(0, tight, "c2", ITEMS, "engine")))
    assert list(loop.state.trips) == ["day_loss"]


async def test_who_gave_a_command_is_told_that_the_journal_failed() -> None:
    rig = Rig()
    trading = Trading(rig.runner, rig.market, rig.desk)
    rig.clock.virtual = False
    done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    await trading.on_command(Command(OperatorEvent(0, "halt", "me", "why"), done))
    await asyncio.sleep(0)
    rig.runner.poison(JournalError("the disk is full", code="JOURNAL_FULL"))
    async with asyncio.timeout(5):
        with pytest.raises(JournalError, match="the disk is full"):
            await done


async def test_how_much_may_wait_follows_the_configuration_in_force() -> None:
    loop = Loop(resources={"signals_max": 2, "prices_max": 3})
    loop.trading.configure()
    inbox = loop.rig.runner.inbox
    assert inbox.limits == {"operator": 256, "signals": 2, "prices": 3}
    for number in range(2):
        inbox.put_signal(Signal(f"s{number}", NOON, "COIN", "buy", 0.7, "head"))
    with pytest.raises(DataError, match="2 items wait"):
        inbox.put_signal(Signal("s2", NOON, "COIN", "buy", 0.7, "head"))
    wider = changed(loop.state.settings, resources=Resources(signals_max=3))
    await loop.trading.on_command(Command(ConfigEvent(0, wider, "c2", ITEMS, "engine")))
    inbox.put_signal(Signal("s2", NOON, "COIN", "buy", 0.7, "head"))
    assert inbox.depth()["signals"] == 3


@pytest.mark.req("D-09.10")
async def test_positions_of_several_instruments_live_and_end_apart() -> None:
    loop = Loop(paper={"latency_ms": 0}, risk={"group_risk_max": D(1)})
    for name in ("COIN", "OTHER", "THIRD"):
        await loop.price("100", 0, name)
        await loop.buy(name, name, stop_loss_pct=D(2))
        await loop.price("100", 1, name)
    assert len(loop.state.positions) == 3
    await loop.price("90", 2, "OTHER")
    assert sorted(loop.state.positions) == ["main/COIN", "main/THIRD"]


# -- bad input -----------------------------------------------------------------------------


async def drain(loop: Loop) -> None:
    """Let the main loop take all that waits; it must still run afterwards."""
    running = asyncio.ensure_future(loop.trading.run())
    while any(loop.rig.runner.inbox.depth().values()):
        await asyncio.sleep(0)
        assert not running.done(), running.exception()
    await asyncio.sleep(0)
    assert not running.done()
    running.cancel()


def nonsense(now: int) -> list[Event]:
    """Make words of a venue that cannot be right."""
    fill = FillReport(now, "none", "t1", "main", "COIN", 1, D(1), D(1), D(0), "taker", "entry",
                      D(1), D(0))  # fmt: skip
    return [
        OrderReport(now, "none", "accepted"),
        OrderReport(now, "none", "rejected", "x" * 10_000),
        fill,
        msgspec.structs.replace(fill, trade_id="t2", account="nobody", instrument="NOWHERE"),
        msgspec.structs.replace(fill, trade_id="t3", quantity=D("1E+12"), price=D("1E-12")),
        FundingReport(now, "nobody", "NOWHERE", D(9), D(1), D("1E+12"), D(1)),
        LevelHit(now, "margin", "no/where"),
        LevelHit(now, "silence", ""),
        OrderStatus(now, "none", -1),
        AccountReport(now, "nobody", 10**30, "timer"),
        Measured(now, "feed", float("inf"), "NOWHERE"),
        Measured(now, "latency", float("nan")),
    ]


@pytest.mark.req("C-14.5", "E-6.1.2")
async def test_the_main_loop_survives_whatever_is_put_into_it() -> None:
    loop = Loop()
    await loop.price("100", 0)
    inbox, now = loop.rig.runner.inbox, loop.rig.clock.now_ns()
    for event in nonsense(now):
        inbox.put_report(event)
    for number, fields in enumerate([
        {"confidence": float("nan")}, {"confidence": 9.0}, {"instrument": "NOWHERE"},
        {"side": "sideways"}, {"ts_ns": -1}, {"ts_ns": 2**62}, {"quantity": D("-1")},
        {"stop_loss": D("NaN")}, {"stop_loss_pct": D("1E+40")}, {"leverage": D(0)},
        {"order": "limit"}, {"source": ""}, {"metadata": "x" * 100_000},
    ]):  # fmt: skip
        given: dict[str, Any] = {
            "id": f"bad{number}", "ts_ns": now, "instrument": "COIN", "side": "buy",
            "confidence": 0.7, "source": "head", "stop_loss_pct": D(2), **fields,
        }  # fmt: skip
        inbox.put_signal(Signal(**given))
    await drain(loop)
    assert loop.state.counters.faults == 0 and loop.state.counters.approved == 0
    # a fill is a fact even of what is not configured: it is shown, and it can be closed
    assert sorted(loop.state.positions) == ["main/COIN", "nobody/NOWHERE"]
    assert [p["instrument"] for p in status_of(loop.trading)["positions"]] == ["COIN", "NOWHERE"]
    inbox.put_command(Command(OperatorEvent(0, "flatten", "ann")))
    await drain(loop)
    assert sorted(loop.state.closings) == ["main/COIN", "nobody/NOWHERE"]
    assert loop.state.counters.faults == 0
    assert loop.state.counters.signals == 13 == sum(loop.state.counters.denied.values())


@pytest.mark.req("C-14.5")
async def test_a_fault_of_the_engine_halts_new_exposure_and_the_loop_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop(paper={"latency_ms": 0})
    await loop.price("100", 0)
    await loop.buy(stop_loss_pct=D(2))
    await loop.price("100", 1)
    assert loop.state.positions

    def broken(case: Any) -> Any:
        raise RuntimeError("a mistake of ours")

    with monkeypatch.context() as patch:
        patch.setattr("cerberus_trader.engine.risk.judge", broken)
        loop.rig.runner.inbox.put_signal(
            Signal("s2", loop.rig.clock.now_ns(), "OTHER", "buy", 0.7, "head")
        )
        await drain(loop)
    assert loop.state.trading == "halted" and loop.state.counters.faults == 1
    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    loop.rig.runner.inbox.put_command(Command(OperatorEvent(0, "flatten", "ann"), done))
    await drain(loop)
    await loop.price("100", 5)
    assert not loop.state.positions and done.done()


@pytest.mark.req("C-14.3", "D-12.7")
async def test_a_signal_that_still_waits_when_the_engine_stops_is_not_judged() -> None:
    loop = Loop()
    await loop.price("100", 0)
    signal = Signal("s1", NOON, "COIN", "buy", 0.7, "head", stop_loss_pct=D(2))
    loop.trading.stopping = True
    await loop.trading.on_signal(Timed(0, signal))
    assert loop.trading.unjudged == 1 and not loop.state.orders and "s1" not in loop.state.seen
    loop.trading.stopping = False
    await loop.trading.on_signal(Timed(0, signal))
    assert loop.state.orders and "s1" in loop.state.seen


async def test_a_silent_feed_does_not_keep_other_positions_from_being_checked() -> None:
    loop = Loop(health={"silence_ms_max": 30_000, "interval_ms": 5_000})
    for name in ("COIN", "OTHER"):
        await loop.price("100", 0, name)
        await loop.buy(name, instrument=name, stop_loss_pct=D(5))
    for name in ("COIN", "OTHER"):
        await loop.price("100", 100, name)
    assert len(loop.state.positions) == 2
    for second in range(1, 60):
        await loop.price("100", second * 1_000, "OTHER")
    checks = [row for row in loop.rig.journal.rows() if row.kind == "timer"]
    last = decode_row(checks[-1].body).event
    assert last.ts_ns > NOON + 50_000 * MS and [name for name, _ in last.marks] == ["OTHER"]
    stale = {p.instrument: p.stale for p in loop.state.positions.values()}
    assert stale == {"COIN": True, "OTHER": False}


@pytest.mark.req("E-3.2.1")
async def test_a_feed_silent_since_the_start_does_not_hide_the_losses_of_others() -> None:
    """No level over the account was tested until everything held had had a price."""
    loop = Loop(breaker={"day_loss": D("0.005")}, paper={"latency_ms": 0, "slippage_bps": D(0)},
                risk={"group_risk_max": D(1)})  # fmt: skip
    for at, name in enumerate(("COIN", "OTHER")):
        await loop.price("100", 2 * at, name)
        await loop.buy(f"s{at}", name, stop_loss_pct=D(10))
        await loop.price("100", 2 * at + 1, name)
    assert len(loop.state.positions) == 2
    loop.trading.market.lines.pop("COIN")  # as after a restart
    await loop.price("92", 10, "OTHER")
    assert not loop.state.trips, "its price may come any moment"
    await loop.price("92", 31_000, "OTHER")
    assert list(loop.state.trips) == ["day_loss"]
    assert [p.instrument for p in loop.state.positions.values()] == ["COIN"], "it has no price yet"
