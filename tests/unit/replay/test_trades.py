"""Trade records, summary and documents of one run, against values known by hand."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from cerberus_trader.replay.explained import explained_lines
from cerberus_trader.replay.inputs import ReplayRequest
from cerberus_trader.replay.session import ReplayResult, run_replay
from cerberus_trader.replay.summary import FORMAT, rounded
from tests.unit.replay.runs import LONG, SHORT, ns, write_prices, write_signals

D = Decimal


@pytest.fixture
def result(tmp_path: Path) -> ReplayResult:
    prices, lines = write_prices(tmp_path), write_signals(tmp_path, [LONG, SHORT])
    return run_replay(ReplayRequest((prices,), lines, profile="research", close_at_end=True))


def test_records_hold_levels_and_excursions(result: ReplayResult) -> None:
    long, short = result.trades
    assert (long.stop, long.take_profit) == (D("0.09882"), D("0.10487"))
    assert long.liquidation is not None and D("0.067") < long.liquidation < D("0.068")
    # in and out within one bar: nothing but the exit is known
    assert (long.worst, long.best) == (0.0, pytest.approx(0.00401 / 0.10083))
    # short at 0.10317 from 00:20 to 00:30: the bars reach 0.10330 and 0.09800
    assert short.worst == pytest.approx(-0.00013 / 0.10317)
    assert short.best == pytest.approx(0.00517 / 0.10317)
    risk = D("0.10320") * 1000 * (D("0.03") + 2 * D("0.0005"))
    assert short.best_r == pytest.approx(5.17 / float(risk), rel=0.1)


def test_the_summary_counts_and_names(result: ReplayResult) -> None:
    found = result.summary
    assert found["format"] == FORMAT and found["config"] == result.loaded.hash
    assert (found["ticks"], found["signals"], found["approved"], found["orders"]) == (6, 2, 2, 3)
    assert found["start_ns"] == ns(0) and found["end_ns"] == ns(30)
    assert found["exposure_time"] == pytest.approx(15 / 30, abs=1e-6)
    assert found["buy_and_hold"] == pytest.approx(0.0989 / 0.1 - 1)
    assert found["sharpe"] is None  # one day only
    assert found["profit_factor"] is None  # nothing lost
    assert found["expectancy"] == pytest.approx(
        float(sum(record.trade.pnl for record in result.trades)) / 2
    )
    assert D(found["final_equity"]) == result.state.balance
    assert rounded(1 / 3) == 0.333333333 and rounded(None) is None


def test_drawdown_is_seen_between_events(result: ReplayResult) -> None:
    falls = result.summary["max_drawdown"]
    assert 0 < falls < 0.001
    peak, trough = result.summary["max_drawdown_peak_ns"], result.summary["max_drawdown_trough_ns"]
    assert ns(0) <= peak < trough <= ns(30)


def test_documents_join_signal_checks_and_order(result: ReplayResult) -> None:
    first = json.loads(next(explained_lines(result)))
    assert first["signal"]["id"] == "s1" and first["signal"]["stop_loss_pct"] == 2
    decision = first["decision"]
    assert decision["verdict"] == "approved" and "1000" in decision["sentence"]
    assert any(row["code"] == "SPREAD_WIDE" for row in decision["checks"])
