"""The checkers of what a venue never told: what the engine may note of it, and take over."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
TOLERANCE = Decimal("0.01")


def expected(world: "World", fact: f.MismatchFound) -> bool:
    """Tell whether a difference follows from what a person does elsewhere, or from charges."""
    if fact.kind == "balance":
        return world.troubles.untold
    return fact.kind in ("position", "foreign_order") and world.troubles.is_outside(fact.place)


def corrections_explained(world: "World", rows: list[Row]) -> Iterator[str]:
    """What was taken over of the cash is, at each step, what had moved there without a booking.

    What moved before the first agreement is in the opening balance.
    """
    if world.surprised:
        return
    total, moved = ZERO, list[Decimal]()
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.Reconciled and not moved:
                opened = fact.venue_ns
                before = [amount for ts, amount in world.venue.untold if ts <= opened][-1]
                moved = [amount - before for _, amount in world.venue.untold]
            elif type(fact) is f.BalanceCorrected:
                total += fact.amount
                if not any(abs(total - amount) <= TOLERANCE for amount in moved):
                    yield f"{fact.amount} was taken over, {total} in all: never moved at the venue"


def still_suspected(world: "World") -> dict[str, tuple[str, bool]]:
    """Return what the engine suspects; a place elsewhere that it has noted stays noted."""
    assert world.life is not None
    return {
        key: (detail, acted)
        for key, (detail, acted) in world.life.state.suspects.items()
        if not (acted and world.troubles.is_outside(key.partition("/")[2]))
    }
