"""Looks that lag behind a fill, or know of one that is not told yet: what they show, and do not."""

from decimal import Decimal

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, OperatorEvent, OrderReport, OrderStatus
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.intake import stop_missing
from tests.kit import SECOND, Bench, of, settings, submitted

D = Decimal
PLACE = "main/COIN"


@pytest.fixture
def bench() -> Bench:
    """An account at a venue outside, looked at once."""
    found = Bench()
    found.take(AccountReport(found.now, "main", found.now, "start", balance=D(10_000)))
    found.now += 60 * SECOND
    return found


def look(
    bench: Bench, quantity: Decimal | int, *orders: VenueOrder, before_ns: int = 0
) -> list[tuple[str, str]]:
    """Let the venue tell what it held some time ago; return what differs, and what is done."""
    size = D(quantity)
    held = (VenuePosition("COIN", 1, size, size * 100, D(400), D(5)),) if size else ()
    seen_ns = bench.now - before_ns
    step = bench.take(AccountReport(bench.now, "main", seen_ns, "timer", orders, held))
    return differences(step)


def differences(step: Step) -> list[tuple[str, str]]:
    return [(x.kind, x.action) for x in of(step, f.MismatchFound)]


def resting(bench: Bench, quantity: Decimal | int | None = None) -> VenueOrder:
    """Return the stop of what we hold as the venue lists it, perhaps for another quantity."""
    position = bench.state.positions[PLACE]
    size = position.quantity if quantity is None else D(quantity)
    name = position.id[:-1] + "s"
    return VenueOrder(name, "COIN", -1, size, "working", price=position.stop, reduce_only=True)


def test_two_looks_that_lag_behind_two_closes_are_not_one_difference_that_stands(
    bench: Bench,
) -> None:
    """Each shows what had just been closed, and was opened and closed again in between."""

    held = (VenuePosition("COIN", 1, D(20), D(2_000), D(400), D(5)),)
    for _ in range(3):
        bench.open(stop="98")
        bench.close("101")
        step = bench.take(AccountReport(bench.now, "main", bench.now - 1, "timer", (), held))
        assert [x.action for x in of(step, f.MismatchFound)] == ["suspected"]
        bench.now += 60 * SECOND
    assert bench.state.trading == "active" and not bench.state.positions
    look = AccountReport(bench.now, "main", bench.now, "timer")
    assert of(bench.take(look), f.SuspicionEnded) == [f.SuspicionEnded("COIN", "main")]
    for action in ("suspected", "frozen"):  # one that stands is acted upon
        bench.now += 60 * SECOND
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), held))
        assert [x.action for x in of(step, f.MismatchFound)] == [action]


def test_a_look_behind_a_close_and_one_ahead_of_an_entry_show_no_difference_that_stands(
    bench: Bench,
) -> None:
    bench.open(stop="98")
    bench.now += 20 * SECOND
    bench.close("100")
    bench.now += SECOND
    assert look(bench, 20, before_ns=SECOND) == [("position", "suspected")]
    bench.now += 30 * SECOND
    order = submitted(bench.signal())
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    assert ("position", "suspected") in look(bench, 20)  # it has filled, we hear of it later
    bench.fill(order, stop=D(98))
    assert bench.state.trading == "active" and bench.state.positions[PLACE].quantity == D(20)
    bench.now += 30 * SECOND
    assert look(bench, 20, resting(bench)) == []
    assert not bench.state.suspects and not bench.state.sightings


def test_a_look_from_before_a_position_opened_confirms_nothing(bench: Bench) -> None:
    bench.open(stop="98")
    bench.now += SECOND // 2
    assert look(bench, 0, before_ns=SECOND) == [("position", "suspected")]
    bench.now += 30 * SECOND  # its stop has filled, we hear of it later
    assert {action for _, action in look(bench, 0)} == {"suspected"}
    assert bench.state.trading == "active" and PLACE in bench.state.positions


def trade(bench: Bench) -> None:
    """Open and close between two looks."""
    bench.now += 15 * SECOND
    bench.open(stop="98")
    bench.now += SECOND
    bench.close("101")
    bench.now += 15 * SECOND


@pytest.mark.parametrize(("trades", "looks"), [(False, 2), (True, 4)])
def test_a_difference_that_stays_while_trading_goes_on_is_acted_upon(
    bench: Bench, trades: bool, looks: int
) -> None:
    for number in range(1, looks + 1):
        if trades:
            trade(bench)
        else:
            bench.now += 30 * SECOND
        action = "frozen" if number == looks else "suspected"
        assert look(bench, 5) == [("position", action)], number
    assert bench.state.trading == "frozen" and bench.state.positions[PLACE].quantity == D(5)


def test_a_difference_is_the_same_whatever_is_held_meanwhile(bench: Bench) -> None:
    """Of one that stands while what is held changes between any two looks."""
    bench.open(stop="98")
    for number in range(1, 5):
        close = submitted(bench.signal("close", quantity=D(1)))
        bench.fill(close, stop=D(98), margin=D(400))
        bench.now += 30 * SECOND
        action = "frozen" if number == 4 else "suspected"
        held = bench.state.positions[PLACE].quantity
        assert ("position", action) in look(bench, held + 5, resting(bench)), number


