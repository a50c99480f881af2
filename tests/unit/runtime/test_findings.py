"""The paragraph that says what a start found."""

from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, TimerEvent, TransferReport
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.findings import Findings
from cerberus_trader.runtime.log import Log

D = Decimal
TICK = TimerEvent(1, "health")


class Kept(Log):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[dict[str, Any]] = []

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append({"event": event, **fields})


def state_with(*statuses: Status) -> State:
    state = State()
    state.seq = 7
    for number, status in enumerate(statuses):
        name = f"o{number}"
        state.orders[name] = Order(name, "main", "s", "ALFA", 1, "limit", "entry", D(1),
                                   status=status)  # fmt: skip
    return state


@pytest.mark.req("P-21.3")
def test_it_says_once_what_was_unknown_found_lost_booked_and_corrected() -> None:
    log = Kept()
    asked = (Status.UNKNOWN, Status.SUBMITTED, Status.UNKNOWN, Status.UNKNOWN, Status.ACCEPTED)
    found = Findings(state_with(*asked), log, outside=True)
    assert found.text().endswith("The venue is being asked.")
    fill = FillReport(1, "o2", "v1", "main", "ALFA", 1, D(1), D(100), D(0), "taker", "entry",
                      D(10), D(0))  # fmt: skip
    found.take(8, fill, (f.Filled("s", "o2", D(0), None, Status.FILLED),))
    found.take(9, TICK, (f.OrderChanged("o0", Status.ACCEPTED, "found at the venue"),
                         f.OrderChanged("o1", Status.EXPIRED, "the venue denied it twice"),
                         f.OrderChanged("o2", Status.CANCELED, "ended at the venue"),
                         f.OrderChanged("o4", Status.CANCELED, "was not in question")))  # fmt: skip
    found.take(10, TICK, (f.PositionCorrected(1, "main", "ALFA", None, None, "the venue's"),
                          f.BalanceCorrected(1, "main", D(-2), "the venue's balance")))  # fmt: skip
    for seq, amount in ((10, D(-4_000)), (10, D("0.5"))):
        event = TransferReport(1, "main", amount, "m1")
        found.take(seq, event, (f.CashMoved(amount, "the venue"),))
    assert not log.lines
    found.take(11, TICK, (f.Reconciled(1, "main", 1, "start", 2, 1),))
    found.take(12, TICK, (f.Reconciled(1, "main", 1, "timer", 2, 1),))
    assert [line["event"] for line in log.lines] == ["start-up"]
    assert (
        log.lines[0]["found"]
        == found.text()
        == (
            "Row 7 was folded: 0 positions, 5 orders, 4 of them in question. "
            "Orders: 1 found, 1 lost, 1 ended (canceled), 1 still unknown. "
            "Fills booked: buy 1 ALFA at 100. "
            "Moved at the venue: 4000 out; 0.5 in. "
            "Corrected: ALFA is none (the venue's); balance by -2 (the venue's balance). "
            "The venue has 2 orders and 1 positions: its books and ours agree."
        )
    )


def test_what_nobody_can_explain_is_named_and_the_books_are_not_said_to_agree() -> None:
    log = Kept()
    found = Findings(state_with(), log, outside=True)
    mismatches = tuple(
        f.MismatchFound(1, "main", kind, place, "", theirs, action)
        for kind, place, theirs, action in (
            ("foreign_order", "x1", "ALFA 3", "suspected"),
            ("foreign_order", "x1", "ALFA 3", "frozen"),
            ("orphan_order", "x2", "working", "canceled"),
            ("balance", "balance main", "1", "noted"),
        )
    )
    frozen = f.TradingStateChanged("frozen", "reconciliation", "foreign_order")
    found.take(8, TICK, (*mismatches, frozen, f.Reconciled(1, "main", 1, "start", 2, 1)))
    assert found.text().endswith(
        "Not explained: foreign order x1 ALFA 3 (frozen); orphan order x2 working (canceled)."
        " The venue has 2 orders and 1 positions."
        " Trading is frozen until a person has looked and thaws it."
    )


def test_with_the_paper_venue_there_is_nobody_to_ask() -> None:
    log = Kept()
    found = Findings(state_with(), log, outside=False)
    assert found.done and "inside this process" in log.lines[0]["found"]
