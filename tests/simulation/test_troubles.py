"""Troubles that an account makes: each happens, shows in the journal, and breaks nothing."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import NO_LOOK, AccountReport
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.row import Row, decode_row
from cerberus_trader.simulation.differences import (
    corrections_explained,
    seen_often_enough,
    stood_long_enough,
)
from cerberus_trader.simulation.faults import HIGH, Faults, draw
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.troubles import OTHER, blind
from cerberus_trader.simulation.world import World

D = Decimal
SEEDS = range(6)
NEW = ("account_silences_per_minute", "others_per_minute", "charges_per_minute", "numbers_skip",
       "double_rows", "hasty_looks", "entries_closed_per_minute", "closes_unbound")  # fmt: skip
replace = msgspec.structs.replace


def lived(seed: int, **faults: float) -> tuple[World, list[Row]]:
    """Run a world for two minutes without a violation; return it and its rows."""
    world = World(seed, Faults(**faults), 2.0)
    assert run(world.run(), Random(f"loop {seed}")).violations == (), seed
    return world, [decode_row(row.body, place="row") for row in world.disk.rows]


def facts_of(rows: list[Row], kind: type) -> list[Any]:
    return [fact for row in rows for fact in row.facts if type(fact) is kind]


def while_blind(rows: list[Row]) -> Iterator[f.OrderSubmitted]:
    """Every order that was sent after a look was missed for long, and before the next one."""
    away = False
    for row in rows:
        for fact in row.facts:
            if type(fact) is f.LinkChanged:
                away = away or fact.reason.startswith(NO_LOOK)
            elif type(fact) is f.Reconciled:
                away = False
            elif type(fact) is f.OrderSubmitted and away:
                yield fact


def test_an_account_that_stays_silent_stops_entries_and_no_exit() -> None:
    orders = []
    for seed in SEEDS:
        world, rows = lived(seed, account_silences_per_minute=1.0)
        told = [x for x in facts_of(rows, f.LinkChanged) if x.reason.startswith(NO_LOOK)]
        assert bool(told) == bool(world.troubles.silent)
        orders += [fact.order for fact in while_blind(rows)]
    assert orders and all(order.reduce_only for order in orders)


def test_an_entry_that_leaves_blind_is_noticed() -> None:
    world, _ = lived(3)
    assert world.life is not None and world.life.seen_s > 0
    since_s, most_s = world.life.seen_s, world.life.may_wait_s()
    assert most_s == 16.0, "three looks of 2 s or five answers of 1 s, and ten of these"
    assert blind(world.life, since_s + most_s) == ""
    assert blind(world.life, since_s + most_s + 1.0) == "blind for 17.0 s"
    world.life.client.unseen = True
    assert blind(world.life, since_s) == "not looked at since the line came back"
    world.life.client.connected = False
    assert blind(world.life, since_s) == "", "nothing leaves without a line"


def test_trades_elsewhere_are_noted_or_freeze_and_move_the_cash_alone() -> None:
    ends = set()
    for seed in SEEDS:
        world, rows = lived(seed, others_per_minute=6.0)
        assert world.troubles.elsewhere and world.life is not None
        assert "not_ours" in {x.kind for x in facts_of(rows, f.AnomalyNoted)}
        found = [x for x in facts_of(rows, f.MismatchFound) if x.action != "suspected"]
        assert OTHER in {x.place for x in found if x.kind == "position"}
        assert facts_of(rows, f.BalanceCorrected)
        assert OTHER not in {p.instrument for p in world.life.state.positions.values()}
        ends.add((world.troubles.accepts, world.life.state.trading))
    assert ends == {(True, "active"), (False, "frozen")}


def test_charges_that_nobody_tells_are_taken_over_to_the_cent() -> None:
    for seed in SEEDS:
        world, rows = lived(seed, charges_per_minute=4.0)
        taken = sum(x.amount for x in facts_of(rows, f.BalanceCorrected))
        assert world.troubles.charged and world.life is not None
        opening = [x for x in facts_of(rows, f.CashMoved) if "opening" in x.reason]
        early = sum(x.amount for x in opening)
        assert abs(taken + early - world.venue.untold[-1][1]) <= D("0.01")


def test_a_correction_that_nothing_moved_is_noticed() -> None:
    world, rows = lived(1, charges_per_minute=4.0)
    assert list(corrections_explained(world, rows)) == []
    false = f.BalanceCorrected(1, "main", D(-7000), "the venue's balance")
    (found,) = corrections_explained(world, [*rows, replace(rows[-1], facts=(false,))])
    assert "never moved at the venue" in found


def test_numbers_that_skip_hold_the_engine_up_for_a_while() -> None:
    skipped, passed = 0, 0
    for seed in SEEDS:
        world, rows = lived(seed, numbers_skip=0.02)
        skipped += world.venue.skipped
        passed += sum(x.kind == "gap" for x in facts_of(rows, f.AnomalyNoted))
    assert 0 < passed <= skipped


def test_an_answer_that_has_a_place_twice_is_garbage() -> None:
    for seed in SEEDS:
        world, rows = lived(seed, double_rows=0.3)
        twice = [x for x in facts_of(rows, f.AnomalyNoted) if "is listed twice" in x.detail]
        assert twice and {x.kind for x in twice} == {"garbage"} and world.venue.doubled


def test_looks_in_haste_suspect_what_the_list_lacks_and_leave_it_alone() -> None:
    lacking = 0
    for seed in SEEDS:
        world, rows = lived(seed, hasty_looks=1.0, partial=0.6)
        found = [x for x in facts_of(rows, f.MismatchFound) if x.kind == "unprotected"]
        assert world.troubles.hastened and {x.action for x in found} <= {"suspected"}
        lacking += len(found)
    assert lacking > 10


def test_an_entry_that_its_head_closes_is_cancelled_also_where_the_venue_does_not() -> None:
    for unbound in (0.0, 1.0):
        words, gone, far = [], set(), set()
        for seed in SEEDS:
            world, rows = lived(seed, entries_closed_per_minute=6.0, closes_unbound=unbound)
            assert world.troubles.closed > 5
            words += [x.reason for x in facts_of(rows, f.CancelRequested)]
            ended = facts_of(rows, f.OrderChanged)
            gone |= {x.order_id for x in ended if x.status is Status.CANCELED}
            far |= {x.order.id for x in facts_of(rows, f.OrderSubmitted) if is_far(x.order)}
        assert len(far & gone) > 10
        assert ("a signal has closed it" in words) == bool(unbound)


def is_far(order: Order) -> bool:
    """Tell whether an entry rests where no price comes."""
    return order.kind == "limit" and order.price is not None and abs(order.price - 100) > 30


@pytest.mark.parametrize(
    ("after_ms", "other", "found"), [(999, "", 1), (1000, "", 0), (5000, "5", 1)]
)
def test_a_difference_that_acts_too_soon_is_noticed(after_ms: int, other: str, found: int) -> None:
    _, rows = lived(3)
    seen = f.MismatchFound(10**18, "main", "position", "ALFA", "1", "2", "suspected")
    acted = replace(seen, action="noted", theirs="2" + other)  # our clock stands still
    looks = [AccountReport(10**18, "main", at * 10**6, "timer") for at in (5, 5 + after_ms)]
    more = [
        replace(rows[-1], event=look, facts=(fact,))
        for look, fact in zip(looks, (seen, acted), strict=True)
    ]
    assert len(list(stood_long_enough([*rows, *more]))) == found
    ended = replace(rows[-1], facts=(f.SuspicionEnded("ALFA", "main"),))
    assert len(list(stood_long_enough([*rows, more[0], ended, more[1]]))) == 1


def test_a_position_that_is_taken_over_too_soon_is_noticed() -> None:
    _, rows = lived(3)
    fill = next(row for row in rows if facts_of([row], f.Filled))
    event: Any = replace(fill.event, instrument="ALFA")
    fill = replace(fill, event=event)

    def judge(*sizes: tuple[str, str, str]) -> int:
        """Count what is wrong with looks, `fill` between them where the action is empty."""
        found = [
            replace(rows[-1], event=AccountReport(1, "main", 1, "timer"),
                    facts=(f.MismatchFound(1, "main", "position", "ALFA", ours, theirs, word),))
            if word else fill
            for ours, theirs, word in sizes
        ]  # fmt: skip
        return len(list(seen_often_enough(found)))

    seen, acted, traded = ("1", "6", "suspected"), ("1", "6", "noted"), ("", "", "")
    assert judge(acted) == 1
    assert judge(seen, acted) == 0
    assert judge(seen, ("2", "7", "noted")) == 1
    assert judge(seen, traded, acted) == 1
    assert judge(seen, traded, seen, acted) == 0
    assert judge(seen, traded, seen, traded, ("2", "7", "suspected"), traded, acted) == 0
    assert judge(seen, traded, ("1", "7", "suspected"), traded, seen, traded, acted) == 1


def test_each_is_drawn_last_and_in_its_share_of_runs() -> None:
    assert Faults.__struct_fields__[-len(NEW) :] == NEW
    drawn = [draw(seed) for seed in range(200)]
    for name in NEW:
        rates = [rate for faults in drawn if (rate := getattr(faults, name))]
        assert 20 < len(rates) < 130 and max(rates) <= getattr(HIGH, name)
