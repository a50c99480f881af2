"""Stops of entries on their way: the last one to fill has the word, so the farthest one counts."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import OrderReport, SignalEvent
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.intake import Case
from cerberus_trader.engine.stops import held_at_worst
from tests.kit import SECOND, Bench, changed, decision, settings, submitted
from tests.unit.engine.test_in_flight import adding
from tests.unit.engine.test_modify import modify

D = Decimal
SIDES = pytest.mark.parametrize(("side", "sign"), [("buy", 1), ("sell", -1)])


def adds(**sections: Any) -> Bench:
    """Return a bench whose strategy adds, with room for all that a test opens."""
    return Bench(adding(risk={"group_risk_max": D(1), "position_exposure_max": D(10)}, **sections))


def at_worst(bench: Bench, instrument: str = "THIRD") -> Decimal:
    """Return what an instrument's group may lose, as the next signal in it would be judged."""
    signal = Signal("next", bench.now, instrument, "buy", 0.7, "head")
    case = Case(bench.state, SignalEvent(bench.now, signal, None))
    return held_at_worst(case, bench.state.instruments[instrument]).group_risk


@pytest.mark.req("E-3.2.2")
@SIDES
def test_an_add_that_moves_the_stop_away_counts_what_the_earlier_part_may_lose(
    side: str, sign: int
) -> None:
    """The new stop is that of all that is held; the earlier part was counted at its old one."""
    bench = adds()
    bench.open(side, stop=str(100 - sign), stop_loss_pct=D(1), quantity=D(2))
    add = submitted(bench.signal(side, stop_loss_pct=D(5), quantity=D(1)))
    assert D(15) <= at_worst(bench) < D(16), "also while it is on its way"
    assert D(5) <= add.risk < D(6), "its own is what was planned for it"
    bench.fill(add, stop=D(100 - 5 * sign))
    assert D(15) <= at_worst(bench) < D(16)
    bench.now += 1
    nearer = submitted(bench.signal(side, stop_loss_pct=D(1), quantity=D(1)))
    assert nearer.risk < D(2)
    assert D(16) <= at_worst(bench) < D(17), "one that is nearer takes nothing back"


@SIDES
@pytest.mark.parametrize("order", [(1, 5), (5, 1)])
def test_adds_in_flight_count_at_the_farthest_stop_of_all(
    side: str, sign: int, order: tuple[int, int]
) -> None:
    bench = adds()
    for pct in order:
        submitted(bench.signal(side, stop_loss_pct=D(pct), quantity=D(1)))
    assert D(10) <= at_worst(bench) < D(11)
    assert at_worst(bench, "OTHER") == 0, "another group"


def test_an_add_is_sized_by_the_farthest_stop_that_may_come_to_hold_for_it() -> None:
    room = {"group_risk_max": D("0.001"), "position_exposure_max": D(10)}  # 10 of 10,000
    bench = Bench(adding(risk=room))
    bench.signal(stop_loss_pct=D(5), quantity=D(1))
    sized = submitted(bench.signal(stop_loss_pct=D(1), quantity=D(2))).quantity
    assert D("0.8") < sized < D(1), "at its own stop there were room for two"
    assert at_worst(bench) <= D(10)
    assert decision(bench.signal(stop_loss_pct=D(10), quantity=D(1))).code != "", "no room is left"


@SIDES
@pytest.mark.parametrize(("second", "counted"), [(95, 15), (94, 11), (93, 11)])
def test_a_limit_moves_the_stop_of_all_unless_it_lies_beyond_it(
    side: str, sign: int, second: int, counted: int
) -> None:
    """The price passes the stop at 94 before a limit at 94 or beyond fills: then all is closed."""
    bench = adds()
    for limit, stop in ((100, 94), (second, second - 5)):
        bench.signal(side, order="limit", limit=D(100 - sign * (100 - limit)), quantity=D(1),
                     stop_loss_pct=None, stop_loss=D(100 - sign * (100 - stop)))  # fmt: skip
    assert counted <= at_worst(bench) < counted + 1


