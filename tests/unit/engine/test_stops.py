"""Stops of entries on their way: the last one to fill has the word, so the farthest one counts."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain.events import OrderReport, SignalEvent
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.intake import Case
from cerberus_trader.engine.risk import held_at_worst
from tests.kit import Bench, changed, decision, submitted
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


def test_limits_on_their_way_count_down_to_the_lowest_stop() -> None:
    bench = adds()
    for limit, stop in ((100, 99), (95, 90)):
        bench.signal(order="limit", limit=D(limit), stop_loss_pct=None, stop_loss=D(stop),
                     quantity=D(1))  # fmt: skip
    assert D(15) <= at_worst(bench) < D(16)


def test_a_percentage_holds_from_wherever_it_fills() -> None:
    """The first one's stop was planned at 90, and lies at 72 if it fills now, after the second."""
    bench = adds()
    bench.signal(stop_loss_pct=D(10), quantity=D(1))
    bench.signal(price="80", stop_loss_pct=D(1), quantity=D(1))
    second = D(80) * D("0.1")
    first = D(100) - D(80) * D("0.99")  # filled at 100, and then under the stop of the second
    assert first + second <= at_worst(bench) < first + second + 1


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
def test_a_change_may_not_move_the_stop_of_what_else_is_there(side: str, sign: int) -> None:
    bench = adds()
    order = submitted(
        bench.signal(side, order="limit", limit=D(100 - sign), stop_loss_pct=D(2), quantity=D(1))
    )
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    farther, nearer = D(100 - 2 * sign), D(100) - sign * D("0.5")

    def refused(price: Decimal) -> bool:
        (fact,) = modify(bench, order.id, price, D("0.9")).facts
        return "move the stop of all" in getattr(fact, "reason", "")

    assert not refused(farther), "it is alone"
    other = submitted(bench.signal(side, stop_loss_pct=D(1), quantity=D(1)))
    assert refused(farther) and not refused(nearer)
    bench.fill(other, stop=D(100 - sign))
    assert refused(farther) and not refused(nearer)
