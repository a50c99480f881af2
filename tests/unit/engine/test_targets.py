"""What signals leave of a position: a close that came to nothing is sent again until it is so."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import AccountReport, OrderReport, OrderStatus, TimerEvent
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.apply import apply
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.state import State, state_bytes, state_from
from tests.kit import SECOND, Bench, D, changed, decision, settings, submitted

PLACE = "main/COIN"


def outside(chosen: Any = None) -> Bench:
    """Return a bench whose account is at a venue outside, and agrees with it."""
    bench = Bench(chosen)
    bench.state.agreed["main"] = bench.now
    return bench


def refuse(bench: Bench, order: Order, state: str = "rejected", **fields: Any) -> Step:
    """Let the venue end an order for good; what it had filled is told along."""
    said: Any = state
    if state in ("canceled", "expired"):
        fields.setdefault("filled", bench.state.orders[order.id].filled)
    return bench.take(OrderReport(bench.now, order.id, said, "not now", **fields))


def beat(bench: Bench, after_s: int = 300) -> list[Decimal]:
    """Let the health timer beat after a while; return what is sent."""
    bench.now += after_s * SECOND
    step = bench.take(TimerEvent(bench.now, "health"))
    return [c.order.quantity for c in step.commands if isinstance(c, SubmitOrder)]


def look(bench: Bench, quantity: Decimal, name: str = "", *orders: VenueOrder) -> Step:
    """Let the venue tell what it holds, negative for a short position."""
    bench.now += 30 * SECOND
    sign, size = (1 if quantity > 0 else -1), abs(quantity)
    held = (VenuePosition("COIN", sign, size, 100 * size, D(20), D(5), name),) if quantity else ()
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", orders, held))


def closing(part: str | None = None) -> tuple[Bench, Order]:
    """Return a bench with a position of 20 that a signal has closed, and its close."""
    bench = outside()
    bench.open(stop="98")
    assert bench.state.positions[PLACE].quantity == D(20)
    asked = {"quantity": D(part)} if part else {}
    return bench, submitted(bench.signal("close", **asked))


def adding() -> Bench:
    """Return a bench whose strategy adds to what it holds."""
    strategies = {"default": Strategy(sources=("*",), add=True)}
    return outside(settings(strategies=strategies, risk={"group_risk_max": D(1)}))


def latest(bench: Bench) -> Order:
    """Return the close that is on its way."""
    return [o for o in bench.state.orders.values() if not o.protective][-1]


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


def test_a_part_below_the_venue_s_least_waits_for_what_is_under_way() -> None:
    bench, close = closing("4")
    refuse(bench, close)
    held = bench.state.positions[PLACE]
    other = changed(close, id="x" * 24 + "x", reason="margin", quantity=D("3.9995"))
    bench.state.orders[other.id], bench.state.closings[PLACE] = other, (other.id,)
    assert held.quantity == 20 and beat(bench) == []


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


@pytest.mark.parametrize("asked", [{}, {"quantity": D(20)}, {"quantity": D(30)}])
def test_everything_is_closed_also_what_another_close_was_to_take(asked: dict[str, Any]) -> None:
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
    assert beat(bench) == [D(10)]


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
