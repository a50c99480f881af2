"""The live market: the last price of each instrument, what it is worth, how much it moves.

A tick is one step of a price: a point (a quote, a trade, a bar's open), what happened inside a
bar, a bar's close. It is the engine's only view of the market between events; no tick enters the
core.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import NamedTuple, Protocol

from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.market.bars import BarBuilder
from cerberus_trader.market.volatility import BAR_NS, MinuteSigma, Sigma

INSIDE, CLOSE, POINT = range(3)
UNIT = 10**15  # prices in logarithms only: any constant unit fine enough for the cheapest token


class Tick(NamedTuple):
    """Hold one step of an instrument's price.

    `known_ns` is the venue's time of it; `bar` is (open, high, low) of an INSIDE; `mark` and
    `funding` accompany a live quote; `row` is that of a played file.
    """

    name: str
    kind: int
    bid: Decimal
    ask: Decimal
    known_ns: int
    bar: tuple[Decimal, Decimal, Decimal] | None = None
    mark: Decimal | None = None
    funding: Decimal | None = None
    row: int = -1


SizeOf = Callable[[int, int], Decimal | None]


class SigmaOf(Protocol):
    """Tell volatility at a time, as daily fractions: (estimate, one-minute); -1 unknown."""

    def at(self, t: int) -> tuple[float, float]: ...


class StreamSigma:
    """Estimate volatility from points as they come, as `SigmaSeries` does over a history."""

    def __init__(self) -> None:
        self._bars = BarBuilder(BAR_NS)
        self._sigma = Sigma(BAR_NS)
        self._minute = MinuteSigma()

    def update(self, ts: int, bid: Decimal, ask: Decimal) -> None:
        """Take a point."""
        value = int((bid + ask) * UNIT)
        done = self._bars.add(ts, value)
        if done is not None:
            self._sigma.update(done)
        self._minute.update(ts, value)

    def at(self, t: int) -> tuple[float, float]:
        """Return what is known at a time, which never runs backwards."""
        done = self._bars.close(t)
        if done is not None:
            self._sigma.update(done)
        return self._sigma.value, self._minute.at(t)


class Line:
    """Hold one instrument's last price; `interval_ns` is that of its bars, 0 for points.

    `price` is what a signal is judged on (bid, ask, when known), None before the first; `mark`
    values positions; `marked` says that liquidation is tested on marks alone; `size` tells what a
    row of a played file offers on a side, and `row` is the last point's.
    """

    __slots__ = (
        "ask", "bid", "interval_ns", "last_ns", "mark", "marked", "point_ns", "price", "row",
        "sigma", "size", "stream",
    )  # fmt: skip

    def __init__(
        self, interval_ns: int = 0, sigma: SigmaOf | None = None, size: SizeOf | None = None
    ) -> None:
        self.interval_ns = interval_ns
        self.size = size
        self.row = -1
        stream = StreamSigma()
        self.stream = stream if sigma is None else None
        self.sigma: SigmaOf = stream if sigma is None else sigma
        self.bid = self.ask = Decimal(0)
        self.point_ns = self.last_ns = -1
        self.price: tuple[int, Decimal, Decimal] | None = None
        self.mark: Decimal | None = None
        self.marked = False

    def offered(self, row: int, side: int) -> Decimal | None:
        """Return what a row offers on an order's side, None where that is not known."""
        return self.size(row, side) if self.size is not None else None

    def take(self, tick: Tick, ts: int) -> None:
        """Take a tick at the engine's time."""
        if tick.kind == INSIDE:
            return
        if tick.kind == CLOSE:
            self.price = (tick.known_ns, tick.bid, tick.ask)
            self.mark = tick.bid
            return
        self.bid, self.ask = tick.bid, tick.ask
        self.point_ns = self.last_ns = ts
        self.row = tick.row if tick.row >= 0 else self.row + 1
        if tick.mark is not None:
            self.mark, self.marked = tick.mark, True
        elif self.interval_ns:
            self.mark = tick.bid
        elif not self.marked:
            self.mark = ((tick.bid + tick.ask) * 5).scaleb(-1)  # the digits of `Valuation`
        if not self.interval_ns:
            self.price = (tick.known_ns, tick.bid, tick.ask)
        if self.stream is not None:
            self.stream.update(ts, tick.bid, tick.ask)


class LiveMarket:
    """Hold the lines of all instruments, and answer what an event must carry."""

    def __init__(self) -> None:
        self.lines: dict[str, Line] = {}

    def add(self, name: str, line: Line) -> None:
        """Know an instrument's interval and volatility before its first price."""
        self.lines[name] = line

    def take(self, tick: Tick, ts: int) -> Line:
        """Take a tick; return the instrument's line."""
        line = self.lines.get(tick.name)
        if line is None:
            line = self.lines[tick.name] = Line()
        line.take(tick, ts)
        return line

    def mark(self, name: str) -> Decimal | None:
        """Return an instrument's mark: mark price, else mid, price, latest open or close."""
        line = self.lines.get(name)
        return line.mark if line is not None else None

    def marks(self, held: Iterable[str], name: str = "") -> Marks:
        """Price every instrument that has exposure, and one more."""
        found = []
        for item in held:
            price = self.mark(item)
            if price is not None:
                found.append((item, price))
            if item == name:
                name = ""
        if name:
            price = self.mark(name)
            if price is not None:
                found.append((name, price))
        return tuple(found)

    def snapshot(self, name: str, ts: int, held: Iterable[str]) -> Snapshot | None:
        """Return what a signal is judged on at a time, None before the first price."""
        line = self.lines.get(name)
        if line is None or line.price is None:
            return None
        known_ns, bid, ask = line.price
        wide, minute = line.sigma.at(ts)
        return Snapshot(
            min(known_ns, ts), bid, ask, line.interval_ns, wide, minute, self.marks(held)
        )
