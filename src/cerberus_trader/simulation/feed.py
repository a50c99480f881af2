"""Prices of the venue server: a random walk, or price files played row by row, round and round."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from random import Random

from cerberus_trader.config import load_settings
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.money import floor_to, parse_amount
from cerberus_trader.replay.inputs import ReplayRequest, load_tapes
from cerberus_trader.replay.tape import Tape

START_TICKS = 20_000
STEP_SIGMA = 0.0005
JUMP_MIN, JUMP_MAX = 0.01, 0.06

Moved = tuple[str, Decimal, Decimal]
Move = Callable[[float], list[Moved]]
"""Give the next (instrument, bid, ask) of all; the argument is the rate of jumps, of 1."""


class Walk:
    """Let prices walk at random, a spread of two ticks around them."""

    def __init__(self, items: dict[str, Instrument], start: dict[str, Decimal], rng: Random):
        self.items = items
        self.rng = rng
        self.values = {name: float(start[name]) for name in items}

    def __call__(self, jumps: float) -> list[Moved]:
        """Move every price by one step."""
        found = []
        for name, item in self.items.items():
            move = self.rng.gauss(0.0, STEP_SIGMA)
            if self.rng.random() < jumps:
                move += self.rng.choice((-1, 1)) * self.rng.uniform(JUMP_MIN, JUMP_MAX)
            value = self.values[name] = self.values[name] * (1.0 + move)
            bid = max(floor_to(Decimal(f"{value:.12g}"), item.tick), item.tick)
            found.append((name, bid, bid + 2 * item.tick))
        return found


class Rows:
    """Play price files, all of them a row at a time; each begins anew when it has ended."""

    def __init__(self, paths: list[Path], items: dict[str, Instrument]) -> None:
        tapes = load_tapes(ReplayRequest(tuple(paths)), load_settings(environ={}), items)
        self.rows = {tape.name: _endless(tape) for tape in tapes}

    def __call__(self, jumps: float) -> list[Moved]:
        """Give the next row of each file."""
        return [(name, *next(rows)) for name, rows in self.rows.items()]


def _endless(tape: Tape) -> Iterator[tuple[Decimal, Decimal]]:
    while True:
        if tape.bars is not None:
            for value in tape.bars.close.tolist():
                yield tape.decimal(value), tape.decimal(value)
        else:
            assert tape.points is not None
            for bid, ask in zip(tape.points.bid.tolist(), tape.points.ask.tolist(), strict=True):
                yield tape.decimal(bid), tape.decimal(ask)


def named_prices(
    named: list[str], known: dict[str, Instrument]
) -> tuple[dict[str, Instrument], dict[str, Decimal]]:
    """Read `NAME` or `NAME=PRICE` of the walk's instruments; raise `DataError` for others."""
    items, start = {}, {}
    for text in named:
        name, _, price = text.partition("=")
        if name not in known:
            raise DataError(
                f"{name[:40]!r} names no known instrument.", code="INSTRUMENT_UNKNOWN",
                place="--instrument", fix="name one of those that `cerberus config` knows.",
            )  # fmt: skip
        items[name] = known[name]
        start[name] = START_TICKS * known[name].tick
        if price:
            start[name] = parse_amount(price, place="--instrument")
        if start[name] <= 0:
            raise DataError("the price is not positive.", place=f"--instrument {name}",
                            fix="write NAME=PRICE.")  # fmt: skip
    return items, start
