"""The collector keeps what results need, and hands every row on."""

from pathlib import Path

from cerberus_trader.domain.money import ZERO
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from cerberus_trader.replay.inputs import ReplayRequest
from cerberus_trader.replay.session import run_replay
from tests.unit.replay.runs import LONG, SHORT, write_prices, write_signals


def test_steps_sum_to_the_state_and_the_journal_verifies(tmp_path: Path) -> None:
    prices, lines = write_prices(tmp_path), write_signals(tmp_path, [LONG, SHORT])
    out = tmp_path / "run"
    result = run_replay(ReplayRequest((prices,), lines, profile="research", out=out))
    steps, state = result.collector.steps, result.state
    assert sum((step.cash for step in steps), ZERO) == state.balance - 10000
    open_ = state.exposures["DOGEUSDT"]
    assert sum((step.net for step in steps), ZERO) == open_.long - open_.short
    assert sum((step.cost for step in steps), ZERO) == open_.cost
    rows = list(JournalReader(out).verified_rows())
    kinds = [row.kind for row in rows]
    assert kinds == ["config", "signal", "fill", "fill", "signal", "fill", "end"]
    assert verify(out).rows == len(rows)
