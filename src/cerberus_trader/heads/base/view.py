"""What a head may see at a wake: closed bars, the last price, and what is its own.

A view is frozen and holds nothing that is later than its time: bars enter the history when they
have closed, in a replay as live. Numbers of the market are floats, since a head believes; what
it asks for becomes money in `domain/money.py`.
"""

import hashlib
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import ZERO, from_belief
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.signal import LEVEL_CONFIDENCE, Level, Side, Signal

Floats = npt.NDArray[np.float64]
Amount = Decimal | float | int
ASKS = (
    "volume", "quantity", "leverage", "stop_loss", "stop_loss_pct", "take_profit",
    "take_profit_pct", "trailing", "trailing_pct", "limit",
)  # fmt: skip
HISTORY_MIN = 1_024


class Bar(NamedTuple):
    """Hold a closed bar; `ts_ns` is its close, from which on it is known."""

    ts_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float


class Account(msgspec.Struct, frozen=True):
    """Hold what is the head's own: its position, working entry, budget, last decisions.

    `budget` is the equity its strategy may use; `codes` are the verdicts on its last signals in
    this instrument, the newest last: `approved`, or the code of the denial.
    """

    position: Position | None = None
    order: Order | None = None
    budget: Decimal = ZERO
    codes: tuple[str, ...] = ()


NOBODY = Account()


class History:
    """Keep the last `keep` closed bars at least; older ones are let go."""

    __slots__ = ("bars", "count", "keep")

    def __init__(self, keep: int = HISTORY_MIN) -> None:
        self.bars: list[Bar] = []
        self.keep = keep
        self.count = 0

    def append(self, bar: Bar) -> None:
        """Take a bar that has closed."""
        self.bars.append(bar)
        self.count += 1
        if len(self.bars) >= 2 * self.keep:
            del self.bars[: -self.keep]


class Desk:
    """Hold what one run of a head shares with its views: the history, and the watched levels."""

    __slots__ = ("above", "asked", "below", "history", "instrument", "source")

    def __init__(self, source: str, instrument: str, keep: int) -> None:
        self.source = source
        self.instrument = instrument
        self.history = History(keep)
        self.below: float | None = None
        self.above: float | None = None
        self.asked = 0


class View(msgspec.Struct, frozen=True, gc=False):
    """See the market and one's own at `now_ns`; `bid` and `ask` are the last price known.

    `bar_count` counts the bars closed so far. Everything here is read-only, and asking for more
    than is known at `now_ns` raises `DataError`.
    """

    now_ns: int
    bid: float
    ask: float
    bar_count: int
    account: Account
    _desk: Desk

    @property
    def instrument(self) -> str:
        return self._desk.instrument

    @property
    def source(self) -> str:
        return self._desk.source

    @property
    def price(self) -> float:
        return (self.bid + self.ask) / 2.0

    @property
    def position(self) -> Position | None:
        return self.account.position

    @property
    def bar(self) -> Bar:
        """Return the last closed bar."""
        return self._bars(1)[0]

    def bars(self, count: int) -> list[Bar]:
        """Return the last closed bars, at most `count`, the newest last."""
        return self._bars(count)

    def opens(self, count: int) -> Floats:
        return np.array([bar.open for bar in self._bars(count)])

    def highs(self, count: int) -> Floats:
        return np.array([bar.high for bar in self._bars(count)])

    def lows(self, count: int) -> Floats:
        return np.array([bar.low for bar in self._bars(count)])

    def closes(self, count: int) -> Floats:
        return np.array([bar.close for bar in self._bars(count)])

    def volumes(self, count: int) -> Floats:
        return np.array([bar.volume for bar in self._bars(count)])

    def bar_at(self, ts_ns: int) -> Bar | None:
        """Return the last bar known at a time that is not later than now; None: forgotten."""
        if ts_ns > self.now_ns:
            self._unknown(f"a bar at {ts_ns} was asked for at {self.now_ns}")
        for bar in reversed(self._bars(self._desk.history.keep)):
            if bar.ts_ns <= ts_ns:
                return bar
        return None

    def _bars(self, count: int) -> list[Bar]:
        history = self._desk.history
        if not 0 < count <= history.keep:
            self._unknown(f"{count} bars were asked for, 1 to {history.keep} are kept")
        if not self.bar_count:
            self._unknown("no bar has closed yet")
        # a view that was kept from an earlier wake shows what was known then
        stop = len(history.bars) - (history.count - self.bar_count)
        return history.bars[max(0, stop - count) : max(0, stop)]

    def _unknown(self, what: str) -> None:
        raise DataError(
            f"{what}.", code="HEAD_BEYOND_VIEW", place=f"head {self.source}",
            fix="see docs/heads.md: what a head may see.",
        )  # fmt: skip

    def watch(self, *, below: float | None = None, above: float | None = None) -> None:
        """Ask to be woken when the price is at or below, at or above a level (`on_level`)."""
        self._desk.below, self._desk.above = below, above

    def buy(self, confidence: float | str, **asks: Any) -> Signal:
        """Make a signal to buy; `asks` are fields of `Signal`, numbers may be floats."""
        return self._signal("buy", confidence, asks)

    def sell(self, confidence: float | str, **asks: Any) -> Signal:
        """Make a signal to sell; `asks` are fields of `Signal`, numbers may be floats."""
        return self._signal("sell", confidence, asks)

    def close(self, confidence: float | str = 1.0, **asks: Any) -> Signal:
        """Make a signal to close what is open."""
        return self._signal("close", confidence, asks)

    def _signal(self, side: Side, confidence: float | str, asks: Mapping[str, Any]) -> Signal:
        desk = self._desk
        desk.asked += 1
        level = Level(confidence) if isinstance(confidence, str) else None
        order: Literal["market", "limit"] = "limit" if "limit" in asks else "market"
        fields: dict[str, Any] = {
            name: _metadata(value) if name == "metadata"
            else value if name == "expires_ms"
            else _amount(value, name)
            for name, value in asks.items()
        }  # fmt: skip
        return Signal(
            signal_id(desk.source, desk.instrument, self.now_ns, side, desk.asked),
            self.now_ns,
            desk.instrument,
            side,
            LEVEL_CONFIDENCE[level] if level is not None else float(confidence),
            desk.source,
            level,
            price=from_belief(self.price),
            order=order,
            **fields,
        )


def signal_id(source: str, instrument: str, ts_ns: int, side: str, number: int) -> str:
    """Derive the id of a head's signal; `number` counts the signals of one wake."""
    text = f"{source}\0{instrument}\0{ts_ns}\0{side}\0{number}"
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def _amount(value: Amount, name: str) -> Decimal:
    if name not in ASKS:
        raise DataError(
            f"a signal cannot ask for {name!r}.", code="HEAD_SIGNAL", fix=f"use {', '.join(ASKS)}."
        )
    return value if isinstance(value, Decimal) else from_belief(float(value))


def _metadata(value: Any) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
