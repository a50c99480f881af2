"""Tiny markets for tests of the fill rules: prices in cents, research settings, one trade."""

from decimal import Decimal
from typing import Any

import msgspec
import numpy as np

from cerberus_trader.domain.events import ConfigEvent, Event, FillReport, OrderReport
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.instrument import Instrument, Tier
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.settings import (
    Breaker,
    Health,
    Intake,
    Levels,
    Leverage,
    Paper,
    Risk,
    Settings,
    Sizing,
    Strategy,
)
from cerberus_trader.domain.signal import Signal
from cerberus_trader.market.columns import Bars, Funding, MarkBars, MarkPoints, Quotes
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.tape import Tape
from tests.properties.worlds import Listed

D = Decimal
MS = 1_000_000
T0 = 1_700_000_000_000_000_000
BAR = 60_000 * MS
COIN = Instrument(
    "COIN", tick=D("0.01"), lot=D("0.001"), maker_fee=D("0.0002"), taker_fee=D("0.0005")
)
PERP = msgspec.structs.replace(
    COIN, tiers=(Tier(D(0), D(1000), D("0.01"), D(50)), Tier(D(1000), D(10**9), D("0.05"), D(10),
                                                             D(40))),
)  # fmt: skip


def quotes(*rows: tuple[int, int, int]) -> Quotes:
    """Make quotes from (ms, bid cents, ask cents)."""
    ts, bid, ask = (np.array(col, dtype=np.int64) for col in zip(*rows, strict=True))
    return Quotes(T0 + ts * MS, bid, ask, 2)


def bars(*rows: tuple[int, int, int, int], at: tuple[int, ...] | None = None) -> Bars:
    """Make one-minute bars from (open, high, low, close) in cents."""
    ts = np.array(at if at is not None else range(len(rows)), dtype=np.int64) * BAR + T0
    cols = [np.array(col, dtype=np.int64) for col in zip(*rows, strict=True)]
    return Bars(ts, *cols, np.ones(len(rows), dtype=np.int64), 2, 0, BAR)


def mark_bars(*rows: tuple[int, int, int, int], at: tuple[int, ...] | None = None) -> MarkBars:
    """Make one-minute mark bars in cents."""
    ts = np.array(at if at is not None else range(len(rows)), dtype=np.int64) * BAR + T0
    cols = [np.array(col, dtype=np.int64) for col in zip(*rows, strict=True)]
    return MarkBars(ts, *cols, 2, BAR)


def mark_points(*rows: tuple[int, int]) -> MarkPoints:
    """Make mark points from (ms, cents)."""
    ts, price = (np.array(col, dtype=np.int64) for col in zip(*rows, strict=True))
    return MarkPoints(T0 + ts * MS, price, 2)


def rates(*rows: tuple[int, str]) -> Funding:
    """Make funding from (ms, rate)."""
    ts = np.array([T0 + ms * MS for ms, _ in rows], dtype=np.int64)
    return Funding(ts, np.array([int(D(rate) * 10**6) for _, rate in rows], dtype=np.int64), 6)


def research(paper: dict[str, Any] | None = None, **strategy: Any) -> Settings:
    """Lift every limit: what a signal asks is what it gets. No latency, no slippage."""
    off = {"day_loss_action": "off", "sources": ("*",)}
    return Settings(
        intake=Intake(data_age_ms_max=10**9, signal_age_ms_max=10**9, spread_bps_max=D(10**4)),
        risk=Risk(lift_all=True),
        sizing=Sizing(obey_quantity=True),
        levels=Levels(stop_required=False),
        leverage=Leverage(fractional=True),
        breaker=Breaker(day_loss_action="off", drawdown_action="off", losses_max=0,
                        failures_max=0, liquidation_trips=False),
        health=Health(watch=D(1), danger=D(1), critical=D(1), silence_ms_max=0),
        paper=Paper(**{"latency_ms": 0, "slippage_bps": D(0), **(paper or {})}),
        strategies={"one": Strategy(**(off | strategy))},
    )  # fmt: skip


def signal(ms: int, side: str = "buy", name: str = "COIN", **fields: Any) -> Signal:
    """Make a signal at a time; quantity 1, leverage 1."""
    values = {"quantity": D(1), "leverage": D(1), **fields}
    identity = f"{name}{ms}{side}{sorted(fields)}"
    return Signal(identity, T0 + ms * MS, name, side, 0.5, "x", **values)  # type: ignore[arg-type]


class Run:
    """Hold what a replay reported."""

    def __init__(
        self, series: Any, *signals: Signal, item: Instrument = COIN, marks: Any = None,
        funding: Any = None, paper: dict[str, Any] | None = None, close_at_end: bool = False,
        **strategy: Any,
    ) -> None:  # fmt: skip
        self.rows: dict[bool, list[tuple[Event, tuple[Fact, ...]]]] = {False: [], True: []}
        config = ConfigEvent(T0 - 1, research(paper, **strategy), "c", (item,), "engine")
        for reference in (False, True):
            rows = self.rows[reference]
            driver = Driver(
                config, [Tape(item, series, marks, funding)], Listed(list(signals)),
                lambda event, facts, rows=rows: rows.append((event, facts)),
                reference=reference, close_at_end=close_at_end,
            )  # fmt: skip
            driver.run()
        assert self.rows[False] == self.rows[True]
        self.state = driver.engine.state

    @property
    def fills(self) -> list[FillReport]:
        """Return the fills."""
        return [event for event, _ in self.rows[False] if isinstance(event, FillReport)]

    @property
    def reports(self) -> list[tuple[str, str]]:
        """Return (state, reason) of the other reports."""
        return [
            (event.state, event.reason)
            for event, _ in self.rows[False]
            if isinstance(event, OrderReport)
        ]

    @property
    def told(self) -> list[tuple[str, int, str]]:
        """Return (reason, ms, price) of each fill."""
        return [(fill.reason, (fill.ts_ns - T0) // MS, plain(fill.price)) for fill in self.fills]

    @property
    def codes(self) -> list[str]:
        """Return the denial codes."""
        return list(self.state.counters.denied)
