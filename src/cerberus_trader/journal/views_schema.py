"""The schema of the views file, written once for SQLite and PostgreSQL.

`signals`, `decisions`, `positions` and `metrics` have the columns and indexes of the design
document (D-06.1 to D-06.4; `timestamp`, `created_at`, `expires_at`, `opened_at` and `closed_at`
are nanoseconds UTC). Where that document says REAL, the column is for display and search; the
exact decimals stand in the decision, execution and ledger rows. Columns ending in `_ns` are
nanoseconds UTC. Tables whose keys grow in order are stored by key; hashed keys would scatter.
Time grows with the journal's row numbers, so that the newest rows are found by number.
"""

import sqlalchemy as sa

from cerberus_trader.journal.schema import NAMING, Blob, Int, Json, Key, Money, Real, Text

views_metadata = sa.MetaData(naming_convention=NAMING)


def _col(name: str, kind: object, *, null: bool = False) -> sa.Column[object]:
    return sa.Column(name, kind, nullable=null)  # type: ignore[arg-type]


def _key(name: str, kind: object = Text) -> sa.Column[object]:
    return sa.Column(name, kind, primary_key=True, autoincrement=False)  # type: ignore[arg-type]


def _index(table: str, name: str, *columns: str) -> sa.Index:
    return sa.Index(f"idx_{table}_{name}", *columns)


signals = sa.Table(
    "signals",
    views_metadata,
    sa.Column("id", Key, primary_key=True),
    _col("timestamp", Int),
    _col("source", Text),
    _col("token", Text),
    _col("confidence", Text),
    _col("price", Real),
    _col("volume", Real),
    _col("data", Json),
    _index("signals", "timestamp", "timestamp"),
    _index("signals", "token", "token"),
    _index("signals", "source", "source"),
)

# The entries of the decision cache; the documents of decisions live in `decision_log`.
decisions = sa.Table(
    "decisions",
    views_metadata,
    sa.Column("id", Key, primary_key=True),
    _col("signal_hash", Text),
    _col("decision", Json),
    _col("created_at", Int),
    _col("expires_at", Int),
    sa.Index("idx_decisions_hash", "signal_hash", unique=True),
    _index("decisions", "expires", "expires_at"),
)

positions = sa.Table(
    "positions",
    views_metadata,
    _key("id"),
    _col("token", Text),
    _col("side", Text),
    _col("size", Real),
    _col("leverage", sa.Integer()),
    _col("entry_price", Real),
    _col("current_price", Real, null=True),
    _col("pnl", Real, null=True),
    _col("liquidation_price", Real),
    _col("status", Text),
    _col("opened_at", Int),
    _col("closed_at", Int, null=True),
    _index("positions", "status", "status"),
    _index("positions", "token", "token"),
)

metrics = sa.Table(
    "metrics",
    views_metadata,
    sa.Column("id", Key, primary_key=True),
    _col("timestamp", Int),
    _col("metric_name", Text),
    _col("metric_value", Real),
    _col("metadata", Json, null=True),
    _index("metrics", "timestamp", "timestamp"),
    _index("metrics", "name", "metric_name"),
)

decision_log = sa.Table(
    "decision_log",
    views_metadata,
    _key("seq", Int),
    _col("id", Text),
    _col("ts_ns", Int),
    _col("signal_id", Text),
    _col("strategy", Text),
    _col("instrument", Text),
    _col("verdict", Text),
    _col("code", Text),
    _col("sentence", Text),
    _col("document", Blob),
    _index("decision_log", "signal", "signal_id"),
)

orders = sa.Table(
    "orders",
    views_metadata,
    _key("id"),
    _col("account", Text),
    _col("strategy", Text),
    _col("instrument", Text),
    _col("side", Text),
    _col("kind", Text),
    _col("reason", Text),
    _col("quantity", Money),
    _col("filled", Money),
    _col("price", Money, null=True),
    _col("leverage", Money),
    _col("reduce_only", sa.Integer()),
    _col("closes", Text, null=True),
    _col("signal_id", Text, null=True),
    _col("decision_id", Text, null=True),
    _col("status", Text),
    _col("created_ns", Int),
    _col("updated_ns", Int),
    _index("orders", "status", "status"),
    _index("orders", "instrument", "instrument", "created_ns"),
    _index("orders", "signal", "signal_id"),
)

