"""Random small markets and signals, for properties that compare whole replays."""

import random
from decimal import Decimal
from typing import Any

import numpy as np

from cerberus_trader.domain.events import ConfigEvent, Event
from cerberus_trader.domain.facts import Fact
from cerberus_trader.domain.instrument import Instrument, Tier
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
from cerberus_trader.market.columns import (
    Bars,
    Funding,
    MarkBars,
    MarkPoints,
    Prices,
    Quotes,
    Trades,
)
from cerberus_trader.replay.driver import NEVER, Driver
from cerberus_trader.replay.tape import Marks, Tape
from tests.properties.world_draws import coarse, more, odd

D = Decimal
START = 1_700_006_399_000_000_000  # one second before a UTC midnight
TIERS = (
    Tier(D(0), D(3000), D("0.01"), D(50), D(0)),
    Tier(D(3000), D(20000), D("0.025"), D(20), D(45)),
    Tier(D(20000), D(500000), D("0.05"), D(10), D(545)),
)


class Listed:
    """Give signals from a list, as a replay takes them."""

    def __init__(self, signals: list[Signal]) -> None:
        self.signals = sorted(signals, key=lambda signal: signal.ts_ns)
        self.at = 0

    def next_ns(self) -> int:
        return self.signals[self.at].ts_ns if self.at < len(self.signals) else NEVER

    def take(self) -> list[Signal]:
        now, found = self.next_ns(), []
        while self.next_ns() == now and now != NEVER:
            found.append(self.signals[self.at])
            self.at += 1
        return found


def instrument(name: str, r: random.Random) -> Instrument:
    """Make an instrument whose tick is finer, equal, or coarser than the file's quantum."""
    return Instrument(
        name,
        tick=r.choice([D("0.01"), D("0.1"), D("0.001"), D("0.05")]),
        lot=D("0.001"),
        notional_min=D(1),
        maker_fee=D("0.0002"),
        taker_fee=D("0.0005"),
        tiers=TIERS if r.random() < 0.8 else (),
    )


def walk(r: random.Random, n: int) -> np.ndarray[Any, Any]:
    """Make a random walk around 100.00 in cents, with jumps and long flat stretches."""
    steps = [
        r.choice([0, 0, 0, 1, -1, 5, -5]) * r.choice([1, 1, 10]) + (r.random() < 0.01)
        * r.choice([-900, 700])
        for _ in range(n)
    ]  # fmt: skip
    return np.maximum(10000 + np.cumsum(steps), 500).astype(np.int64)


def times(r: random.Random, n: int) -> np.ndarray[Any, Any]:
    """Make times with ties and gaps."""
    gaps = [r.choice([0, 1, 100, 100, 1000, 5000]) * 1_000_000 for _ in range(n)]
    return START + np.cumsum(np.array(gaps, dtype=np.int64))


def prices(r: random.Random, n: int) -> Prices:
    """Make quotes, trades or bars."""
    kind = r.choice(["quotes", "trades", "bars"])
    if kind == "bars":
        close = walk(r, n)
        opens = np.concatenate([[10000], close[:-1]]) + np.array(
            [r.choice([0, 0, 3, -300]) for _ in range(n)]
        )
        opens = np.maximum(opens, 100).astype(np.int64)
        high = np.maximum(opens, close) + np.array([r.choice([0, 5, 200]) for _ in range(n)])
        low = np.minimum(opens, close) - np.array([r.choice([0, 5, 200]) for _ in range(n)])
        low = np.maximum(low, 50)
        keep = np.array([r.random() > 0.05 for _ in range(n)])
        keep[0] = True
        ts = (START + np.arange(n, dtype=np.int64) * 60_000_000_000)[keep]
        cols = [c[keep].astype(np.int64) for c in (opens, high, low, close)]
        volume = np.full(len(ts), 1000, dtype=np.int64)
        return Bars(ts, *cols, volume, 2, 0, 60_000_000_000)
    mid = walk(r, n)
    if kind == "trades":
        return Trades(times(r, n), mid, 2)
    spread = np.array([r.choice([0, 1, 2, 10, -2]) for _ in range(n)], dtype=np.int64)
    return Quotes(times(r, n), mid, mid + spread, 2)


