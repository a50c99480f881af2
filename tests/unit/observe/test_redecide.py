"""Deciding a journal again: rows of an older release agree, rows that say otherwise do not."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.row import encode_row
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.observe.redecide import redecide
from tests.kit import Bench, D


def older(row: Any) -> None:
    """Take away the field that an older release did not write."""
    assert row[1].pop() == "" and row[1][0] == "operator"


def other(row: Any) -> None:
    """Say that another amount was booked."""
    row[2][0][1] = "6"


@pytest.mark.parametrize(("change", "first"), [(older, 0), (other, 2)])
def test_fields_that_came_later_are_no_difference(tmp_path: Path, change: Any, first: int) -> None:
    bench = Bench()
    bench.take(OperatorEvent(bench.now, "deposit", "ann", amount=D(5), authorised=True))
    (config, facts), moved = bench.rows
    row = msgspec.json.decode(encode_row(*moved))
    change(row)
    with SqliteJournal(tmp_path, engine_id="engine") as journal:
        for body in (encode_row(config, facts), msgspec.json.encode(row)):
            journal.append(bench.now, "x", body)
    found = redecide(tmp_path)
    assert (found["rows"], found["first"]) == (2, first)
    assert found["differences"] == (1 if first else 0)
