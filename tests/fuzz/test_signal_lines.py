"""Whatever bytes come: a sane signal, or `DataError`; nothing else, and never NaN or infinity."""

import json
import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import check_amount
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.lines import format_signal, parse_signal
from cerberus_trader.heads.lines.parse import FIELDS, YEAR_2000_NS, YEAR_2100_NS
from cerberus_trader.heads.lines.write import AMOUNTS

VALID: dict[str, Any] = {
    "id": "s1", "ts_ms": 1_700_000_000_123, "instrument": "DOGEUSDT", "side": "sell",
    "confidence": "medium", "source": "a", "price": 0.1, "volume": 100, "quantity": "5",
    "leverage": 3, "stop_loss": 0.2, "take_profit_pct": 5, "trailing_pct": 1.5, "order": "limit",
    "limit": 0.1, "expires_ms": 1000, "metadata": {"k": [1, "x", None]},
}  # fmt: skip
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    | st.sampled_from(["NaN", "-Infinity", "1e999", "1e-999", "0", "-0", "low", "buy", "limit"])
)  # fmt: skip
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def check(raw: bytes | str) -> None:
    try:
        signal = parse_signal(raw, place="f:1")
    except DataError as error:
        assert error.place.startswith("f:1")
        assert error.fix
        return
    assert_sane(signal)


def assert_sane(signal: Signal) -> None:
    assert signal.faults() == []
    assert math.isfinite(signal.confidence)
    assert YEAR_2000_NS <= signal.ts_ns <= YEAR_2100_NS
    assert len(signal.metadata) <= 16_384
    for name in AMOUNTS:
        value = getattr(signal, name)
        if value is not None:
            check_amount(value)
            assert value >= 0
    again = parse_signal(format_signal(signal), place="f:1")
    assert again == signal


@settings(max_examples=300)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_arbitrary_input(raw: bytes | str) -> None:
    check(raw)


@settings(max_examples=500)
@given(
    st.dictionaries(st.sampled_from(FIELDS), values, max_size=4),
    st.sets(st.sampled_from(FIELDS), max_size=2),
)
def test_mutated_fields(changes: dict[str, Any], without: set[str]) -> None:
    fields = {key: value for key, value in {**VALID, **changes}.items() if key not in without}
    check(json.dumps(fields))


@settings(max_examples=500)
@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4))
def test_mutated_bytes(changes: list[tuple[int, int]]) -> None:
    raw = bytearray(json.dumps(VALID).encode())
    for at, value in changes:
        raw[at % len(raw)] = value
    check(bytes(raw))
    check(bytes(raw[: changes[0][0]]))
