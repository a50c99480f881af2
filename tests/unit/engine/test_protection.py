"""Protective orders that their venue drops, or a person moves there: it is found out."""

from decimal import Decimal as D

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, FundingReport, OrderReport, OrderStatus
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Status, order_id
from cerberus_trader.engine.apply_venue import position_corrected
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.protection import asked
from tests.kit import SECOND, Bench, changed, of, settings, submitted


def opened() -> tuple[Bench, str]:
    """Open a position with a stop at the venue; return the bench and the stop's id."""
    bench = Bench(settings(orders={"retries_max": 0}))
    order = bench.open(stop="98")
    return bench, order.id[:-1] + "s"


def report(bench: Bench, *orders: VenueOrder) -> Step:
    """Look at the account, which holds the position and these orders."""
    bench.now += 10 * SECOND
    held = bench.state.positions["main/COIN"]
    theirs = VenuePosition("COIN", held.sign, held.quantity, held.cost, held.margin, held.leverage)
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", orders, (theirs,)))


def look(bench: Bench, *orders: VenueOrder) -> list[f.OrderSubmitted]:
    """Look at the account; return what is submitted."""
    return of(report(bench, *orders), f.OrderSubmitted)


def answer(bench: Bench, name: str, word: str) -> list[f.OrderSubmitted]:
    """Let the venue answer for one order; return what is submitted."""
    bench.now += 10 * SECOND
    theirs = VenueOrder(name, "COIN", -1, D(1), word)  # type: ignore[arg-type]
    return of(bench.take(OrderStatus(bench.now, name, bench.now, theirs)), f.OrderSubmitted)


@pytest.mark.parametrize("word", ["canceled", "expired", "rejected"])
def test_a_stop_that_its_venue_ends_is_asked_about_and_its_position_closed(word: str) -> None:
    bench, stop = opened()
    bench.take(OrderReport(bench.now, stop, word, retry=True))  # type: ignore[arg-type]
    assert bench.state.orders[stop].status is Status.UNKNOWN, "the link asks about it at once"
    assert not of(bench.take(OrderReport(bench.now, stop, "canceled")), f.OrderChanged)
    assert not answer(bench, stop, "canceled"), "its position may have closed meanwhile"
    (close,) = answer(bench, stop, "canceled")
    assert close.order.reduce_only and close.order.quantity > 0


@pytest.mark.parametrize("moved", [None, "97"])
def test_a_correction_of_something_else_leaves_a_stop_in_doubt(moved: str | None) -> None:
    """Only where the stop itself was seen at the venue its rest is known again."""
    bench, stop = opened()
    bench.take(OrderReport(bench.now, stop, "expired"))
    (before,) = bench.state.positions.values()
    after = changed(before, margin=before.margin + 1, stop=D(moved or "98"))
    corrected = f.PositionCorrected(bench.now, "main", "COIN", before, after, "told")
    position_corrected(bench.state, AccountReport(bench.now, "main", bench.now, "timer"), corrected)
    doubted = moved is None
    assert (bench.state.orders[stop].status is Status.UNKNOWN) == doubted
    assert (stop in bench.state.unsure) == doubted


@pytest.mark.parametrize("second", ["entry", "close"])
def test_a_stop_that_is_lost_between_two_fills_is_missed(second: str) -> None:
    """The second fill told of none, and the books forgot that there had been one."""
    bench = Bench()
    order = submitted(bench.signal())
    half = order.quantity / 2
    bench.fill(order, quantity=half, leaves=half, stop=D(98))
    if second == "close":
        order, half = submitted(bench.signal("close")), half / 2
    fill = bench.fill(order, quantity=half, leaves=D(0))
    assert of(fill, f.Filled)[0].position.stop == D(98)
    for order in list(bench.state.orders.values()):
        bench.take(OrderReport(bench.now, order.id, "canceled"))
    assert not look(bench)
    (submit,) = look(bench)
    assert submit.order.quantity == bench.state.positions["main/COIN"].quantity


def test_a_stop_that_works_all_the_same_is_asked_about_no_more() -> None:
    bench, stop = opened()
    bench.take(OrderReport(bench.now, stop, "canceled"))
    assert not answer(bench, stop, "working")
    assert bench.state.orders[stop].status is Status.ACCEPTED
    bench.now += 10 * SECOND
    theirs = VenueOrder(stop, "COIN", -1, D(1), "working")
    assert not bench.take(OrderStatus(bench.now, stop, bench.now, theirs)).facts