def test_a_grid_counts_each_limit_at_its_own_stop() -> None:
    bench = adds()
    for limit in (100, 95, 90, 85):
        bench.signal(order="limit", limit=D(limit), stop_loss_pct=D(2), quantity=D(1))
    assert sum(D(x) * 2 / 100 for x in (100, 95, 90, 85)) <= at_worst(bench) < D(9)


def test_a_limit_that_another_stop_leads_to_is_reached() -> None:
    """The market entry's stop moves from 98 to 88, below the last limit, whose stop is at 85."""
    bench = adds()
    for limit, stop in ((None, 98), (D(99), 88), (D(90), 85)):
        fields = {"order": "limit", "limit": limit} if limit else {}
        bench.signal(stop_loss_pct=None, stop_loss=D(stop), quantity=D(1), **fields)
    assert D(15 + 14 + 5) <= at_worst(bench) < D(35)


def test_another_entrys_far_stop_does_not_change_what_a_trade_risks_as_planned() -> None:
    bench = adds()
    alone = submitted(bench.signal(stop_loss_pct=D(2))).quantity
    crowded = adds()
    crowded.signal(stop_loss_pct=D(20), quantity=D("0.1"))
    assert submitted(crowded.signal(stop_loss_pct=D(2))).quantity == alone


def test_an_add_is_denied_that_would_move_the_stop_of_too_much() -> None:
    bench = Bench(adding(risk={"group_risk_max": D("0.001"), "position_exposure_max": D(10)}))
    bench.open(stop="99", stop_loss_pct=D(1), quantity=D(4))
    step = bench.signal(stop_loss_pct=D(3), quantity=D("0.1"))
    assert decision(step).code == "SIZE_BELOW_MINIMUM", "12 at the new stop, 10 are allowed"
    assert decision(bench.signal(stop_loss_pct=D(1), quantity=D("0.1"))).code == ""


@pytest.mark.parametrize("asked", [{"trailing": D(5)}, {"trailing_pct": D(5)}])
def test_a_trailing_stop_counts_as_far_as_it_begins(asked: dict[str, Decimal]) -> None:
    bench = adds(levels={"stop_required": False})
    bench.signal(stop_loss_pct=None, quantity=D(1), **asked)
    bench.signal(stop_loss_pct=D(1), quantity=D(1))
    assert D(10) <= at_worst(bench) < D(11)


def test_an_entry_without_a_stop_counts_its_margin_and_moves_none() -> None:
    bench = adds(levels={"stop_required": False})
    bare = submitted(bench.signal(stop_loss_pct=None, quantity=D(1)))
    bench.signal(stop_loss_pct=D(1), quantity=D(1))
    alone = bare.notional / bare.leverage
    assert alone + 1 <= at_worst(bench) < alone + 2


@pytest.mark.parametrize(("before", "counted"), [(True, 5), (False, 1)])
def test_what_was_on_its_way_when_a_stop_was_told_counts_at_it(before: bool, counted: int) -> None:
    """It may have filled before what brought that stop, and the word of it be late."""
    bench = adds()
    far = submitted(bench.signal(stop_loss_pct=D(5), quantity=D(1)))
    if before:
        bench.signal(stop_loss_pct=D(1), quantity=D(1))
    bench.now += 1
    bench.fill(far, stop=D(95))
    if not before:
        bench.now += 1
        bench.signal(stop_loss_pct=D(1), quantity=D(1))
    assert 5 + counted <= at_worst(bench) < 6 + counted


