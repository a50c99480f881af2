"""A synthetic market for the demonstration: memecoin perpetuals, generated from a seed.

Nothing here was ever traded. Every coin is its share (beta) of one common factor plus noise of
its own, in steps of a minute, joined to five-minute bars. The factor walks through regimes (calm,
trend, storm) with jumps; one day crashes in a cascade and recovers in part; once the venue is
out for hours. Marks follow the prices smoothed; funding follows the day's momentum.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.money import from_belief
from cerberus_trader.domain.signal import Level, Signal
from cerberus_trader.market.columns import Bars, Funding, MarkBars

FloatArray: TypeAlias = npt.NDArray[np.float64]

MINUTE_NS = 60_000_000_000
BAR_NS = 5 * MINUTE_NS
HOUR_NS = 60 * MINUTE_NS
DAY_MINUTES = 1440
START_NS = 1_735_689_600_000_000_000  # 2025-01-01T00:00Z, a UTC midnight
DAYS = 45

CRASH_DAY, CRASH_MINUTE = 33, 13 * 60
OUTAGE_DAY, OUTAGE_MINUTE, OUTAGE_MINUTES = 17, 6 * 60, 180
# The crash: minutes, and the common factor's log return over them.
CASCADE = (
    (15, -0.035), (25, 0.012), (20, -0.07), (20, 0.02), (15, -0.13), (5, -0.06), (10, 0.05),
    (40, 0.04), (240, 0.07),
)  # fmt: skip

EUPHORIA_MINUTES, EUPHORIA = 40 * 60, 0.13  # the rally that the crash ends

# Regimes: daily volatility of the factor, daily drift (its sign is drawn), chance to stay an hour.
REGIMES = ((0.024, 0.0, 0.97), (0.034, 0.036, 0.95), (0.06, 0.01, 0.88))
JUMPS_PER_DAY = 0.5
JUMP_SIZE = 0.015


class Coin(NamedTuple):
    """Describe one synthetic perpetual; `volume` is the usual quantity of a bar."""

    name: str
    price: float
    digits: int
    beta: float
    noise: float
    volume: float


COINS = (
    Coin("DOGEUSDT", 0.182, 5, 1.0, 0.018, 9e6),
    Coin("1000PEPEUSDT", 0.0108, 7, 1.3, 0.026, 1.2e8),
    Coin("WIFUSDT", 1.43, 4, 1.4, 0.032, 8e5),
    Coin("1000BONKUSDT", 0.0236, 6, 1.25, 0.028, 3e7),
)


class History(NamedTuple):
    """Hold one coin's bars with its companions."""

    bars: Bars
    marks: MarkBars
    funding: Funding


def make_market(seed: int = 7, days: int = DAYS) -> dict[str, History]:
    """Return the histories of all coins, by name; equal seeds give equal markets."""
    rng = np.random.Generator(np.random.PCG64(seed))
    factor, sigma = common_factor(rng, days)
    market = {}
    for coin in COINS:
        own = rng.standard_normal(len(factor)) * coin.noise * (sigma / REGIMES[0][0]) ** 0.5
        path = np.cumsum(coin.beta * factor + own / DAY_MINUTES**0.5)
        market[coin.name] = history(rng, coin, np.concatenate([[0.0], path]), sigma)
    return market


def common_factor(rng: np.random.Generator, days: int) -> tuple[FloatArray, FloatArray]:
    """Return the factor's log returns by minute, and its daily volatility at each minute."""
    hours = days * 24
    sigma, drift = np.empty(hours), np.empty(hours)
    regime, sign = 0, 1.0
    for hour in range(hours):
        if rng.random() > REGIMES[regime][2]:
            regime = int(rng.choice(3, p=(0.4, 0.42, 0.18)))
            sign = 1.0 if rng.random() < 0.55 else -1.0
        sigma[hour], drift[hour] = REGIMES[regime][0], sign * REGIMES[regime][1]
    wide, lean = np.repeat(sigma, 60), np.repeat(drift, 60)
    minutes = len(wide)
    factor = lean / DAY_MINUTES + rng.standard_normal(minutes) * wide / DAY_MINUTES**0.5
    jumps = rng.random(minutes) < JUMPS_PER_DAY / DAY_MINUTES
    factor[jumps] += rng.standard_normal(int(jumps.sum())) * JUMP_SIZE
    at = CRASH_DAY * DAY_MINUTES + CRASH_MINUTE
    if at + sum(span for span, _ in CASCADE) > minutes:
        return factor, wide
    factor[at - EUPHORIA_MINUTES : at] += EUPHORIA / EUPHORIA_MINUTES
    for span, change in CASCADE:
        weights = rng.random(span) + 0.2
        factor[at : at + span] += change * weights / weights.sum()
        wide[at : at + span] *= 3.0
        at += span
    return factor, wide