@pytest.mark.parametrize(("trades", "looks"), [(False, 2), (True, 4)])
def test_a_stop_for_a_part_is_noticed_while_the_whole_changes(
    bench: Bench, trades: bool, looks: int
) -> None:
    bench.open(stop="98")
    for number in range(1, looks + 1):
        if trades:
            close = submitted(bench.signal("close", quantity=D("0.1")))
            bench.fill(close, stop=D(98), margin=D(400))
        bench.now += 30 * SECOND
        held = bench.state.positions[PLACE].quantity
        shown = VenuePosition("COIN", 1, held, held * 100, D(400), D(5))
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer",
                                        (resting(bench, 5),), (shown,)))  # fmt: skip
        action = "closed" if number == looks else "suspected"
        assert differences(step) == [("unprotected", action)], number
    assert submitted(step).quantity == held - 5


def test_a_stop_that_a_later_fill_told_is_not_missed_by_a_list_that_lags(bench: Bench) -> None:
    order = submitted(bench.signal())
    half = order.quantity / 2
    bench.fill(order, quantity=half, leaves=half)
    bench.now += 30 * SECOND
    working = VenueOrder(order.id, "COIN", 1, order.quantity, "working", half)
    assert look(bench, 10, working) == [("unprotected", "suspected")]
    bench.now += 30 * SECOND
    bench.fill(order, quantity=half, stop=D(98))
    bench.now += SECOND // 10
    assert look(bench, 20, before_ns=SECOND // 20) == [("unprotected", "suspected")]
    bench.now += 30 * SECOND
    assert look(bench, 20, resting(bench)) == [] and not bench.state.suspects


def test_a_late_fill_finds_its_order_however_many_have_ended_since(bench: Bench) -> None:
    order = submitted(bench.signal(order="limit", limit=D(100)))
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    bench.take(OrderReport(bench.now, order.id, "canceled", "by the venue"))
    many: list[Order] = []
    for _ in range(510):  # an entry and its stop each
        bench.now += SECOND // 100
        many.append(bench.open(stop="98"))
        bench.close("100")
    assert order.id in bench.state.ended and len(bench.state.ended) > 1_000
    bench.fill(order, stop=D(98))
    assert bench.state.trading == "active"
    assert bench.state.positions[PLACE].strategy == "default"
    bench.close("100")
    bench.now += 3_600 * SECOND
    assert look(bench, 0) == []
    bench.open(stop="98")
    bench.close("100")
    assert len(bench.state.ended) == 1_000 and many[-1].id in bench.state.ended


def test_a_word_that_an_order_lives_counts_while_it_is_being_cancelled(bench: Bench) -> None:
    order = submitted(bench.signal(order="limit", limit=D(100)))
    bench.take(OrderReport(bench.now, order.id, "unknown", "no answer in time"))
    for seconds in (0, 10):
        bench.now += seconds * SECOND
        bench.take(OrderStatus(bench.now, order.id, bench.now, None))
    assert bench.state.doubts[order.id][1] == 1
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    step = bench.take(OrderReport(bench.now, order.id, "accepted"))
    assert of(step, f.OrderDoubted) == [f.OrderDoubted(order.id, bench.now, 0)]
    bench.now += SECOND
    look(bench, 0)
    assert bench.state.orders[order.id].status is Status.PENDING_CANCEL
    for _ in range(2):
        bench.now += 10 * SECOND
        look(bench, 0)
    assert order.id not in bench.state.orders


@pytest.mark.parametrize("unexplained", ["freeze", "accept"])
@pytest.mark.parametrize("held", [(5, 10, 15), (5, 0), (20, 15, 10, 5, 0)])
def test_a_second_difference_of_the_same_size_is_another_one(
    unexplained: str, held: tuple[int, ...]
) -> None:
    bench = Bench(settings(reconcile={"unexplained": unexplained}))
    bench.take(AccountReport(bench.now, "main", bench.now, "start", balance=D(10_000)))
    for quantity in held:
        for action in ("suspected", "frozen" if unexplained == "freeze" else "noted"):
            bench.now += 60 * SECOND
            assert look(bench, quantity) == [("position", action)]
        position = bench.state.positions.get(PLACE)
        assert (position.quantity if position is not None else 0) == quantity


def test_hasty_looks_are_one_look(bench: Bench) -> None:
    """Those that follow each other within one lag do not count towards the four."""
    bench.open(stop="98")
    bench.now += 20 * SECOND
    for _ in range(2):
        bench.close("100")
        for before in (SECOND // 10, SECOND // 5, SECOND // 3):
            bench.now += SECOND // 10
            assert {a for _, a in look(bench, 20, before_ns=before)} <= {"suspected"}
        bench.now += 30 * SECOND
        bench.open(stop="98")
        bench.now += 30 * SECOND
    assert bench.state.trading == "active"


def test_a_stop_for_a_part_that_is_another_part_is_seen_again(bench: Bench) -> None:
    bench.open(stop="98")
    for rests, action in ((19, "suspected"), (5, "suspected"), (5, "closed")):
        bench.now += 30 * SECOND
        assert look(bench, 20, resting(bench, rests)) == [("unprotected", action)]


def test_the_close_of_what_has_no_stop_is_tried_at_each_look_though_it_fills_in_parts(
    bench: Bench,
) -> None:
    bench.open(stop="98")
    bench.now += 30 * SECOND
    assert look(bench, 20) == [("unprotected", "suspected")]
    for number in range(4):
        bench.now += 30 * SECOND
        held = bench.state.positions[PLACE].quantity
        shown = VenuePosition("COIN", 1, held, held * 100, D(400), D(5))
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), (shown,)))
        order = submitted(step)
        assert order.quantity == held == 20 - number
        bench.fill(order, quantity=D(1), leaves=order.quantity - 1, stop=D(98), margin=D(400))
        bench.take(OrderReport(bench.now, order.id, "canceled", "no more there", filled=D(1)))


