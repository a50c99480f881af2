"""Entries that only the venue remembers: what they came from is not traded again."""

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import order_id
from cerberus_trader.domain.settings import RETRIES_MAX
from cerberus_trader.engine import apply_venue
from cerberus_trader.engine.orders import retry_id
from cerberus_trader.engine.state import state_bytes, state_from
from tests.kit import Bench, D, settings


def entry_of(bench: Bench, signal: str, attempt: int = 0) -> str:
    """Return the id of the order that an attempt at a signal's entry has."""
    name = order_id(bench.state.engine_id, "main", "default", signal) + "e"
    for number in range(1, attempt + 1):
        name = retry_id(bench.state, "main", "default", name, number)
    return name


def told(bench: Bench, *names: str) -> None:
    """Let the venue list orders as working."""
    rows = tuple(VenueOrder(n, "COIN", 1, D(1), "working", D(0), D(50)) for n in names)
    bench.take(AccountReport(bench.now, "main", bench.now, "timer", rows))


def ignored(bench: Bench, signal: str) -> bool:
    step = bench.signal(id=signal)
    return any(type(fact) is f.SignalIgnored for fact in step.facts)


@pytest.mark.parametrize("attempt", [0, 1, 3, RETRIES_MAX])
def test_any_attempt_at_the_venue_stands_for_its_signal(attempt: int) -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    told(bench, entry_of(bench, "s1", attempt))
    assert ignored(bench, "s1")
    assert not ignored(bench, "s2")


def test_legs_and_orders_of_others_stand_for_nothing() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    entry = entry_of(bench, "s1")
    told(bench, entry[:-1] + "s", "stranger", order_id("another", "main", "default", "s1") + "e")
    assert not bench.state.lost


def test_an_entry_that_we_know_is_not_lost() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    order = bench.open()
    told(bench, order.id)
    assert not bench.state.lost


def test_they_are_kept_in_a_snapshot_and_the_oldest_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(apply_venue, "ENDED_MAX", 2)
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    names = [entry_of(bench, f"s{number}") for number in range(3)]
    told(bench, *names)
    assert list(bench.state.lost) == names[1:]
    kept = state_from(state_bytes(bench.state))
    assert kept == bench.state and list(kept.lost) == names[1:]


def test_a_position_takes_the_name_that_the_venue_has_for_it() -> None:
    """Its protection is told apart by that name; one that a venue does not tell changes nothing."""
    bench = Bench()
    order = bench.open()
    for name, kept in (("", order.id), ("other", order.id), ("other", "other")):
        (held,) = bench.state.positions.values()
        there = VenuePosition("COIN", held.sign, held.quantity, held.cost, held.margin,
                              held.leverage, name)  # fmt: skip
        bench.now += 60_000_000_000
        orders = tuple(
            VenueOrder(o.id, "COIN", o.side, o.quantity, "working", D(0), o.price, True)
            for o in bench.state.orders.values()
        )
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", orders, (there,)))
        (held,) = bench.state.positions.values()
        assert held.id == kept
    assert bench.state.trading == "active"


def test_a_look_from_before_a_position_opened_changes_nothing_of_it() -> None:
    """The one before it had the same quantity: its closing was seen, and not yet told."""
    bench = Bench()
    bench.open()
    gone = AccountReport(bench.now + 60_000_000_000, "main", bench.now + 60_000_000_000, "timer")
    bench.take(gone)
    assert bench.state.suspects
    bench.now += 60_000_000_000
    bench.close("100")
    order = bench.open()
    stale = bench.now - 100_000_000
    step = bench.take(AccountReport(bench.now, "main", stale, "timer"))
    assert [held.id for held in bench.state.positions.values()] == [order.id]
    assert bench.state.trading == "active" and not any(
        type(fact) is f.Reconciled for fact in step.facts
    ), "nor does it agree"
