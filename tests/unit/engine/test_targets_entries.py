"""What signals close of entries on their way, and of what several closes are about."""

from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import OrderReport, TimerEvent
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.apply import apply
from tests.kit import SECOND, D, decision, settings, submitted
from tests.unit.engine.closes import PLACE, adding, beat, closing, latest, look, outside, refuse

# -- entries on their way ----------------------------------------------------------------------


def test_an_entry_that_was_closed_on_its_way_is_closed_when_it_fills() -> None:
    bench = outside()
    entry = submitted(bench.signal())
    refuse(bench, submitted(bench.signal("close")))
    assert beat(bench) == []
    bench.fill(entry, quantity=D(12), leaves=D(8))
    assert beat(bench) == [D(12)]
    bench.fill(entry, quantity=D(8))
    assert beat(bench) == [D(8)]


def test_a_part_of_an_entry_that_was_closed_on_its_way_is_closed_when_it_fills() -> None:
    bench = outside()
    entry = submitted(bench.signal())
    refuse(bench, submitted(bench.signal("close", quantity=D(5))))
    bench.fill(entry)
    assert beat(bench) == [D(5)]


@pytest.mark.parametrize("part", [None, "5"])
def test_the_close_of_an_entry_on_its_way_is_retried(part: str | None) -> None:
    bench = outside()
    submitted(bench.signal())
    asked = {"quantity": D(part)} if part else {}
    close = submitted(bench.signal("close", **asked))
    again = submitted(refuse(bench, close, retry=True))
    assert again.quantity == close.quantity == D(part or 20) and again.attempt == 1


def test_of_an_entry_that_ends_short_what_it_filled_is_closed() -> None:
    bench = outside()
    entry = submitted(bench.signal())
    refuse(bench, submitted(bench.signal("close")))
    bench.fill(entry, quantity=D(8), leaves=D(12))
    refuse(bench, entry, "canceled")
    assert bench.state.targets[PLACE].owed == 8 and beat(bench) == [D(8)]


def test_dust_of_all_is_let_be_as_well() -> None:
    bench, close = closing()
    bench.fill(close, quantity=D("19.9995"), leaves=D("0.0005"))
    refuse(bench, close, "canceled")
    assert not bench.state.targets and beat(bench) == []


@pytest.mark.parametrize("part", [None, "5"])
def test_an_entry_that_rests_is_cancelled_by_the_beat(part: str | None) -> None:
    """Its close was lost: it went on resting, and what it opened was nobody's wish."""
    bench = outside()
    entry = submitted(bench.signal(order="limit", limit=D(100)))
    bench.take(OrderReport(bench.now, entry.id, "accepted"))
    asked = {"quantity": D(part)} if part else {}
    close = submitted(bench.signal("close", **asked))
    timer = TimerEvent(bench.now, "health")
    assert not bench.take(timer).commands, "its close is on its way"
    refuse(bench, close, "expired")
    found = bench.take(timer).commands
    assert found == (() if part else (CancelOrder(entry.id, "main", "COIN"),))
    assert not bench.take(timer).commands
    refuse(bench, entry, "canceled")
    assert not bench.state.targets


@pytest.mark.parametrize("closed", [True, False])
def test_an_entry_that_was_reversed_on_its_way_is_cancelled(closed: bool) -> None:
    """Another position took its place, and it rested on: what it filled was nobody's wish."""
    strategies = {"default": Strategy(sources=("*",), reverse=True)}
    bench = outside(settings(strategies=strategies, risk={"group_risk_max": D(1)}))
    entry = submitted(bench.signal(order="limit", limit=D(97)))
    bench.take(OrderReport(bench.now, entry.id, "accepted"))
    step = bench.signal("sell")
    close, other = [c.order for c in step.commands if isinstance(c, SubmitOrder)]
    assert close.closes == entry.id
    refuse(bench, close, "expired")
    bench.fill(other)
    if closed:
        bench.fill(submitted(bench.signal("close")))
    bench.now += 5 * SECOND
    found = bench.take(TimerEvent(bench.now, "health")).commands
    assert found == (CancelOrder(entry.id, "main", "COIN"),)


def test_what_fills_of_a_half_filled_entry_after_everything_was_closed_is_closed() -> None:
    """Its cancel came too late: the other half stayed open, and nobody knew that it was closed."""
    bench = outside()
    entry = submitted(bench.signal())
    bench.fill(entry, quantity=D(8), leaves=D(12))
    step = bench.signal("close")
    assert CancelOrder(entry.id, "main", "COIN") in step.commands
    bench.fill(entry, quantity=D(12))
    bench.fill(submitted(step), quantity=D(8))
    assert beat(bench) == [D(12)]


def test_an_entry_that_ends_owes_nothing_of_what_another_one_brings() -> None:
    bench = adding()
    first = submitted(bench.signal(quantity=D(4)))
    second = submitted(bench.signal(quantity=D(3)))
    refuse(bench, submitted(bench.signal("close")))
    refuse(bench, first)
    bench.fill(second)
    assert not bench.state.targets and beat(bench) == []


@pytest.mark.parametrize("retried", [True, False])
def test_a_part_of_an_entry_that_fills_in_parts_is_closed(retried: bool) -> None:
    """Its first part was smaller than what the signal left, and the wish was forgotten."""
    bench = outside()
    entry = submitted(bench.signal())
    close = submitted(bench.signal("close", quantity=D(5)))
    bench.fill(entry, quantity=D(8), leaves=D(12))
    step = refuse(bench, close, retry=retried)
    assert [c.order.quantity for c in step.commands if isinstance(c, SubmitOrder)] == (
        [D(5)] if retried else []
    )
    assert beat(bench) == ([] if retried else [D(5)])


