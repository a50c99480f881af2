"""The paper venue's book, rebuilt from what the engine knows."""

from typing import Any

import msgspec

from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.settings import Paper
from cerberus_trader.venues.paper.restore import canceling, restore
from tests.kit import COIN, NOON, D

MS = 1_000_000
ENTRY = Order("g1e", "main", "alpha", "COIN", 1, "limit", "entry", D(2), price=D(99),
              created_ns=NOON)  # fmt: skip
HELD = Position("g2e", "main", "alpha", "COIN", -1, D(3), D(300), D(5), D(60), NOON, D(104), D(95),
                D("1.5"))  # fmt: skip


def order(status: Status, **fields: Any) -> Order:
    return msgspec.structs.replace(ENTRY, status=status, **fields)


def rebuilt(*orders: Order, paper: Paper | None = None, trade_ids: Any = ()) -> Any:
    named = {item.id: item for item in orders}
    return restore({"main/COIN": HELD}, named, {"COIN": COIN}, paper or Paper(), trade_ids)


def test_a_position_comes_back_with_its_levels_and_its_liquidation_price() -> None:
    (held,) = rebuilt().of("COIN")
    assert (held.position_id, held.sign, held.quantity, held.cost) == ("g2e", -1, D(3), D(300))
    assert (held.margin, held.leverage, held.opened_ns) == (D(60), D(5), NOON)
    assert (held.stop, held.take_profit, held.trailing) == (D(104), D(95), D("1.5"))
    assert held.best == D(100) and not held.exiting and held.parts == 0
    expected = HELD.liquidation(COIN.tiers)
    assert expected is not None and held.liquidation.price == expected.price


def test_a_submitted_order_is_on_its_way_and_an_accepted_one_rests() -> None:
    book = rebuilt(order(Status.SUBMITTED), order(Status.ACCEPTED, id="g3e"))
    assert list(book.arriving) == ["g1e"] and list(book.resting) == ["g3e"]
    assert book.arriving["g1e"].due_ns == NOON + Paper().latency_ms * MS
    assert book.arriving["g1e"].sequence < book.resting["g3e"].sequence


def test_protective_and_ended_orders_are_no_orders_of_the_book() -> None:
    book = rebuilt(order(Status.ACCEPTED, kind="stop"), order(Status.CANCELED, id="g3e"))
    assert not book.arriving and not book.resting


def test_an_order_being_canceled_waits_for_its_cancellation() -> None:
    asked = order(Status.PENDING_CANCEL)
    assert list(rebuilt(asked).resting) == ["g1e"]
    assert canceling({"g1e": asked, "x": order(Status.ACCEPTED)}) == [asked]


def test_parts_are_numbered_on_and_a_level_that_acts_goes_on_acting() -> None:
    share = Paper(participation_max=D("0.5"))
    part = order(Status.PARTIALLY_FILLED, filled=D("0.5"))
    ids = ("main/g1e", "main/g2es", "other/g2et")
    book = rebuilt(part, paper=share, trade_ids=ids)
    waiting, (held,) = book.resting["g1e"], book.of("COIN")
    assert waiting.left == D("1.5") and waiting.part(D(1)) == "g1e.2"
    assert held.exiting == "stop_loss" and held.parts >= 1
    limited = Paper(take_profit_order="limit")
    (held,) = rebuilt(paper=limited, trade_ids=("main/g2t",)).of("COIN")
    assert held.take_profit_limit and not held.exiting
