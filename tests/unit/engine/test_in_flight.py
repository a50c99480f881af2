"""Orders in flight: what is on its way counts, and never hides what must still happen."""

from decimal import Decimal

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import LevelHit, OperatorEvent, OrderReport, TimerEvent
from cerberus_trader.domain.settings import Strategy
from tests.kit import Bench, changed, decision, of, settings, submitted

D = Decimal


def adding(**sections):  # type: ignore[no-untyped-def]
    """Return settings whose one strategy adds."""
    chosen = settings(**sections)
    strategies = {
        name: changed(item, add=True, sources=("head",)) for name, item in chosen.strategies.items()
    }
    return changed(chosen, strategies=strategies)


def test_two_adds_in_flight_are_both_reserved_and_both_released() -> None:
    bench = Bench(adding())
    bench.open(quantity=D(1))
    first = submitted(bench.signal(quantity=D(1)))
    second = submitted(bench.signal(quantity=D(1)))
    assert bench.state.reserved["COIN"][0] == 200
    bench.fill(first)
    assert bench.state.reserved["COIN"][0] == 100
    bench.take(OrderReport(bench.now, second.id, "canceled"))
    assert bench.state.reserved == {} and bench.state.entries == {}


def test_a_breaker_cancels_every_add_in_flight() -> None:
    bench = Bench(adding())
    bench.open(quantity=D(1))
    orders = [submitted(bench.signal(quantity=D(1))) for _ in range(2)]
    step = bench.take(OperatorEvent(bench.now, "halt", "ann"))
    assert [fact.order_id for fact in of(step, f.CancelRequested)] == [item.id for item in orders]


def test_adds_in_flight_share_the_limit_of_their_position() -> None:
    bench = Bench(adding(risk={"position_exposure_max": D("0.03")}))
    bench.open(quantity=D(1))
    assert submitted(bench.signal(quantity=D(1))).notional == 100
    last = bench.signal(quantity=D(2))
    assert submitted(last).notional == 100
    assert decision(bench.signal(quantity=D(1))).verdict == "denied"


def test_entries_in_flight_share_the_limit_of_their_strategy() -> None:
    one = changed(Strategy(), sources=("head",), budget=D("0.01"))
    chosen = changed(settings(sizing={"methods": ("balance",), "balance_fraction": D(1)}),
                     strategies={"one": one})  # fmt: skip
    bench = Bench(chosen)
    room = bench.state.balance * D("0.03")
    first = submitted(bench.signal(quantity=D(2)))
    assert first.notional == 200
    second = submitted(bench.signal(instrument="OTHER", quantity=D(2)))
    assert second.notional == room - 200
