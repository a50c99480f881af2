"""Orders in flight: what is on its way counts, and never hides what must still happen."""

from decimal import Decimal

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import LevelHit, OperatorEvent, OrderReport, TimerEvent
from cerberus_trader.domain.settings import Strategy
from tests.kit import Bench, changed, decision, of, settings, submitted

D = Decimal


def adding(**sections):  # type: ignore[no-untyped-def]
    """Return settings whose one strategy adds."""
    chosen = settings(**sections)
    strategies = {
        name: changed(item, add=True, sources=("head",)) for name, item in chosen.strategies.items()
    }
    return changed(chosen, strategies=strategies)


def test_two_adds_in_flight_are_both_reserved_and_both_released() -> None:
    bench = Bench(adding())
    bench.open(quantity=D(1))
    first = submitted(bench.signal(quantity=D(1)))
    second = submitted(bench.signal(quantity=D(1)))
    assert bench.state.reserved["COIN"][0] == 200
    bench.fill(first)
    assert bench.state.reserved["COIN"][0] == 100
    bench.take(OrderReport(bench.now, second.id, "canceled"))
    assert bench.state.reserved == {} and bench.state.entries == {}


def test_a_breaker_cancels_every_add_in_flight() -> None:
    bench = Bench(adding())
    bench.open(quantity=D(1))
    orders = [submitted(bench.signal(quantity=D(1))) for _ in range(2)]
    step = bench.take(OperatorEvent(bench.now, "halt", "ann"))
    assert [fact.order_id for fact in of(step, f.CancelRequested)] == [item.id for item in orders]


def test_adds_in_flight_share_the_limit_of_their_position() -> None:
    bench = Bench(adding(risk={"position_exposure_max": D("0.03")}))
    bench.open(quantity=D(1))
    assert submitted(bench.signal(quantity=D(1))).notional == 100
    last = bench.signal(quantity=D(2))
    assert submitted(last).notional == 100
    assert decision(bench.signal(quantity=D(1))).verdict == "denied"


def test_entries_in_flight_share_the_limit_of_their_strategy() -> None:
    one = changed(Strategy(), sources=("head",), budget=D("0.01"))
    chosen = changed(settings(sizing={"methods": ("balance",), "balance_fraction": D(1)}),
                     strategies={"one": one})  # fmt: skip
    bench = Bench(chosen)
    room = bench.state.balance * D("0.03")
    first = submitted(bench.signal(quantity=D(2)))
    assert first.notional == 200
    second = submitted(bench.signal(instrument="OTHER", quantity=D(2)))
    assert second.notional == room - 200


def reversing(**sections):  # type: ignore[no-untyped-def]
    """Return settings whose one strategy reverses."""
    one = Strategy(sources=("head",), reverse=True)
    return changed(settings(**sections), strategies={"r": one})


def test_a_reversal_whose_entry_is_denied_still_closes() -> None:
    bench = Bench(reversing())
    bench.open()
    bench.take(OperatorEvent(bench.now, "halt", "ann"))
    step = bench.signal("sell")
    made = decision(step)
    assert (made.verdict, made.action) == ("approved", "close")
    assert [command.order.reduce_only for command in step.commands] == [True]
    bench = Bench(reversing())
    bench.open()
    step = bench.signal("sell", stop_loss_pct=None, stop_loss=D(1))  # on the wrong side
    assert [command.order.reduce_only for command in step.commands] == [True]


def test_a_reversal_frees_what_it_closes_at_its_mark_and_no_more() -> None:
    bench = Bench(
        reversing(
            risk={"gross_exposure_max": D(1), "group_risk_max": D(1)},
            sizing={"methods": ("balance",), "balance_fraction": D(1)},
            breaker={"day_loss": D("0.9"), "drawdown_hard": D("0.9")},
        )
    )
    assert bench.open(quantity=D(50)).notional == 5000
    assert submitted(bench.signal(instrument="OTHER", quantity=D(20))).notional == 2000
    step = bench.signal("sell", price="80", quantity=D(500))
    entry = next(c.order for c in step.commands if not c.order.reduce_only)
    # equity 9000 is the limit; the long is worth 4000 now and goes, the 2000 on their way stay
    assert decision(step).equity == 9000 and entry.notional == 7000


def test_a_reversal_of_a_full_position_fits_its_limit() -> None:
    bench = Bench(reversing(risk={"position_exposure_max": D("0.02")}))
    bench.open(quantity=D(2))
    assert decision(bench.signal("sell", quantity=D(1))).action == "reverse"


def test_a_close_that_has_lost_its_position_holds_nothing_up() -> None:
    bench = Bench()
    bench.open()
    late = submitted(bench.signal("close"))
    bench.close("98")
    entry = submitted(bench.signal())
    bench.fill(entry)
    again = submitted(bench.signal("close"))
    assert again.closes == entry.id and late.closes != entry.id


def test_a_flatten_closes_what_another_close_leaves() -> None:
    bench = Bench()
    whole = bench.open().quantity
    part = submitted(bench.signal("close", quantity=D("0.5")))
    rest = submitted(bench.take(OperatorEvent(bench.now, "flatten", "ann")))
    assert part.quantity + rest.quantity == whole
    assert not bench.take(OperatorEvent(bench.now, "flatten", "ann")).commands


