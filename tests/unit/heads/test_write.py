"""What is written is read back as it was."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.signal import LEVEL_CONFIDENCE, Level, Signal
from cerberus_trader.heads.lines import derived_id, format_signal, parse_signal
from cerberus_trader.heads.lines.parse import YEAR_2000_NS, YEAR_2100_NS

names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=30)
amounts = st.none() | st.decimals("0.000001", 10**9, places=6, allow_nan=False)
percents = st.none() | st.decimals("0.01", "99.99", places=2, allow_nan=False)


@st.composite
def signals(draw: st.DrawFn) -> Signal:
    level = draw(st.none() | st.sampled_from(Level))
    limit = draw(amounts)
    absolute = draw(st.booleans())
    return Signal(
        draw(names), draw(st.integers(YEAR_2000_NS, YEAR_2100_NS)), draw(names),
        draw(st.sampled_from(("buy", "sell", "close"))),
        LEVEL_CONFIDENCE[level] if level else draw(st.floats(0, 1)), draw(names), level,
        draw(amounts), draw(amounts), draw(amounts), draw(amounts),
        stop_loss=draw(amounts) if absolute else None,
        stop_loss_pct=None if absolute else draw(percents),
        take_profit=None if absolute else draw(amounts),
        take_profit_pct=draw(percents) if absolute else None,
        trailing=draw(amounts) if absolute else None,
        trailing_pct=None if absolute else draw(percents),
        order="market" if limit is None else "limit", limit=limit,
        expires_ms=draw(st.integers(0, 10**9)),
        metadata=draw(st.sampled_from(("", '{"a":[1,2.50,"x"],"b":{}}', "[]", "7", '"text"'))),
    )  # fmt: skip


@pytest.mark.req("C-03.1")
@given(signals())
def test_round_trip(signal: Signal) -> None:
    line = format_signal(signal)
    again = parse_signal(line, place="x")
    assert again == signal
    assert format_signal(again) == line
    assert b"\n" not in line


def test_text_that_is_no_json_is_written_as_text() -> None:
    signal = Signal("a", YEAR_2000_NS, "X", "buy", 0.5, "s", metadata="not { json")
    assert parse_signal(format_signal(signal), place="x").metadata == '"not { json"'


def test_the_derived_id_depends_on_everything_but_the_id() -> None:
    signal = Signal("a", YEAR_2000_NS, "X", "buy", 0.5, "s", price=Decimal("1.50"))
    other = Signal("b", YEAR_2000_NS, "X", "buy", 0.5, "s", price=Decimal("1.5"))
    assert derived_id(signal) == derived_id(other)
    assert derived_id(signal) != derived_id(
        Signal("a", YEAR_2000_NS, "X", "sell", 0.5, "s", price=Decimal("1.50"))
    )
