"""The engine as a whole: one trade from signal to close, faults, repetition, determinism."""

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    EndOfData,
    LinkEvent,
    OperatorEvent,
    OrderReport,
    TimerEvent,
)
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.engine import engine as engine_module
from cerberus_trader.engine import portfolio
from cerberus_trader.engine.apply import advance, apply
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import State, equity, state_bytes, state_from, state_hash
from tests.kit import ITEMS, Bench, changed, decision, of, settings, submitted


@pytest.mark.req(
    "C-08.1",
    "C-08.2",
    "C-10.3",
    "D-03.6",
    "D-03.7",
    "E-5.1.1",
    "E-5.1.2",
    "T-06.4",
    "E-2.1.1",
    "D-09.1",
    "C-17.1",
)
def test_a_trade_from_signal_to_close_books_every_sum() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    state = bench.state
    assert state.orders[order.id].status is Status.SUBMITTED
    assert state.reserved["COIN"][0] == order.notional
    bench.fill(order, "100", fee=D("0.5"), stop=D(98), take_profit=D(104))
    position = state.positions["main/COIN"]
    assert (position.id, position.entry_price, position.fees) == (order.id, D(100), D("0.5"))
    assert state.reserved == {} and state.entries == {}
    assert state.exposures["COIN"].long == order.quantity
    resting = {o.kind: o for o in state.orders.values()}
    assert set(resting) == {"stop", "take_profit"}
    assert all(o.reduce_only and o.closes == position.id for o in resting.values())
    marks = (("COIN", D(103)),)
    assert equity(state, marks) == D(10_000) - D("0.5") + 3 * order.quantity
    step = bench.close("104", fee=D("0.25"))
    (filled,) = of(step, f.Filled)
    assert filled.realised == 4 * order.quantity
    assert filled.trade.pnl == 4 * order.quantity - D("0.75")
    assert state.balance == D(10_000) + filled.trade.pnl
    assert state.positions == {} and state.exposures == {} and state.orders == {}
    assert state.margin == 0 and state.strategies["default"].booked == filled.trade.pnl
    assert (state.counters.trades, state.counters.wins, state.counters.fills) == (1, 1, 2)


@pytest.mark.req("E-5.2.2", "E-5.2.3", "C-08.2")
def test_a_close_signal_closes_at_market_and_part_of_it_where_asked() -> None:
    bench = Bench()
    whole = bench.open().quantity
    step = bench.signal("close", quantity=D("0.5"))
    order = submitted(step)
    assert (order.quantity, order.reduce_only, order.side) == (D("0.5"), True, -1)
    half = bench.state.positions["main/COIN"].margin / 2
    bench.fill(order, "101", margin=half, stop=D(98))
    position = bench.state.positions["main/COIN"]
    assert position.quantity == whole - D("0.5") and position.realised == D("0.5")
    assert bench.state.closings == {}
    rest = submitted(bench.signal("sell"))  # an opposite signal is a close
    assert rest.quantity == position.quantity and rest.reason == "signal"


def test_an_opposite_signal_reverses_where_the_strategy_says_so() -> None:
    chosen = changed(Settings(), strategies={"r": Strategy(reverse=True)})
    bench = Bench(chosen)
    bench.open(source="r")
    step = bench.signal("sell", source="r")
    assert decision(step).action == "reverse"
    close, entry = [c.order for c in step.commands]
    assert close.reduce_only and not entry.reduce_only and entry.side == -1
    bench.fill(close)
    bench.fill(entry)
    assert bench.state.positions["main/COIN"].sign == -1


def test_a_same_side_signal_adds_where_the_strategy_says_so() -> None:
    chosen = changed(Settings(), strategies={"a": Strategy(add=True)})
    bench = Bench(chosen)
    first = bench.open(source="a", stop="98")
    step = bench.signal(source="a", price="102", quantity=D("0.5"))
    order = submitted(step)
    assert decision(step).action == "add" and order.reason == "add"
    bench.fill(order, "102", margin=D(1))
    position = bench.state.positions["main/COIN"]
    assert position.id == first.id
    assert position.quantity == first.quantity + D("0.5")
    assert position.cost == first.quantity * 100 + D(51)


@pytest.mark.req("C-08.2", "P-15.1", "E-2.1.3")
def test_partial_fills_keep_the_rest_reserved() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, quantity=D("0.5"), leaves=order.quantity - D("0.5"))
    state = bench.state
    left = state.orders[order.id]
    assert left.status is Status.PARTIALLY_FILLED and left.filled == D("0.5")
    share = (order.quantity - D("0.5")) / order.quantity
    assert state.reserved["COIN"][0] == order.notional * share
    bench.fill(order, "101", quantity=order.quantity - D("0.5"))
    assert state.reserved == {} and order.id not in state.orders
    assert state.positions["main/COIN"].quantity == order.quantity


