"""A world whose engine comes back changed: another configuration, or an older history."""

from random import Random

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.simulation import checkers as c
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World


def lived(seed: int, faults: Faults) -> tuple[World, list[Row]]:
    """Run a world without a violation; return it and its rows."""
    world = World(seed, faults, 1.0)
    assert run(world.run(), Random(seed)).violations == ()
    return world, [decode_row(row.body, place="row") for row in world.disk.rows]


def limits_of(rows: list[Row]) -> list[int]:
    """Return the limit of positions of each configuration that was put in force."""
    facts = [fact for row in rows for fact in row.facts]
    return [x.settings.risk.positions_max for x in facts if type(x) is f.ConfigApplied]


def test_configurations_change_while_running_and_at_a_start() -> None:
    running, rows = lived(3, Faults(reloads_per_minute=6.0))
    assert running.lives == 1 and len(set(limits_of(rows))) > 1
    again, rows = lived(3, Faults(reconfigured=1.0, crashes_per_minute=6.0))
    assert again.lives > 2 and len(set(limits_of(rows))) > 1
    assert again.positions_max == max(limits_of(rows))


def test_an_order_of_a_lost_history_is_sent_again_and_taken_once() -> None:
    world, rows = lived(8, Faults(restored=1.0, crashes_per_minute=8.0))
    lost = {order.id for order in c.orders_of(c.lost_rows(world))}
    sent = [order.id for _, order, _ in world.sent]
    assert lost & world.venue.accepted.keys(), "no order of the lost history was at the venue"
    assert any(sent.count(name) > 1 for name in lost), "none of them was sent a second time"
    assert set(world.venue.accepted.values()) == {1}
    assert any(type(x) is f.MismatchFound for row in rows for x in row.facts)


def test_a_position_that_the_venue_closes_by_itself_trips_the_breaker() -> None:
    _, rows = lived(4, Faults(deleverages_per_minute=6.0))
    taken = [row for row in rows if getattr(row.event, "reason", "") == "deleveraging"]
    assert taken and all(any(type(x) is f.Filled for x in row.facts) for row in taken)
    trips = [x.condition for row in rows for x in row.facts if type(x) is f.BreakerTripped]
    assert "deleveraging" in trips
    assert not any(type(x) is f.MismatchFound for row in taken for x in row.facts)


def test_settings_that_seldom_change_are_drawn_and_act() -> None:
    """Midnight passes, feeds and the venue's clock are watched, stops trail, parts close."""
    faults = Faults(varied=1.0, feed_gaps_per_minute=3.0, clock_steps_per_minute=3.0)
    worlds = [lived(seed, faults) for seed in range(8)]
    assert {world.midnight for world, _ in worlds} == {True, False}
    assert {world.spot for world, _ in worlds} == {("DELTA",), ()}
    facts = [fact for _, rows in worlds for row in rows for fact in row.facts]
    assert {type(fact) for fact in facts} >= {f.DayStarted, f.FeedChanged}
    assert "clock_drift" in {x.condition for x in facts if type(x) is f.BreakerTripped}
    trades = {x.trade.reason for x in facts if type(x) is f.Filled and x.trade is not None}
    assert "trailing_stop" in trades
    closes = [x.order for x in facts if type(x) is f.OrderSubmitted and x.order.reason == "signal"]
    assert any(order.quantity == 10 for order in closes)


def test_a_signal_is_judged_again_only_when_it_was_forgotten() -> None:
    world, rows = lived(1, Faults(varied=1.0, clock_steps_per_minute=3.0))
    names = [x.decision.signal_id for row in rows for x in row.facts if type(x) is f.SignalJudged]
    assert world.remember_max < 100_000 and len(set(names)) < len(names)


def test_some_lives_end_with_a_stop_of_each_policy() -> None:
    faults = Faults(varied=1.0, crashes_per_minute=6.0)
    lives = [lived(seed, faults) for seed in range(8)]
    facts = [fact for _, rows in lives for row in rows for fact in row.facts]
    told = {x.reason for x in facts if type(x) is f.TradingStateChanged}
    assert {f"shutdown, policy {name}" for name in ("close", "cancel_orders_only", "leave")} <= told
    assert any(world.lives > world.crashes + 1 for world, _ in lives)
