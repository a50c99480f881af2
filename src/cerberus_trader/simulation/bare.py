"""Positions that were to have a stop and have none at the venue: when, and what came of it."""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, LinkEvent
from cerberus_trader.domain.row import Row
from cerberus_trader.runtime.runner import STALL_S
from cerberus_trader.simulation.venue import LIST_LAG_NS

if TYPE_CHECKING:
    from cerberus_trader.simulation.venue import SimVenue
    from cerberus_trader.simulation.world import World

MS = 1_000_000
LOOKS = 3
SEND_S = 0.5
"""How long a close may take to leave once its row may."""


class Spell(NamedTuple):
    """Hold for how long a position of some quantity was seen without its stop."""

    owner: str
    quantity: Decimal
    since_ns: int
    until_ns: int


def note(venue: "SimVenue", spells: dict[str, list[Spell]]) -> None:
    """Keep what has no stop now; a fill, which changes the quantity, begins anew."""
    now_ns = venue.now_ns()
    for name, held in venue.positions.items():
        entry = venue.orders.get(held.owner)
        bracket = entry.order.bracket if entry and entry.order.side == held.sign else None
        if bracket is None or not bracket.protects or not (held.stop is held.trailing is None):
            continue
        known = spells.setdefault(name, [])
        last = known[-1] if known else None
        if last and last[:2] == (held.owner, held.quantity) and last.until_ns > now_ns - 400 * MS:
            known[-1] = last._replace(until_ns=now_ns)
        else:
            known.append(Spell(held.owner, held.quantity, now_ns, now_ns))


def bare_is_closed(world: "World", rows: list[Row]) -> Iterator[str]:
    """What has no stop is closed, or has one again, within so many looks while the line stands.

    A look counts once the lists cannot lag behind any more. Where a history was lost nothing says
    whose the position is; where a person trades it may be another one with us; where the clock is
    stepped stamps do not tell how long something stood.
    """
    if world.disk.lost or world.surprised or world.skewed:
        return
    for spells in world.bare.values():
        for spell in spells:
            yield from left_bare(world, rows, spell)


def left_bare(world: "World", rows: list[Row], spell: Spell) -> Iterator[str]:
    """Say so where a spell went on past the close that was due in it.

    A look from before our fill was booked may be of the position before it. A close that a crash
    kept from leaving is asked about first: two for one position may take more than is held.
    """
    looks, least_ns, skew_ns, seen_ns = list[int](), 0, 0, spell.since_ns + LIST_LAG_NS
    kept = False
    for row, written, durable in zip(rows, world.disk.appended, world.disk.times, strict=True):
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                least_ns = fact.settings.reconcile.suspect_ms_min * MS
                skew_ns = fact.settings.reconcile.skew_ms_max * MS
            elif type(fact) is f.Filled and fact.position_id == spell.owner:
                seen_ns = max(seen_ns, row.event.ts_ns + skew_ns)
            elif type(fact) is f.OrderSubmitted and fact.order.closes == spell.owner:
                kept = kept or any(start > written for start in world.starts)
        event = row.event
        if type(event) is LinkEvent:
            looks.clear()  # broken, or another life: what follows is seen anew
        if type(event) is not AccountReport or event.venue_ns <= seen_ns:
            continue
        looks.append(event.venue_ns)  # as the engine counts
        if len(looks) < LOOKS or looks[-1] - looks[0] < least_ns:
            continue
        due_s = min(durable, written + STALL_S) + SEND_S
        due_ns = world.wall.epoch_ns + int(due_s * 1e9)
        if not kept and due_ns < spell.until_ns and not interrupted(world, written, due_s):
            closes = [when for when, order, _ in world.sent if order.closes == spell.owner]
            if not any(when <= due_s for when in closes):
                yield f"{spell.owner} had no stop for {LOOKS} looks, and no close was sent"
        return


def interrupted(world: "World", since_s: float, until_s: float) -> bool:
    """Tell whether the line or the life was gone at a step, so that nothing could leave."""
    return any(since_s <= when <= until_s for when in world.breaks)