@pytest.mark.req("P-15.1", "E-2.3.2")
def test_reports_move_an_order_along_its_table_only() -> None:
    bench = Bench()
    order = submitted(bench.signal(order="limit", limit=D(99)))
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    assert bench.state.orders[order.id].status is Status.ACCEPTED
    assert bench.take(OrderReport(bench.now, order.id, "accepted")).facts == ()
    assert bench.take(OrderReport(bench.now, order.id, "not_sent")).facts == ()
    assert bench.take(OrderReport(bench.now, "nobody", "canceled")).facts == ()
    bench.take(OrderReport(bench.now, order.id, "expired"))
    assert order.id not in bench.state.orders and bench.state.reserved == {}
    assert bench.state.ended[order.id].status is Status.EXPIRED
    bench.fill(order, "99")  # the venue reports a fill after the end: it is booked
    assert bench.state.positions["main/COIN"].quantity == order.quantity


def test_a_fill_is_booked_once_per_trade_id() -> None:
    bench = Bench()
    order = submitted(bench.signal())
    bench.fill(order, trade_id="same")
    assert bench.fill(order, trade_id="same").facts == ()
    assert bench.state.counters.fills == 1


def test_a_repeated_signal_is_ignored_and_counted() -> None:
    bench = Bench(settings(intake={"remember_ms": 1_000}))
    bench.signal(id="x")
    (fact,) = bench.signal(id="x").facts
    assert isinstance(fact, f.SignalIgnored)
    assert (bench.state.counters.signals, bench.state.counters.repeated) == (1, 1)
    bench.now += 5_000_000_000
    bench.signal(id="y")
    assert list(bench.state.seen) == ["y"]


def test_ids_remembered_are_bounded_by_number_too() -> None:
    bench = Bench(settings(intake={"remember_max": 3}))
    for name in "abcde":
        bench.signal(id=name)
    assert list(bench.state.seen) == ["c", "d", "e"]


def test_a_restored_state_forgets_the_same_entries_as_the_living_one() -> None:
    bench = Bench(settings(intake={"remember_max": 3}))
    for name in "cba":
        bench.signal(id=name)
    restored = Engine(state_from(state_bytes(bench.state)))
    bench.signal(id="d")
    assert list(bench.state.seen) == ["b", "a", "d"]
    restored.step(bench.rows[-1][0])
    assert state_hash(restored.state) == state_hash(bench.state)
    assert list(restored.state.seen) == ["b", "a", "d"]


@pytest.mark.req("C-19.3", "D-09.2", "C-14.1")
def test_a_fault_leaves_the_state_halts_entries_and_lets_exits_work(monkeypatch: Any) -> None:
    bench = Bench()
    bench.open()
    before = bench.state.balance

    def broken(state: State, event: Any) -> list[f.Fact]:
        raise ZeroDivisionError("boom")

    with monkeypatch.context() as patch:
        patch.setitem(engine_module.HANDLERS, TimerEvent, broken)
        entry = submitted(bench.signal(instrument="OTHER"))
        fault, cancel = bench.take(TimerEvent(bench.now, "health")).facts
    assert isinstance(cancel, f.CancelRequested) and cancel.order_id == entry.id
    assert isinstance(fault, f.Faulted) and "ZeroDivisionError: boom" in fault.error
    assert bench.state.balance == before and bench.state.trading == "halted"
    assert decision(bench.signal(instrument="OTHER")).code == "TRADING_HALTED"
    order = submitted(bench.signal("close"))
    bench.fill(order)
    assert bench.state.positions == {}


