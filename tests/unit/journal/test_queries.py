"""Reading views: by index only, and what comes back."""

import sqlite3
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import view_rows as r
from cerberus_trader.journal.queries import QUERIES, SQL, Views
from cerberus_trader.journal.views import VIEWS_NAME, Remove, ViewsWriter

Rows = list[tuple[int, r.ViewRow]]


@pytest.fixture
def folder(tmp_path: Path, trade_rows: Rows) -> Path:
    """Views of one trade."""
    with ViewsWriter(tmp_path) as writer:
        writer.apply(trade_rows, through_seq=4)
    return tmp_path


@pytest.mark.req("T-15.1", "C-02.4", "D-10.2")
@pytest.mark.parametrize("name", list(QUERIES))
def test_every_query_uses_an_index(folder: Path, name: str) -> None:
    connection = sqlite3.connect(folder / VIEWS_NAME)
    marks = SQL[name].count("?")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", (1,) * marks)]
    connection.close()
    assert plan
    for step in plan:
        assert "USING" in step and ("INDEX" in step or "PRIMARY KEY" in step), plan
        assert "TEMP B-TREE" not in step, plan


@pytest.mark.req("C-02.4")
@pytest.mark.parametrize(
    ("row", "key", "change"),
    [
        (
            r.SignalRow(9, 1, "trend", "WIF", "low", 1.0, 2.0, "{}"),
            (9,),
            {"confidence": "high"},
        ),
        (
            r.PositionRow("p9", "WIF", "long", 1.0, 2, 1.0, None, None, 0.5, "open", 1),
            ("p9",),
            {"status": "closed", "closed_at": 5},
        ),
        (r.DecisionRow(9, "h9", "{}", 1, 2), ("h9",), {"expires_at": 3}),
        (r.MetricRow(9, 1, "m9", 1.0), (9,), {"metric_value": 2.0}),
    ],
    ids=["signals", "positions", "decisions", "metrics"],
)
def test_create_read_update_delete(
    tmp_path: Path, row: r.SignalRow, key: tuple[str | int, ...], change: dict[str, object]
) -> None:
    with ViewsWriter(tmp_path) as writer, Views(tmp_path) as views:
        assert views.get(type(row), *key) is None
        writer.apply([(1, row)], through_seq=1)
        assert views.get(type(row), *key) == row
        writer.apply([(2, row._replace(**change))], through_seq=2)  # type: ignore[arg-type]
        assert views.get(type(row), *key) == row._replace(**change)  # type: ignore[arg-type]
        writer.apply([(3, Remove(type(row), key))], through_seq=3)
        assert views.get(type(row), *key) is None


@pytest.mark.req("E-1.1", "E-2.1.2")
def test_explain_joins_decision_orders_fills_and_trade(folder: Path) -> None:
    with Views(folder) as views:
        found = views.explain(1)
        assert found is not None
        assert found.decision.document == b"[]"
        assert [order.id for order in found.orders] == ["o1", "o1s"]
        assert [order.status for order in found.orders] == ["filled", "submitted"]
        assert [fill.trade_id for fill in found.executions] == ["t1", "t2"]
        assert found.trade is not None and found.trade.pnl == "4.98"
        assert views.explain_last() == found
        assert views.explain(2) is None


def test_a_decision_without_orders_is_explained_too(tmp_path: Path) -> None:
    row = r.DecisionLogRow(1, "d", 1, "s", "trend", "WIF", "denied", "RISK_STALE", "No.", b"[]")
    with ViewsWriter(tmp_path) as writer, Views(tmp_path) as views:
        assert views.explain_last() is None
        writer.apply([(1, row)], through_seq=1)
        assert views.explain_last() == (row, (), (), None)


@pytest.mark.req("E-5.1.3", "T-02.1")
def test_position_history_and_trades_are_kept(folder: Path) -> None:
    with Views(folder) as views:
        assert views.open_positions() == []
        closed = views.find("positions_of_status", "closed", 10)
        assert [(row.id, row.closed_at) for row in closed] == [("o1", 30)]
        assert views.find("trades_of_strategy", "trend", 10) == views.find("trades_newest", 10)
        tweet = views.get(r.TweetRow, "w1")
        assert tweet is not None and tweet.author == "someone"


def test_ranges_and_newest(folder: Path) -> None:
    with Views(folder) as views:
        assert [row.equity for row in views.equity("acc", 0, 99)] == ["999.99", "1004.98"]
        assert [row.seq for row in views.equity("acc", 12, 99)] == [3]
        assert views.find("equity_newest", "acc")[0].seq == 3
        assert views.find("equity_newest", "other") == []
        assert views.applied_seq() == 4
        assert views.applied_seq("other") == 0


def test_absent_and_damaged_views_are_named(folder: Path) -> None:
    with pytest.raises(JournalError) as caught:
        Views(folder / "elsewhere")
    assert caught.value.code == "JOURNAL_ABSENT"
    (folder / VIEWS_NAME).write_bytes(b"junk" * 2000)
    with Views(folder) as views, pytest.raises(JournalError) as caught:
        views.find("trades_newest", 1)
    assert caught.value.code == "JOURNAL_DAMAGED"
