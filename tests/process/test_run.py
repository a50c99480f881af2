"""The engine's process: started, traded with, killed, started again."""

import json
import signal
import stat
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.control.tokens import TokenStore
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.engine.state import state_hash
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from cerberus_trader.runtime import frames
from cerberus_trader.runtime.client import Refused, ask
from cerberus_trader.runtime.recover import recover
from tests.process.live import Live

pytestmark = pytest.mark.process

CONFIG = """
[sizing]
methods = ["risk"]
[logging]
form = "json"
[breaker]
cooldown_ms = 0
losses_max = 1
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "cerberus.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def engine(tmp_path: Path, config: Path) -> Iterator[Live]:
    live = Live(tmp_path, "--config", str(config))
    yield live
    if live.process.poll() is None:
        live.process.kill()
        live.finish()


@pytest.mark.req("C-19.1", "C-19.2", "C-14.1", "D-01.3", "E-6.3.2", "E-2.3.2")
def test_a_signal_becomes_a_protected_position_and_its_stop_closes_it(engine: Live) -> None:
    status = engine.up().open(1)
    (position,) = status["positions"]
    assert position["side"] == "long" and position["stop"] is not None
    resting = {order["kind"]: order["status"] for order in status["orders"]}
    assert resting == {"stop": "accepted"}
    engine.quote(str(float(position["stop"]) - 0.001))
    after = engine.wait(lambda s: not s["positions"])
    assert after["orders"] == []
    assert after["metrics"]["trades"] == 1 and after["metrics"]["failed_trades"] == 1
    assert float(after["account"]["balance"]) < 10_000
    assert engine.end(signal.SIGINT) == 0


@pytest.mark.req("D-05.3", "D-02.2")
def test_what_the_status_counts_is_what_the_journal_and_the_views_hold(engine: Live) -> None:
    engine.up().open(1)
    engine.signal(2)
    engine.signal(2)
    engine.send("{broken", '{"instrument": "NOPE", "price": 1}')
    metrics = {"signals": 2, "repeated": 1}

    def all_is_counted(status: dict[str, Any]) -> bool:
        found = status["metrics"]
        return sum(found["refused"].values()) == 2 and metrics.items() <= found.items()

    found = engine.wait(all_is_counted)["metrics"]
    assert (found["signals"], found["approved"], found["repeated"]) == (2, 1, 1)
    assert found["denied"] == {"POSITION_SAME_SIDE": 1}
    assert found["refused"] == {"PRICE_REFUSED": 1, "INSTRUMENT_UNKNOWN": 1}
    assert found["decision_times"]["count"] == 3
    assert sum(found["decision_times"]["histogram_us"].values()) == 3
    assert found["execution_latency"]["count"] == 1
    assert engine.end() == 0
    refused = [json.loads(x) for x in (engine.state / "refused.jsonl").read_text().splitlines()]
    assert [line["place"].split(":")[0] for line in refused] == ["stdin", "stdin"]
    with Views(engine.state) as views:
        assert [row.status for row in views.open_positions()] == ["open"]
        assert views.applied_seq() == verify(engine.state).last_seq


@pytest.mark.req("C-06.4", "E-6.1.3")
def test_killed_and_started_again_it_is_where_it_was(
    tmp_path: Path, engine: Live, config: Path
) -> None:
    folder = tmp_path / "signals"
    folder.mkdir()
    before = engine.up().open(1, trailing_pct=1)
    engine.quote("0.201")
    ask(engine.state, frames.Operate("halt", "test", "to see it survive"))
    engine.process.kill()
    engine.finish()
    (folder / "again.jsonl").write_text(
        json.dumps({"id": "s1", "ts_ns": time.time_ns(), "instrument": "DOGEUSDT",
                    "side": "buy", "confidence": 0.7, "source": "test"}) + "\n{broken\n"
    )  # fmt: skip
    again = Live(tmp_path, "--config", str(config), "--signals", str(folder)).up()
    after = again.wait(lambda s: s["metrics"]["repeated"] == 1 and s["metrics"]["refused"])
    for name in ("positions", "orders"):
        kept = [{k: v for k, v in x.items() if k not in ("mark", "unrealised_pnl")}
                for x in before[name]]  # fmt: skip
        found = [{k: v for k, v in x.items() if k not in ("mark", "unrealised_pnl")}
                 for x in after[name]]  # fmt: skip
        assert found == kept
    assert after["account"]["balance"] == before["account"]["balance"]
    assert after["trading"] == "halted"
    assert after["metrics"]["signals"] == 1
    # the stop that rested before the kill still acts
    again.quote(str(float(after["positions"][0]["stop"]) - 0.01))
    again.wait(lambda s: not s["positions"])
    assert again.end() == 0
    report = verify(again.state)
    assert report.ok, report.reasons
    assert redecide(again.state)["differences"] == 0


def test_a_snapshot_and_a_fold_give_the_state_that_the_engine_had(engine: Live) -> None:
    engine.up().open(1)
    assert engine.end() == 0
    reader = JournalReader(engine.state)
    snapshot = reader.restore().snapshot
    assert snapshot is not None and snapshot.seq == verify(engine.state).last_seq
    folded = recover(reader.restore()._replace(snapshot=None, rows=reader.verified_rows()))
    assert state_hash(folded) == snapshot.state_hash.hex()
    assert redecide(engine.state)["state_hash"] == snapshot.state_hash.hex()


@pytest.mark.req("C-06.3", "C-06.4")
def test_a_tripped_breaker_survives_and_opens_with_a_token_only(
    tmp_path: Path, engine: Live, config: Path
) -> None:
    status = engine.up().open(1)
    engine.quote(str(float(status["positions"][0]["stop"]) - 0.002))
    engine.wait(lambda s: "losses" in s["breaker"])
    engine.process.kill()
    engine.finish()
    again = Live(tmp_path, "--config", str(config)).up()
    assert "losses" in again.wait(lambda s: True)["breaker"]
    store = TokenStore(again.state)
    text, _ = store.create("admin", scope="reset", now_ns=time.time_ns())
    viewer, _ = store.create("viewer", now_ns=time.time_ns())
    for wrong in ("", "cbt_00000000_x", viewer):
        with pytest.raises(Refused):
            ask(again.state, frames.Authorise("reset_breaker", wrong, "test", "looked at it"))
    assert "losses" in again.wait(lambda s: True)["breaker"]
    found = ask(again.state, frames.Authorise("reset_breaker", text, "test", "looked at it"))
    assert found["facts"] == ["reset"]
    assert again.wait(lambda s: True)["breaker"] == {}
    with pytest.raises(Refused, match="used"):
        ask(again.state, frames.Authorise("reset_breaker", text, "test", "once more"))
    row = next(JournalReader(again.state).rows(found["row"] - 1, found["row"]))
    assert text.encode() not in row.body
    assert again.end() == 0


def test_money_given_again_after_a_kill_counts_once(
    tmp_path: Path, engine: Live, config: Path
) -> None:
    def deposit(live: Live, name: str) -> dict[str, Any]:
        token, _ = TokenStore(live.state).create("admin", scope="reset", now_ns=time.time_ns())
        request = frames.Authorise("deposit", token, "test", "more", Decimal(5), command_id=name)
        return ask(live.state, request)

    before = Decimal(engine.up().wait(lambda s: True)["account"]["balance"])
    assert deposit(engine, "a1")["facts"] == ["cash"]
    engine.process.kill()
    engine.finish()
    again = Live(tmp_path, "--config", str(config)).up()
    assert deposit(again, "a1")["facts"] == ["repeated"]
    assert deposit(again, "a2")["facts"] == ["cash"]
    assert Decimal(again.wait(lambda s: True)["account"]["balance"]) == before + 10
    assert again.end() == 0
    assert redecide(again.state)["differences"] == 0


def test_the_socket_is_its_owners_and_a_second_engine_is_refused(
    tmp_path: Path, engine: Live, config: Path
) -> None:
    engine.up()
    assert stat.S_IMODE((engine.state / "control.sock").stat().st_mode) == 0o600
    second = Live(tmp_path, "--config", str(config))
    assert second.finish() == 3
    assert "in use by process" in engine.log.read_text()
    assert engine.status() is not None
    assert engine.end() == 0
    assert not (engine.state / "control.sock").exists()


@pytest.mark.req("E-11.2.3")
def test_what_an_account_holds_is_nobody_else_s_to_read(engine: Live) -> None:
    engine.up()
    engine.open(1)
    found = [engine.state, *engine.state.rglob("*")]
    assert {path.name for path in found} >= {"journal.db", "views.db", "anchor"}
    assert [path for path in found if path.exists() and path.stat().st_mode & 0o077] == []
    assert engine.end() == 0


@pytest.mark.req("P-02.3")
def test_a_changed_configuration_is_one_event_and_a_bad_one_changes_nothing(
    engine: Live, config: Path
) -> None:
    before = engine.up().wait(lambda s: True)
    config.write_text(CONFIG + "[risk]\npositions_maxx = 1\n")
    refused = engine.wait(lambda s: s["metrics"]["config_refused"] == 1, "a refusal")
    assert refused["config"] == before["config"]
    config.write_text(CONFIG + '[journal]\ndurability = "process"\n')
    refused = engine.wait(lambda s: s["metrics"]["config_refused"] == 2, "a cold refusal")
    assert refused["config"] == before["config"]
    config.write_text(CONFIG + "[risk]\npositions_max = 1\n")
    after = engine.wait(lambda s: s["config"] != before["config"], "a new configuration")
    row = next(JournalReader(engine.state).rows(after["row"] - 1, after["row"]))
    event = decode_row(row.body).event
    assert isinstance(event, ConfigEvent) and event.settings.risk.positions_max == 1
    assert engine.end() == 0
    alerts = [line for line in engine.lines() if line.get("alert")]
    assert any("positions_maxx" in json.dumps(line, ensure_ascii=False) for line in alerts)


def test_an_instrument_with_an_open_position_cannot_leave_the_configuration(
    tmp_path: Path, config: Path
) -> None:
    mine = "[instruments.MYUSDT]\ntick = 0.001\nlot = 1\ntiers = [[0, 99999, 0.01, 50, 0]]\n"
    (tmp_path / "mine.toml").write_text(mine)
    config.write_text('instruments = ["mine.toml"]\n' + CONFIG)
    engine = Live(tmp_path, "--config", str(config)).up()
    held = engine.open(1, instrument="MYUSDT")
    config.write_text(CONFIG)
    kept = engine.wait(lambda s: s["metrics"]["config_refused"] == 1, "a refusal")
    assert kept["config"] == held["config"]
    engine.process.kill()
    engine.finish()
    before = len(engine.log.read_text())
    again = Live(tmp_path, "--config", str(config))
    assert again.finish() == 2
    assert "MYUSDT has an open position" in again.log.read_text()[before:]


@pytest.mark.req("C-08.5", "E-3.2.1")
def test_positions_are_checked_on_a_timer_and_silence_is_seen(tmp_path: Path) -> None:
    config = tmp_path / "fast.toml"
    config.write_text(
        '[health]\ninterval_ms = 100\nsilence_ms_max = 1500\n[sizing]\nmethods = ["risk"]\n'
    )
    engine = Live(tmp_path, "--config", str(config)).up()
    engine.open(1)
    stale = engine.wait(lambda s: s["positions"] and s["positions"][0]["stale"], "silence")
    engine.wait(lambda s: not s["positions"][0]["stale"] or engine.quote("0.2"), "a fresh price")
    kinds = [row.kind for row in JournalReader(engine.state).rows()]
    assert kinds.count("timer") >= 3 and "level" in kinds
    assert stale["positions"][0]["health"] == "ok"
    assert engine.end() == 0


def test_a_head_that_only_a_replay_runs_is_told_of_at_the_start(
    engine: Live, tmp_path: Path, config: Path
) -> None:
    engine.up().end()
    assert not [line for line in engine.lines() if line.get("alert")]
    config.write_text(CONFIG + '[strategies.trend]\nhead = "breakout"\n')
    again = Live(tmp_path, "--config", str(config)).up()
    assert again.end() == 0
    (alert,) = [line for line in again.lines() if line.get("alert")]
    assert (alert["strategy"], alert["head"]) == ("trend", "breakout")
    assert "does not run here" in alert["event"]


@pytest.mark.req("P-06.2")
def test_the_log_is_json_with_correlation(engine: Live) -> None:
    engine.up().open(1)
    assert engine.end() == 0
    lines = engine.lines()
    traced = [line for line in lines if line.get("trace_id") == "s1"]
    assert [line["event"] for line in traced][:3] == ["judged", "submitted", "filled"]
    assert all({"time", "level", "event"} <= set(line) for line in lines)