@pytest.mark.req("C-08.3", "C-08.5", "D-03.7")
def test_position_health_watches_reduces_and_closes() -> None:
    wide = {"stop_multiple": 1.0, "liquidation_buffer": 0.0, "cap": D(30)}
    bench = Bench(settings(leverage=wide, health={"danger": D("0.6"), "critical": D("0.7")}))
    bench.open(confidence=0.9, stop_loss_pct=D("0.1"))
    state = bench.state
    state.positions["main/COIN"] = changed(state.positions["main/COIN"], leverage=D(10))
    quantity = state.positions["main/COIN"].quantity
    margin = quantity * 10
    state.positions["main/COIN"] = changed(state.positions["main/COIN"], margin=margin)

    def check(price: D) -> Any:
        return bench.take(TimerEvent(bench.now, "health", (("COIN", price),)))

    assert check(D(95)).facts == ()
    level = portfolio.next_warning(state, state.positions["main/COIN"])
    assert level is not None
    step = check(level.price.quantize(D("0.000001")) - D("0.000001"))
    assert [fact.state for fact in of(step, f.HealthChanged)] == ["watch"] and not step.commands
    level = portfolio.next_warning(state, state.positions["main/COIN"])
    step = check(level.price - D("0.001"))
    assert state.positions["main/COIN"].health == "danger"
    order = submitted(step)
    assert order.reason == "margin" and order.quantity == bench.state.instruments[
        "COIN"].quantity_down(quantity / 2)  # fmt: skip
    bench.take(OrderReport(bench.now, order.id, "expired"))
    step = check(portfolio.next_warning(state, state.positions["main/COIN"]).price - D("0.001"))
    assert state.positions["main/COIN"].health == "critical"
    assert submitted(step).quantity == quantity


@pytest.mark.req("D-05.1", "D-05.2", "D-05.3", "C-05.2", "E-5.3.1", "E-5.3.2", "C-01.3", "D-04.5")
def test_read_models_carry_the_documented_fields() -> None:
    bench = Bench()
    bench.open()
    bench.open(instrument="OTHER", side="sell")
    state = bench.state
    shown = portfolio.portfolio(state)
    assert shown.balance == state.balance and shown.margin_used == state.margin
    assert shown.margin_available == shown.equity - shown.margin_used
    coin, other = shown.open_positions
    assert (coin.token, coin.side, coin.status, coin.closed_at) == ("COIN", "long", "open", None)
    assert coin.liquidation_price is not None and coin.liquidation_price < coin.entry_price
    assert other.side == "short" and other.liquidation_price > other.entry_price
    groups = portfolio.exposure_by(state, "group")
    assert groups["memecoin"] == coin.size * 100 and groups["other"] == other.size * 100
    assert sum(portfolio.exposure_by(state, "asset_class").values()) == sum(groups.values())
    metrics = portfolio.system_metrics(state, (0.001,))
    assert (metrics.total_signals, metrics.success_rate) == (2, 0.0)
    bench.close("101")
    assert portfolio.system_metrics(state).success_rate == 1.0


@pytest.mark.req("D-04.6", "D-04.7", "C-10.1")
def test_operator_commands_cancel_flatten_and_stop() -> None:
    bench = Bench()
    bench.open()
    entry = submitted(bench.signal(instrument="OTHER", order="limit", limit=D(99)))
    step = bench.take(OperatorEvent(bench.now, "flatten", "ann"))
    cancels = [c for c in step.commands if isinstance(c, CancelOrder)]
    assert [c.order_id for c in cancels] == [entry.id]
    assert submitted(step).reason == "operator"
    assert bench.state.orders[entry.id].status is Status.PENDING_CANCEL
    assert bench.state.reserved["OTHER"][0] == entry.notional  # until the venue says so
    again = bench.take(OperatorEvent(bench.now, "flatten", "ann"))
    assert again.commands == ()


@pytest.mark.parametrize(
    ("command", "fields", "words"),
    [
        ("thaw", {}, "token"), ("deposit", {"amount": D(5)}, "token"),
        ("withdraw", {"amount": D(10**9), "authorised": True}, "balance"),
        ("deposit", {"amount": D(-5), "authorised": True}, "above 0"),
        ("pause_strategy", {"target": "nope"}, "no strategy"),
    ],
)  # fmt: skip
def test_refused_commands_say_why_and_change_nothing(command: str, fields: dict, words: str):
    bench = Bench()
    before = state_hash(changed(bench.state, seq=0, now_ns=0))
    (fact,) = bench.take(OperatorEvent(bench.now, command, "ann", **fields)).facts
    assert isinstance(fact, f.CommandRefused) and words in fact.reason
    assert state_hash(changed(bench.state, seq=0, now_ns=0)) == before


@pytest.mark.parametrize(("side", "part"), [("close", None), ("sell", None), ("close", D(4))])
def test_closing_a_position_ends_what_is_left_of_its_entry(side: str, part: Any) -> None:
    # a slow entry went on filling after its close, and left a position that nobody wanted
    bench = Bench(settings(strategies={"head": Strategy(reverse=True)}))
    entry = submitted(bench.signal())
    bench.fill(entry, quantity=D(10), leaves=entry.quantity - 10)
    step = bench.signal(side, quantity=part)
    canceled = [c.order_id for c in step.commands if isinstance(c, CancelOrder)]
    assert canceled == ([] if part else [entry.id])
    assert submitted(step).reduce_only and bench.state.reserved  # until the venue says so


