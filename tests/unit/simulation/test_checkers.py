"""The checkers: each finds nothing in a sound run, and its own fault in a doctored one."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, TransferReport
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.row import Row, decode_row, encode_row
from cerberus_trader.engine.apply import FOLDS
from cerberus_trader.simulation import checkers as c
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.loop import run
from cerberus_trader.simulation.world import World

D = Decimal
replace = msgspec.structs.replace


@pytest.fixture
def world() -> World:
    """Run a world with partial fills, funding and a crash now and then."""
    faults = Faults(partial=0.5, funding_per_minute=2.0, crashes_per_minute=1.0,
                    transfers_per_minute=4.0)  # fmt: skip
    made = World(5, faults, 1.0)
    result = run(made.run(), Random(5))
    assert result.violations == () and result.crashes and result.fills > 10
    return made


def rows_of(world: World) -> list[Row]:
    return [decode_row(row.body, place="row") for row in world.disk.rows]


def everything(world: World) -> list[str]:
    """Run every checker, those of the living state too."""
    assert world.life is not None
    return [*c.check(world), *c.agreement(world), *c.balanced(world.life.state, world.remember_max)]


def rewrite(world: World, change: Callable[[Row], Row | None]) -> None:
    """Change the first row that a function changes, as if the engine had written it so."""
    for index, row in enumerate(world.disk.rows):
        changed = change(decode_row(row.body, place="row"))
        if changed is not None:
            body = encode_row(changed.event, tuple(changed.facts))
            world.disk.rows[index] = row._replace(body=body)
            return
    raise AssertionError("nothing to doctor")


def with_fact(row: Row, kind: type, change: Callable[[Any], list[Any]]) -> Row | None:
    """Change a row's first fact of a kind into others."""
    for index, fact in enumerate(row.facts):
        if isinstance(fact, kind):
            facts = (*row.facts[:index], *change(fact), *row.facts[index + 1 :])
            return replace(row, facts=facts)
    return None


def test_a_sound_run_has_no_violation(world: World) -> None:
    assert everything(world) == []


def entries(world: World) -> Iterator[tuple[int, float, Order]]:
    for index, (when, order, _) in enumerate(world.sent):
        if not order.reduce_only:
            yield index, when, order


def test_sent_before_durable(world: World) -> None:
    index, when, order = next(entries(world))
    world.sent[index] = (when - 1.0, order, "")
    assert any("before it was durable" in words for words in c.durable_first(world, rows_of(world)))


def test_sent_and_never_journalled(world: World) -> None:
    _, when, order = next(entries(world))
    world.sent.append((when, replace(order, id="other" + order.id[5:]), ""))
    (found,) = c.durable_first(world, rows_of(world))
    assert "is not in the journal" in found


def test_a_reducing_order_waits_for_a_stalled_disk(world: World) -> None:
    index, order = next((i, o) for i, (_, o, _) in enumerate(world.sent) if o.reduce_only)
    rows = rows_of(world)
    row = next(i for i, r in enumerate(rows) if order in c.orders_of([r]))
    at = world.disk.appended[row]
    world.disk.times[row] = at + 5.0
    world.sent[index] = (at + 1.0, order, "")
    assert list(c.durable_first(world, rows)) == []
    world.sent[index] = (at + 0.9, order, "")
    (found,) = c.durable_first(world, rows)
    assert "waited only 0.900 s" in found
    world.starts.append(at + 0.95)
    world.sent[index] = (at + 0.9, order, "")
    world.disk.appended[row] = at + 1.0  # sent by an earlier life, whose row was lost
    assert list(c.durable_first(world, rows)) == []
    world.starts.pop()
    assert len(list(c.durable_first(world, rows))) == 1
    world.calm.remove(order.id)  # the disk had failed: nothing is waited for
    assert list(c.durable_first(world, rows)) == []


def test_a_signal_that_was_judged_twice(world: World) -> None:
    rows = rows_of(world)
    judged = next(r for r in rows if any(isinstance(x, f.SignalJudged) for x in r.facts))
    (found,) = c.judged_once([*rows, judged])
    assert "was judged twice" in found


def test_an_order_that_arrives_after_it_was_held_for_over(world: World) -> None:
    rows = rows_of(world)
    stamp, order = world.venue.arrived[-1]
    said = f.OrderChanged(order.id, Status.EXPIRED, c.DENIED)
    index = next(i for i, r in enumerate(rows) if order in c.orders_of([r]))
    rows[index] = replace(rows[index], facts=(*rows[index].facts, said))
    sent_ns = world.wall.epoch_ns + int(world.disk.appended[index] * 1e9)
    assert stamp > sent_ns
    (found,) = c.proven_over(world, rows)
    assert found == f"order {order.id} arrived after it was held for over"
    world.skewed = True
    assert list(c.proven_over(world, rows)) == []
    world.skewed = False
    world.venue.arrived[-1] = (sent_ns, order)
    assert list(c.proven_over(world, rows)) == []


def test_taken_twice_by_the_venue(world: World) -> None:
    name = next(iter(world.venue.accepted))
    world.venue.accepted[name] = 2
    assert list(c.once_at_the_venue(world, rows_of(world))) == [
        f"the venue took order {name} 2 times"
    ]