def test_another_entry_that_fills_first_forgets_no_wish() -> None:
    bench = adding()
    first = submitted(bench.signal(quantity=D(4)))
    second = submitted(bench.signal(quantity=D(3)))
    close = submitted(bench.signal("close"))
    assert close.closes == first.id and close.quantity == 4
    bench.fill(second)
    bench.fill(first)
    refuse(bench, close)
    assert beat(bench) == [D(4)]


def test_a_part_of_an_entry_that_rests_blocks_nothing() -> None:
    """The venue refused to close it: nothing could be added for as long as it rested."""
    bench = adding()
    entry = submitted(bench.signal(order="limit", limit=D(100), quantity=D(8)))
    bench.take(OrderReport(bench.now, entry.id, "accepted"))
    refuse(bench, submitted(bench.signal("close", quantity=D(2))))
    assert bench.state.targets and decision(bench.signal(quantity=D(3))).verdict == "approved"


def test_an_entry_that_ends_leaves_nothing_to_close() -> None:
    bench = outside()
    entry = submitted(bench.signal())
    refuse(bench, submitted(bench.signal("close")))
    refuse(bench, entry)
    assert not bench.state.targets


def test_the_rest_of_a_killed_order_holds_up_no_close_of_all() -> None:
    """A close of what it had filled passed for a signal's, and the rest stayed open for good."""
    bench = adding()
    bench.open(stop="98", quantity=D(4))
    fok = submitted(bench.signal(order="fok", limit=D(100), quantity=D(5)))
    bench.fill(fok, quantity=D(3), leaves=fok.quantity - 3)
    leftover = submitted(refuse(bench, fok, "canceled"))
    held = bench.state.positions[PLACE].quantity
    assert leftover.quantity == 3 and bench.state.targets[PLACE].owed == 3
    close = submitted(bench.signal("close"))
    assert close.quantity == held - 3 and bench.state.targets[PLACE].owed == held
    refuse(bench, leftover)
    refuse(bench, close)
    assert beat(bench) == [held]


def test_each_killed_order_s_part_is_closed() -> None:
    """Two ended in one look, and the second part was never closed."""
    bench = adding()
    bench.open(stop="90", quantity=D(4))
    both = [submitted(bench.signal(order="fok", limit=D(100), quantity=D(5))) for _ in range(2)]
    for order, part in zip(both, (D(3), D(2)), strict=True):
        bench.fill(order, quantity=part, leaves=5 - part, stop=D(90))
    stop = latest(bench).id[:-1] + "s"
    orders = [VenueOrder(o.id, "COIN", 1, D(5), "canceled", part, D(100))
              for o, part in zip(both, (D(3), D(2)), strict=True)]  # fmt: skip
    step = look(
        bench, D(9), "", *orders, VenueOrder(stop, "COIN", -1, D(9), "working", D(0), D(90), True)
    )
    sent = [c.order for c in step.commands if isinstance(c, SubmitOrder)]
    assert sorted(order.quantity for order in sent) == [2, 3]
    assert sent[0].id != sent[1].id and bench.state.targets[PLACE].owed == 5


def test_what_is_sent_again_holds_up_no_close_of_all() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    assert beat(bench) == [D(4)]
    again = latest(bench)
    rest = submitted(bench.signal("close"))
    assert rest.quantity == 16
    bench.fill(again)
    refuse(bench, rest)
    assert beat(bench) == [D(16)]


@pytest.mark.parametrize(
    ("asked", "left"), [({}, 10), ({"quantity": D(20)}, 10), ({"quantity": D(30)}, 10),
                        ({"quantity": D(15)}, 5)],
)  # fmt: skip
def test_everything_is_closed_also_what_another_close_was_to_take(
    asked: dict[str, Any], left: int
) -> None:
    """Given with a quantity it passed for a part, and what a margin close left stayed open."""
    bench = outside()
    bench.open(stop="98")
    held = bench.state.positions[PLACE]
    other = f.OrderSubmitted(
        Order("m" * 24 + "x", "main", "default", "COIN", -1, "market", "margin", D(10),
              reduce_only=True, closes=held.id)
    )  # fmt: skip
    apply(bench.state, TimerEvent(bench.now, "health"), other)
    close = submitted(bench.signal("close", **asked))
    assert close.quantity == 10
    refuse(bench, other.order)
    bench.fill(close)
    assert beat(bench) == [D(left)]


def test_the_retry_of_a_close_is_for_its_own_position() -> None:
    bench, close = closing("4")
    bench.close("98")
    bench.open(stop="98")
    refuse(bench, submitted(bench.signal("close", quantity=D(5))))
    before = bench.state.targets[PLACE]
    assert not refuse(bench, close, retry=True).commands
    assert bench.state.targets[PLACE] == before


def test_a_venue_that_goes_on_refusing_one_close_does_not_stop_all_trading() -> None:
    """Each was another failure, and the fifth tripped the breaker of every strategy."""
    bench, close = closing()
    refuse(bench, close)
    for _ in range(10):
        assert beat(bench) == [D(20)]
        refuse(bench, latest(bench))
    assert bench.state.failures == 1 and not bench.state.trips
