"""The live loop, played a file, takes the same events with the same facts as a replay of it."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.events import ConfigEvent, Event
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.inputs import Sigmas
from cerberus_trader.replay.tape import Tape
from cerberus_trader.runtime.clock import FileClock
from cerberus_trader.runtime.desk import Desk
from cerberus_trader.runtime.feeds import FileFeed
from cerberus_trader.runtime.prices import LiveMarket
from cerberus_trader.runtime.runner import Runner
from cerberus_trader.runtime.trading import Trading
from cerberus_trader.venues.paper.venue import PaperVenue
from tests.properties.worlds import START, Listed, world

Rows = list[tuple[Event, tuple[Fact, ...]]]


class LateJournal(MemoryJournal):
    """Let a row become durable a turn of the loop later, as a disk does."""

    def __init__(self) -> None:
        super().__init__()
        self.runner: Runner | None = None
        self.reached = 0

    @property
    def durable_seq(self) -> int:
        return self.reached

    def append(self, ts_ns: int, kind: str, body: bytes, *, urgent: bool = False) -> int:
        seq = super().append(ts_ns, kind, body)
        asyncio.get_running_loop().call_soon(self._arrive, seq)
        return seq

    def _arrive(self, seq: int) -> None:
        self.reached = max(self.reached, seq)
        assert self.runner is not None
        self.runner.on_durable(self.reached)


def plain(seed: int) -> tuple[ConfigEvent, list[Tape], list[Signal]]:
    """Make a world without marks and funding, which played files do not have.

    Silence is off: live it is seen at the end of a series too, where a replay has no more to say.
    """
    driver, rows = world(seed, reference=False)
    config = rows[0][0]
    assert isinstance(config, ConfigEvent) and isinstance(driver.signals, Listed)
    health = msgspec.structs.replace(config.settings.health, silence_ms_max=0)
    chosen = msgspec.structs.replace(config.settings, health=health)
    tapes = [Tape(tape.instrument, tape.prices) for tape in driver.tapes]
    return msgspec.structs.replace(config, settings=chosen), tapes, driver.signals.signals


def replayed(config: ConfigEvent, tapes: list[Tape], signals: list[Signal]) -> Rows:
    """Replay a world, and return the rows before its end."""
    rows: Rows = []

    def record(event: Event, facts: tuple[Fact, ...]) -> None:
        if not getattr(driver, "ended", False):
            rows.append((event, facts))

    driver: Driver | None = None
    sigmas: Any = {tape.name: Sigmas(tape.prices) for tape in tapes}
    driver = Driver(config, tapes, Listed(signals), record, sigmas=sigmas)
    driver.run()
    return rows


async def played(config: ConfigEvent, tapes: list[Tape], signals: list[Signal]) -> Rows:
    """Play a world through the live loop."""
    engine, market, clock, journal = Engine(), LiveMarket(), FileClock(START - 1), LateJournal()
    venue = PaperVenue(
        config.settings.paper, {}, lambda ts, name: market.marks(engine.state.exposures, name)
    )
    desk = Desk(venue, market)
    runner = journal.runner = Runner(engine, journal, desk, clock)
    if config.settings.risk.lift_all:  # research is for replays, which have no gate
        runner.gate.refusal = lambda order, now_ns: ""  # type: ignore[method-assign]
    trading = Trading(runner, market, desk, health_timer=False)
    runner.commit(config)
    trading.configure()
    feed = FileFeed(tapes, runner.inbox, START - 1, 0)
    feed.prime(market)
    for signal in sorted(signals, key=lambda item: item.ts_ns):
        feed.add_signal(signal)
    loop = asyncio.ensure_future(trading.run())
    player = asyncio.ensure_future(feed.run())
    await asyncio.wait({loop, player}, return_when=asyncio.FIRST_COMPLETED)
    if loop.done():
        loop.result()
    loop.cancel()
    found = [decode_row(row.body) for row in journal.rows()]
    return [(row.event, row.facts) for row in found]


def as_stored(rows: Rows) -> Rows:
    """Pass rows through their encoding: a decision's decimals become text there."""
    return [msgspec.json.decode(msgspec.json.encode(row)) for row in rows]


@pytest.mark.req("C-14.2", "P-25.1")
@settings(max_examples=60, deadline=None)
@example(3845714)
@example(207913939)
@example(488621125)
@example(989381)
@given(st.integers(0, 10**9))
def test_a_played_file_gives_the_fills_of_its_replay(seed: int) -> None:
    config, tapes, signals = plain(seed)
    expected = as_stored(replayed(config, tapes, signals))
    found = as_stored(asyncio.run(played(config, tapes, signals)))
    for number, (one, other) in enumerate(zip(expected, found, strict=False)):
        assert one == other, number
    assert len(found) >= len(expected)