def test_without_any_memory_a_signal_may_trade_again(world: World) -> None:
    _, _, order = next(entries(world))
    lost = next(row for row, held in zip(world.disk.rows, rows_of(world), strict=True)
                if order in c.orders_of([held]))  # fmt: skip
    world.disk.lost.append(lost)
    world.venue.orders[order.id].filled = order.quantity * 2
    assert len(list(c.once_at_the_venue(world, rows_of(world)))) == 1
    world.blank = True
    assert list(c.once_at_the_venue(world, rows_of(world))) == []


def test_a_signal_that_trades_more_than_was_approved(world: World) -> None:
    _, _, order = next(entries(world))
    world.venue.orders[order.id].filled += order.quantity * 2
    (found,) = c.once_at_the_venue(world, rows_of(world))
    assert f"signal {order.signal_id} traded" in found


def test_sent_while_stopped(world: World) -> None:
    index, when, order = next(entries(world))
    world.sent[index] = (when, order, "stopped")
    assert len(list(c.nothing_when_stopped(world))) == 1


def test_a_change_that_left_early_or_unwritten_or_while_stopped(world: World) -> None:
    rows = rows_of(world)
    asked = {change for _, change in c.changes_of(rows)}
    when, change, word = world.changed[0]
    assert not word and (change.order_id, change.price, change.quantity) in asked
    world.changed[0] = (when - 60.0, change, "")
    (found,) = c.durable_changes(world, rows)
    assert "before it was durable" in found
    world.changed[0] = (when, replace(change, price=change.price + 1), "")
    (found,) = c.durable_changes(world, rows)
    assert "is not in the journal" in found
    world.changed[0] = (when, change, "stopped")
    assert len(list(c.nothing_when_stopped(world))) == 1


def test_an_exit_held_back(world: World) -> None:
    rows = rows_of(world)
    exits = [order for order in c.orders_of(rows) if order.reduce_only]
    assert exits and list(c.exits_pass(rows)) == []
    held = f.OrderChanged(exits[0].id, Status.NOT_SENT, "halted")
    rows.append(replace(rows[-1], facts=(held,)))
    assert len(list(c.exits_pass(rows))) == 1


def first_fill(row: Row) -> bool:
    return type(row.event) is FillReport and any(type(fact) is f.Filled for fact in row.facts)


def test_a_fill_booked_twice(world: World) -> None:
    rows = rows_of(world)
    rows.append(next(row for row in rows if first_fill(row)))
    assert [w for w in c.fills_once(world, rows) if "was booked twice" in w]


@pytest.mark.parametrize(("field", "value"), [("quantity", D(7)), ("price", D(7)), ("fee", D(7))])
def test_a_fill_booked_with_another_content(world: World, field: str, value: Decimal) -> None:
    def change(row: Row) -> Row | None:
        if not first_fill(row):
            return None
        return replace(row, event=replace(row.event, **{field: value}))

    rewrite(world, change)
    assert [w for w in c.fills_once(world, rows_of(world)) if "another content" in w]


def test_a_fill_that_never_happened_and_one_never_booked(world: World) -> None:
    index = next(i for i, (_, b) in enumerate(world.venue.bookings) if isinstance(b, FillReport))
    stamp, fill = world.venue.bookings[index]
    world.venue.bookings[index] = (stamp, replace(fill, trade_id="another"))
    found = list(c.fills_once(world, rows_of(world)))
    assert [words.split(" ", 2)[2] for words in found] == [
        "was booked and never happened", "was never booked",
    ]  # fmt: skip
    world.failures.append("the engine fell over by itself")
    assert len(list(c.fills_once(world, rows_of(world)))) == 1


def transfer(world: World) -> tuple[int, int, TransferReport]:
    """Return the last transfer of the venue: its index there, its time, its booking."""
    return next(
        (index, ts, booking)
        for index, (ts, booking) in reversed(list(enumerate(world.venue.bookings)))
        if isinstance(booking, TransferReport)
    )


def test_a_transfer_booked_twice_with_another_amount_or_never(world: World) -> None:
    rows, (index, ts, moved) = rows_of(world), transfer(world)
    assert list(c.transfers_once(world, rows)) == []
    mine = [row for row in rows if getattr(row.event, "transfer_id", "") == moved.transfer_id]
    assert f"transfer {moved.transfer_id} was booked twice" in c.transfers_once(world, rows + mine)
    world.venue.bookings[index] = (ts, replace(moved, amount=moved.amount + 1))
    (found,) = c.transfers_once(world, rows)
    assert found == f"transfer {moved.transfer_id} was booked with {moved.amount}"
    world.venue.bookings[index] = (ts, replace(moved, transfer_id="another"))
    assert [words.split(" ", 2)[2] for words in c.transfers_once(world, rows)] == [
        "was never booked", "was booked and never happened",
    ]  # fmt: skip


