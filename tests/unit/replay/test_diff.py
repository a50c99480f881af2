"""Two runs are compared: the same, other configurations, other signals, other prices."""

import dataclasses
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.journal.retention import Policy
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.replay.diff import diff_runs, sentences, to_dict
from cerberus_trader.replay.inputs import ReplayRequest
from cerberus_trader.replay.session import run_replay
from cerberus_trader.runtime.prune import prune
from tests.days import write_days
from tests.unit.replay.runs import BARS, LONG, SHORT, signal, write_prices, write_signals

ASK = signal(1, 5, "buy", stop_loss_pct=2)


def run(folder: Path, name: str, **change: object) -> Path:
    (folder / name).mkdir()
    bars = change.pop("bars", BARS)
    lines = change.pop("signals", [ASK, SHORT])
    base = ReplayRequest(
        (write_prices(folder / name, bars),),  # type: ignore[arg-type]
        write_signals(folder / name, lines),  # type: ignore[arg-type]
        out=folder / name / "out",
    )
    run_replay(dataclasses.replace(base, **change))  # type: ignore[arg-type]
    return folder / name / "out"


def config(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text)
    return path


def test_equal_runs_are_the_same(tmp_path: Path) -> None:
    found = diff_runs(run(tmp_path, "a"), run(tmp_path, "b", reference=True))
    assert found.same and "The runs are the same" in sentences(found, "a", "b")[0]


def test_a_tighter_limit_is_named_with_what_it_changed(tmp_path: Path) -> None:
    other = config(tmp_path, "[leverage]\ncap = 3\n[sizing]\nmethods = ['balance']\n")
    found = diff_runs(run(tmp_path, "a"), run(tmp_path, "b", config=other))
    keys = {change.name: (change.a, change.b) for change in found.config}
    assert keys == {
        "leverage.cap": ("10", "3"), "sizing.methods": ("[risk, volatility]", "[balance]"),
    }  # fmt: skip
    assert found.decision_at.startswith("signal s1, DOGEUSDT buy")
    names = [change.name for change in found.decision]
    assert "leverage caps config" in names and "config" not in names
    assert found.parted.startswith("event 2: signal s1")


def test_another_verdict_names_the_check_that_failed(tmp_path: Path) -> None:
    settled = signal(1, 5, "buy", stop_loss_pct=2, quantity=1000)
    other = config(tmp_path, "[risk]\npositions_max = 0\n")
    common = {"signals": [settled], "profile": None}
    wide = tmp_path / "wide.toml"
    wide.write_text("[sizing]\nmethods = ['risk']\n")
    a = run(tmp_path, "a", config=wide, **common)
    other.write_text(other.read_text() + wide.read_text())
    b = run(tmp_path, "b", config=other, **common)
    found = diff_runs(a, b)
    changes = {change.name: (change.a, change.b) for change in found.decision}
    assert changes["verdict"] == ("approved", "denied")
    assert changes["code"] == ("", "POSITIONS_MAX")
    assert changes["check POSITIONS_MAX"] == ("1", "1 (failed)")
    assert found.fill_at.startswith("fill 1, DOGEUSDT entry")
    text = "\n".join(sentences(found, "a", "b"))
    assert "risk.positions_max: 3 against 0" in text and "First judged differently" in text


def test_other_prices_part_at_the_first_fill(tmp_path: Path) -> None:
    bars = list(BARS)
    bars[2] = ("0.10090", "0.10600", "0.10050", "0.10550")
    given = {"signals": [LONG], "profile": "research"}
    found = diff_runs(run(tmp_path, "a", **given), run(tmp_path, "b", bars=bars, **given))
    assert not found.config and not found.decision
    assert found.parted.startswith("event 3: fill DOGEUSDT")
    assert found.fill_at.startswith("fill 1")
    assert {change.name for change in found.fill} == {"price", "fee"}


def test_a_signal_more_is_seen(tmp_path: Path) -> None:
    found = diff_runs(run(tmp_path, "a", signals=[ASK]), run(tmp_path, "b"))
    assert found.decision_at == "signal s2"
    assert found.decision[0] == ("judged", "not at all", "denied")
    assert to_dict(found)["decision"]["at"] == "signal s2" and not to_dict(found)["same"]


def test_a_folder_without_a_journal_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no journal"):
        diff_runs(tmp_path, tmp_path)


@pytest.mark.parametrize("pruned", [True, False])
def test_a_journal_without_a_configuration_says_whether_retention_took_it(
    tmp_path: Path, pruned: bool
) -> None:
    folder = tmp_path / "days"
    write_days(folder, 6)
    if pruned:
        keep = Policy(days=3, disk_bytes=0, audit_days=0, segment_rows=100)
        assert prune(folder, keep, "anna").segments_deleted
    else:
        folder = tmp_path / "empty"
        SqliteJournal(folder).close()
    with pytest.raises(DataError, match="no configuration") as caught:
        diff_runs(folder, folder)
    assert ("retention has deleted" in str(caught.value)) is pruned
    assert "cerberus replay --out" in caught.value.fix
