"""The checkers of differences: which are lawful, how long they stand, what is taken over."""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

ZERO = Decimal(0)
TOLERANCE = Decimal("0.01")
MS = 1_000_000
LOOKS = 3
AT_ONCE = ("foreign_fill", "overfill", "lost_order")
"""What a fill itself shows: no second look could tell more."""


def expected(world: "World", fact: f.MismatchFound) -> bool:
    """Tell whether a difference follows from lost stops, trades elsewhere, or charges."""
    if fact.kind in ("unprotected", "unprofited"):
        return fact.place in world.venue.dropped
    if fact.kind == "balance":
        return world.troubles.untold
    return fact.kind in ("position", "foreign_order") and world.troubles.is_outside(fact.place)


def seen_often_enough(rows: list[Row]) -> Iterator[str]:
    """What positions differ by is acted on where no fill came in between, or at the fourth look."""
    seen: dict[tuple[str, str], tuple[int, tuple[Decimal, Decimal], int]] = {}
    fills: Counter[tuple[str, str]] = Counter()
    for row in rows:
        event = row.event
        if type(event) is FillReport and any(type(fact) is f.Filled for fact in row.facts):
            fills[event.account, event.instrument] += 1
        for fact in row.facts:
            if type(fact) is f.SuspicionEnded:
                seen.pop((fact.account, fact.place), None)
            if type(fact) is not f.MismatchFound or fact.kind != "position" or not fact.ours:
                continue
            place, sizes = (fact.account, fact.place), (Decimal(fact.theirs), Decimal(fact.ours))
            looks, before, booked = seen.get(place, (0, (ZERO, ZERO), 0))
            if fact.action == "suspected":
                same = sizes[0] - sizes[1] == before[0] - before[1]
                seen[place] = looks * same + 1, sizes, fills[place]
            elif booked == fills[place] and sizes != before:
                yield f"position {fact.place} was {fact.action}, and seen as another before"
            elif booked < fills[place] and looks < LOOKS:
                yield f"position {fact.place} was {fact.action} after {looks} looks and a fill"
            else:
                seen.pop(place)


def stood_long_enough(rows: list[Row]) -> Iterator[str]:
    """What is acted on was suspected `reconcile.suspect_ms_min` before, and unchanged since.

    By the venue's clock, which nothing steps: the two looks were so far apart there.
    """
    since: dict[tuple[str, str], tuple[str, int]] = {}
    least_ns = 0
    for row in rows:
        looked_ns = getattr(row.event, "venue_ns", 0)
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                least_ns = fact.settings.reconcile.suspect_ms_min * MS
            elif type(fact) is f.SuspicionEnded:
                since.pop((fact.account, fact.place), None)
            elif type(fact) is f.MismatchFound and fact.kind not in AT_ONCE:
                place = fact.account, fact.place
                if fact.action == "suspected":
                    since[place] = fact.detail(), looked_ns
                    continue
                detail, first_ns = since.get(place, ("", looked_ns))
                stood_ns = looked_ns - first_ns if detail == fact.detail() else 0
                if stood_ns < least_ns:
                    yield f"{fact.kind} {fact.place} was {fact.action} after {stood_ns // MS} ms"


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
