"""Decisions are found in any journal, with the configuration they were judged under."""

from pathlib import Path

import pytest

from cerberus_trader.control.commands_live import explain_lines
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import ConfigEvent, OrderReport
from cerberus_trader.runtime.decisions import explained, find
from tests.kit import ITEMS, Bench, settings, submitted
from tests.unit.runtime.test_observer import journalled


def test_a_decision_is_explained_under_its_own_configuration(tmp_path: Path) -> None:
    bench = Bench()
    bench.signal(confidence=0.1)
    strict = settings(intake={"confidence_min": 0.5})
    bench.take(ConfigEvent(bench.now, strict, "c2", ITEMS))
    bench.signal(instrument="OTHER", confidence=0.1)
    journalled(tmp_path, bench)
    first, config = find(tmp_path, "d2")
    assert first.verdict == "approved" and config.digest == "c1"
    last = explained(tmp_path)
    assert (last["id"], last["code"]) == ("d4", "CONFIDENCE_LOW")
    assert last["why_not"] == ["CONFIDENCE_LOW: confidence 0.1, at least 0.5"]


def test_a_decision_is_found_by_its_signal(tmp_path: Path) -> None:
    bench = Bench()
    bench.signal(id="dawn")
    bench.signal(id="d2", instrument="OTHER")
    journalled(tmp_path, bench)
    assert find(tmp_path, "dawn")[0].id == "d2"
    assert find(tmp_path, "d2")[0].signal_id == "dawn"  # a decision's own id comes first


def test_what_became_of_the_orders_is_told_with_its_reason(tmp_path: Path) -> None:
    bench = Bench(settings(orders={"retries_max": 1}))
    first = submitted(bench.signal())
    bench.take(OrderReport(bench.now, first.id, "rejected", "busy", retry=True))
    second = next(iter(bench.state.orders))
    bench.take(OrderReport(bench.now, second, "not_sent", "GROUP_RISK: too much"))
    bench.open(instrument="OTHER")
    bench.signal(confidence=0.1)
    journalled(tmp_path, bench)
    orders = explained(tmp_path, "d2")["orders"]
    assert [(o["attempt"], o["status"], o["reason"]) for o in orders] == [
        (0, "rejected", "busy"), (1, "not_sent", "GROUP_RISK: too much"),
    ]  # fmt: skip
    lines = explain_lines(explained(tmp_path, "d2"))
    assert lines[-1] == f"order {second}, attempt 2: not_sent: GROUP_RISK: too much"
    assert [order["status"] for order in explained(tmp_path, "d5")["orders"]] == ["filled"]
    assert "attempt 1: filled" in explain_lines(explained(tmp_path, "d5"))[-1]


@pytest.mark.parametrize("name", ["d1", "d99", "x", "d", "d-1", "d" + "9" * 30, "2"])
def test_what_is_no_decision_is_said_so(tmp_path: Path, name: str) -> None:
    bench = Bench()
    bench.signal()
    journalled(tmp_path, bench)
    with pytest.raises(DataError, match="no decision"):
        find(tmp_path, name)


def test_a_folder_without_a_journal_or_a_decision(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no journal"):
        find(tmp_path)
    journalled(tmp_path, Bench())
    with pytest.raises(DataError, match="no decision yet"):
        find(tmp_path)