def test_what_ended_is_not_remembered_without_end(bench: Bench) -> None:
    for _ in range(2_600):  # within a minute: all may still be told of
        bench.now += SECOND // 100
        bench.open(stop="98")
        bench.close("100")
    assert len(bench.state.ended) == 5_000


def test_a_stop_stays_missed_though_the_close_of_its_position_has_just_filled_in_part(
    bench: Bench,
) -> None:
    bench.open(stop="98")
    bench.now += 30 * SECOND
    for number in range(5):
        held = bench.state.positions[PLACE]
        shown = VenuePosition("COIN", 1, held.quantity, held.cost, held.margin, D(5))
        step = bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), (shown,)))
        if number:
            order = submitted(step)
            assert order.quantity == held.quantity and stop_missing(bench.state, held)
        bench.now += 30 * SECOND
        if number:  # told just before the next look
            left = order.quantity - 1
            bench.fill(order, quantity=D(1), leaves=left, stop=D(98), margin=D(400))
            bench.take(OrderReport(bench.now, order.id, "canceled", "no more", filled=D(1)))


def test_the_first_look_past_a_fill_begins_anew_however_soon_it_comes(bench: Bench) -> None:
    bench.open(stop="98")
    bench.now += SECOND // 2
    assert look(bench, 25, resting(bench, 0)) == [("position", "suspected")]
    for seconds, found in ((0.4, []), (0.2, ["suspected"]), (0.5, []), (0.6, ["frozen"])):
        bench.now += int(seconds * SECOND)
        assert look(bench, 25, resting(bench, 0)) == [("position", action) for action in found]


def test_a_clock_of_the_venue_that_was_set_back_begins_a_difference_anew(bench: Bench) -> None:
    assert look(bench, 5, before_ns=-3_600 * SECOND) == [("position", "suspected")]
    for action in ("suspected", "frozen"):
        bench.now += 30 * SECOND
        assert look(bench, 5) == [("position", action)]


@pytest.mark.parametrize("field", ["stop", "take_profit"])
def test_a_level_that_is_moved_again_after_a_fill_undid_it_is_taken_again(
    bench: Bench, field: str
) -> None:
    """Moved at the venue and taken, undone by a later fill's word, moved back before a look."""
    order = submitted(bench.signal(order="limit", limit=D(100)))
    half = order.quantity / 2
    told = {"stop": D(98), "take_profit": D(110)}
    moved = told | {field: D(97) if field == "stop" else None}
    rest = VenueOrder(order.id, "COIN", 1, order.quantity, "working", half, price=D(100))

    def seen(*orders: VenueOrder) -> list[tuple[str, str]]:
        stop = msgspec.structs.replace(resting(bench), price=moved["stop"])
        found = () if moved["take_profit"] is None else (profit(bench, moved["take_profit"]),)
        bench.now += 30 * SECOND
        return look(bench, bench.state.positions[PLACE].quantity, stop, *found, *orders)

    kind = "stop_moved" if field == "stop" else "unprofited"
    bench.fill(order, quantity=half, leaves=half, **told)
    assert [seen(rest), seen(rest)] == [[(kind, "suspected")], [(kind, "noted")]]
    bench.fill(order, quantity=half, **told)
    assert getattr(bench.state.positions[PLACE], field) == told[field]
    assert [seen(), seen()] == [[(kind, "suspected")], [(kind, "noted")]]
    held = bench.state.positions[PLACE]
    assert getattr(held, field) == moved[field]
    assert held.risk == order.risk + (order.quantity if field == "stop" else 0)
    assert seen() == [] and not bench.state.suspects


def profit(bench: Bench, price: Decimal) -> VenueOrder:
    """Return the order that takes the profit of what we hold as the venue lists it."""
    stop = resting(bench)
    return msgspec.structs.replace(stop, order_id=stop.order_id[:-1] + "t", price=price)