def history(rng: np.random.Generator, coin: Coin, path: FloatArray, sigma: FloatArray) -> History:
    """Join a path of log prices by minute to bars, marks and funding."""
    keep = bars_kept(len(path) // 5)
    ts = START_NS + np.flatnonzero(keep).astype(np.int64) * BAR_NS
    wick = np.abs(rng.standard_normal(len(sigma))) * sigma / DAY_MINUTES**0.5 * coin.beta
    columns = ohlc(coin, path, wick)
    moves = np.abs(np.diff(path[::5]))
    busy = 1.0 + 4.0 * moves / (np.median(moves) + 1e-12) / 3.0
    volume = coin.volume * busy * np.exp(0.35 * rng.standard_normal(len(moves)))
    opens, highs, lows, closes = (column[keep] for column in columns)
    bars = Bars(
        ts, opens, highs, lows, closes, np.rint(volume[keep]).astype(np.int64), coin.digits, 0,
        BAR_NS,
    )  # fmt: skip
    smooth = smoothed(path, 3)
    opens, highs, lows, closes = (column[keep] for column in ohlc(coin, smooth, wick * 0.3))
    marks = MarkBars(ts, opens, highs, lows, closes, coin.digits, BAR_NS)
    return History(bars, marks, funding_of(rng, path))


def bars_kept(count: int) -> npt.NDArray[np.bool_]:
    """Tell which bars exist: all but those of the outage."""
    keep = np.ones(count, dtype=bool)
    first = (OUTAGE_DAY * DAY_MINUTES + OUTAGE_MINUTE) // 5
    keep[first : first + OUTAGE_MINUTES // 5] = False
    return keep


def ohlc(coin: Coin, path: FloatArray, wick: FloatArray) -> list[npt.NDArray[np.int64]]:
    """Return open, high, low, close in quanta; a bar closes where the next one opens."""
    count = (len(path) - 1) // 5
    scale = coin.price * 10.0**coin.digits
    inner = path[: count * 5].reshape(count, 5)
    reach = wick[: count * 5].reshape(count, 5)
    ends = path[: count * 5 + 1 : 5]
    edges = np.maximum(ends[:-1], ends[1:]), np.minimum(ends[:-1], ends[1:])
    highs = np.maximum((inner + reach).max(axis=1), edges[0])
    lows = np.minimum((inner - reach).min(axis=1), edges[1])
    return [
        np.maximum(np.rint(np.exp(column) * scale), 1.0).astype(np.int64)
        for column in (ends[:-1], highs, lows, ends[1:])
    ]


def smoothed(path: FloatArray, minutes: int) -> FloatArray:
    """Average a path over the last minutes, as an index of several venues would."""
    sums = np.cumsum(np.concatenate([np.full(minutes, path[0]), path]))
    return np.asarray((sums[minutes:] - sums[:-minutes]) / minutes, dtype=np.float64)


def funding_of(rng: np.random.Generator, path: FloatArray) -> Funding:
    """Pay every eight hours: a little always, more while the last day rose."""
    minutes = np.arange(480, len(path), 480)
    momentum = path[minutes] - path[np.maximum(minutes - DAY_MINUTES, 0)]
    rate = 0.0001 + 0.004 * momentum + rng.standard_normal(len(minutes)) * 0.00004
    quanta = np.rint(np.clip(rate, -0.00375, 0.00375) * 1e8).astype(np.int64)
    return Funding(START_NS + minutes.astype(np.int64) * MINUTE_NS, quanta, 8)


def crowd_calls(market: dict[str, History], seed: int = 7) -> list[Signal]:
    """Return the calls of an overconfident crowd: longs only, at 30x, without a stop.

    It chases what rose in the last hour, buys every dip, and calls at random; it calls through
    the outage too. Each call knows only bars that had closed by then.
    """
    rng = np.random.Generator(np.random.PCG64([seed, 1]))
    calls: list[tuple[int, str, float, str]] = []
    for name, item in market.items():
        bars = item.bars
        close = bars.close.astype(np.float64)
        past = close[12:] / close[:-12] - 1.0
        luck = rng.random(len(past))
        chased = (past > 0.03) & (luck < 0.10)
        dips = (past < -0.04) & (luck < 0.30)
        bored = luck > 1.0 - 0.7 / 288
        for mood, rows in (("chase", chased), ("dip", dips), ("boredom", bored)):
            for row in np.flatnonzero(rows):
                at = int(bars.ts_open[row + 12]) + BAR_NS
                calls.append((at, name, float(past[row]), mood))
    end = int(next(iter(market.values())).bars.ts_open[-1])
    for mood, day, minute in (
        ("outage", OUTAGE_DAY, OUTAGE_MINUTE + 45), ("euphoria", CRASH_DAY, CRASH_MINUTE - 180),
    ):  # fmt: skip
        first = START_NS + (day * DAY_MINUTES + minute) * MINUTE_NS
        calls += [
            (first + number * HOUR_NS // 2, coin.name, 0.0, mood)
            for number, coin in enumerate(COINS)
            if first < end
        ]
    calls.sort()
    return [
        Signal(
            f"crowd-{number:04d}", at, name, "buy", 0.95, "crowd", level=Level.EXTREME,
            leverage=from_belief(30.0), take_profit_pct=from_belief(4.0),
            metadata=f'{{"mood":"{mood}","hour_pct":{past * 100:.2f}}}',
        )
        for number, (at, name, past, mood) in enumerate(calls, 1)
    ]  # fmt: skip
