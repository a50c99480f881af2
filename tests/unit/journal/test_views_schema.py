"""The source documents' tables: the columns, their types, and the indexes, as they stand there."""

import sqlite3
from pathlib import Path

import pytest

from cerberus_trader.journal.views import VIEWS_NAME, ViewsWriter

Column = tuple[str, str, bool, bool]


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    """A connection to fresh views."""
    ViewsWriter(tmp_path).close()
    return sqlite3.connect(tmp_path / VIEWS_NAME)


def columns(connection: sqlite3.Connection, table: str) -> list[Column]:
    """List name, type, NOT NULL and primary key of a table's columns."""
    return [
        (name, kind, bool(not_null) or bool(key), bool(key))
        for _, name, kind, not_null, _, key in connection.execute(f"PRAGMA table_info({table})")
    ]


def indexes(connection: sqlite3.Connection, table: str) -> dict[str, list[str]]:
    """Map the named indexes of a table to their columns."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = ? AND sql NOT NULL",
        (table,),
    ).fetchall()
    return {
        name: [row[2] for row in connection.execute(f"PRAGMA index_info({name})")]
        for (name,) in found
    }


def plain(*names_types: str, null: tuple[str, ...] = ()) -> list[Column]:
    """Write a table's expected columns as 'name TYPE'; the first is its key."""
    made = []
    for number, text in enumerate(names_types):
        name, kind = text.split()
        made.append((name, kind, name not in null, number == 0))
    return made


@pytest.mark.req("D-06.1", "C-02.2")
def test_signals(connection: sqlite3.Connection) -> None:
    assert columns(connection, "signals") == plain(
        "id INTEGER", "timestamp INTEGER", "source TEXT", "token TEXT", "confidence TEXT",
        "price REAL", "volume REAL", "data JSON",
    )  # fmt: skip
    assert indexes(connection, "signals") == {
        "idx_signals_timestamp": ["timestamp"],
        "idx_signals_token": ["token"],
        "idx_signals_source": ["source"],
    }


@pytest.mark.req("D-06.2", "C-02.2")
def test_decisions(connection: sqlite3.Connection) -> None:
    assert columns(connection, "decisions") == plain(
        "id INTEGER", "signal_hash TEXT", "decision JSON", "created_at INTEGER",
        "expires_at INTEGER",
    )  # fmt: skip
    assert indexes(connection, "decisions") == {
        "idx_decisions_hash": ["signal_hash"],
        "idx_decisions_expires": ["expires_at"],
    }
    connection.execute("INSERT INTO decisions VALUES (1, 'h', '{}', 1, 2)")
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        connection.execute("INSERT INTO decisions VALUES (2, 'h', '{}', 1, 2)")


@pytest.mark.req("D-06.3", "C-02.2", "T-02.1")
def test_positions(connection: sqlite3.Connection) -> None:
    assert columns(connection, "positions") == plain(
        "id TEXT", "token TEXT", "side TEXT", "size REAL", "leverage INTEGER",
        "entry_price REAL", "current_price REAL", "pnl REAL", "liquidation_price REAL",
        "status TEXT", "opened_at INTEGER", "closed_at INTEGER",
        null=("current_price", "pnl", "closed_at"),
    )  # fmt: skip
    assert indexes(connection, "positions") == {
        "idx_positions_status": ["status"],
        "idx_positions_token": ["token"],
    }


@pytest.mark.req("D-06.4", "C-02.2")
def test_metrics(connection: sqlite3.Connection) -> None:
    assert columns(connection, "metrics") == plain(
        "id INTEGER", "timestamp INTEGER", "metric_name TEXT", "metric_value REAL",
        "metadata JSON", null=("metadata",),
    )  # fmt: skip
    assert indexes(connection, "metrics") == {
        "idx_metrics_timestamp": ["timestamp"],
        "idx_metrics_name": ["metric_name"],
    }


@pytest.mark.req("E-1.1", "T-02.1")
def test_orders_executions_deployments_trades_and_tweets_exist(
    connection: sqlite3.Connection,
) -> None:
    for table, some in {
        "orders": {"id", "instrument", "kind", "quantity", "side", "status"},
        "executions": {"trade_id", "order_id", "quantity", "price", "fee"},
        "strategy_deployments": {"strategy", "config", "status", "deployed_ns"},
        "trades": {"position_id", "entry_price", "exit_price", "pnl"},
        "tweets": {"id", "author", "text"},
    }.items():
        assert some <= {name for name, *_ in columns(connection, table)}
        assert indexes(connection, table)
