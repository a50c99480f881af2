"""Small seeded markets for tests of heads: trending, jumping, with gaps."""

from decimal import Decimal

import numpy as np

from cerberus_trader.domain.instrument import Instrument, Tier
from cerberus_trader.market.columns import Bars, Quotes
from cerberus_trader.replay.tape import Tape

START = 1_700_006_400_000_000_000  # a UTC midnight
MINUTE = 60_000_000_000
ITEM = Instrument(
    "XUSDT", tick=Decimal("0.0001"), lot=Decimal(1), notional_min=Decimal(5),
    maker_fee=Decimal("0.0002"), taker_fee=Decimal("0.0005"),
    tiers=(Tier(Decimal(0), Decimal(10**8), Decimal("0.01"), Decimal(50), Decimal(0)),),
)  # fmt: skip


def walk(rows: int, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    """Make prices in quanta of 10^-4 around 1.0, in regimes of drift."""
    r = np.random.default_rng(seed)
    drift = np.repeat(r.normal(0, 0.0007, rows // 200 + 1), 200)[:rows]
    return np.maximum(np.exp(np.cumsum(drift + r.normal(0, 0.004, rows))) * 10_000, 10).astype(
        np.int64
    )


def bars(rows: int = 3_000, seed: int = 1, minutes: int = 15, *, gaps: bool = True) -> Bars:
    """Make bars, some of them missing."""
    r = np.random.default_rng(seed + 1)
    close = walk(rows, seed)
    opens = np.concatenate([close[:1], close[:-1]])
    high = np.maximum(opens, close) + r.integers(0, 30, rows)
    low = np.maximum(np.minimum(opens, close) - r.integers(0, 30, rows), 1)
    ts = START + np.arange(rows, dtype=np.int64) * minutes * MINUTE
    keep = r.random(rows) > (0.01 if gaps else -1.0)
    if gaps:
        keep[rows // 2 : rows // 2 + 40] = False
    columns = (c[keep] for c in (ts, opens, high, low, close, r.integers(1, 10**6, rows)))
    return Bars(*columns, 4, 0, minutes * MINUTE)


def quotes(rows: int = 20_000, seed: int = 1) -> Quotes:
    """Make quotes at random times, with ties."""
    r = np.random.default_rng(seed)
    ts = START + np.cumsum(r.integers(0, 20, rows)).astype(np.int64) * 1_000_000_000
    bid = walk(rows, seed)
    return Quotes(ts, bid, bid + r.integers(0, 5, rows), 4)


def tape(series: Bars | Quotes | None = None) -> Tape:
    return Tape(ITEM, series if series is not None else bars())
