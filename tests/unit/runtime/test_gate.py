"""The gate: what it drops at the last moment, and what it never holds back."""

from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.order import Order
from cerberus_trader.engine.state import State, Trip
from cerberus_trader.runtime.gate import ENTRIES_PER_SECOND_MAX, Gate
from tests.kit import NOON, SECOND, D, settings

MS = 1_000_000


def order(**fields: Any) -> Order:
    base = Order("o", "main", "alpha", "COIN", 1, "market", "entry", D(1), notional=D(100),
                 created_ns=NOON)  # fmt: skip
    return msgspec.structs.replace(base, **fields)


def gate(**state: Any) -> Gate:
    return Gate(State(settings=settings(intake={"signal_age_ms_max": 1000}), **state))


def test_an_entry_passes_in_time_and_not_a_nanosecond_later() -> None:
    assert gate().refusal(order(), NOON + 1000 * MS) == ""
    assert "late" in gate().refusal(order(), NOON + 1000 * MS + 1)
    expiring = order(expires_ns=NOON + 10)
    assert gate().refusal(expiring, NOON + 10) == ""
    assert "late" in gate().refusal(expiring, NOON + 11)


@pytest.mark.parametrize("trading", ["halted", "reducing", "frozen"])
def test_trading_that_stopped_meanwhile_drops_entries_only(trading: Any) -> None:
    stopped = gate(trading=trading)
    assert trading in stopped.refusal(order(), NOON)
    assert stopped.refusal(order(reduce_only=True), NOON + SECOND * 99) == ""


def test_a_trip_drops_whose_it_is() -> None:
    trip = Trip(NOON, "", "1", "1", "block")
    assert "day_loss" in gate(trips={"day_loss": trip}).refusal(order(), NOON)
    own = gate(trips={"strategy_day_loss:alpha": Trip(NOON, "alpha", "1", "1", "block")})
    assert "alpha" in own.refusal(order(), NOON)
    assert own.refusal(order(strategy="beta"), NOON) == ""


def test_hard_caps_on_size_and_rate() -> None:
    capped = Gate(State(settings=settings(risk={"order_notional_max": D(100)})))
    assert capped.refusal(order(notional=D(100)), NOON) == ""
    assert "hard cap" in capped.refusal(order(notional=D("100.01")), NOON)
    busy = gate()
    for _ in range(ENTRIES_PER_SECOND_MAX):
        assert busy.refusal(order(), NOON) == ""
    assert "within a second" in busy.refusal(order(), NOON + SECOND - 1)
    assert busy.refusal(order(created_ns=NOON + SECOND), NOON + SECOND) == ""


def test_a_failed_journal_closes_the_gate_for_what_adds() -> None:
    closed = gate()
    closed.poisoned = True
    assert "journal" in closed.refusal(order(), NOON)
    assert closed.refusal(order(reduce_only=True), NOON) == ""
