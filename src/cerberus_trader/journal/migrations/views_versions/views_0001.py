"""Create the views file's tables."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "views_0001"
down_revision = None
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MONEY = sa.Numeric(38, 18).with_variant(sa.Text(), "sqlite")
REAL: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
TEXT = sa.Text()
BLOB = sa.LargeBinary()
SMALL = sa.Integer()
TABLES = (
    "breaker_log",
    "decision_log",
    "decisions",
    "equity",
    "executions",
    "ledger",
    "metrics",
    "orders",
    "positions",
    "signals",
    "strategy_deployments",
    "tokens",
    "trades",
    "tweets",
    "view_progress",
)


def _breaker_log() -> None:
    op.create_table(
        "breaker_log",
        sa.Column("seq", INT, nullable=False),
        sa.Column("leg", SMALL, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("event", TEXT, nullable=False),
        sa.Column("condition", TEXT, nullable=False),
        sa.Column("scope", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.Column("limit_value", TEXT, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("actor", TEXT, nullable=True),
        sa.Column("reason", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("seq", "leg", name=op.f("pk_breaker_log")),
        sqlite_with_rowid=False,
    )
    op.create_index("idx_breaker_log_ts", "breaker_log", ["ts_ns"])


def _decision_log() -> None:
    op.create_table(
        "decision_log",
        sa.Column("seq", INT, nullable=False),
        sa.Column("id", TEXT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("signal_id", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("code", TEXT, nullable=False),
        sa.Column("sentence", TEXT, nullable=False),
        sa.Column("document", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_decision_log")),
    )
    op.create_index("idx_decision_log_signal", "decision_log", ["signal_id"])


def _decisions() -> None:
    op.create_table(
        "decisions",
        sa.Column("id", INT, nullable=False),
        sa.Column("signal_hash", TEXT, nullable=False),
        sa.Column("decision", JSON, nullable=False),
        sa.Column("created_at", INT, nullable=False),
        sa.Column("expires_at", INT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_decisions")),
    )
    op.create_index("idx_decisions_expires", "decisions", ["expires_at"])
    op.create_index("idx_decisions_hash", "decisions", ["signal_hash"], unique=True)


def _equity() -> None:
    op.create_table(
        "equity",
        sa.Column("account", TEXT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("equity", MONEY, nullable=False),
        sa.Column("balance", MONEY, nullable=False),
        sa.Column("unrealised", MONEY, nullable=False),
        sa.Column("exposure", MONEY, nullable=False),
        sa.Column("drawdown", REAL, nullable=False),
        sa.PrimaryKeyConstraint("account", "ts_ns", "seq", name=op.f("pk_equity")),
        sqlite_with_rowid=False,
    )


def _executions() -> None:
    op.create_table(
        "executions",
        sa.Column("id", INT, nullable=False),
        sa.Column("venue", TEXT, nullable=False),
        sa.Column("trade_id", TEXT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("order_id", TEXT, nullable=False),
        sa.Column("position_id", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("quantity", MONEY, nullable=False),
        sa.Column("price", MONEY, nullable=False),
        sa.Column("fee", MONEY, nullable=False),
        sa.Column("fee_currency", TEXT, nullable=False),
        sa.Column("realised", MONEY, nullable=False),
        sa.Column("liquidity", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_executions")),
    )
    op.create_index("idx_executions_order", "executions", ["order_id"])
    op.create_index("idx_executions_position", "executions", ["position_id"])


def _ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("account", TEXT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("leg", SMALL, nullable=False),
        sa.Column("currency", TEXT, nullable=False),
        sa.Column("amount", MONEY, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=True),
        sa.Column("instrument", TEXT, nullable=True),
        sa.Column("reference", TEXT, nullable=True),
        sa.PrimaryKeyConstraint("account", "ts_ns", "seq", "leg", name=op.f("pk_ledger")),
        sqlite_with_rowid=False,
    )


def _metrics() -> None:
    op.create_table(
        "metrics",
        sa.Column("id", INT, nullable=False),
        sa.Column("timestamp", INT, nullable=False),
        sa.Column("metric_name", TEXT, nullable=False),
        sa.Column("metric_value", REAL, nullable=False),
        sa.Column("metadata", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_metrics")),
    )
    op.create_index("idx_metrics_name", "metrics", ["metric_name"])
    op.create_index("idx_metrics_timestamp", "metrics", ["timestamp"])


def _orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("quantity", MONEY, nullable=False),
        sa.Column("filled", MONEY, nullable=False),
        sa.Column("price", MONEY, nullable=True),
        sa.Column("leverage", MONEY, nullable=False),
        sa.Column("reduce_only", SMALL, nullable=False),
        sa.Column("closes", TEXT, nullable=True),
        sa.Column("signal_id", TEXT, nullable=True),
        sa.Column("decision_id", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("created_ns", INT, nullable=False),
        sa.Column("updated_ns", INT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_orders")),
    )
    op.create_index("idx_orders_instrument", "orders", ["instrument", "created_ns"])
    op.create_index("idx_orders_signal", "orders", ["signal_id"])
    op.create_index("idx_orders_status", "orders", ["status"])


def _positions() -> None:
    op.create_table(
        "positions",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("size", REAL, nullable=False),
        sa.Column("leverage", SMALL, nullable=False),
        sa.Column("entry_price", REAL, nullable=False),
        sa.Column("current_price", REAL, nullable=True),
        sa.Column("pnl", REAL, nullable=True),
        sa.Column("liquidation_price", REAL, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("opened_at", INT, nullable=False),
        sa.Column("closed_at", INT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_positions")),
    )
    op.create_index("idx_positions_status", "positions", ["status"])
    op.create_index("idx_positions_token", "positions", ["token"])


def _signals() -> None:
    op.create_table(
        "signals",
        sa.Column("id", INT, nullable=False),
        sa.Column("timestamp", INT, nullable=False),
        sa.Column("source", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=False),
        sa.Column("confidence", TEXT, nullable=False),
        sa.Column("price", REAL, nullable=False),
        sa.Column("volume", REAL, nullable=False),
        sa.Column("data", JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_signals")),
    )
    op.create_index("idx_signals_source", "signals", ["source"])
    op.create_index("idx_signals_timestamp", "signals", ["timestamp"])
    op.create_index("idx_signals_token", "signals", ["token"])


def _strategy_deployments() -> None:
    op.create_table(
        "strategy_deployments",
        sa.Column("id", INT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("head", TEXT, nullable=False),
        sa.Column("config", TEXT, nullable=False),
        sa.Column("engine_version", TEXT, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("budget", MONEY, nullable=True),
        sa.Column("deployed_ns", INT, nullable=False),
        sa.Column("stopped_ns", INT, nullable=True),
        sa.Column("actor", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_strategy_deployments")),
    )
    op.create_index("idx_strategy_deployments_status", "strategy_deployments", ["status"])
    op.create_index("idx_strategy_deployments_strategy", "strategy_deployments", ["strategy"])


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("role", TEXT, nullable=False),
        sa.Column("hash", TEXT, nullable=False),
        sa.Column("created_ns", INT, nullable=False),
        sa.Column("expires_ns", INT, nullable=True),
        sa.Column("revoked_ns", INT, nullable=True),
        sa.Column("last_used_ns", INT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tokens")),
    )


def _trades() -> None:
    op.create_table(
        "trades",
        sa.Column("position_id", TEXT, nullable=False),
        sa.Column("account", TEXT, nullable=False),
        sa.Column("strategy", TEXT, nullable=False),
        sa.Column("instrument", TEXT, nullable=False),
        sa.Column("side", TEXT, nullable=False),
        sa.Column("quantity", MONEY, nullable=False),
        sa.Column("entry_price", MONEY, nullable=False),
        sa.Column("exit_price", MONEY, nullable=False),
        sa.Column("leverage", MONEY, nullable=False),
        sa.Column("opened_ns", INT, nullable=False),
        sa.Column("closed_ns", INT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("pnl", MONEY, nullable=False),
        sa.Column("fees", MONEY, nullable=False),
        sa.Column("funding", MONEY, nullable=False),
        sa.Column("r", REAL, nullable=False),
        sa.Column("signal_id", TEXT, nullable=True),
        sa.Column("excursion_worst", REAL, nullable=True),
        sa.Column("excursion_best", REAL, nullable=True),
        sa.PrimaryKeyConstraint("position_id", name=op.f("pk_trades")),
    )
    op.create_index("idx_trades_closed", "trades", ["closed_ns"])
    op.create_index("idx_trades_strategy", "trades", ["strategy", "closed_ns"])


def _tweets() -> None:
    op.create_table(
        "tweets",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("author", TEXT, nullable=False),
        sa.Column("text", TEXT, nullable=False),
        sa.Column("token", TEXT, nullable=True),
        sa.Column("score", REAL, nullable=True),
        sa.Column("signal_id", TEXT, nullable=True),
        sa.Column("status", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tweets")),
    )
    op.create_index("idx_tweets_status", "tweets", ["status"])
    op.create_index("idx_tweets_ts", "tweets", ["ts_ns"])


def _view_progress() -> None:
    op.create_table(
        "view_progress",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("applied_seq", INT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_view_progress")),
    )


def upgrade() -> None:
    """Move to this revision."""
    _breaker_log()
    _decision_log()
    _decisions()
    _equity()
    _executions()
    _ledger()
    _metrics()
    _orders()
    _positions()
    _signals()
    _strategy_deployments()
    _tokens()
    _trades()
    _tweets()
    _view_progress()
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA user_version = 2")


def downgrade() -> None:
    """Move back."""
    for name in reversed(TABLES):
        op.drop_table(name)
