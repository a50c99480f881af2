"""Rows of every view table, as a trade would make them."""

import pytest

from cerberus_trader.journal import view_rows as r


def rows_of_a_trade() -> list[tuple[int, r.ViewRow]]:
    """A signal, its decision, an entry with its stop, two fills, and the closed trade."""
    entry = r.OrderRow(
        "o1", "acc", "trend", "DOGEUSDT", "buy", "market", "entry", "100", "0", None, "5", 0,
        None, "s1", "d1", "submitted", 10, 10,
    )  # fmt: skip
    stop = entry._replace(id="o1s", side="sell", kind="stop", reason="stop_loss", price="0.19")
    opened = r.PositionRow("o1", "DOGEUSDT", "long", 100.0, 5, 0.2, 0.2, 0.0, 0.16, "open", 11)
    fill = r.ExecutionRow(
        2_000, "paper", "t1", 11, "o1", "o1", "acc", "trend", "DOGEUSDT", "buy", "100", "0.2",
        "0.01", "USDT", "0", "taker", "entry",
    )  # fmt: skip
    return [
        (1, r.SignalRow(1, 10, "trend", "DOGEUSDT", "high", 0.2, 5.0, '{"id": "s1"}')),
        (1, r.DecisionRow(1, "hash1", '{"analysis": 1}', 10, 70)),
        (1, r.DecisionLogRow(1, "d1", 10, "s1", "trend", "DOGEUSDT", "approved", "", "Yes",
                             b"[]")),
        (1, entry),
        (1, stop),
        (2, fill),
        (2, r.OrderStatusRow("filled", "100", 11, "o1")),
        (2, opened),
        (2, r.LedgerRow("acc", 11, 2, 0, "USDT", "-0.01", "fee", "trend", "DOGEUSDT", "t1")),
        (2, r.EquityRow("acc", 11, 2, "999.99", "999.99", "0", "20", 0.00001)),
        (3, fill._replace(id=3_000, trade_id="t2", ts_ns=30, order_id="o1s", side="sell",
                          price="0.25", realised="5", reason="stop_loss")),
        (3, opened._replace(status="closed", closed_at=30, size=0.0)),
        (3, r.TradeRow("o1", "acc", "trend", "DOGEUSDT", "long", "100", "0.2", "0.25", "5", 11, 30,
                       "stop_loss", "4.98", "0.02", "0", 5.0, "s1")),
        (3, r.EquityRow("acc", 30, 3, "1004.98", "1004.98", "0", "0", 0.0)),
        (4, r.MetricRow(4, 40, "decision_us", 12.5, '{"n": 1}')),
        (4, r.BreakerRow(4, 0, 40, "tripped", "day_loss", "all", "-0.05", "-0.04", "flatten")),
        (4, r.TokenRow("k1", "admin", "ab" * 32, 40, 100)),
        (4, r.DeploymentRow(4, "trend", "breakout", "c0", "0.1", "active", "1000", 40, None,
                            "ops")),
        (4, r.TweetRow("w1", 40, "someone", "to the moon", "DOGE", 0.4, "s1", "scored")),
    ]  # fmt: skip


@pytest.fixture
def trade_rows() -> list[tuple[int, r.ViewRow]]:
    """The rows of one trade."""
    return rows_of_a_trade()
