"""Money arithmetic: exact, and rounded only by named directions."""

import decimal
from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain import money
from cerberus_trader.domain.errors import DataError

amounts = st.decimals(-(10**12), 10**12, places=9, allow_nan=False)
steps = st.sampled_from([D("0.01"), D("0.05"), D("0.0001"), D(1), D("2.5")])


@given(amounts, steps)
def test_floor_and_ceil_bracket_the_value(value: D, step: D) -> None:
    low, high = money.floor_to(value, step), money.ceil_to(value, step)
    assert low <= value <= high
    assert high - low in (0, step)
    assert low % step == 0 and high % step == 0


@given(amounts)
def test_costs_round_up_and_proceeds_down_at_eight_decimals(value: D) -> None:
    up, down = money.cost_up(value), money.proceeds_down(value)
    assert down <= value <= up
    assert up - down in (0, money.CENT8)


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-inf", "1e999999999", "1e-19", "", "12a"])
def test_parse_amount_refuses_what_is_no_sane_number(text: str) -> None:
    with pytest.raises(DataError, match="row 3"):
        money.parse_amount(text, place="row 3")


def test_parse_amount_refuses_too_many_digits() -> None:
    with pytest.raises(DataError, match="digits"):
        money.parse_amount("1" * 35)
    assert money.parse_amount("0.000000000000000001") == D("1e-18")


def test_floats_never_mix_with_decimals() -> None:
    with pytest.raises(decimal.FloatOperation):
        D(0.1)  # noqa: RUF032
    with pytest.raises(decimal.FloatOperation):
        _ = D("0.1") < 0.1


def test_beliefs_become_nine_digits_of_money_and_never_nan() -> None:
    assert money.from_belief(1 / 3) == D("0.333333333")
    with pytest.raises(DataError):
        money.from_belief(float("nan"))
    with pytest.raises(DataError):
        money.from_belief(float("inf"))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1.500", "1.5"),
        ("0E+3", "0"),
        ("-0.00", "0"),
        ("1E+2", "100"),
        ("0.00000001", "0.00000001"),
    ],
)
def test_plain_is_the_canonical_text(value: str, text: str) -> None:
    assert money.plain(D(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("1.500000004", "1.5"), ("-3", "-3"), ("123456789012345678901234567.8", "1.23457e+26")],
)
def test_shown_is_short_and_never_fails(value: str, text: str) -> None:
    assert money.shown(D(value)) == text
