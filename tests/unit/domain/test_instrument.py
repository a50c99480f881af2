"""Tick rules, tiers, and the liquidation price with its worked examples."""

from decimal import Decimal as D
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.instrument import (
    Instrument,
    Tier,
    bankruptcy_price,
    margin_level,
    reached,
    to_grid,
)
from cerberus_trader.domain.money import cost_up
from tests.kit import PEPE_TIERS

KPEPE = (
    Tier(D(0), D(20_000_000), D("0.05"), D(10), D(0)),
    Tier(D(20_000_000), D(10**9), D("0.1"), D(5), D(1_000_000)),
)
TESTNET_DOGE = (
    Tier(D(0), D(20_000), D("0.05"), D(10), D(0)),
    Tier(D(20_000), D(100_000), D("0.1"), D(5), D(1_000)),
    Tier(D(100_000), D(10**9), D(1) / 6, D(3), D(1_000) + 100_000 * (D(1) / 6 - D("0.1"))),
)
# tiers, sign, quantity, entry, wallet, expected price (a fraction), tier number
EXAMPLES = [
    (PEPE_TIERS, 1, "5000000", "0.01", "2500", "0.009581818181818183", 2),
    (PEPE_TIERS, -1, "5000000", "0.01", "2500", "0.01040990099009901", 2),
    (PEPE_TIERS, 1, "21000000", "0.01", "21000", "0.009087542087542087", 2),
    (PEPE_TIERS, 1, "1000000", "0.01", "333.3333333333333333", "0.0097299110887435", 1),
    (PEPE_TIERS, -1, "1900000", "0.01", "950", "0.010432190760059613", 1),
    (PEPE_TIERS, 1, "5000000", "0.01", "2475", "0.009586868686868687", 2),
    (KPEPE, 1, "1000000", "0.01", "2000", "0.008421052631578947", 1),
    (KPEPE, 1, "1000000", "0.01", "1000", "0.009473684210526316", 1),
    (KPEPE, -1, "1000000", "0.01", "1000", "0.010476190476190476", 1),
    (TESTNET_DOGE, 1, "250000", "0.2", "12500", "0.1622222222222222", 2),
    (TESTNET_DOGE, 1, "105000", "0.2", "4200", "0.16842105263157894", 1),
]


@pytest.mark.req("C-08.3")
@pytest.mark.parametrize(("tiers", "sign", "q", "e", "w", "price", "number"), EXAMPLES)
def test_worked_examples_to_twelve_digits(tiers, sign, q, e, w, price, number) -> None:
    level = margin_level(tiers, sign, D(q), D(q) * D(e), D(w))
    assert level is not None
    assert abs(level.price / D(price) - 1) < D("1e-12")
    assert level.tier is tiers[number - 1]


def test_an_over_collateralised_long_cannot_be_liquidated() -> None:
    assert margin_level(PEPE_TIERS, 1, D(1_000_000), D(10_000), D(10_000)) is None
    assert margin_level((), 1, D(1), D(1), D(1)) is None


quantities = st.decimals("0.001", 10_000_000, places=3)
entries = st.decimals("0.001", 10, places=6)
leverages = st.decimals(1, 40, places=2)


@given(st.sampled_from([PEPE_TIERS, KPEPE]), st.sampled_from([1, -1]), quantities, entries,
       leverages)  # fmt: skip
def test_equity_equals_maintenance_at_the_level(tiers, sign, q, e, leverage) -> None:
    cost = q * e
    wallet = cost_up(cost / leverage)
    level = margin_level(tiers, sign, q, cost, wallet)
    if level is None:
        assert sign > 0 and wallet >= cost
        return
    price = Fraction(level.numerator) / Fraction(level.denominator)
    own = Fraction(wallet) + sign * (Fraction(q) * price - Fraction(cost))
    due = Fraction(q) * price * Fraction(level.tier.rate) - Fraction(level.tier.cum)
    assert own == due
    notional = Fraction(q) * price
    last = level.tier is tiers[-1]
    assert Fraction(level.tier.floor) <= notional and (last or notional <= level.tier.cap)