def test_the_close_of_an_unprotected_position_is_tried_until_it_fills() -> None:
    bench, _ = opened()
    assert not look(bench)
    (close,) = look(bench)
    assert not look(bench), "its close is on its way"
    bench.take(OrderReport(bench.now, close.order.id, "rejected", "busy"))
    (again,) = look(bench)
    assert again.order.quantity == close.order.quantity and again.order.id != close.order.id


@pytest.mark.parametrize(("side", "kind"), [("buy", "stop"), ("sell", "trailing")])
def test_what_a_stop_is_too_small_for_is_closed(side: str, kind: str) -> None:
    """It rests for two: a person has changed it, or a part of it has gone."""
    bench = Bench(settings(orders={"retries_max": 0}, levels={"stop_required": False}))
    order = submitted(bench.signal(side, stop_loss_pct=None))
    rest = order.quantity - 2
    bench.fill(order, **{kind: D(98 if kind == "stop" else 2)})
    leg = order.id[:-1] + ("s" if kind == "stop" else "r")
    level = bench.state.orders[leg].price
    there = VenueOrder(leg, "COIN", -order.side, D(5), "working", D(3), level, True)
    assert not look(bench, there), "it may be on its way to more"
    (close,) = look(bench, there)
    assert close.order.quantity == rest and close.order.reduce_only
    (doubted,) = (kind for kind, acted in bench.state.suspects.values() if acted)
    assert doubted.startswith("unprotected"), "it counts at its worst until then"
    assert not look(bench, there), "its close is on its way"
    bench.take(OrderReport(bench.now, close.order.id, "rejected", "busy"))
    (again,) = look(bench, there)
    bench.fill(again.order, quantity=rest, **{kind: level})
    assert not look(bench, there) and not bench.state.suspects


def small(bench: Bench, stop: str, rests: str) -> VenueOrder:
    """Return the stop of the position as the venue lists it, for a part."""
    return VenueOrder(stop, "COIN", -1, D(rests), "working", D(0), D(98), True)


def test_what_a_close_of_unknown_outcome_may_still_take_is_not_closed_again() -> None:
    """Two closes of a part may take what the stop protects."""
    bench, stop = opened()
    look(bench, small(bench, stop, "3"))
    (close,) = look(bench, small(bench, stop, "3"))
    bench.take(OrderReport(bench.now, close.order.id, "unknown"))
    assert not look(bench, small(bench, stop, "3"))
    for _ in range(3):
        bench.now += 10 * SECOND
        bench.take(OrderStatus(bench.now, close.order.id, bench.now, None))
    (again,) = look(bench, small(bench, stop, "3"))
    assert again.order.quantity == close.order.quantity


def test_a_stop_that_was_moved_and_shrunk_is_first_too_small_and_then_elsewhere() -> None:
    """Two differences of one order must not take turns for ever."""
    bench, stop = opened()
    held = bench.state.positions["main/COIN"]
    there = VenueOrder(stop, "COIN", -1, D(3), "working", D(0), D(97), True)
    assert not look(bench, there)
    (close,) = look(bench, there)
    bench.fill(close.order, quantity=close.order.quantity, stop=held.stop)
    assert [len(look(bench, there)) for _ in range(3)] == [0, 0, 0]
    assert bench.state.positions["main/COIN"].stop == D(97)
    assert bench.state.positions["main/COIN"].quantity == 3


@pytest.mark.parametrize(("rests", "closed"), [("19.9994", 0), ("19.9985", 1)])
def test_what_is_too_small_to_trade_is_let_be(rests: str, closed: int) -> None:
    """A stop that the venue rounds down leaves dust, of which every close would be rejected."""
    bench, stop = opened()
    bench.state.positions["main/COIN"] = changed(
        bench.state.positions["main/COIN"], quantity=D("20.0000")
    )
    found = [look(bench, small(bench, stop, rests)) for _ in range(3)]
    assert [len(orders) for orders in found] == [0, closed, 0]
    assert bool(bench.state.suspects) == bool(closed)
    if closed:
        assert found[1][0].order.quantity == D("0.001")


