"""The gate: what it drops at the last moment, and what it never holds back."""

from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine.state import State, StrategyState, Trip
from cerberus_trader.runtime.gate import ENTRIES_PER_SECOND_MAX, Gate
from tests.kit import ITEMS, NOON, SECOND, D, settings

MS = 1_000_000


def order(**fields: Any) -> Order:
    base = Order("o", "main", "alpha", "COIN", 1, "market", "entry", D(1), notional=D(100),
                 created_ns=NOON)  # fmt: skip
    return msgspec.structs.replace(base, **fields)


def gate(**state: Any) -> Gate:
    chosen = settings(intake={"signal_age_ms_max": 1000})
    return Gate(State(settings=chosen, orders={"o": order()}, **state))


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
    limits = settings(risk={"order_notional_max": D(100)})
    capped = Gate(State(settings=limits, orders={"o": order()}))
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


def test_what_has_ended_or_is_in_doubt_while_its_row_waited_is_not_sent() -> None:
    ended = gate()
    ended.state.orders.clear()
    assert "ended meanwhile" in ended.refusal(order(), NOON)
    assert "ended meanwhile" in ended.stopped(order(reduce_only=True))
    for status in (Status.UNKNOWN, Status.PENDING_CANCEL):
        doubted = gate()
        doubted.state.orders["o"] = order(status=status)
        assert status.value in doubted.refusal(order(), NOON)
        assert doubted.stopped(order(reduce_only=True)) == ""


def test_nothing_leaves_for_an_account_that_is_not_reconciled_but_exits() -> None:
    apart = gate(unreconciled={"main": "the line broke"})
    assert "the line broke" in apart.refusal(order(), NOON)
    assert apart.stopped(order(reduce_only=True)) == ""


def test_a_further_attempt_is_held_against_the_limits_as_they_are_now() -> None:
    tight = settings(risk={"positions_max": 0}, intake={"signal_age_ms_max": 1000})
    first = order(strategy="default", notional=D(1))
    again = msgspec.structs.replace(first, attempt=1)
    entries = {"main/COIN": ("o",)}
    held = State(settings=tight, instruments={item.name: item for item in ITEMS},
                 balance=D(10_000), orders={"o": again}, entries=entries)  # fmt: skip
    assert Gate(held).refusal(first, NOON) == ""
    assert Gate(held).refusal(again, NOON).startswith("POSITIONS_MAX")


# -- changes of entries ------------------------------------------------------------------------


def changing(status: Status = Status.ACCEPTED, **state: Any) -> tuple[Gate, ModifyOrder]:
    """Return a gate before a resting buy of 20 at 90, and a change to 17 at 105."""
    resting = order(kind="limit", quantity=D(20), price=D(90), notional=D(1_800), status=status)
    books = {"instruments": {item.name: item for item in ITEMS}, "orders": {"o": resting}}
    found = Gate(State(settings=settings(), **{**books, **state}))
    return found, ModifyOrder("o", "main", "COIN", D(105), D(17))


@pytest.mark.parametrize("status", [Status.ACCEPTED, Status.PARTIALLY_FILLED])
def test_a_change_of_a_working_entry_passes(status: Status) -> None:
    found, change = changing(status, changes={"o": (NOON, D(105), D(17))})
    assert found.unchanging(change) == ""


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"trading": "halted"}, "trading is halted"),
        ({"trading": "reducing"}, "trading is reducing"),
        ({"unreconciled": {"main": "the line broke"}}, "the line broke"),
        ({"trips": {"day_loss": Trip(NOON, "", "1", "1", "block")}}, "day_loss"),
        ({"strategies": {"alpha": StrategyState(status="paused")}}, "alpha is paused"),
        ({"strategies": {"alpha": StrategyState(status="stopped")}}, "alpha is stopped"),
        ({"orders": {}}, "ended meanwhile"),
        ({"changes": {"o": (NOON, D(104), D(17))}}, "waited for no more"),
    ],
)
def test_a_change_is_held_back_as_an_entry_is(state: Any, words: str) -> None:
    found, change = changing(**state)
    assert words in found.unchanging(change)


def test_a_change_waits_for_no_failed_journal_and_heeds_the_halt_marker() -> None:
    found, change = changing()
    found.marked = lambda: True
    assert "halt marker" in found.unchanging(change)
    found.poisoned = True
    assert "journal" in found.unchanging(change)


@pytest.mark.parametrize("status", [Status.SUBMITTED, Status.PENDING_CANCEL, Status.UNKNOWN])
def test_a_change_of_what_does_not_work_any_more_is_not_sent(status: Status) -> None:
    found, change = changing(status)
    assert status.value in found.unchanging(change)


def test_a_change_is_held_against_the_order_as_it_is_now() -> None:
    found, change = changing()
    smaller = {"quantity": D(10), "notional": D(900)}
    found.state.orders["o"] = msgspec.structs.replace(found.state.orders["o"], **smaller)
    assert "at most 10" in found.unchanging(change)
