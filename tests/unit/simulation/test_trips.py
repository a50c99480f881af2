"""The checkers of what must stop trading: each finds its own fault in rows made by hand."""

from decimal import Decimal
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, Event, FillReport, LevelHit, TimerEvent
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.row import Row
from cerberus_trader.domain.settings import Breaker, Reconcile, Settings
from cerberus_trader.engine.state import State, Trip
from cerberus_trader.simulation import trips as t
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World

D = Decimal
MS = 1_000_000
ELSEWHERE: Any = SimpleNamespace(venue=SimpleNamespace(outside={"ECHO"}))
FROZEN = f.TradingStateChanged("frozen", "reconciliation", "position")
BOOKED = f.Filled("sim", "p", D(0), None, Status.FILLED)
replace = msgspec.structs.replace


def row(event: Event, *facts: f.Fact) -> Row:
    return Row(1, event, facts)


def applied(**sections: Any) -> Row:
    settings = replace(Settings(), **sections)
    return row(TimerEvent(0, "health"), f.ConfigApplied(0, "d", "e", settings, ()))


def fill(order_id: str = "l", reason: Any = "liquidation") -> FillReport:
    return FillReport(
        1, order_id, "v1", "main", "ALFA", 1, D(1), D(100), D(0), "taker", reason, D(0), D(0)
    )


def test_a_forced_close_that_trips_nothing() -> None:
    trip = f.BreakerTripped(1, "liquidation", "", "ALFA", "none", "block")
    reset = f.BreakerReset(1, ("liquidation",), "op", "again", 0)
    on, off = (applied(breaker=Breaker(liquidation_trips=word)) for word in (True, False))
    timer, bare = TimerEvent(1, "health"), row(fill(), BOOKED)
    words = ["v1, a liquidation, tripped nothing"]
    assert list(t.forced_closes_trip([on, row(fill(), BOOKED, trip), bare])) == []
    assert list(t.forced_closes_trip([on, row(timer, trip), row(timer, reset), bare])) == words
    assert list(t.forced_closes_trip([on, bare])) == words
    assert list(t.forced_closes_trip([off, bare])) == []
    assert list(t.forced_closes_trip([on, row(fill()), row(fill(reason="entry"), BOOKED)])) == []


def test_a_loss_that_trips_nothing() -> None:
    breaker = Breaker(day_loss=D("0.1"), drawdown_hard=D("0.2"))
    settings = replace(Settings(), breaker=breaker)
    state = State(settings=settings, balance=D(90), day_equity=D(100), peak=D(100))
    hit = row(LevelHit(1, "equity", ""))
    for found in (hit, row(fill(), BOOKED)):
        (words,) = t.losses_trip(state, found)
        assert words == "equity 90 of 100 is below the floor of day_loss, which has not tripped"
    for other in (row(LevelHit(1, "equity", "sim")), row(fill()), row(TimerEvent(1, "health"))):
        assert list(t.losses_trip(state, other)) == []
    state.balance = D("90.01")
    assert list(t.losses_trip(state, hit)) == []
    state.balance = D(80)
    state.trips["day_loss"] = Trip(0, "", "0", "0", "block")
    (words,) = t.losses_trip(state, hit)
    assert "drawdown" in words
    state.settings = replace(settings, breaker=replace(breaker, drawdown_action="off"))
    assert list(t.losses_trip(state, hit)) == []


def test_a_persons_fill_that_freezes_nothing() -> None:
    freeze, accept = (applied(reconcile=Reconcile(unexplained=x)) for x in ("freeze", "accept"))
    mine, hand = row(fill("mine", "entry"), BOOKED), row(fill("hand1", "entry"), BOOKED)
    words = ["fill v1 of a person has not frozen trading"]
    assert list(t.unexplained_freezes(ELSEWHERE, [freeze, mine, hand])) == words
    assert list(t.unexplained_freezes(ELSEWHERE, [accept, mine, hand])) == []
    frozen = row(hand.event, BOOKED, FROZEN)
    assert list(t.unexplained_freezes(ELSEWHERE, [freeze, frozen, hand])) == []


def test_a_place_or_order_elsewhere_that_freezes_nothing() -> None:
    freeze = applied(reconcile=Reconcile(unexplained="freeze", suspect_ms_min=1_000))
    place = (VenuePosition("ECHO", 1, D(1), D(50), D(1), D(1), "hand1"),)
    rests = (VenueOrder("hand2", "ECHO", 1, D(1), "working", D(0), D(49)),)

    def look(ms: int, **there: Any) -> Row:
        return row(AccountReport(ms * MS, "main", ms * MS, "timer", **there))

    for there, name in (({"positions": place}, "ECHO"), ({"orders": rests}, "hand2")):
        seen = [freeze, look(0, **there), look(999, **there)]
        assert list(t.unexplained_freezes(ELSEWHERE, seen)) == []
        assert (
            list(t.unexplained_freezes(ELSEWHERE, [*seen, look(1000), look(2000, **there)])) == []
        )
        (words,) = t.unexplained_freezes(ELSEWHERE, [*seen, look(1000, **there)])
        assert words == f"{name}, which stood, has not frozen trading"
        stopped = row(look(1000, **there).event, FROZEN)
        assert list(t.unexplained_freezes(ELSEWHERE, [*seen, stopped])) == []


def test_some_who_trade_past_the_engine_freeze_it_and_lost_histories_never() -> None:
    def worlds(**faults: float) -> list[World]:
        return [World(seed, Faults(**faults), 1.0) for seed in range(12)]

    assert {world.accepts for world in worlds(human_per_minute=0.5)} == {True, False}
    assert all(w.accepts for w in worlds(human_per_minute=0.5, restored=0.1))
    frozen = next(w for w in worlds(human_per_minute=4.0) if not w.accepts)
    assert run(frozen.run(), Random(1)).violations == ()
    assert frozen.life is not None and frozen.life.state.trading == "frozen"
