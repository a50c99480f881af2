"""Small files for whole replays: five-minute bars of one coin, and signals as lines."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

START = datetime(2025, 3, 1, tzinfo=UTC)
Bar = tuple[str, str, str, str]

# The second bar's open fills what the first close decided; the third bar reaches 0.106.
BARS: tuple[Bar, ...] = (
    ("0.10000", "0.10100", "0.09950", "0.10050"),
    ("0.10050", "0.10100", "0.10000", "0.10080"),
    ("0.10080", "0.10600", "0.10050", "0.10550"),
    ("0.10550", "0.10560", "0.10300", "0.10320"),
    ("0.10320", "0.10330", "0.09800", "0.09850"),
    ("0.09850", "0.09900", "0.09800", "0.09890"),
)


def at(minutes: int) -> str:
    """Return a time as text."""
    return (START + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def ns(minutes: int) -> int:
    """Return a time in nanoseconds."""
    return int((START + timedelta(minutes=minutes)).timestamp()) * 1_000_000_000


def write_prices(folder: Path, bars: Sequence[Bar] = BARS, name: str = "DOGEUSDT_5m.csv") -> Path:
    """Write bars as CSV."""
    lines = ["ts,open,high,low,close,volume"]
    lines += [f"{at(5 * n)},{','.join(bar)},1000" for n, bar in enumerate(bars)]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def signal(number: int, minutes: int, side: str, **more: Any) -> dict[str, Any]:
    """Make a signal line's fields."""
    return {"id": f"s{number}", "ts": at(minutes), "instrument": "DOGEUSDT", "side": side,
            "confidence": "high", "source": "oracle", **more}  # fmt: skip


def write_signals(folder: Path, signals: Sequence[dict[str, Any] | str]) -> Path:
    """Write signals as JSON lines; text stands as it is."""
    lines = [item if isinstance(item, str) else json.dumps(item) for item in signals]
    path = folder / "signals.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LONG = signal(1, 5, "buy", quantity=1000, leverage=3, stop_loss_pct=2, take_profit_pct=4)
SHORT = signal(2, 15, "sell", quantity=1000, leverage=2, stop_loss_pct=3)
