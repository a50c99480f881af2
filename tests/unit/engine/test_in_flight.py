"""Orders in flight: what is on its way counts, and never hides what must still happen."""

from decimal import Decimal

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import LevelHit, OperatorEvent, OrderReport, TimerEvent
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
