"""The head `mock`: random signals from a seed, for tests and demonstrations.

The draws come from a hash of seed, instrument and time, so that they depend on nothing else: the
same bars give the same signals in any process, after any restart.
"""

import hashlib
from collections.abc import Iterator
from typing import Annotated

import msgspec
from msgspec import Meta

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import View, head, interval_of, on_bar

LEVELS = ("low", "medium", "high", "extreme")


class MockConfig(msgspec.Struct, frozen=True):
    """Set the seed, how often it speaks (a chance per bar), and the levels it asks for."""

    seed: int = 1
    interval: str = ""
    chance: Annotated[float, Meta(ge=0, le=1)] = 0.1
    close_chance: Annotated[float, Meta(ge=0, le=1)] = 0.02
    stop_loss_pct: Annotated[float, Meta(gt=0, lt=100)] = 2.0
    take_profit_pct: Annotated[float, Meta(ge=0)] = 4.0
    words: bool = True

    def __post_init__(self) -> None:
        interval_of(self.interval)


@head("mock", MockConfig, wakes=lambda config: on_bar(config.interval))
def mock(view: View, config: MockConfig) -> Iterator[Signal]:
    """Yield at most one signal per bar."""
    text = f"{config.seed}\0{view.instrument}\0{view.now_ns}"
    draw = hashlib.blake2b(text.encode(), digest_size=16).digest()
    chance, side, level, close = (
        int.from_bytes(draw[i : i + 4], "big") / 2**32 for i in range(0, 16, 4)
    )
    if close < config.close_chance:
        yield view.close()
    elif chance < config.chance:
        confidence = LEVELS[int(level * len(LEVELS))] if config.words else level
        asks = {"stop_loss_pct": config.stop_loss_pct}
        if config.take_profit_pct:
            asks["take_profit_pct"] = config.take_profit_pct
        yield (view.buy if side < 0.5 else view.sell)(confidence, **asks)