def test_a_signal_whose_id_was_forgotten_does_not_submit_its_order_again() -> None:
    bench = Bench(settings(intake={"remember_max": 1}))
    ahead = bench.now + 1  # its head's clock is: by its time alone it could be a new one
    order = submitted(bench.signal(id="x", ts_ns=ahead))
    bench.take(OrderReport(bench.now, order.id, "canceled"))
    bench.signal(id="y", instrument="OTHER")
    assert list(bench.state.seen) == ["y"]
    bench.signal(id="z", instrument="OTHER")
    step = bench.signal(id="x", ts_ns=ahead)
    assert [type(fact) for fact in step.facts] == [f.SignalIgnored] and not step.commands
    assert bench.state.counters.repeated == 1 and not bench.state.reserved.get("COIN")


@pytest.mark.parametrize("command", ["deposit", "withdraw"])
def test_money_that_a_venue_keeps_is_not_told_by_hand(command: str) -> None:
    # the next look would find the account without it, and book the difference as a loss
    bench = Bench()
    bench.take(LinkEvent(bench.now, "main", "connecting"))
    bench.take(AccountReport(bench.now, "main", bench.now, "start", (), (), D(10_000)))
    event = OperatorEvent(bench.now, command, "ann", amount=D(50), authorised=True)
    (fact,) = bench.take(event).facts
    assert isinstance(fact, f.CommandRefused) and "the venue keeps" in fact.reason
    assert bench.state.balance == bench.state.day_equity == D(10_000)


def test_halt_resume_freeze_thaw() -> None:
    bench = Bench()
    for command, state in (("halt", "halted"), ("resume", "active"), ("freeze", "frozen")):
        bench.take(OperatorEvent(bench.now, command, "ann"))  # type: ignore[arg-type]
        assert bench.state.trading == state
    (fact,) = bench.take(OperatorEvent(bench.now, "resume", "ann")).facts
    assert isinstance(fact, f.CommandRefused) and bench.state.trading == "frozen"
    bench.take(OperatorEvent(bench.now, "thaw", "ann", authorised=True))
    assert bench.state.trading == "active"


@pytest.mark.req("E-9.1.1")
@pytest.mark.parametrize(
    ("before", "after", "thawed"),
    [(["halt"], [], "halted"), ([], ["halt"], "halted"), (["flatten"], [], "reducing"),
     ([], ["flatten"], "reducing"), (["flatten", "halt"], [], "halted"), ([], [], "active"),
     (["halt", "resume"], [], "active"), (["halt"], ["resume", "thaw"], "halted")],
)  # fmt: skip
def test_a_thaw_ends_a_freeze_and_no_halt_or_flatten_beneath_it(
    before: list[Any], after: list[Any], thawed: str
) -> None:
    bench = Bench()
    for command in (*before, "freeze", *after):
        bench.take(OperatorEvent(bench.now, command, "ann"))
        assert bench.state.trading == "frozen" or command in before
    bench.take(OperatorEvent(bench.now, "thaw", "ann", authorised=True))
    assert bench.state.trading == thawed
    assert bench.state.flattening == ("flatten" in before + after)
    (again,) = bench.take(OperatorEvent(bench.now, "thaw", "ann", authorised=True)).facts
    assert isinstance(again, f.CommandRefused) and "not frozen" in again.reason
    assert bench.state.trading == thawed
    bench.take(OperatorEvent(bench.now, "resume", "ann"))
    assert bench.state.trading == "active" and not bench.state.flattening


def test_strategies_pause_resume_and_stop() -> None:
    bench = Bench()
    bench.open()

    def command(name: str) -> Any:
        event = OperatorEvent(bench.now, name, "ann", target="default")  # type: ignore[arg-type]
        return bench.take(event)

    command("pause_strategy")
    assert decision(bench.signal(instrument="OTHER")).code == "STRATEGY_INACTIVE"
    command("resume_strategy")
    assert decision(bench.signal(instrument="OTHER")).verdict == "approved"
    step = command("stop_strategy")
    assert any(c.order.reduce_only for c in step.commands if not isinstance(c, CancelOrder))
    assert bench.state.strategies["default"].status == "stopped"