def test_a_flatten_does_not_trust_a_close_nobody_knows_of() -> None:
    bench = Bench()
    whole = bench.open().quantity
    lost = submitted(bench.signal("close"))
    bench.take(OrderReport(bench.now, lost.id, "unknown"))
    assert submitted(bench.signal("close")).quantity == whole
    bench = Bench()
    bench.open()
    lost = submitted(bench.signal("close"))
    bench.take(OrderReport(bench.now, lost.id, "unknown"))
    assert submitted(bench.take(OperatorEvent(bench.now, "flatten", "ann"))).quantity == whole


def flattening():  # type: ignore[no-untyped-def]
    """Return settings whose day loss flattens."""
    return settings(breaker={"day_loss": D("0.01"), "day_loss_action": "flatten"})


@pytest.mark.req("D-03.4", "C-08.5")
def test_an_entry_that_fills_after_a_flattening_trip_is_closed_at_once() -> None:
    bench = Bench(flattening())
    bench.open()
    entry = submitted(bench.signal(instrument="OTHER"))
    step = bench.take(LevelHit(bench.now, "equity", "", (("COIN", D(1)),)))
    assert [fact.order_id for fact in of(step, f.CancelRequested)] == [entry.id]
    closing = submitted(bench.fill(entry))
    assert (closing.closes, closing.quantity) == (entry.id, entry.quantity)
    assert closing.reason == "breaker"


def test_a_stopped_strategys_late_fill_is_closed_at_once() -> None:
    bench = Bench()
    entry = submitted(bench.signal())
    bench.take(OperatorEvent(bench.now, "stop_strategy", "ann", target="default"))
    closing = submitted(bench.fill(entry))
    assert (closing.closes, closing.reason) == (entry.id, "operator")


def test_a_flattening_close_that_failed_is_sent_again_by_the_timer() -> None:
    bench = Bench(flattening())
    whole = bench.open().quantity
    marks = (("COIN", D(1)),)
    first = submitted(bench.take(LevelHit(bench.now, "equity", "", marks)))
    assert not bench.take(TimerEvent(bench.now, "health", marks)).commands  # on its way
    bench.take(OrderReport(bench.now, first.id, "rejected"))
    second = submitted(bench.take(TimerEvent(bench.now, "health", marks)))
    assert second.quantity == whole and second.id != first.id
    bench.fill(second, "1", quantity=D("0.4"), leaves=whole - D("0.4"), margin=D(1))
    assert not bench.take(TimerEvent(bench.now, "health", marks)).commands


def test_an_add_to_a_working_entry_takes_no_second_place() -> None:
    bench = Bench(adding(risk={"positions_max": 1}))
    bench.signal(order="limit", limit=D(99), quantity=D(1))
    step = bench.signal(order="limit", limit=D(98), quantity=D(1))
    assert (decision(step).action, decision(step).code) == ("add", "")


def test_only_the_unfilled_rest_of_an_entry_counts_as_on_its_way() -> None:
    strategies = {"a": Strategy(sources=("head",), add=True), "b": Strategy(sources=("b",))}
    chosen = settings(risk={"position_exposure_max": D("0.05")})
    bench = Bench(changed(chosen, strategies=strategies))
    bench.signal(instrument="OTHER", source="b", quantity=D(1))  # another strategy's, elsewhere
    entry = submitted(bench.signal(quantity=D(4)))
    bench.fill(entry, quantity=D(3), leaves=D(1), margin=D(30))
    assert submitted(bench.signal(quantity=D(4))).notional == 100  # 500 less 300 open, 100 working


def test_of_two_closes_on_their_way_each_ends_by_itself() -> None:
    bench = Bench()
    bench.open()
    part = submitted(bench.signal("close", quantity=D("0.5")))
    rest = submitted(bench.take(OperatorEvent(bench.now, "flatten", "ann")))
    bench.fill(part, quantity=D("0.5"), margin=D(1))
    assert bench.state.closings == {"main/COIN": (rest.id,)}


def test_a_critical_margins_close_that_failed_is_sent_again_by_the_timer() -> None:
    wide = {"stop_multiple": 1.0, "liquidation_buffer": 0.0, "cap": D(30)}
    off = {"day_loss_action": "off", "drawdown_action": "off"}
    bench = Bench(settings(leverage=wide, breaker=off))
    bench.open(confidence=0.9, stop_loss_pct=D("0.1"))
    key = "main/COIN"
    position = bench.state.positions[key]
    bench.state.positions[key] = changed(position, margin=position.quantity * 10)
    marks = (("COIN", D("90.6")),)
    first = submitted(bench.take(TimerEvent(bench.now, "health", marks)))
    assert bench.state.positions[key].health == "critical" and first.reason == "margin"
    bench.take(OrderReport(bench.now, first.id, "rejected"))
    second = submitted(bench.take(TimerEvent(bench.now, "health", marks)))
    assert (second.quantity, second.reason) == (position.quantity, "margin")
    bench.take(OrderReport(bench.now, second.id, "rejected"))
    assert not bench.take(TimerEvent(bench.now, "health", (("COIN", D(100)),))).commands
    assert bench.state.positions[key].health == "ok"


def test_a_health_timer_without_a_price_leaves_a_position_as_it_was() -> None:
    bench = Bench()
    bench.open()
    assert not bench.take(TimerEvent(bench.now, "health", ())).facts


def test_a_stop_that_the_venue_has_put_farther_away_counts_as_it_is() -> None:
    bench = Bench(adding(risk={"group_risk_max": D(1)}))
    bench.open(stop="80", stop_loss_pct=D(2), quantity=D(2))
    (position,) = bench.state.positions.values()
    assert position.risk < position.stop_risk == 2 * D(20)
    assert bench.state.exposures["COIN"].risk == 2 * D(20)
    bench.close("100")
    assert not bench.state.exposures
