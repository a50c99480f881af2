"""Signals validate themselves."""

from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain.signal import Signal


def make(**fields: Any) -> Signal:
    values: dict[str, Any] = {
        "id": "a", "ts_ns": 1, "instrument": "COIN", "side": "buy", "confidence": 0.5,
        "source": "s", **fields,
    }  # fmt: skip
    return Signal(**values)


@pytest.mark.req("C-03.1", "C-01.3", "D-04.2")
def test_a_plain_signal_has_no_faults() -> None:
    assert make().faults() == []
    full = make(price=D(1), volume=D(0), quantity=D(1), leverage=D(5), stop_loss=D(1),
                take_profit=D(2), trailing=D("0.1"), order="limit", limit=D(1))  # fmt: skip
    assert full.faults() == []


@pytest.mark.req("C-03.1")
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"id": ""}, "id must have"),
        ({"id": "x" * 129}, "id must have"),
        ({"confidence": 1.01}, "confidence must be"),
        ({"confidence": float("nan")}, "confidence must be"),
        ({"ts_ns": 0}, "ts must be"),
        ({"stop_loss": D(1), "stop_loss_pct": D(1)}, "stop_loss or stop_loss_pct"),
        ({"take_profit": D(1), "take_profit_pct": D(1)}, "take_profit or take_profit_pct"),
        ({"trailing": D(1), "trailing_pct": D(1)}, "trailing or trailing_pct"),
        ({"order": "limit"}, "needs limit"),
        ({"quantity": D(0)}, "quantity must be"),
        ({"quantity": D("NaN")}, "quantity must be"),
        ({"leverage": D(-1)}, "leverage must be"),
        ({"stop_loss_pct": D(100)}, "below 100"),
        ({"trailing_pct": D(100)}, "below 100"),
        ({"expires_ms": -1}, "expires_ms"),
    ],
)
def test_each_fault_names_its_field(fields: dict[str, Any], words: str) -> None:
    faults = make(**fields).faults()
    assert len(faults) == 1 and words in faults[0]


def test_every_fault_is_found_at_once() -> None:
    assert len(make(id="", confidence=2.0, quantity=D(0)).faults()) == 3
