"""Commands with an id: money that is moved under one id is moved once."""

from decimal import Decimal as D
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine import apply
from cerberus_trader.engine.engine import decide
from cerberus_trader.engine.state import state_bytes, state_from, state_hash
from tests.kit import NOON, SECOND, Bench, changed, of


def move(bench: Bench, command: Any, amount: str, name: str = "", **fields: Any) -> Any:
    """Move money a second later; return the facts."""
    bench.now += SECOND
    event = OperatorEvent(bench.now, command, "ann", amount=D(amount), authorised=True,
                          command_id=name)  # fmt: skip
    return bench.take(changed(event, **fields)).facts


def of_kind(facts: Any) -> list[type]:
    return [type(fact) for fact in facts]


@pytest.mark.parametrize(("command", "after"), [("deposit", D(10_500)), ("withdraw", D(9_500))])
def test_money_moved_again_under_its_id_is_moved_once(command: str, after: D) -> None:
    bench = Bench()
    assert of_kind(move(bench, command, "500", "a1")) == [f.CashMoved]
    before = state_hash(changed(bench.state, seq=0, now_ns=0))
    said = move(bench, command, "500.0", "a1", actor="bob")
    assert said == (f.CommandRepeated(command, "bob", "a1", NOON + SECOND),)
    assert bench.state.balance == bench.state.flows == after
    assert state_hash(changed(bench.state, seq=0, now_ns=0)) == before
    move(bench, command, "500", "a2")
    assert bench.state.balance == after + (after - 10_000)


def test_without_an_id_money_is_moved_as_often_as_it_is_asked_for() -> None:
    bench = Bench()
    assert [*move(bench, "deposit", "5"), *move(bench, "deposit", "5")] == [
        f.CashMoved(D(5), "ann")
    ] * 2
    assert bench.state.balance == D(10_010) and not bench.state.commands


@pytest.mark.parametrize(("command", "amount"), [("deposit", "6"), ("withdraw", "5")])
def test_one_id_is_not_for_two_moves(command: str, amount: str) -> None:
    """To say that it was done already would be a lie."""
    bench = Bench()
    move(bench, "deposit", "5", "a1")
    (said,) = move(bench, command, amount, "a1")
    assert isinstance(said, f.CommandRefused)
    assert said.reason == "a1 is the id of another command: +5"
    assert bench.state.balance == D(10_005)


def test_a_move_that_was_refused_may_be_given_again_under_its_id() -> None:
    bench = Bench()
    (said,) = move(bench, "withdraw", "10001", "a1")
    assert isinstance(said, f.CommandRefused) and not bench.state.commands
    move(bench, "deposit", "5000")
    assert of_kind(move(bench, "withdraw", "10001", "a1")) == [f.CashMoved]
    assert bench.state.balance == D(4_999)


def test_what_was_withdrawn_is_no_question_of_what_is_free_now() -> None:
    bench = Bench()
    move(bench, "withdraw", "9000", "a1")
    assert of_kind(move(bench, "withdraw", "9000", "a1")) == [f.CommandRepeated]
    (refused,) = move(bench, "withdraw", "9000", "a1", authorised=False)
    assert isinstance(refused, f.CommandRefused) and "token" in refused.reason


@pytest.mark.parametrize("through", ["snapshot", "rows"])
def test_an_id_is_remembered_across_a_restart(through: str) -> None:
    bench = Bench()
    move(bench, "deposit", "5", "a1")
    hashed = state_hash(bench.state)
    again = Bench()
    if through == "snapshot":
        again.engine.state = state_from(state_bytes(bench.state))
    else:
        for event, facts in bench.rows[1:]:
            body = decode_row(encode_row(event, facts))
            assert tuple(decide(again.state, body.event)) == facts  # deciding again says the same
            apply.advance(again.state, body.event)
            for fact in body.facts:
                apply.apply(again.state, body.event, fact)
    assert state_hash(again.state) == hashed
    again.now = bench.now
    assert of_kind(move(again, "deposit", "5", "a1")) == [f.CommandRepeated]
    assert again.state.balance == D(10_005)


def test_the_oldest_id_is_forgotten_and_ids_stay_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "COMMANDS_MAX", 2)
    bench = Bench()
    for name in ("a1", "a2", "a3"):
        move(bench, "deposit", "5", name)
    assert list(bench.state.commands) == ["a2", "a3"]
    bench.engine.state = state_from(state_bytes(bench.state))
    assert of_kind(move(bench, "deposit", "5", "a2")) == [f.CommandRepeated]
    assert of_kind(move(bench, "deposit", "5", "a1")) == [f.CashMoved]
    assert list(bench.state.commands) == ["a3", "a1"]


def test_the_journal_of_an_older_release_folds_and_decides_as_it_did() -> None:
    """Its commands have one field less, its snapshots know no ids."""
    bench = Bench()
    event = OperatorEvent(bench.now, "deposit", "ann", "more", amount=D(5), authorised=True)
    row = msgspec.json.decode(encode_row(event, (f.CashMoved(D(5), "ann"),)))
    assert row[1].pop() == ""
    body = decode_row(msgspec.json.encode(row))
    assert body.event == event and len(row[1]) == len(event.__struct_fields__)
    old = msgspec.json.decode(state_bytes(bench.state))
    assert old.pop("commands") == {}
    bench.engine.state = state_from(msgspec.json.encode(old))
    assert bench.take(body.event).facts == body.facts
    assert of(bench.take(body.event), f.CashMoved) and bench.state.balance == D(10_010)