def test_a_stop_without_its_position_is_let_be() -> None:
    bench, stop = opened()
    held = bench.state.positions.pop("main/COIN")
    bench.state.positions["main/COIN"] = changed(held, id="x" * 25)
    there = VenueOrder(stop, "COIN", -1, D(1), "working", D(0), D(90), True)
    answer = OrderStatus(bench.now, stop, bench.now, there)
    assert not bench.take(answer).facts


def test_a_small_stop_beside_a_whole_one_leaves_nothing_unprotected() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, stop=D(98), trailing=D(2))
    legs = [order.id[:-1] + letter for letter in "sr"]
    sizes = [(order.quantity, D(3)), (D(3), D(0)), (D(3), order.quantity)]
    for pair in sizes:
        rows = [
            VenueOrder(leg, "COIN", -1, size, "working", D(0), D(98) if leg[-1] == "s" else None)
            for leg, size in zip(legs, pair, strict=True)
        ]
        assert not look(bench, *rows) and not look(bench, *rows)
    assert not bench.state.suspects


def test_a_small_stop_closes_nothing_where_the_look_may_be_wrong() -> None:
    bench, stop = opened()
    held = bench.state.positions["main/COIN"]
    for quantity in (D(0), held.quantity, held.quantity + 1):
        there = VenueOrder(stop, "COIN", -1, quantity, "working", D(0), D(98), True)
        assert not of(report(bench, there), f.MismatchFound), "it closes all there is"
    small = VenueOrder(stop, "COIN", -1, D(1), "working", D(0), D(98), True)
    answer = OrderStatus(bench.now, stop, bench.now, small)
    assert not bench.take(answer).facts, "what is held is not in it"
    other = order_id(bench.state.engine_id, "main", "default", "of another entry") + "e"
    for quantity, name, ago in ((D(3), "", 0), (held.quantity, other, 0), (held.quantity, "", 1)):
        theirs = VenuePosition("COIN", 1, quantity, held.cost, held.margin, held.leverage, name)
        seen = held.opened_ns if ago else bench.now
        event = AccountReport(bench.now, "main", seen, "timer", (small,), (theirs,))
        found = of(bench.take(event), f.MismatchFound)
        assert not [x for x in found if x.kind == "unprotected"]


def test_a_take_profit_that_its_venue_ends_is_let_go() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, take_profit=D(110), stop=D(98))
    profit, stop = order.id[:-1] + "t", order.id[:-1] + "s"
    bench.take(OrderReport(bench.now, profit, "canceled"))
    for _ in range(2):
        assert not look(bench, VenueOrder(stop, "COIN", -1, order.quantity, "working"))
    assert profit not in bench.state.orders
    assert bench.state.positions["main/COIN"].take_profit is None


@pytest.mark.parametrize(("side", "sign", "moved"), [("buy", 1, "95"), ("sell", -1, "105")])
def test_a_stop_that_somebody_moved_is_taken_over_with_what_it_risks(
    side: str, sign: int, moved: str
) -> None:
    bench = Bench()
    order = bench.open(side, stop=str(100 - 2 * sign))
    stop, before = order.id[:-1] + "s", bench.state.positions["main/COIN"]
    there = VenueOrder(stop, "COIN", -sign, order.quantity, "working", D(0), D(moved), True)
    bench.now += SECOND
    early = OrderStatus(bench.now, stop, before.opened_ns, there)
    assert not bench.take(early).facts, "from before it opened"
    for action in ("suspected", "noted"):
        assert [x.action for x in of(report(bench, there), f.MismatchFound)] == [action]
    after = bench.state.positions["main/COIN"]
    assert after.stop == bench.state.orders[stop].price == D(moved)
    assert after.risk == before.risk + 3 * before.quantity
    assert bench.state.exposures["COIN"].risk == after.risk
    assert not of(report(bench, there), f.MismatchFound), "both sides agree"


def test_a_take_profit_that_somebody_moved_is_taken_over_and_no_trailing_stop() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, take_profit=D(110), trailing=D(2), stop=None)
    profit, trail = order.id[:-1] + "t", order.id[:-1] + "r"
    before = bench.state.positions["main/COIN"]
    for _ in range(2):
        look(bench, VenueOrder(profit, "COIN", -1, D(1), "working", D(0), D(120), True),
             VenueOrder(trail, "COIN", -1, D(1), "working", D(0), D(99), True))  # fmt: skip
    after = bench.state.positions["main/COIN"]
    assert (after.take_profit, after.trailing, after.risk) == (D(120), D(2), before.risk)