executions = sa.Table(
    "executions",
    views_metadata,
    sa.Column("id", Key, primary_key=True),
    _col("venue", Text),
    _col("trade_id", Text),
    _col("ts_ns", Int),
    _col("order_id", Text),
    _col("position_id", Text),
    _col("account", Text),
    _col("strategy", Text),
    _col("instrument", Text),
    _col("side", Text),
    _col("quantity", Money),
    _col("price", Money),
    _col("fee", Money),
    _col("fee_currency", Text),
    _col("realised", Money),
    _col("liquidity", Text),
    _col("reason", Text),
    _index("executions", "order", "order_id"),
    _index("executions", "position", "position_id"),
)

trades = sa.Table(
    "trades",
    views_metadata,
    _key("position_id"),
    _col("account", Text),
    _col("strategy", Text),
    _col("instrument", Text),
    _col("side", Text),
    _col("quantity", Money),
    _col("entry_price", Money),
    _col("exit_price", Money),
    _col("leverage", Money),
    _col("opened_ns", Int),
    _col("closed_ns", Int),
    _col("reason", Text),
    _col("pnl", Money),
    _col("fees", Money),
    _col("funding", Money),
    _col("r", Real),
    _col("signal_id", Text, null=True),
    _col("excursion_worst", Real, null=True),
    _col("excursion_best", Real, null=True),
    _index("trades", "strategy", "strategy", "closed_ns"),
    _index("trades", "closed", "closed_ns"),
)

# What a social head has read; empty unless one runs.
tweets = sa.Table(
    "tweets",
    views_metadata,
    _key("id"),
    _col("ts_ns", Int),
    _col("author", Text),
    _col("text", Text),
    _col("token", Text, null=True),
    _col("score", Real, null=True),
    _col("signal_id", Text, null=True),
    _col("status", Text),
    _index("tweets", "ts", "ts_ns"),
    _index("tweets", "status", "status"),
)

strategy_deployments = sa.Table(
    "strategy_deployments",
    views_metadata,
    sa.Column("id", Key, primary_key=True),
    _col("strategy", Text),
    _col("head", Text),
    _col("config", Text),
    _col("engine_version", Text),
    _col("status", Text),
    _col("budget", Money, null=True),
    _col("deployed_ns", Int),
    _col("stopped_ns", Int, null=True),
    _col("actor", Text),
    _index("strategy_deployments", "strategy", "strategy"),
    _index("strategy_deployments", "status", "status"),
)

ledger = sa.Table(
    "ledger",
    views_metadata,
    _key("account"),
    _key("ts_ns", Int),
    _key("seq", Int),
    _key("leg", sa.Integer()),
    _col("currency", Text),
    _col("amount", Money),
    _col("kind", Text),
    _col("strategy", Text, null=True),
    _col("instrument", Text, null=True),
    _col("reference", Text, null=True),
    sqlite_with_rowid=False,
)

tokens = sa.Table(
    "tokens",
    views_metadata,
    _key("id"),
    _col("role", Text),
    _col("hash", Text),
    _col("created_ns", Int),
    _col("expires_ns", Int, null=True),
    _col("revoked_ns", Int, null=True),
    _col("last_used_ns", Int, null=True),
)

breaker_log = sa.Table(
    "breaker_log",
    views_metadata,
    _key("seq", Int),
    _key("leg", sa.Integer()),
    _col("ts_ns", Int),
    _col("event", Text),
    _col("condition", Text),
    _col("scope", Text),
    _col("value", Text),
    _col("limit_value", Text),
    _col("action", Text),
    _col("actor", Text, null=True),
    _col("reason", Text, null=True),
    _index("breaker_log", "ts", "ts_ns"),
    sqlite_with_rowid=False,
)

equity = sa.Table(
    "equity",
    views_metadata,
    _key("account"),
    _key("ts_ns", Int),
    _key("seq", Int),
    _col("equity", Money),
    _col("balance", Money),
    _col("unrealised", Money),
    _col("exposure", Money),
    _col("drawdown", Real),
    sqlite_with_rowid=False,
)

view_progress = sa.Table(
    "view_progress",
    views_metadata,
    _key("name"),
    _col("applied_seq", Int),
)