def test_what_may_have_filled_before_a_fill_that_told_of_no_stop_may_have_none() -> None:
    """Its own at 98 would close it before the limit at 90 fills, if it were still there."""
    bench = adds()
    bare = submitted(bench.signal(stop_loss_pct=D(1), quantity=D("0.1")))
    bench.signal(stop_loss_pct=D(2), quantity=D(1))
    bench.signal(order="limit", limit=D(90), stop_loss_pct=None, stop_loss=D(80), quantity=D(1))
    known = at_worst(bench)
    assert D(12) <= known < D(13)
    bench.now += 1
    bench.fill(bare)
    assert known + D(17) < at_worst(bench) < known + D(32)


def test_a_stop_told_again_with_a_part_closed_is_the_one_that_was_there() -> None:
    bench = adds()
    bench.open(stop="95", stop_loss_pct=D(5), quantity=D(2))
    bench.now += 1
    bench.signal(stop_loss_pct=D(1), quantity=D(1))
    for stop, late in ((95, D(1)), (94, D(6))):
        bench.now += 1
        bench.close("100", quantity=D("0.5"), leaves=D(0), margin=D(1), stop=D(stop))
        (held,) = bench.state.positions.values()
        assert held.stop_risk + late <= at_worst(bench) < held.stop_risk + late + 1


def test_a_partly_filled_add_counts_with_its_rest() -> None:
    bench = adds()
    near = submitted(bench.signal(stop_loss_pct=D(1), quantity=D(2)))
    bench.signal(stop_loss_pct=D(5), quantity=D(1))
    whole = at_worst(bench)
    bench.fill(near, quantity=D(1), leaves=D(1), margin=D(20), stop=D(99))
    assert D(15) <= at_worst(bench) <= whole < D(16), "one held, one to come, one of the other"


def test_the_sides_of_a_place_do_not_move_each_others_stops() -> None:
    chosen = adding(risk={"group_risk_max": D(1)})
    strategies = {name: changed(x, reverse=True) for name, x in chosen.strategies.items()}
    bench = Bench(changed(chosen, strategies=strategies))
    bench.open("sell", stop_loss_pct=D(1), stop="101", quantity=D(1))
    bench.signal("buy", stop_loss_pct=D(5), quantity=D(1))
    assert D(6) <= at_worst(bench) < D(7)


@SIDES
def test_a_trailing_stop_begins_at_the_fill(side: str, sign: int) -> None:
    """Five of a hundred were planned; of a better price it is more, of a lower price as well."""
    bench = adds(levels={"stop_required": False})
    first = submitted(bench.signal(side, stop_loss_pct=None, trailing_pct=D(5), quantity=D(1)))
    bench.fill(first, str(100 - sign), trailing=D(6))
    assert at_worst(bench) == 6
    bench.now += 1
    add = submitted(bench.signal(side, stop_loss_pct=None, trailing=D(5), quantity=D(1)))
    bench.fill(add, str(100 - 11 * sign), trailing=D(5))
    assert at_worst(bench) == 10 + 5 + 5


@SIDES
def test_a_trailing_stop_that_a_closing_fill_tells_of_counts(side: str, sign: int) -> None:
    """It may have begun at the entry, or at this fill; said again it begins no second time."""
    bench = adds(levels={"stop_required": False})
    bench.open(side, stop=str(100 - sign), stop_loss_pct=D(1), quantity=D(4))
    for price, trailing, most in ((100 + 2 * sign, 5, 15), (100 - 3 * sign, 5, 10)):
        bench.now += 1
        order = submitted(bench.signal("close", stop_loss_pct=None, quantity=D(1)))
        bench.fill(order, str(price), trailing=D(trailing))
        assert at_worst(bench) == most
    order = submitted(bench.signal("close", stop_loss_pct=None, quantity=D(1)))
    bench.fill(order, str(100 - 3 * sign), trailing=D(6))
    assert at_worst(bench) == 3 + 6, "another one"


