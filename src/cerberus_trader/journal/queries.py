"""Reading views.db: every question is answered by an index, over a read-only connection."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cerberus_trader.journal import view_rows as rows
from cerberus_trader.journal.store import DAMAGE, connect_reader, failure
from cerberus_trader.journal.views import DEFAULT_GROUP, TABLES, VIEWS_NAME

R = TypeVar("R", bound=tuple[Any, ...])
Value = str | int | float | None
SEQ_MAX = 2**63 - 1


class Explained(NamedTuple):
    """Hold a decision with what came of it."""

    decision: rows.DecisionLogRow
    orders: tuple[rows.OrderRow, ...]
    executions: tuple[rows.ExecutionRow, ...]
    trade: rows.TradeRow | None


def _select(row_type: type[Any], tail: str) -> str:
    return f"SELECT {', '.join(row_type._fields)} FROM {TABLES[row_type][0]} {tail}"


def _by_key(row_type: type[Any]) -> str:
    return "WHERE " + " AND ".join(f"{name} = ?" for name in TABLES[row_type][1])


# Every query by name: what it reads, and how. Tests ask SQLite that each one uses an index.
QUERIES: dict[str, tuple[type[Any], str]] = {
    **{f"{table}_by_key": (kind, _by_key(kind)) for kind, (table, _) in TABLES.items()},
    "signals_newest": (rows.SignalRow, "ORDER BY timestamp DESC LIMIT ?"),
    "signals_of_token": (rows.SignalRow, "WHERE token = ? ORDER BY id DESC LIMIT ?"),
    "signals_of_source": (rows.SignalRow, "WHERE source = ? ORDER BY id DESC LIMIT ?"),
    "signals_between": (rows.SignalRow, "WHERE timestamp BETWEEN ? AND ? ORDER BY timestamp"),
    "decisions_live": (rows.DecisionRow, "WHERE expires_at > ? ORDER BY expires_at"),
    "positions_of_status": (rows.PositionRow, "WHERE status = ? LIMIT ?"),
    "positions_of_token": (rows.PositionRow, "WHERE token = ? LIMIT ?"),
    "metrics_newest": (rows.MetricRow, "WHERE metric_name = ? ORDER BY id DESC LIMIT ?"),
    "metrics_between": (rows.MetricRow, "WHERE timestamp BETWEEN ? AND ? ORDER BY timestamp"),
    "decision_log_up_to": (rows.DecisionLogRow, "WHERE seq <= ? ORDER BY seq DESC LIMIT ?"),
    "decision_log_of_signal": (rows.DecisionLogRow, "WHERE signal_id = ?"),
    "orders_of_status": (rows.OrderRow, "WHERE status = ? LIMIT ?"),
    "orders_of_instrument": (
        rows.OrderRow,
        "WHERE instrument = ? ORDER BY created_ns DESC LIMIT ?",
    ),
    "orders_of_signal": (rows.OrderRow, "WHERE signal_id = ?"),
    "executions_of_order": (rows.ExecutionRow, "WHERE order_id = ?"),
    "executions_of_position": (rows.ExecutionRow, "WHERE position_id = ?"),
    "executions_up_to": (rows.ExecutionRow, "WHERE id <= ? ORDER BY id DESC LIMIT ?"),
    "trades_newest": (rows.TradeRow, "ORDER BY closed_ns DESC LIMIT ?"),
    "trades_of_strategy": (
        rows.TradeRow,
        "WHERE strategy = ? ORDER BY closed_ns DESC LIMIT ?",
    ),
    "deployments_of_strategy": (rows.DeploymentRow, "WHERE strategy = ?"),
    "deployments_of_status": (rows.DeploymentRow, "WHERE status = ?"),
    "ledger_of_account": (
        rows.LedgerRow,
        "WHERE account = ? AND ts_ns BETWEEN ? AND ? ORDER BY ts_ns",
    ),
    "breaker_newest": (rows.BreakerRow, "ORDER BY ts_ns DESC LIMIT ?"),
    "equity_between": (
        rows.EquityRow,
        "WHERE account = ? AND ts_ns BETWEEN ? AND ? ORDER BY ts_ns",
    ),
    "equity_newest": (rows.EquityRow, "WHERE account = ? ORDER BY ts_ns DESC, seq DESC LIMIT 1"),
    "tweets_newest": (rows.TweetRow, "ORDER BY ts_ns DESC LIMIT ?"),
}
SQL: Mapping[str, str] = {name: _select(kind, tail) for name, (kind, tail) in QUERIES.items()}


class Views:
    """Answer questions from a folder's views.db; raises `JournalError` for a damaged file."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / VIEWS_NAME
        self._connection = connect_reader(self.path)

    def find(self, query: str, *values: Value) -> list[Any]:
        """Run a query of `QUERIES` and return its rows, each of the query's row type."""
        kind = QUERIES[query][0]
        try:
            return [kind(*found) for found in self._connection.execute(SQL[query], values)]
        except DAMAGE as error:
            raise failure(error, self.path, "reading the views") from error

    def get(self, row_type: type[R], *key: Value) -> R | None:
        """Return the row with this key (the columns of `views.TABLES`), or None."""
        found = self.find(f"{TABLES[row_type][0]}_by_key", *key)
        return found[0] if found else None

    def explain(self, seq: int) -> Explained | None:
        """Return the decision of a journal row with its signal's orders, fills and trade."""
        decision = self.get(rows.DecisionLogRow, seq)
        return self._explained(decision) if decision else None

    def explain_last(self) -> Explained | None:
        """Return the newest decision, explained."""
        found = self.find("decision_log_up_to", SEQ_MAX, 1)
        return self._explained(found[0]) if found else None

    def _explained(self, decision: rows.DecisionLogRow) -> Explained:
        orders = [
            order
            for order in self.find("orders_of_signal", decision.signal_id)
            if order.decision_id in (None, decision.id)
        ]
        fills = [fill for order in orders for fill in self.find("executions_of_order", order.id)]
        fills.sort()
        trades = (self.get(rows.TradeRow, fill.position_id) for fill in fills)
        trade = next((trade for trade in trades if trade), None)
        return Explained(decision, tuple(orders), tuple(fills), trade)

    def equity(self, account: str, from_ns: int, to_ns: int) -> list[rows.EquityRow]:
        """Return an account's equity curve between two instants, both included."""
        return self.find("equity_between", account, from_ns, to_ns)

    def open_positions(self, limit: int = 1_000) -> list[rows.PositionRow]:
        """Return the positions whose status is open."""
        return self.find("positions_of_status", "open", limit)

    def applied_seq(self, group: str = DEFAULT_GROUP) -> int:
        """Give the number of the last journal row that the views of a group show."""
        row = self._connection.execute(
            "SELECT applied_seq FROM view_progress WHERE name = ?", (group,)
        ).fetchone()
        return int(row[0]) if row else 0

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> "Views":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