def test_a_strategy_that_left_the_configuration_can_be_stopped_while_it_holds_something() -> None:
    bench = Bench()
    bench.open()
    others = changed(Settings(), strategies={"other": Strategy(sources=("*",))})
    bench.take(ConfigEvent(bench.now, others, "c2", ITEMS))
    step = bench.take(OperatorEvent(bench.now, "stop_strategy", "ann", target="default"))
    assert submitted(step).reduce_only and bench.state.strategies["default"].status == "stopped"
    (refused,) = bench.take(OperatorEvent(bench.now, "stop_strategy", "ann", target="no")).facts
    assert isinstance(refused, f.CommandRefused)


def test_a_configuration_that_pauses_counts_past_an_earlier_word() -> None:
    def configured(status: Any) -> ConfigEvent:
        strategies = {"default": Strategy(sources=("*",), status=status)}
        chosen = changed(Settings(), strategies=strategies)
        return ConfigEvent(bench.now, chosen, f"{status} {bench.number()}", ITEMS, "engine")

    bench = Bench()
    bench.take(OperatorEvent(bench.now, "resume_strategy", "ann", target="default"))
    bench.take(configured("paused"))
    assert decision(bench.signal(instrument="OTHER")).code == "STRATEGY_INACTIVE"
    bench.take(OperatorEvent(bench.now, "resume_strategy", "ann", target="default"))
    bench.take(configured("paused"))  # says nothing new
    assert decision(bench.signal(instrument="OTHER")).verdict == "approved"


def test_an_operators_pause_outlives_a_configuration() -> None:
    bench = Bench()
    bench.take(OperatorEvent(bench.now, "pause_strategy", "ann", target="default"))
    for status in ("paused", "active"):
        strategies = {"default": Strategy(sources=("*",), status=status)}  # type: ignore[arg-type]
        chosen = changed(Settings(), strategies=strategies)
        bench.take(ConfigEvent(bench.now, chosen, status, ITEMS, "engine"))
    assert decision(bench.signal()).code == "STRATEGY_INACTIVE"


@pytest.mark.parametrize(
    ("policy", "cancels", "closes"),
    [("close", 1, 1), ("cancel_orders_only", 1, 0), ("leave", 0, 0)],
)
def test_shutdown_follows_the_policy(policy: str, cancels: int, closes: int) -> None:
    bench = Bench(changed(Settings(), shutdown=policy))
    bench.open()
    bench.signal(instrument="OTHER", order="limit", limit=D(99))
    step = bench.take(OperatorEvent(bench.now, "shutdown", "signal"))
    kinds = [isinstance(c, CancelOrder) for c in step.commands]
    assert (kinds.count(True), kinds.count(False)) == (cancels, closes)
    assert of(step, f.TradingStateChanged)[0].reason == f"shutdown, policy {policy}"


def test_the_end_of_data_closes_where_asked() -> None:
    for close, count in ((True, 1), (False, 0)):
        bench = Bench()
        bench.open()
        assert len(bench.take(EndOfData(bench.now, close)).commands) == count


@pytest.mark.req("E-6.3.3", "E-11.3.2", "E-6.1.3", "E-6.3.2")
def test_folding_the_stored_rows_gives_the_same_state_and_deciding_again_the_same_rows() -> None:
    bench = Bench()
    bench.open()
    bench.signal(instrument="OTHER", order="limit", limit=D(99))
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    bench.close("97", fee=D("0.1"))
    bodies = [encode_row(event, facts) for event, facts in bench.rows]
    folded, again = State(), Engine()
    for body in bodies:
        row = decode_row(body)
        advance(folded, row.event)
        for fact in row.facts:
            apply(folded, row.event, fact)
        step = again.step(row.event)
        assert encode_row(row.event, step.facts) == body
    assert state_hash(folded) == state_hash(bench.state) == state_hash(again.state)


@pytest.mark.req("C-14.1", "D-01.3")
def test_the_state_survives_its_snapshot() -> None:
    bench = Bench()
    bench.open()
    bench.signal(instrument="OTHER", order="limit", limit=D(99))
    copy = state_from(state_bytes(bench.state))
    assert copy == bench.state and state_hash(copy) == state_hash(bench.state)
    assert msgspec.json.decode(state_bytes(copy))["balance"] == "10000"


def test_deciding_changes_nothing() -> None:
    bench = Bench()
    bench.open()
    event, _ = bench.rows[1]
    before = state_hash(bench.state)
    engine_module.decide(bench.state, event)
    engine_module.decide(bench.state, bench.rows[2][0])
    assert state_hash(bench.state) == before