@pytest.mark.parametrize("told", [{"trailing": D(10)}, {"trailing": D(10), "stop": D(90)}])
def test_a_trailing_stop_that_has_come_to_hold_counts_for_all(told: dict[str, Decimal]) -> None:
    bench = adds(levels={"stop_required": False})
    bench.open(stop="99", stop_loss_pct=D(1), quantity=D(2))
    bench.now += 1
    add = submitted(bench.signal(stop_loss_pct=None, trailing=D(10), quantity=D(1)))
    assert D(30) <= at_worst(bench) < D(31)
    bench.signal(stop_loss_pct=D(1), quantity=D(1))
    bench.now += 1
    bench.fill(add, **told)
    assert D(40) <= at_worst(bench) < D(41), "what is on its way too"


def test_a_stopless_add_counts_at_the_stop_of_what_is_held() -> None:
    bench = adds(levels={"stop_required": False}, leverage={"cap": D(20)})
    bench.open(stop="70", stop_loss_pct=D(30), quantity=D(1))
    bench.now += 1
    bench.signal(stop_loss_pct=None, quantity=D(1))
    assert D(60) <= at_worst(bench)
    crowded = adds(levels={"stop_required": False}, leverage={"cap": D(20)})
    crowded.open(stop="70", stop_loss_pct=D(30), quantity=D(1))
    room = changed(crowded.state.settings.risk, group_risk_max=D("0.005"))  # 50, of which 20 left
    crowded.state.settings = changed(crowded.state.settings, risk=room)
    assert submitted(crowded.signal(stop_loss_pct=None, quantity=D(1))).quantity < D("0.7")


def test_what_has_no_stop_is_not_closed_before_any_limit_fills() -> None:
    """The nearer limit's stop would close it at 98, but that limit may never fill."""
    bench = adds(levels={"stop_required": False})
    bench.signal(stop_loss_pct=None, quantity=D(1), leverage=D(10))
    bench.signal(order="limit", limit=D(90), stop_loss_pct=None, stop_loss=D(80), quantity=D(1))
    counted = at_worst(bench)
    assert D(30) <= counted < D(31)
    bench.signal(order="limit", limit=D(99), stop_loss_pct=None, stop_loss=D(98),
                 quantity=D("0.1"))  # fmt: skip
    assert at_worst(bench) >= counted


@pytest.mark.parametrize("stamp", [0, None])
def test_an_entry_is_judged_as_it_will_be_seen_where_clocks_went_back(stamp: int | None) -> None:
    bench = Bench(adding(risk={"group_risk_max": D("0.004"), "position_exposure_max": D(10)}))
    bench.open(stop="80", stop_loss_pct=D(20), quantity=D(1))
    if stamp is None:
        bench.now -= 1
    else:
        (key,) = bench.state.positions
        bench.state.positions[key] = changed(bench.state.positions[key], stop_ns=stamp)
    sized = submitted(bench.signal(stop_loss_pct=D(1), quantity=D(2))).quantity
    assert D("0.9") < sized < D(1), "20 of 40 are left, and it may be under the stop at 80"
    assert at_worst(bench) <= D(40)


def test_the_rest_of_the_entry_that_opened_a_position_counts_at_its_own_stop() -> None:
    bench = Bench(settings(risk={"group_risk_max": D(1)}))
    entry = submitted(bench.signal(order="limit", limit=D(100), stop_loss_pct=D(2), quantity=D(4)))
    whole = at_worst(bench)
    bench.now += 1
    bench.fill(entry, "90", quantity=D(2), leaves=D(2), margin=D(20), stop=D("88.2"))
    assert at_worst(bench) == whole


def test_a_stopless_add_counts_its_margin_or_its_way_to_the_stop_not_both() -> None:
    room = {"group_risk_max": D("0.006"), "position_exposure_max": D(10)}
    bench = Bench(adding(levels={"stop_required": False}, risk=room))
    bench.open(stop="80", stop_loss_pct=D(20), quantity=D(1), leverage=D(5))
    bench.now += 1
    add = submitted(bench.signal(stop_loss_pct=None, quantity=D(1), leverage=D(5)))
    assert add.quantity == 1, "20 held, 20 of margin as well as down to the stop, 60 allowed"


