"""What has no stop counts at its worst in every limit over the whole account."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain.events import AccountReport, SignalEvent
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.money import brief
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.checks import INTAKE, RISK
from cerberus_trader.engine.intake import Case, held_of
from cerberus_trader.engine.risk import without
from cerberus_trader.engine.state import ADOPTED
from tests.kit import COIN, ITEMS, SECOND, Bench, D, changed, decision, settings, submitted

FREE = {"volatility_factor_min": 1.0, "success_factor_min": 1.0}
PLAIN = changed(COIN, name="PLAIN", tiers=())


def adopting(cost: str, margin: str, *, name: str = "COIN", sign: int = 1,
             **sections: Any) -> Bench:  # fmt: skip
    """Return a bench that found a position of ten, and accepts it."""
    sections.setdefault("leverage", FREE)
    bench = Bench(settings(reconcile={"unexplained": "accept"}, **sections), (*ITEMS, PLAIN))
    theirs = (VenuePosition(name, sign, D(10), D(cost), D(margin), D(cost) / D(margin)),)
    for _ in range(2):
        bench.now += SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "start", (), theirs))
    assert bench.state.positions[f"main/{name}"].strategy == ADOPTED
    assert bench.state.trading == "active"
    return bench


def value(bench: Bench, code: str, **fields: Any) -> Decimal:
    """Judge a signal on another instrument of the same group; return what a check measured."""
    fields.setdefault("instrument", "THIRD")
    prices = dict(bench.marks({"COIN": "100"}) if "main/COIN" in bench.state.positions else ())
    step = bench.signal(marks=tuple((prices | {fields["instrument"]: D(100)}).items()), **fields)
    document = decision(step)
    names = [row.code for row in (*INTAKE, *RISK)]
    return D(document.values[names.index(code)])


@pytest.mark.parametrize(("sign", "margin"), [(1, "100"), (-1, "100"), (1, "40")])
def test_it_may_lose_its_whole_isolated_margin(sign: int, margin: str) -> None:
    bench = adopting("1000", margin, sign=sign, risk={"group_risk_max": D(1)})
    own = value(Bench(settings(leverage=FREE, risk={"group_risk_max": D(1)}), ITEMS), "GROUP_RISK")
    assert value(bench, "GROUP_RISK") == own + D(margin)


@pytest.mark.parametrize(
    ("name", "margin"), [("PLAIN", "100"), ("PLAIN", "1000"), ("COIN", "1000")]
)
def test_where_no_liquidation_is_known_it_may_lose_all(name: str, margin: str) -> None:
    bench = adopting("1000", margin, name=name, risk={"group_risk_max": D(1)})
    own = value(Bench(settings(leverage=FREE, risk={"group_risk_max": D(1)}), ITEMS), "GROUP_RISK")
    assert value(bench, "GROUP_RISK") == own + D(1_000)


@pytest.mark.parametrize(
    ("code", "more"), [("GROSS_EXPOSURE", 1_000), ("GROUP_EXPOSURE", 1_000), ("POSITIONS_MAX", 1)]
)
def test_it_takes_its_part_of_every_limit_over_the_account(code: str, more: int) -> None:
    bench = adopting("1000", "100", risk={"group_risk_max": D(1)})
    empty = Bench(settings(leverage=FREE, risk={"group_risk_max": D(1)}), ITEMS)
    assert value(bench, code) == value(empty, code) + more


def test_its_margin_is_not_free() -> None:
    bench = adopting("1000", "100", risk={"group_risk_max": D(1)})
    step = bench.signal(instrument="THIRD", marks=bench.marks({"COIN": "100", "THIRD": "100"}))
    assert decision(step).free_margin == D(9_900)


def test_risk_that_it_takes_up_is_not_there_for_entries_of_its_group() -> None:
    """A fiftieth of equity may be lost by a group, and the position found may lose it all."""
    bench = adopting("1000", "200")
    marks = (("COIN", D(100)), ("THIRD", D(100)), ("OTHER", D(100)))
    denied = decision(bench.signal(instrument="THIRD", marks=marks))
    assert denied.verdict == "denied"
    assert decision(bench.signal(instrument="OTHER", marks=marks)).verdict == "approved"


def test_a_position_that_has_a_stop_counts_what_was_planned_and_what_lost_it_all() -> None:
    roomy = settings(risk={"group_risk_max": D(1)}, leverage=FREE)
    with_stop, without = Bench(roomy), Bench(roomy)
    with_stop.open(stop="98")
    without.open()
    held = without.state.positions["main/COIN"]
    assert value(without, "GROUP_RISK") - value(with_stop, "GROUP_RISK") == (
        brief(held.margin) - held.risk
    )  # fmt: skip


@pytest.mark.parametrize("stop", ["98", None])
def test_a_reversal_gives_back_what_its_position_took(stop: str | None) -> None:
    chosen = settings(
        risk={"group_risk_max": D("0.02")}, leverage=FREE, reconcile={"unexplained": "accept"},
        strategies={"default": Strategy(sources=("*",), reverse=True)},
    )  # fmt: skip
    bench = Bench(chosen)
    bench.open(stop=stop)
    step = bench.signal("sell")
    assert decision(step).action == "reverse" and submitted(step).side == -1


def test_a_retry_against_a_position_of_an_instrument_that_left_is_measured() -> None:
    bench = Bench(settings(leverage=FREE))
    bench.open()
    held = bench.state.positions["main/COIN"]
    del bench.state.instruments["COIN"]
    market = Snapshot(bench.now, D(100), D(100), 0, 0.05, 0.05, bench.marks({"COIN": "100"}))
    signal = Signal("r", bench.now, "COIN", "sell", 0.7, "head")
    case = Case(bench.state, SignalEvent(bench.now, signal, market))
    case.held = held_of(case, BARE)
    assert case.held.group_risk == held.cost, "nothing is known to liquidate it"
    assert without(case, held).group_risk == 0


def test_a_position_that_grew_at_the_venue_grows_its_risk() -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    bench.open(stop="98")
    held = bench.state.positions["main/COIN"]
    bench.now += 60 * SECOND
    for quantity in (held.quantity * 2, held.quantity / 2):
        for _ in range(2):
            bench.now += SECOND
            theirs = VenuePosition("COIN", 1, quantity, quantity * 100, quantity * 10, D(10))
            bench.take(
                AccountReport(bench.now, "main", bench.now, "timer", legs(bench), (theirs,))
            )  # fmt: skip
        assert bench.state.positions["main/COIN"].risk == held.risk * quantity / held.quantity
        assert bench.state.exposures["COIN"].risk == held.risk * quantity / held.quantity


def legs(bench: Bench) -> tuple[VenueOrder, ...]:
    """Return what rests for our positions, as the venue lists it."""
    return tuple(
        VenueOrder(order.id, order.instrument, order.side, order.quantity, "working",
                   price=order.price, reduce_only=True)
        for order in bench.state.orders.values()
    )  # fmt: skip