@given(quantities, entries, leverages, leverages)
def test_a_long_level_rises_with_leverage_and_lies_below_entry(q, e, one, two) -> None:
    assume(one < two)
    cost = q * e
    low = margin_level(PEPE_TIERS, 1, q, cost, cost / one)
    high = margin_level(PEPE_TIERS, 1, q, cost, cost / two)
    assert high is not None
    maintained = cost * PEPE_TIERS[0].rate < cost / two
    assume(maintained)
    if low is not None:
        assert low.price <= high.price
    broke = bankruptcy_price(1, q, cost, cost / two)
    assert broke <= high.price


@given(quantities, entries, st.decimals("1.5", 20, places=2), st.decimals("0.001", 5, places=3))
def test_funding_paid_moves_the_level_towards_the_price(q, e, leverage, paid) -> None:
    cost = q * e
    wallet = cost / leverage
    before = margin_level(PEPE_TIERS, 1, q, cost, wallet)
    after = margin_level(PEPE_TIERS, 1, q, cost, wallet - paid)
    assert before is not None and after is not None
    assert after.price >= before.price


@given(quantities, entries, leverages)
def test_scaling_the_contract_scales_the_level(q, e, leverage) -> None:
    cost = q * e
    one = margin_level(PEPE_TIERS, -1, q, cost, cost / leverage)
    two = margin_level(PEPE_TIERS, -1, q / 1000, cost, cost / leverage)
    assert one is not None and two is not None
    assert abs(two.price / one.price / 1000 - 1) < D("1e-25")


@given(quantities, entries, st.decimals("1.5", 20, places=2))
def test_a_warning_lies_between_entry_and_liquidation(q, e, leverage) -> None:
    cost = q * e
    wallet = cost / leverage
    dead = margin_level(PEPE_TIERS, 1, q, cost, wallet)
    warning = margin_level(PEPE_TIERS, 1, q, cost, wallet, D("0.8"))
    assert dead is not None and warning is not None
    assert dead.price <= warning.price
    assert reached(1, dead.price - 1, dead.numerator, dead.denominator)
    assert not reached(1, dead.price + 1, dead.numerator, dead.denominator)


def test_discontinuous_tiers_are_refused_naming_the_tier() -> None:
    broken = (PEPE_TIERS[0], Tier(D(20_000), D(200_000), D("0.01"), D(50), D(71)))
    with pytest.raises(DataError, match=r"tier 2.*does not continue") as caught:
        Instrument("X", tiers=broken)
    assert "cum must be" in str(caught.value)
    gap = (PEPE_TIERS[0], Tier(D(30_000), D(200_000), D("0.01"), D(50), D(105)))
    with pytest.raises(DataError, match="tier 2"):
        Instrument("X", tiers=gap)
    with pytest.raises(DataError, match="tick and lot"):
        Instrument("X", tick=D(0))


def test_a_cap_belongs_to_its_tier_and_the_last_tier_has_no_end() -> None:
    item = Instrument("X", tiers=PEPE_TIERS)
    assert item.tier_of(D(20_000)) is PEPE_TIERS[0]
    assert item.tier_of(D("20000.01")) is PEPE_TIERS[1]
    assert item.tier_of(D(10**9)) is PEPE_TIERS[2]
    assert Instrument("Y").tier_of(D(1)) is None


def test_five_significant_figures_bound_the_tick_by_the_price() -> None:
    item = Instrument("kPEPE", tick=D("0.000001"), significant_figures=5)
    assert item.tick_at(D("0.0123456")) == D("0.000001")
    assert item.tick_at(D("12.3456")) == D("0.001")
    assert item.tick_at(D("123456")) == 1  # whole numbers are always allowed
    assert item.price_up(D("12.34561")) == D("12.346")
    assert item.price_down(D("12.34569")) == D("12.345")


def test_prices_round_to_the_tick_and_never_to_nothing() -> None:
    item = Instrument("X", tick=D("0.05"), lot=D("0.1"))
    assert item.price_down(D("1.09")) == D("1.05") and item.price_up(D("1.01")) == D("1.05")
    assert item.price_down(D("0.01")) == D("0.05")
    assert item.quantity_down(D("0.29")) == D("0.2")
    assert to_grid(D("1.005"), D("0.01"), up=True) == 101
    assert to_grid(D("1.005"), D("0.01"), up=False) == 100