def marks(r: random.Random, series: Prices) -> Marks | None:
    """Make a mark series that follows the prices, or none."""
    if r.random() < 0.6:
        return None
    if isinstance(series, Bars) and r.random() < 0.5:
        rows = [i for i in range(len(series)) if r.random() > 0.1 or i == 3]
        shift = np.array([r.choice([0, 7, -30]) for _ in rows], dtype=np.int64)
        cols = [getattr(series, c)[rows] + shift for c in ("open", "high", "low", "close")]
        cols = [np.maximum(c, 10) for c in cols]
        return MarkBars(series.ts_open[rows], *cols, 2, series.interval_ns)
    source = series.ts_open if isinstance(series, Bars) else series.ts
    value = series.open if isinstance(series, Bars) else series.bid
    rows = sorted(r.sample(range(len(source)), max(1, len(source) // 2)))
    price = np.maximum(value[rows] * 10 + r.choice([0, 3, -40]), 10)
    return MarkPoints(source[rows] + r.choice([0, 500_000]), price.astype(np.int64), 3)


def funding(r: random.Random, series: Prices) -> Funding | None:
    """Make funding rates, or none."""
    if r.random() < 0.5:
        return None
    source = series.ts_open if isinstance(series, Bars) else series.ts
    first, last = int(source[0]), int(source[-1])
    n = 6
    ts = np.array(sorted(r.randint(first, last + 1000) for _ in range(n)), dtype=np.int64)
    rate = np.array([r.randint(-300, 900) for _ in range(n)], dtype=np.int64)
    return Funding(ts, rate, 5)


def signal(r: random.Random, number: int, tapes: list[Tape], sources: list[str]) -> Signal:
    """Make a signal with random levels, sometimes absurd ones."""
    tape = r.choice(tapes)
    row = r.randrange(tape.rows)
    ts = int(tape.ts[row]) + r.choice([0, 0, 1, 999_999, 60_000_000_000])
    price = tape.quote(row)[0]
    side = r.choice(["buy", "sell", "buy", "sell", "close"])
    sign = 1 if side == "buy" else -1
    fields: dict[str, Any] = {}
    pick = r.random()
    if pick < 0.4:
        fields["stop_loss_pct"] = D(r.choice(["0.5", "1", "2.5", "0.01"]))
    elif pick < 0.6:
        fields["stop_loss"] = price - sign * D(r.choice(["0.5", "1.005", "3", "-1"]))
    pick = r.random()
    if pick < 0.3:
        fields["take_profit_pct"] = D(r.choice(["0.5", "1", "3"]))
    elif pick < 0.5:
        fields["take_profit"] = price + sign * D(r.choice(["0.5", "1.005", "3"]))
    pick = r.random()
    if pick < 0.2:
        fields["trailing_pct"] = D(r.choice(["0.3", "1"]))
    elif pick < 0.35:
        fields["trailing"] = D(r.choice(["0.5", "0.013", "2"]))
    if r.random() < 0.3 and side != "close":
        fields["order"] = "limit"
        fields["limit"] = price - sign * D(r.choice(["0", "0.1", "0.537", "1", "-0.2"]))
        if r.random() < 0.5:
            fields["expires_ms"] = r.choice([100, 60_000, 600_000])
    if r.random() < 0.9:
        fields["quantity"] = D(r.choice(["1", "5", "20.5", "0.0004"]))
        fields["leverage"] = D(r.choice(["1", "3", "12.5", "25", "60"]))
    return Signal(
        f"s{number}", ts, tape.name, side, r.choice([0.2, 0.5, 0.9]), r.choice(sources), **fields
    )  # type: ignore[arg-type]


def settings(r: random.Random) -> Settings:
    """Make settings: free as in research, or guarded with limits that bite."""
    strategies = {
        "one": Strategy(
            sources=("*",), add=r.random() < 0.3, reverse=r.random() < 0.3, day_loss=D("0.01"),
            day_loss_action="flatten",
        ),
        "two": Strategy(account=r.choice(["main", "second"]), day_loss=D("0.02")),
    }  # fmt: skip
    paper = Paper(
        latency_ms=r.choice([0, 50, 1500]),
        slippage_bps=D(r.choice([0, 2, 7])),
        take_profit_order=r.choice(["market", "limit"]),
    )
    intake = Intake(data_age_ms_max=10**9, spread_bps_max=D(1000), signal_age_ms_max=10**9)
    loose = Risk(volatility_halt=0.0, minute_volatility_halt=0.0, lift_all=r.random() < 0.5)
    return Settings(
        intake=intake,
        paper=paper,
        strategies=strategies,
        risk=loose,
        leverage=Leverage(fractional=loose.lift_all, cap=D(60)),
        sizing=Sizing(methods=("risk",), obey_quantity=loose.lift_all),
        levels=Levels(stop_required=r.random() < 0.5),
        breaker=Breaker(day_loss=D("0.02"), cooldown_ms=0, day_release=True)
        if r.random() < 0.7
        else Breaker(day_loss_action="off", drawdown_action="off", losses_max=0),
        health=Health() if r.random() < 0.6 else Health(watch=D(1), danger=D(1), critical=D(1)),
    )


def world(seed: int, *, reference: bool, rows: int = 80, count: int = 25) -> tuple[
    Driver, list[tuple[Event, tuple[Fact, ...]]]
]:  # fmt: skip
    """Make a driver over a random market; equal seeds give equal worlds."""
    r, extra = random.Random(seed), random.Random(f"more {seed}")
    tapes = []
    for name in ("AAA", "BBB", "CCC")[: r.randint(1, 3)]:
        series = prices(r, rows)
        item = coarse(instrument(name, r), extra)
        tapes.append(Tape(item, series, marks(r, series), funding(r, series)))
    chosen = more(settings(r), extra)
    signals = [odd(signal(r, i, tapes, ["x", "two"]), extra) for i in range(count)]
    config = ConfigEvent(START - 1, chosen, "c", tuple(tape.instrument for tape in tapes), "engine")
    rows_: list[tuple[Event, tuple[Fact, ...]]] = []
    driver = Driver(
        config, tapes, Listed(signals), lambda event, facts: rows_.append((event, facts)),
        reference=reference, close_at_end=r.random() < 0.5,
    )  # fmt: skip
    return driver, rows_
