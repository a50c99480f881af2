"""The trace: what of the durable facts a person must see."""

from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import (
    NO_LINE,
    NO_LOOK,
    LinkEvent,
    OperatorEvent,
    TimerEvent,
    TransferReport,
)
from cerberus_trader.domain.order import Order
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.trace import Trace
from tests.kit import D


class Kept(Log):
    """Keep what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def write(self, level: str, event: str, fields: dict[str, Any]) -> None:
        self.lines.append((level, event, fields))


@pytest.mark.parametrize(("amount", "way"), [("-4000", "taken out"), ("5.5", "put in")])
def test_money_that_was_moved_at_the_venue_is_an_alert_with_its_amount(
    amount: str, way: str
) -> None:
    log = Kept()
    event = TransferReport(1, "main", D(amount), "m1")
    Trace(log).take(9, event, (f.CashMoved(D(amount), "the venue"),))
    ((level, words, fields),) = log.lines
    assert (level, words) == ("error", f"money was {way} at the venue")
    assert fields == {
        "alert": True, "row": 9, "account": "main", "amount": amount, "transfer": "m1",
    }  # fmt: skip


@pytest.mark.parametrize(("attempt", "level"), [(0, "info"), (1, "error")])
def test_a_close_that_is_sent_again_is_an_alert(attempt: int, level: str) -> None:
    log = Kept()
    close = Order("o1x", "main", "s", "COIN", -1, "market", "signal", D(4), reduce_only=True,
                  closes="o1e", attempt=attempt)  # fmt: skip
    Trace(log).take(9, TimerEvent(1, "health"), (f.OrderSubmitted(close),))
    ((found, words, fields),) = log.lines
    assert found == level and ("sent again" in words) is bool(attempt)
    assert (fields["order_id"], fields["quantity"]) == ("o1x", "4")


def test_a_change_to_paper_is_a_line() -> None:
    log = Kept()
    Trace(log).take(9, OperatorEvent(1, "resume", "ann"), (f.VenueLeft("main"),))
    assert log.lines == [("info", "on paper inside the engine now", {"row": 9, "account": "main"})]


def test_a_paper_deposit_is_a_line_and_no_alert() -> None:
    log = Kept()
    Trace(log).take(9, OperatorEvent(1, "deposit", "ann"), (f.CashMoved(D(7), "ann"),))
    assert log.lines == [("warning", "balance", {"row": 9, "amount": "7", "actor": "ann"})]


def test_a_command_given_again_is_a_line() -> None:
    log, event = Kept(), OperatorEvent(1, "deposit", "ann", command_id="a1")
    Trace(log).take(9, event, (f.CommandRepeated("deposit", "ann", "a1", 1),))
    fields = {"row": 9, "command": "deposit", "actor": "ann", "id": "a1"}
    assert log.lines == [("warning", "command repeated", fields)]


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        (f"{NO_LINE} 60 s: refused", "error"), (f"{NO_LOOK} 90 s", "error"),
        ("reset by the venue", "warning"),
    ],
)  # fmt: skip
def test_a_venue_of_which_nothing_is_known_for_a_while_is_an_alert(reason: str, level: str) -> None:
    log = Kept()
    Trace(log).take(9, LinkEvent(1, "main", "lost"), (f.LinkChanged("main", "lost", reason),))
    ((told, words, fields),) = log.lines
    assert (told, words, fields["reason"]) == (level, "venue", reason)
    assert fields.get("alert", False) == (level == "error")
