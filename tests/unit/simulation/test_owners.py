"""Several strategies in one account: what each may have, and the checkers that say so."""

from decimal import Decimal
from random import Random

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.engine.state import Trip
from cerberus_trader.simulation import checkers as c
from cerberus_trader.simulation import owners as o
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World

SEED = 26
D = Decimal
replace = msgspec.structs.replace


@pytest.fixture
def world() -> World:
    """Run a world of several strategies, which are paused, stopped and crashed."""
    faults = Faults(strategies=1.0, strategy_commands_per_minute=2.0, crashes_per_minute=1.0,
                    funding_per_minute=2.0, partial=0.5)  # fmt: skip
    made = World(SEED, faults, 1.0)
    result = run(made.run(), Random(SEED))
    assert result.violations == () and result.crashes and len(made.heads) > 1
    assert everything(made) == []
    return made


def rows_of(world: World) -> list[Row]:
    return [decode_row(row.body, place="row") for row in world.disk.rows]


def everything(world: World) -> list[str]:
    assert world.life is not None
    entries = {order.id: order for order in c.orders_of(rows_of(world))}
    return [
        *o.own_places(world, entries), *o.own_limits(world), *o.own_results(world),
        *o.summed(world.life.state), *o.must_close(world.life.state),
    ]  # fmt: skip


def test_several_strategies_trade_and_are_told_apart(world: World) -> None:
    decisions = [x.decision for row in rows_of(world) for x in row.facts
                 if type(x) is f.SignalJudged]  # fmt: skip
    assert {d.strategy for d in decisions if d.verdict == "approved"} == set(world.heads)
    assert "POSITION_OWNED_ELSEWHERE" in {d.code for d in decisions}
    changed = [x.status for row in rows_of(world) for x in row.facts
               if type(x) is f.StrategyChanged]  # fmt: skip
    assert "active" in changed and len(set(changed)) > 1


def test_a_position_of_anothers_entry(world: World) -> None:
    assert world.life is not None
    ((key, held),) = world.life.state.positions.items()
    world.life.state.positions[key] = replace(held, strategy="second")
    assert f"{held.instrument} is {held.strategy}'s, not second's" in everything(world)
    assert any("does not hold the sum of its positions" in words for words in everything(world))


def test_an_entry_at_a_place_that_another_has_taken(world: World) -> None:
    (held,) = world.venue.positions.values()
    order = world.venue.orders[held.owner].order
    world.venue.now_ns, world.venue.later = lambda: 0, lambda _s, _call: None
    world.venue.submit(replace(order, id="mine"), 0)
    assert world.venue.intruders == []
    world.venue.submit(replace(order, id="other", strategy="second"), 0)
    assert "order other entered a place that another strategy had taken" in everything(world)


def test_more_places_than_allowed_and_other_results(world: World) -> None:
    world.venue.most_of["sim"] = 9
    world.venue.results["second"] += 1
    first, second = everything(world)
    assert first.startswith("sim had 9 places") and second.startswith("second has earned")
    world.surprised = True
    assert everything(world) == []


def test_sums_that_do_not_agree(world: World) -> None:
    assert world.life is not None
    state = world.life.state
    state.strategies["sim"].booked += 1
    state.reserved["ALFA"] = (D(1), D(1), D(1))
    words = [text for text in o.summed(state) if "results" in text or "reserved" in text]
    assert len(words) == 2


def test_what_is_to_be_closed_and_is_not(world: World) -> None:
    assert world.life is not None
    state = world.life.state
    state.trips["strategy_day_loss:second"] = Trip(0, "second", "0", "0", "flatten")
    assert list(o.must_close(state)) == []
    state.trips["strategy_day_loss:sim"] = Trip(0, "sim", "0", "0", "block")
    assert list(o.must_close(state)) == []
    (held,) = state.positions.values()
    for change in ({"scope": "sim"}, {"scope": ""}):
        state.trips["x"] = Trip(0, change["scope"], "0", "0", "flatten")
        assert list(o.must_close(state)) == [f"{held.instrument} of sim is to be closed"]
    state.trips.clear()
    state.strategies["sim"].status = "stopped"
    assert len(list(o.must_close(state))) == 1


def test_a_stop_of_one_leaves_the_others_alone(world: World) -> None:
    rows = rows_of(world)
    row = next(r for r in rows if any(not x.reduce_only for x in c.orders_of([r])))
    owner = next(c.orders_of([row])).strategy
    other = next(name for name in world.heads if name != owner)
    assert list(o.others_go_on([row])) == []
    for scope, found in ((owner, 0), (other, 1), ("", 0)):
        trip = f.BreakerTripped(0, "strategy_day_loss", scope, "0", "0", "flatten")
        assert len(list(o.others_go_on([replace(row, facts=(*row.facts, trip))]))) == found
    order = next(c.orders_of([row]))
    stop = (f.StrategyChanged(other, "stopped", "sim"), f.CancelRequested(order.id, "operator"))
    assert len(list(o.others_go_on([row, replace(row, facts=stop)]))) == 1
    assert "was left working" in next(c.stops_cancel([row, replace(row, facts=(
        f.StrategyChanged(owner, "stopped", "sim"),))]))  # fmt: skip
    assert list(c.stops_cancel([row, replace(row, facts=stop[:1])])) == []