def test_a_reversal_takes_out_what_a_position_with_a_missing_stop_was_counted_with() -> None:
    strategies = {"a": Strategy(sources=("head",), reverse=True), "b": Strategy(sources=("b",))}
    chosen = changed(settings(risk={"group_risk_max": D("0.004")}), strategies=strategies)
    bench = Bench(chosen)
    entry = bench.open(stop="70", stop_loss_pct=D(2), quantity=D(1), leverage=D(10))
    bench.open(instrument="THIRD", source="b", stop="70", stop_loss_pct=D(2), quantity=D(1))
    stop = entry.id[:-1] + "s"
    bench.state.unsure[stop] = None
    bench.state.orders[stop] = changed(bench.state.orders[stop], status=Status.UNKNOWN)
    step = bench.signal("sell", stop_loss_pct=D(2), quantity=D(9))
    sized = [c.order for c in step.commands if isinstance(c, SubmitOrder)][-1]
    assert not sized.reduce_only
    assert sized.risk <= D(10), "40 are allowed, of which the other position takes 30"


def test_a_stop_that_is_missing_closes_nothing_before_a_limit_fills() -> None:
    bench = adds()
    entry = bench.open(stop="98", stop_loss_pct=D(2), quantity=D(1), leverage=D(10))
    bench.signal(order="limit", limit=D(90), stop_loss_pct=D(10), quantity=D(1))
    known = at_worst(bench)
    bench.state.unsure[entry.id[:-1] + "s"] = None
    bench.state.orders[entry.id[:-1] + "s"] = changed(
        bench.state.orders[entry.id[:-1] + "s"], status=Status.UNKNOWN
    )
    assert at_worst(bench) >= known + D(19) - D("2.6"), "down to the stop at 81"


def test_what_a_snapshot_of_before_tells_nothing_of_counts_as_late() -> None:
    bench = adds()
    bench.open(stop="95", stop_loss_pct=D(5), quantity=D(1))
    bench.now += 1
    bench.signal(stop_loss_pct=D(1), quantity=D(1))
    known = at_worst(bench)
    (key,) = bench.state.positions
    bench.state.positions[key] = changed(bench.state.positions[key], stop_ns=0)
    assert at_worst(bench) > known + D(3)


def test_what_cost_nothing_is_no_fault() -> None:
    bench = adds()
    bench.open(stop="95", stop_loss_pct=D(5), quantity=D(1))
    (key,) = bench.state.positions
    bench.state.positions[key] = changed(bench.state.positions[key], cost=D(0))
    assert decision(bench.signal(stop_loss_pct=D(1), quantity=D(1))).code == ""


@SIDES
def test_where_a_strategy_adds_a_change_may_only_lower_what_an_entry_risks(
    side: str, sign: int
) -> None:
    """Nobody knows what else is judged before the venue has changed it."""
    bench = adds()
    fixed = submitted(bench.signal(side, order="limit", limit=D(100 - sign), quantity=D(1),
                                   stop_loss_pct=None, stop_loss=D(100 - 5 * sign)))  # fmt: skip
    moving = submitted(bench.signal(side, order="limit", limit=D(100 - sign), quantity=D(1)))
    for order in (fixed, moving):
        bench.take(OrderReport(bench.now, order.id, "accepted"))

    def granted(order: Order, price: Decimal | None) -> bool:
        bench.now += 6 * SECOND  # the one before cannot be on its way any more
        (fact,) = modify(bench, order.id, price, D("0.9")).facts
        if isinstance(fact, f.ModifyRequested):
            return True
        assert "adds to positions" in fact.reason
        return False

    nearer, farther = D(100) - sign * D("0.5"), D(100 - 2 * sign)
    assert [granted(fixed, price) for price in (nearer, farther, None)] == [False, True, True]
    assert [granted(moving, price) for price in (nearer, farther, None)] == [False, False, True]
    assert granted(moving, moving.price), "the same price"
