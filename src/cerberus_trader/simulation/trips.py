"""The checkers of what must stop trading: forced closes, losses, and what nobody can explain."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, FillReport, FundingReport, LevelHit
from cerberus_trader.domain.row import Row
from cerberus_trader.engine.state import State, equity

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

MS = 1_000_000
FORCED = ("liquidation", "deleveraging")


def forced_closes_trip(rows: list[Row]) -> Iterator[str]:
    """A forced close that is booked trips the breaker in its row, where that is configured."""
    tripped: set[str] = set()
    wanted = False
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                wanted = fact.settings.breaker.liquidation_trips
            elif type(fact) is f.BreakerTripped:
                tripped.add(fact.condition)
            elif type(fact) is f.BreakerReset:
                tripped.difference_update(fact.conditions)
        event = row.event
        if not wanted or type(event) is not FillReport or not is_booked(row):
            continue
        if event.reason in FORCED and event.reason not in tripped:
            yield f"{event.trade_id}, a {event.reason}, tripped nothing"


def losses_trip(state: State, row: Row) -> Iterator[str]:
    """A booking, or a price at a floor, that leaves no more than a floor trips in its row.

    `state` is folded up to the row. Other rows bring prices too: of these the market tells by a row
    of its own, which comes next.
    """
    event = row.event
    level = type(event) is LevelHit and event.kind == "equity" and not event.scope
    if not level and not (isinstance(event, FillReport | FundingReport) and is_booked(row)):
        return
    assert isinstance(event, FillReport | FundingReport | LevelHit)
    limits, now = state.settings.breaker, equity(state, event.marks)
    for name, action, base, share in (
        ("day_loss", limits.day_loss_action, state.day_equity, limits.day_loss),
        ("drawdown", limits.drawdown_action, state.peak, limits.drawdown_hard),
    ):
        if action != "off" and now <= base * (1 - share) and name not in state.trips:
            yield f"equity {now} of {base} is below the floor of {name}, which has not tripped"


def is_booked(row: Row) -> bool:
    """Tell whether a row books a fill or a payment."""
    return any(type(fact) in (f.Filled, f.FundingBooked) for fact in row.facts)


def unexplained_freezes(world: "World", rows: list[Row]) -> Iterator[str]:
    """A person's fill freezes in its row, their place or order elsewhere once it has stood.

    A run accepts what it cannot explain in all of its configurations, or in none. How long it stood
    is counted by the venue's clock, as what the engine acts on.
    """
    trading, freezes, least_ns = "active", False, 0
    since: dict[str, int] = {}
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.ConfigApplied:
                freezes = fact.settings.reconcile.unexplained == "freeze"
                least_ns = fact.settings.reconcile.suspect_ms_min * MS
            elif type(fact) is f.TradingStateChanged:
                trading = fact.state
        event, found = row.event, ""
        if type(event) is FillReport and is_booked(row) and event.order_id.startswith("hand"):
            found = f"fill {event.trade_id} of a person"
        elif type(event) is AccountReport:
            strange = [x.instrument for x in event.positions if x.instrument in world.venue.outside]
            strange += [x.order_id for x in event.orders if x.order_id.startswith("hand")]
            since = {name: since.get(name, event.venue_ns) for name in strange}
            stood = [x for x, first in since.items() if 0 < event.venue_ns - first >= least_ns]
            found = f"{stood[0]}, which stood," if stood else ""
        if found and freezes and trading != "frozen":
            yield f"{found} has not frozen trading"
