"""Signals: what a head asks for. The engine grants at most what a signal asks."""

from decimal import Decimal
from enum import Enum
from typing import Literal

import msgspec

from cerberus_trader.domain.money import HUNDRED, ZERO

Side = Literal["buy", "sell", "close"]


class Level(Enum):
    """Name the four levels of confidence."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    EXTREME = "extreme"


# The number a word stands for: the middle of its band under the default thresholds.
LEVEL_CONFIDENCE = {
    Level.LOW: 0.2,
    Level.MEDIUM: 0.5,
    Level.HIGH: 0.7,
    Level.EXTREME: 0.9,
}


class Signal(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Ask for a trade in one instrument.

    `ts_ns` is when the head made it; `confidence` is 0 to 1, and `level` the word where the head
    gave one; percentages are in percent of the fill price; `trailing` is a price distance;
    `order` fok is a limit order that fills at once and whole, or not at all (fill or kill).
    `metadata` is the head's own JSON text. `price` and `volume` are what the head saw.
    """

    id: str
    ts_ns: int
    instrument: str
    side: Side
    confidence: float
    source: str
    level: Level | None = None
    price: Decimal | None = None
    volume: Decimal | None = None
    quantity: Decimal | None = None
    leverage: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_pct: Decimal | None = None
    take_profit: Decimal | None = None
    take_profit_pct: Decimal | None = None
    trailing: Decimal | None = None
    trailing_pct: Decimal | None = None
    order: Literal["market", "limit", "fok"] = "market"
    limit: Decimal | None = None
    expires_ms: int = 0
    metadata: str = ""

    @property
    def amounts(self) -> tuple[Decimal | None, ...]:
        """Return the amounts that must be above 0, in the order of `POSITIVE`."""
        return (
            self.price,
            self.quantity,
            self.leverage,
            self.stop_loss,
            self.stop_loss_pct,
            self.take_profit,
            self.take_profit_pct,
            self.trailing,
            self.trailing_pct,
            self.limit,
        )

    def faults(self) -> list[str]:
        """List what is wrong with the signal by itself, each naming the field and the fix."""
        found: list[str] = []
        if not 0 < len(self.id) <= 128:
            found.append("id must have 1 to 128 characters")
        if not 0.0 <= self.confidence <= 1.0:
            found.append("confidence must be low, medium, high, extreme or 0..1")
        if self.ts_ns <= 0:
            found.append("ts must be after 1970")
        if self.stop_loss is not None and self.stop_loss_pct is not None:
            found.append("give stop_loss or stop_loss_pct, not both")
        if self.take_profit is not None and self.take_profit_pct is not None:
            found.append("give take_profit or take_profit_pct, not both")
        if self.trailing is not None and self.trailing_pct is not None:
            found.append("give trailing or trailing_pct, not both")
        if self.order != "market" and self.limit is None and self.side != "close":
            found.append("a limit or fok order needs limit")
        for index, value in enumerate(self.amounts):
            if value is None:
                continue
            if not value.is_finite() or value <= ZERO:
                found.append(f"{POSITIVE[index]} must be a finite number above 0")
            elif value >= HUNDRED and POSITIVE[index] in BELOW_HUNDRED:
                found.append(f"{POSITIVE[index]} must be below 100 (percent)")
        if self.expires_ms < 0:
            found.append("expires_ms must not be negative")
        return found


POSITIVE = (
    "price",
    "quantity",
    "leverage",
    "stop_loss",
    "stop_loss_pct",
    "take_profit",
    "take_profit_pct",
    "trailing",
    "trailing_pct",
    "limit",
)
BELOW_HUNDRED = ("stop_loss_pct", "trailing_pct")
