"""Money moved at an outside venue: booked once, no gain and no loss, and it may reach a limit."""

from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.events import AccountReport, LinkEvent, OperatorEvent, TransferReport
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.engine import Step
from cerberus_trader.engine.state import (
    State,
    day_fraction,
    drawdown,
    equity,
    state_hash,
    strategy_pnl,
)
from tests.kit import SECOND, Bench, D, decision, of, settings, submitted


def outside(chosen: Any = None) -> Bench:
    """Return a bench whose account is at an outside venue and agrees with it."""
    bench = Bench(chosen)
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    look(bench, "10000")
    return bench


def look(bench: Bench, balance: str) -> Step:
    """Let the venue tell what it holds: no positions, no orders, this cash."""
    bench.now += SECOND
    return bench.take(
        AccountReport(bench.now, "main", bench.now, "timer", balance=D(balance))
    )  # fmt: skip


@pytest.mark.parametrize("connecting", [False, True])
def test_a_transfer_to_an_account_that_trades_is_held_against_its_limits(connecting: bool) -> None:
    """One whose first look was still to come let its limits be reached, and went on trading."""
    bench = Bench(settings(breaker={"day_loss": D("0.04")}))
    if connecting:
        bench.take(LinkEvent(bench.now, "main", "connecting"))
    bench.state.balance -= 300  # what the day has lost
    step = moved(bench, "-5000")
    assert bool(of(step, f.BreakerTripped)) is not connecting, "nobody knows yet what it holds"


def test_a_day_whose_whole_beginning_is_taken_out_begins_anew() -> None:
    """Its base fell below nothing, and no loss of the day was at its limit any more."""
    bench = outside(settings(risk={"group_risk_max": D(1)}))
    bench.state.balance += 15_000  # what the day has gained
    step = moved(bench, "-12000")
    assert [fact.equity for fact in of(step, f.DayStarted)] == [D(13_000)]
    assert bench.state.day_equity == equity(bench.state) == D(13_000)
    assert not of(moved(bench, "-3000", "m2"), f.DayStarted)
    assert bench.state.day_equity == D(10_000)


def moved(bench: Bench, amount: str, name: str = "m1", **marks: str) -> Step:
    """Let a person move money at the venue."""
    return bench.take(
        TransferReport(bench.now, "main", D(amount), name, bench.marks(marks))
    )  # fmt: skip


@pytest.mark.parametrize("amount", ["-5000", "5000"])
def test_a_transfer_is_booked_once_and_is_no_gain_and_no_loss(amount: str) -> None:
    bench = outside()
    bench.open(stop="98")
    bench.close("99")
    state, before = bench.state, bench.state.balance
    lost = equity(state) - state.day_equity, state.peak - equity(state), strategy_pnl(state, "head")
    version = state.risk_version
    step = moved(bench, amount)
    assert step.facts == (f.CashMoved(D(amount), "the venue"),)
    assert state.balance == before + D(amount) and state.flows == D(10_000) + D(amount)
    assert lost == (
        equity(state) - state.day_equity, state.peak - equity(state), strategy_pnl(state, "head"),
    )  # fmt: skip
    assert state.risk_version > version and not state.trips
    assert moved(bench, amount).facts == () and moved(bench, "1").facts == ()
    assert len(of(moved(bench, amount, "m2"), f.CashMoved)) == 1
    # the venue's cash is what our books say: nothing is left to correct
    step = look(bench, str(state.balance))
    assert of(step, f.Reconciled) and state.counters.corrections == 0


def test_a_withdrawal_of_half_the_account_trips_nothing_and_a_deposit_hides_no_loss() -> None:
    bench = outside()
    moved(bench, "-5000")
    assert day_fraction(bench.state, equity(bench.state)) == 0
    assert drawdown(bench.state, equity(bench.state)) == 0 and not bench.state.trips
    bench.open(stop="98")
    bench.close("98")
    lost = bench.state.day_equity - equity(bench.state)
    moved(bench, "50000", "m2")
    assert lost > 0 and bench.state.day_equity - equity(bench.state) == lost
    assert bench.state.peak - equity(bench.state) == lost


def test_a_trade_and_a_transfer_of_one_number_are_two_bookings() -> None:
    bench = outside()
    bench.open(stop="98")
    assert "main/t2" in bench.state.trade_ids
    assert of(moved(bench, "-10", "t2"), f.CashMoved)
    assert "main/transfer t2" in bench.state.trade_ids


@pytest.mark.parametrize("action", ["block", "flatten"])
def test_a_loss_weighs_more_in_what_is_left(action: str) -> None:
    bench = outside(settings(breaker={"day_loss_action": action, "drawdown_action": "off"}))
    bench.open(stop="98")
    held = bench.state.positions["main/COIN"]
    price = D(100) - D(150) / held.quantity  # a day's loss of 1.5 % of 10,000, 15 % of what is left
    step = moved(bench, "-9000", COIN=str(price))
    trip, own = of(step, f.BreakerTripped)
    assert own.condition == "strategy_day_loss", "its budget is a share of what is left"
    assert trip.condition == "day_loss" and trip.action == action
    left = D(1_000) * (1 - bench.state.settings.breaker.day_loss)
    assert D(trip.limit) == left and D(trip.value) <= left
    assert bool(step.commands) is (action == "flatten")
    assert bench.state.balance == D(1_000)


def test_nothing_left_is_no_loss() -> None:
    bench = outside()
    assert moved(bench, "-10000").facts == (f.CashMoved(D(-10_000), "the venue"),)
    assert bench.state.balance == 0 and not bench.state.trips
    assert decision(bench.signal()).verdict == "denied"


def test_entries_that_what_is_left_does_not_carry_are_cancelled() -> None:
    bench = outside()
    order = submitted(bench.signal(order="limit", limit=D(99)))
    (reserved,) = bench.state.reserved.values()
    kept = moved(bench, str(reserved[2] - D(10_000)))
    assert not kept.commands and order.id in bench.state.orders
    assert not moved(bench, "0", "m0").commands
    step = moved(bench, "-1", "m2")
    assert step.commands == (CancelOrder(order.id, "main", "COIN"),)
    (cancel,) = of(step, f.CancelRequested)
    assert cancel.reason == "withdrawal"
    assert not moved(bench, "0.5", "m3").commands, "money that comes in takes nothing away"


def test_before_the_first_agreement_the_opening_balance_has_the_last_word() -> None:
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    assert moved(bench, "-60000").facts == (f.CashMoved(D(-60_000), "the venue"),)
    step = look(bench, "10000")
    assert of(step, f.CashMoved) == [f.CashMoved(D(60_000), "the venue's opening balance")]
    assert bench.state.balance == bench.state.peak == bench.state.day_equity == D(10_000)
    assert not bench.state.trips and moved(bench, "-60000").facts == ()


def test_a_recovered_engine_knows_what_it_booked() -> None:
    bench = outside()
    moved(bench, "-4000")
    folded = State()
    for event, facts in bench.rows:
        row = decode_row(encode_row(event, facts))
        advance(folded, row.event)
        for fact in row.facts:
            apply(folded, row.event, fact)
    assert state_hash(folded) == state_hash(bench.state)
    assert "main/transfer m1" in folded.trade_ids and folded.balance == D(6_000)


def test_our_own_command_says_that_the_venue_is_the_place_to_move_money() -> None:
    bench = outside()
    event = OperatorEvent(bench.now, "deposit", "ann", amount=D(1), authorised=True)
    (refused,) = of(bench.take(event), f.CommandRefused)
    assert "move it there, it is booked by itself" in refused.reason