def test_what_one_look_corrects_twice_keeps_both() -> None:
    """The later correction was made from the books as they had been, and undid the first."""
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, take_profit=D(110), stop=D(98))
    stop = order.id[:-1] + "s"
    held = bench.state.positions["main/COIN"]
    there = VenueOrder(stop, "COIN", -1, held.quantity, "working", D(0), D(97), True)
    margin = held.margin - 1
    for _ in range(2):
        bench.now += 10 * SECOND
        theirs = VenuePosition("COIN", 1, held.quantity, held.cost, margin, held.leverage)
        margin -= 1
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (there,), (theirs,)))
    after = bench.state.positions["main/COIN"]
    assert (after.stop, after.take_profit, after.margin) == (D(97), None, margin + 1)
    assert [o.id for o in bench.state.orders.values()] == [stop]


@pytest.mark.parametrize("trailing", [False, True])
def test_an_entry_that_fills_without_the_stop_it_asked_for_is_closed(trailing: bool) -> None:
    """Nobody missed what had never been there."""
    bench = Bench()
    asked = {"trailing_pct": D(1), "stop_loss_pct": None} if trailing else {}
    order = submitted(bench.signal(**asked))
    bench.fill(order)
    leg = VenueOrder(order.id[:-1] + "sr"[trailing], "COIN", -1, order.quantity, "working")
    for _ in range(3):
        assert not look(bench, leg), "a word of it is on its way"
    assert not look(bench)
    (close,) = look(bench)
    assert close.order.reduce_only and close.order.quantity == order.quantity
    bench.take(OrderReport(bench.now, close.order.id, "rejected", "busy"))
    assert look(bench)[0].order.quantity == order.quantity


@pytest.mark.parametrize("asked", [False, True])
def test_a_position_without_a_stop_that_nobody_asked_for_stays(asked: bool) -> None:
    bench = Bench(settings(levels={"stop_required": False}))
    order = submitted(bench.signal(stop_loss_pct=D(2) if asked else None))
    bench.fill(order)
    assert asked or (not look(bench) and not look(bench))
    turned = VenuePosition("COIN", -1, D(2), D(200), D(20), D(10), order.id)
    for _ in range(4):
        bench.now += 10 * SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), (turned,)))
    held = bench.state.positions["main/COIN"]
    assert held.sign == -1 and not bench.state.closings, "a person has turned it"


# -- stops that no fill told of ----------------------------------------------------------------


def bare(**fields: object) -> tuple[Bench, str]:
    """Open a position whose fill tells no stop though its entry asked for one."""
    bench = Bench(settings(orders={"retries_max": 0}))
    order = submitted(bench.signal(**fields))
    bench.fill(order)
    return bench, order.id[:-1]


@pytest.mark.parametrize("known", ["working", "ended", "turned", "forgotten"])
def test_a_position_that_got_its_name_from_the_venue_is_asked_for_its_entrys_stop(
    known: str,
) -> None:
    """Fills that came out of order had opened it under another name (stream 19675642)."""
    bench, _ = bare()
    (held,) = bench.state.positions.values()
    bench.state.positions["main/COIN"] = changed(held, guarded=False)
    if known == "working":
        bench.state.orders[held.id] = bench.state.ended.pop(held.id).order
    elif known == "turned":
        before = bench.state.ended[held.id]
        bench.state.ended[held.id] = changed(before, order=changed(before.order, side=-1))
    elif known == "forgotten":
        bench.state.ended.clear()
    assert asked(bench.state, bench.state.positions["main/COIN"]) == (known in ("working", "ended"))


def test_a_position_that_never_got_its_stop_is_closed_however_long_that_takes() -> None:
    """Its closes fail until a thousand ended orders have pushed its entry out of the memory."""
    bench, group = bare()
    look(bench)
    bench.state.ended.clear()
    (close,) = look(bench)
    assert close.order.closes == group + "e"


