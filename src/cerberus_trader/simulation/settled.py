"""Whether a world that has healed has settled: what is still in question with the engine."""

from typing import TYPE_CHECKING

from cerberus_trader.domain.order import Status
from cerberus_trader.simulation.checkers import TOLERANCE, stops_differ
from cerberus_trader.simulation.differences import still_suspected
from cerberus_trader.simulation.owners import must_close

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World


def pending(world: "World", since_ns: int = 0) -> str:
    """Say what is still in question, empty if nothing is."""
    life = world.life
    if life is None or not life.alive or life.shell.link is None:
        return "the engine is down"
    state = life.state
    if life.journal.durable_seq < life.journal.last_seq:
        return "rows are not durable yet"
    if state.unreconciled:
        return f"not reconciled: {state.unreconciled}"
    if state.agreed.get("main", 0) < since_ns + 3_000_000_000:
        return "no agreement since"
    if world.venue.bookings and world.venue.bookings[-1][0] > state.agreed.get("main", 0):
        return "a booking is on its way"
    if suspected := still_suspected(world):
        return f"suspicions: {suspected}"
    if abs(state.balance - world.venue.balance) > TOLERANCE:
        return "the venue's balance is not taken over yet"  # not every look tells it
    waiting = (Status.SUBMITTED, Status.UNKNOWN, Status.PENDING_CANCEL)
    for order in state.orders.values():
        if order.status in waiting:
            return f"order {order.id} is {order.status.value}"
        there = world.venue.orders.get(order.id)
        ended = there is not None and there.state != "working"
        if ended and order.id[-1] not in "str":  # a leg comes again with the rest of its entry
            return f"the end of {order.id} is on its way"
    for words in (*must_close(state), *stops_differ(world)):
        return words
    market = [x for x in world.venue.orders.values() if x.state == "working"]
    if any(live.order.kind == "market" for live in market):
        return "a market order works at the venue"
    return ""
