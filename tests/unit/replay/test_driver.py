"""The driver: which facts make it look for engine levels anew."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain.facts import (
    Fact,
    OrderChanged,
    OrderSubmitted,
    PeakRaised,
    SignalIgnored,
)
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.replay.driver import moves_levels


def order(**fields: Any) -> Order:
    """Make an order of one unit."""
    return Order("i", "main", "s", "BTCUSDT", 1, "market", "entry", Decimal(1), **fields)


@pytest.mark.parametrize(
    ("fact", "moves"),
    [
        (SignalIgnored("s1", "s"), False),
        (OrderSubmitted(order()), False),  # an entry holds nothing until it fills
        (OrderSubmitted(order(reduce_only=True)), True),  # what is being closed warns no more
        (OrderChanged("i", Status.CANCELED, ""), True),  # it may warn again
        (PeakRaised(Decimal(1)), True),
    ],
)
def test_levels_move_with_what_they_depend_on(fact: Fact, moves: bool) -> None:
    assert moves_levels(fact) is moves
