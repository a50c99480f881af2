"""What signals leave of a position: a close that came to nothing is sent again until it is so."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import OrderStatus, TimerEvent
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.order import Status
from cerberus_trader.engine.apply import apply
from cerberus_trader.engine.state import State, state_bytes, state_from
from tests.kit import COIN, SECOND, Bench, D, changed, decision, submitted
from tests.unit.engine.closes import PLACE, adding, beat, closing, latest, look, outside, refuse

# -- until it is closed ------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["rejected", "canceled", "expired", "not_sent"])
@pytest.mark.parametrize("part", [None, "4"])
def test_a_close_that_the_venue_ends_is_sent_until_it_is_done(state: str, part: str | None) -> None:
    bench, close = closing(part)
    asked = close.quantity
    for _ in range(3):
        refuse(bench, close, state)
        assert beat(bench) == [asked] and beat(bench) == [], "one is on its way"
        close = latest(bench)
        assert close.reason == "signal" and close.reduce_only and close.attempt
    bench.fill(close)
    assert not bench.state.targets and beat(bench) == []
    assert sum(p.quantity for p in bench.state.positions.values()) == 20 - asked


def test_the_pauses_grow_while_the_venue_goes_on_refusing() -> None:
    bench, close = closing()
    sent = []
    for second in range(0, 1_200, 5):
        if beat(bench, 5):
            sent.append(second)
            refuse(bench, latest(bench))
        elif second == 0:
            refuse(bench, close)
    pauses = [later - earlier for earlier, later in pairwise(sent)]
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300]


def test_retries_come_first() -> None:
    bench, close = closing()
    for attempt in range(bench.state.settings.orders.retries_max):
        step = refuse(bench, close, retry=True)
        close = submitted(step)
        assert close.attempt == attempt + 1 and beat(bench) == []
    refuse(bench, close, retry=True)
    assert beat(bench) == [close.quantity]


@pytest.mark.parametrize("part", [None, "4"])
def test_a_close_that_never_arrived_is_sent_anew(part: str | None) -> None:
    """It was lost with the requests that a break of the line, or a restart, swallowed."""
    bench, close = closing(part)
    refuse(bench, close, "unknown")
    assert beat(bench, 1) == [], "nobody knows yet"
    for _ in range(4):
        bench.now += 5 * SECOND
        bench.take(OrderStatus(bench.now, close.id, bench.now, None))
    assert close.id not in bench.state.orders and beat(bench) == [close.quantity]


def test_what_a_person_has_closed_meanwhile_is_not_tried_again() -> None:
    bench, close = closing("4")
    bench.close("98", quantity=D(4), order_id="by hand", reason="entry")
    assert not bench.state.targets
    step = refuse(bench, close, retry=True)
    assert not step.commands
    older = f.OrderSubmitted(changed(close, id="a retry", attempt=1))
    apply(bench.state, TimerEvent(bench.now, "health"), older)
    assert not bench.state.targets, "an older engine has tried again all the same"


def test_what_signals_leave_survives_a_restart() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    again: State = state_from(state_bytes(bench.state))
    assert again.targets == bench.state.targets and again.targets[PLACE].owed == 4


def test_two_parts_come_to_both() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    second = submitted(bench.signal("close", quantity=D(6)))
    refuse(bench, second)
    assert beat(bench) == [D(10)]


def test_on_paper_a_close_that_came_to_nothing_has_lapsed() -> None:
    """A replay has no beat that would send it again: what it forbade to add was added there."""
    bench = Bench()
    bench.open(stop="98")
    close = submitted(bench.signal("close", quantity=D(4)))
    assert not bench.state.targets
    assert submitted(refuse(bench, close, retry=True)).attempt == 1
    assert not bench.state.targets and beat(bench) == []


@pytest.mark.parametrize(
    ("side", "asked"), [("close", {}), ("sell", {}), ("close", {"quantity": D(30)})]
)
def test_the_close_of_a_part_holds_up_no_close_of_all(side: str, asked: dict[str, Any]) -> None:
    """It may wait for a line for long: everything was to be closed, was denied, and stayed open."""
    bench, close = closing("4")
    rest = submitted(bench.signal(side, **asked))
    assert rest.quantity == 16 and decision(bench.signal("close")).code == "POSITION_CLOSING"
    bench.fill(close)
    refuse(bench, rest)
    assert beat(bench) == [D(16)]


def test_parts_may_overlap() -> None:
    bench, close = closing("15")
    second = submitted(bench.signal("close", quantity=D(15)))
    assert second.quantity == 5
    refuse(bench, close)
    refuse(bench, second)
    assert beat(bench) == [D(20)]


# -- whoever closes it -------------------------------------------------------------------------


def test_what_a_close_has_filled_is_closed_also_where_it_is_told_late() -> None:
    bench, close = closing()
    bench.fill(close, quantity=D(3), leaves=D(17))
    refuse(bench, close, "canceled")
    bench.fill(close, quantity=D(2), leaves=D(0))
    assert beat(bench) == [D(15)]


def test_a_cancel_that_does_not_tell_what_has_filled_is_asked_about() -> None:
    """Its fills came after the next close was sent, and more was closed than was asked for."""
    bench, close = closing("5")
    refuse(bench, close, "canceled", filled=None)
    assert bench.state.orders[close.id].status is Status.UNKNOWN and beat(bench) == []
    bench.fill(close, quantity=D(4), leaves=D(1))
    theirs = VenueOrder(close.id, "COIN", -1, D(5), "canceled", D(4))
    bench.take(OrderStatus(bench.now, close.id, bench.now, theirs))
    assert beat(bench) == [D(1)]


@pytest.mark.parametrize("retry", [True, False])
def test_a_retry_closes_no_more_than_is_left_to_close(retry: bool) -> None:
    """A stop had closed 7 of the 10, and another 10 were closed."""
    bench, close = closing("10")
    bench.close("98", quantity=D(7), margin=D(100))
    step = refuse(bench, close, retry=retry)
    assert (submitted(step).quantity if retry else beat(bench)[0]) == 3


def test_a_retry_leaves_to_other_closes_what_is_theirs() -> None:
    bench, close = closing("10")
    rest = submitted(bench.signal("close"))
    bench.close("98", quantity=D(12), margin=D(100))
    assert not refuse(bench, close, retry=True).commands, "the other one takes it"
    refuse(bench, rest)
    assert beat(bench) == [D(8)]


@pytest.mark.parametrize("by", ["stop", "person"])
def test_whoever_closes_it_it_is_closed(by: str) -> None:
    bench, close = closing("10")
    refuse(bench, close)
    fields = {} if by == "stop" else {"order_id": "by hand", "reason": "entry"}
    bench.close("98", quantity=D(10), **fields)
    assert not bench.state.targets and beat(bench) == []


def test_fills_that_are_never_told_close_nothing_twice() -> None:
    """The venue held less, the order was over, and the other half was closed as well."""
    bench, close = closing("10")
    ended = VenueOrder(close.id, "COIN", -1, D(10), "filled", D(10))
    stop = VenueOrder(close.closes[:-1] + "s", "COIN", -1, D(10), "working", D(0), D(98), True)
    for _ in range(4):
        look(bench, D(10), "", ended, stop)
        assert beat(bench, 5) == []
    assert close.id not in bench.state.orders
    assert bench.state.positions[PLACE].quantity == D(10) and not bench.state.targets


def test_nothing_is_sent_while_the_venue_seems_to_hold_another_quantity() -> None:
    bench, close = closing("10")
    refuse(bench, close)
    bench.state.suspects[PLACE] = ("position 20 10", False)
    assert beat(bench) == []
    del bench.state.suspects[PLACE]
    assert beat(bench) == [D(10)]


# -- nothing that nobody has closed ------------------------------------------------------------


def test_a_fill_through_zero_leaves_another_position() -> None:
    bench, close = closing()
    refuse(bench, close)
    bench.close("98", quantity=D(21))
    assert bench.state.positions[PLACE].sign == -1 and not bench.state.targets


def test_only_the_close_of_a_signal_has_a_target() -> None:
    """Limits, operators and margin ask again by themselves."""
    bench = outside()
    bench.open(stop="98")
    held = bench.state.positions[PLACE]
    bench.state.positions[PLACE] = changed(held, health="critical")
    step = bench.take(TimerEvent(bench.now, "health", (("COIN", D("50")),)))
    assert submitted(step).reason == "margin" and not bench.state.targets


def test_what_another_entry_adds_is_not_closed() -> None:
    bench = adding()
    first = bench.open(stop="98", quantity=D(4))
    more = submitted(bench.signal(quantity=D(3)))
    close = submitted(bench.signal("close"))
    bench.fill(more)
    held = first.quantity
    refuse(bench, close)
    assert beat(bench) == [held], "of what was held when the signal came"
    bench.fill(latest(bench))
    assert bench.state.positions[PLACE].quantity == more.quantity and beat(bench) == []


def test_nothing_is_added_to_what_is_to_be_closed() -> None:
    bench = adding()
    bench.open(stop="98", quantity=D(4))
    refuse(bench, submitted(bench.signal("close")))
    assert decision(bench.signal(quantity=D(3))).code == "POSITION_CLOSING"
    assert decision(bench.signal("close")).verdict == "approved"


def test_dust_that_the_venue_does_not_take_is_let_be() -> None:
    """It was sent every five seconds, refused, and tripped the breaker of the whole account."""
    bench, close = closing("4")
    bench.fill(close, quantity=D("3.9995"), leaves=D("0.0005"))
    refuse(bench, close, "canceled")
    assert not bench.state.targets and beat(bench) == []


def test_a_rest_that_no_lot_fits_is_let_be() -> None:
    """Nothing could be sent, and nothing was ever added again."""
    odd = changed(COIN, lot=D("0.003"), quantity_min=D("0.01"))
    bench = Bench(items=(odd,))
    bench.state.agreed["main"] = bench.now
    bench.open(stop="98", quantity=D(3))
    close = submitted(bench.signal("close", quantity=D("1.5")))
    rest = D("0.011")
    bench.fill(close, quantity=close.quantity - rest, leaves=rest)
    refuse(bench, close, "canceled")
    assert not bench.state.targets and beat(bench) == []


def test_a_part_below_the_venue_s_least_waits_for_what_is_under_way() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    held = bench.state.positions[PLACE]
    other = changed(close, id="x" * 24 + "x", reason="margin", quantity=D("3.9995"))
    bench.state.orders[other.id], bench.state.closings[PLACE] = other, (other.id,)
    assert held.quantity == 20 and beat(bench) == []


# -- the venue's word --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "owed"), [(D(18), D(2)), (D(16), None), (D(30), D(4)), (D(-2), None), (D(0), None)]
)
def test_what_the_venue_holds_is_followed(theirs: Decimal, owed: Decimal | None) -> None:
    bench, close = closing("4")
    refuse(bench, close)
    for _ in range(2):
        look(bench, theirs)
    found = bench.state.targets
    assert (found[PLACE].owed if found else None) == owed


def test_a_position_of_another_name_is_closed_all_the_same() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    for _ in range(3):
        look(bench, D(20), "THEIRS-7")
    assert beat(bench) == [D(4)] and latest(bench).closes == "THEIRS-7"