def test_a_transfer_that_counts_as_a_gain(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    def gained(state: Any, event: Any, fact: f.CashMoved) -> None:
        state.balance += fact.amount

    monkeypatch.setitem(FOLDS, f.CashMoved, gained)
    assert any("counts as a gain or loss" in words for words in c.replayed(world, rows_of(world)))


def test_more_exposure_at_the_venue_than_allowed(world: World) -> None:
    world.venue.most = 9
    assert len(list(c.nothing_amiss(world, rows_of(world)))) == 1
    world.surprised = True
    assert list(c.nothing_amiss(world, rows_of(world))) == []


@pytest.mark.parametrize(
    ("fact", "found"),
    [
        (f.MismatchFound(1, "main", "position", "ALFA", "1", "2", "frozen"), 1),
        (f.MismatchFound(1, "main", "position", "ALFA", "1", "2", "suspected"), 0),
        (f.MismatchFound(1, "main", "lost_order", "x", "", "2", "noted"), 0),
        (f.BalanceCorrected(1, "main", D(1), "the venue's balance"), 1),
        (f.PositionCorrected(1, "main", "ALFA", None, None, "the venue's position"), 1),
        (f.PositionCorrected(1, "main", "ALFA", None, None, "the venue's margin"), 0),
    ],
)
def test_a_difference_that_was_acted_on(world: World, fact: f.Fact, found: int) -> None:
    rows = rows_of(world)
    rows.append(replace(rows[-1], facts=(fact,)))
    assert len(list(c.nothing_amiss(world, rows))) == found


def test_a_status_that_cannot_follow(world: World) -> None:
    rows = rows_of(world)
    order = next(c.orders_of(rows))
    late = f.OrderChanged(order.id, Status.SUBMITTED)
    rows.append(replace(rows[-1], facts=(late,)))
    (found,) = c.lawful(rows)
    assert "became submitted" in found


def test_time_that_runs_back_and_deciding_that_failed(world: World) -> None:
    rows = rows_of(world)
    rows.append(rows[0])
    rows.append(replace(rows[-2], facts=(f.Faulted("ValueError: x", "TimerEvent"),)))
    found = list(c.lawful(rows))
    assert [words.split(" ")[0] for words in found] == ["time", "deciding"]


def test_a_cancel_that_was_asked_for_counts_until_the_end(world: World) -> None:
    rows = rows_of(world)
    order = next(c.orders_of(rows))
    submit = next(r for r in rows if any(type(x) is f.OrderSubmitted for x in r.facts))
    asked = replace(submit, facts=(f.OrderSubmitted(order), f.CancelRequested(order.id, "me")))
    accepted = replace(submit, facts=(f.OrderChanged(order.id, Status.ACCEPTED),))
    assert len(list(c.lawful([asked, accepted]))) == 1
    assert list(c.lawful([asked])) == []


def test_a_row_that_is_decided_otherwise_again(world: World) -> None:
    def change(row: Row) -> Row | None:
        return with_fact(
            row, f.OrderSubmitted,
            lambda fact: [f.OrderSubmitted(replace(fact.order, quantity=D(1)))],
        )  # fmt: skip

    rewrite(world, change)
    (found,) = c.replayed(world, rows_of(world))
    assert "is decided otherwise" in found


def test_a_state_that_is_not_its_journals(world: World) -> None:
    assert world.life is not None
    world.life.alive = True
    whole = world.life.journal.last_seq == len(world.disk.rows)
    assert whole and list(c.replayed(world, rows_of(world))) == []
    world.life.state.balance += 1
    assert list(c.replayed(world, rows_of(world))) == [
        "the living state differs from its own journal"
    ]


def test_positions_orders_and_cash_that_differ(world: World) -> None:
    assert world.life is not None
    state, venue = world.life.state, world.venue
    state.balance += D("0.02")
    assert [w.split()[0] for w in c.agreement(world)] == ["balances"]
    venue.ledger["cash"] += 1
    assert [w.split()[0] for w in c.agreement(world)] == ["balances", "the"]
    name = next(iter(venue.orders))
    venue.orders[name].state = "working"
    held = next(iter(venue.positions.values()), None)
    if held is not None:
        held.quantity += 1
    else:
        from cerberus_trader.simulation.held import Held

        venue.positions["ALFA"] = Held("x", D(1))
    assert [w.split()[0] for w in c.agreement(world)] == ["positions", "orders", "balances", "the"]


def test_a_ledger_that_does_not_sum_up_and_memories_that_grew(world: World) -> None:
    assert world.life is not None
    state = world.life.state
    state.counters.fees += D("0.01")
    limit = state.settings.intake.remember_max
    assert list(c.balanced(state, limit)) == ["the ledger does not sum to zero"]
    ended = next(iter(state.ended.values())).order
    state.orders["x"] = replace(ended, id="x", status=Status.FILLED)
    state.seen.update({f"n{i}": 1 for i in range(limit + 1)})
    assert len(list(c.balanced(state, limit))) == 3


def test_what_is_found_while_an_engine_lives_counts_too(world: World) -> None:
    assert world.life is not None
    world.life.alive = True
    assert c.check(world) == []
    world.venue.balance += 1
    assert any("balances differ" in words for words in c.check(world))
