"""The head `breakout`: volatility breakouts in the direction of the trend, for perpetuals.

A close beyond the channel of the last bars (Donchian), on the trend's side of a rising (falling)
exponential average, by at least `strength_min` sigma of a bar. Stop and trailing distance count
in sigma of the holding time. Confidence is a probability: a logistic of the breakout's strength
and the trend's, drawn towards what its own last breakouts in this instrument came to (did the
price go one stop distance for it before it went one against it?), with `prior` imagined ones
for the logistic. Returns across gaps do not count into sigma.
"""

from collections import deque
from collections.abc import Iterator
from math import exp, log, sqrt
from typing import Annotated

import msgspec
from msgspec import Meta

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import Bar, View, head, interval_of, on_bar

Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=2, le=20_000)]


class BreakoutConfig(msgspec.Struct, frozen=True):
    """Set the horizons in bars, the distances in sigma, the bounds in percent."""

    interval: str = "15m"
    channel: Count = 96
    trend: Count = 384
    sigma_bars: Count = 96
    holding: Count = 32
    strength_min: Positive = 0.5
    stop_sigma: Positive = 2.0
    trailing_sigma: Positive = 3.0
    stop_pct_min: Positive = 0.8
    stop_pct_max: Annotated[float, Meta(gt=0, lt=50)] = 8.0
    cool_down: Annotated[int, Meta(ge=0)] = 16
    prior: Positive = 20.0
    record: Annotated[int, Meta(ge=1, le=500)] = 60

    def __post_init__(self) -> None:
        interval_of(self.interval)


class Extreme:
    """Keep the highest value of the last `size` (a falling queue: each value enters once)."""

    def __init__(self, size: int) -> None:
        self.size, self.count = size, 0
        self.queue: deque[tuple[int, float]] = deque()

    def add(self, value: float) -> None:
        """Take the next value."""
        queue = self.queue
        while queue and queue[-1][1] <= value:
            queue.pop()
        queue.append((self.count, value))
        self.count += 1
        if queue[0][0] < self.count - self.size:
            queue.popleft()

    @property
    def value(self) -> float:
        return self.queue[0][1]


class Open(msgspec.Struct, array_like=True):
    """Hold a breakout whose end is not known yet: where it counts as won or lost."""

    sign: int
    won: float
    lost: float


class Memory(msgspec.Struct, array_like=True):
    """Hold the numbers between bars; `variance` is that of a bar's log return, -1 unknown."""

    ts_ns: int = 0
    step_ns: int = 0
    close: float = 0.0
    average: float = 0.0
    before: float = 0.0
    variance: float = -1.0
    rest: int = 0
    open: list[Open] = []
    ends: list[bool] = []


SAVED = tuple[Memory, list[tuple[int, list[tuple[int, float]]]]]


@head(
    "breakout",
    BreakoutConfig,
    wakes=lambda config: on_bar(config.interval),
    warm_up=lambda config: max(config.trend, config.channel, config.sigma_bars) + 1,
)
class Breakout:
    """Follow one instrument."""

    def __init__(self, config: BreakoutConfig) -> None:
        self.config = config
        self.memory = Memory()
        self.high, self.low = Extreme(config.channel), Extreme(config.channel)

    def signals(self, view: View) -> Iterator[Signal]:
        """Yield an entry on a breakout, a close when the price has crossed the average."""
        config, memory, bar = self.config, self.memory, view.bar
        top = self.high.value if self.high.count else bar.close
        bottom = -self.low.value if self.low.count else bar.close
        self._learn(bar)
        memory.rest = max(0, memory.rest - 1)
        if view.position is not None:
            if (bar.close - memory.average) * view.position.sign < 0.0:
                yield view.close()
            return
        sigma = sqrt(max(memory.variance, 0.0))
        if view.account.order is not None or memory.rest or not sigma > 0.0:
            return
        sign = 1 if bar.close > top else -1 if bar.close < bottom else 0
        edge = top if sign > 0 else bottom
        strength = sign * log(bar.close / edge) / sigma
        slope = sign * log(memory.average / memory.before) / sigma
        if not sign or strength < config.strength_min or slope <= 0.0:
            return
        if sign * (bar.close - memory.average) <= 0.0:
            return
        yield self._enter(view, sign, strength, slope, sigma)

    def _enter(self, view: View, sign: int, strength: float, slope: float, sigma: float) -> Signal:
        config, memory = self.config, self.memory
        wide = sigma * sqrt(config.holding) * 100.0
        stop = min(max(config.stop_sigma * wide, config.stop_pct_min), config.stop_pct_max)
        trailing = min(stop * config.trailing_sigma / config.stop_sigma, 2.0 * config.stop_pct_max)
        score = 1.0 / (1.0 + exp(-(0.25 * min(strength, 6.0) + 4.0 * min(slope, 0.1) - 0.75)))
        ends = memory.ends
        confidence = (sum(ends) + config.prior * score) / (len(ends) + config.prior)
        memory.rest = config.cool_down
        close, reach = view.price, stop / 100.0
        if len(memory.open) < config.record:
            memory.open.append(Open(sign, close * (1 + sign * reach), close * (1 - sign * reach)))
        ask = view.buy if sign > 0 else view.sell
        return ask(
            confidence, stop_loss_pct=stop, trailing_pct=trailing,
            metadata={"slope": slope, "score": score, "strength": strength, "tried": len(ends)},
        )  # fmt: skip

    def _learn(self, bar: Bar) -> None:
        """Take a closed bar into channel, average, sigma, and the record of past breakouts."""
        config, memory = self.config, self.memory
        self.high.add(bar.high)
        self.low.add(-bar.low)
        if memory.ts_ns:
            memory.before = memory.average
            memory.average += (bar.close - memory.average) * 2.0 / (config.trend + 1)
            if self._follows(bar):
                square = log(bar.close / memory.close) ** 2
                past = square if memory.variance < 0.0 else memory.variance
                memory.variance = past + (square - past) * 2.0 / (config.sigma_bars + 1)
        else:
            memory.average = memory.before = bar.close
        memory.ts_ns, memory.close = bar.ts_ns, bar.close
        for one in list(memory.open):
            against = bar.low if one.sign > 0 else bar.high
            along = bar.high if one.sign > 0 else bar.low
            lost = (one.lost - against) * one.sign >= 0.0
            if lost or (along - one.won) * one.sign >= 0.0:
                memory.open.remove(one)
                memory.ends = [*memory.ends, not lost][-config.record :]

    def _follows(self, bar: Bar) -> bool:
        # the interval is the least spacing seen; across a gap the return says nothing of sigma
        memory, step = self.memory, bar.ts_ns - self.memory.ts_ns
        if not memory.step_ns or step < memory.step_ns:
            memory.step_ns = step
        return step == memory.step_ns

    def save(self) -> bytes:
        """Return everything kept between bars."""
        queues = [(extreme.count, list(extreme.queue)) for extreme in (self.high, self.low)]
        return msgspec.msgpack.encode((self.memory, queues))

    def load(self, blob: bytes) -> None:
        """Take back what `save` returned."""
        self.memory, queues = msgspec.msgpack.decode(blob, type=SAVED)
        for extreme, (count, queue) in zip((self.high, self.low), queues, strict=True):
            extreme.count, extreme.queue = count, deque(queue)