@pytest.mark.parametrize("second", ["add", "close", "funding"])
def test_what_happens_to_a_position_does_not_take_back_that_it_was_to_have_a_stop(
    second: str,
) -> None:
    bench, _ = bare()
    before = bench.state.positions["main/COIN"]
    if second == "funding":
        bench.take(FundingReport(bench.now, "main", "COIN", D("0.0001"), D(100), D(1), D(1)))
    else:
        order = changed(submitted(bench.signal("close")), quantity=before.quantity / 2)
        if second == "add":
            order = changed(order, id="other", side=before.sign, reduce_only=False)
        bench.fill(order, leaves=D(1))
    after = bench.state.positions["main/COIN"]
    assert after != before and after.guarded


@pytest.mark.parametrize(("leg", "level"), [("s", "stop"), ("t", "take_profit"), ("r", "trailing")])
def test_a_leg_that_no_fill_told_of_is_taken_over(leg: str, level: str) -> None:
    bench, group = bare()
    theirs = VenueOrder(group + leg, "COIN", -1, D(0), "working", price=D(97), reduce_only=True)
    stop = VenueOrder(group + "s", "COIN", -1, D(0), "working", price=D(97), reduce_only=True)
    listed = [theirs] if leg != "t" else [theirs, stop]
    assert not look(bench, *listed) and getattr(bench.state.positions["main/COIN"], level) is None
    assert not look(bench, *listed)
    assert getattr(bench.state.positions["main/COIN"], level) == D(97)
    assert group + leg in bench.state.orders and not look(bench, *listed)
    if leg != "t":
        look(bench)
        (close,) = look(bench)
        assert close.order.reduce_only, "once taken over it is missed like any other"


@pytest.mark.parametrize("found", [False, True])
def test_a_trailing_stop_that_is_taken_over_counts_at_its_distance(found: bool) -> None:
    """It came without what it may lose: next to nothing was counted, of one adopted nothing."""
    bench, group = bare(stop_loss_pct=None, trailing=D(1))
    (held,) = bench.state.positions.values()
    if found:
        held = changed(held, risk=D(0))
        bench.state.positions["main/COIN"] = held
    leg = VenueOrder(group + "r", "COIN", -1, D(0), "working", price=D(20), reduce_only=True)
    for _ in range(2):
        look(bench, leg)
    after = bench.state.positions["main/COIN"]
    assert after.trailing == 20 and after.open_risk(()) == 20 * held.quantity


def test_a_leg_without_a_level_and_one_of_another_position_are_left_alone() -> None:
    bench, group = bare()
    stop = VenueOrder(group + "s", "COIN", -1, D(0), "working", reduce_only=True)
    other = order_id(bench.state.engine_id, "main", "default", "before", 0)
    strange = VenueOrder(other + "s", "COIN", -1, D(1), "working", price=D(97), reduce_only=True)
    for _ in range(3):
        assert not look(bench, stop, strange)
    assert bench.state.positions["main/COIN"].stop is None


def test_a_trailing_stop_that_somebody_moved_is_taken_with_what_it_risks() -> None:
    bench = Bench(settings(orders={"retries_max": 0}))
    order = submitted(bench.signal(stop_loss_pct=None, trailing=D(2)))
    bench.fill(order, trailing=D(2))
    before = bench.state.positions["main/COIN"]
    leg = order.id[:-1] + "r"
    theirs = VenueOrder(leg, "COIN", -1, before.quantity, "working", price=D(5), reduce_only=True)
    for _ in range(2):
        assert not look(bench, theirs)
    after = bench.state.positions["main/COIN"]
    assert after.trailing == 5 and after.risk == before.risk + 3 * before.quantity
    assert bench.state.orders[leg].price == 5


def test_a_step_of_our_clock_makes_no_list_old() -> None:
    """Two looks within a second at a list that lagged closed a position (seed 1005935)."""
    bench, _ = opened()
    held = bench.state.positions["main/COIN"]
    theirs = VenuePosition("COIN", held.sign, held.quantity, held.cost, held.margin, held.leverage)
    venue_ns, sent = bench.now + 10 * SECOND, []
    for ours, there in ((10, 0), (70, 100), (71, 1_100)):
        now = held.opened_ns + ours * SECOND
        seen = venue_ns + there * SECOND // 1_000
        sent.append(bench.take(AccountReport(now, "main", seen, "timer", (), (theirs,))).commands)
    assert [len(commands) for commands in sent] == [0, 0, 1]
