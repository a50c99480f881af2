"""The commands replay, demo, diff and bench: options, output, exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from cerberus_trader.control import commands_replay
from cerberus_trader.replay import bench, session
from tests.unit.replay.runs import LONG, SHORT, write_prices, write_signals


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    commands_replay.register(made)
    return made


def invoke(app: typer.Typer, *arguments: object) -> Result:
    return CliRunner().invoke(app, [str(item) for item in arguments])


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    prices, signals = write_prices(tmp_path), write_signals(tmp_path, [LONG, SHORT, "{"])
    return ("replay", "--prices", str(prices), "--signals", str(signals), "--profile", "research")


def test_json_prints_the_summary_and_nothing_else(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path
) -> None:
    done = invoke(app, *files, "--json", "--out", tmp_path / "run")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == json.loads((tmp_path / "run" / "summary.json").read_text())


def test_the_screen_shows_result_refusals_and_where_the_page_is(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = invoke(app, *files, "--out", tmp_path / "run")
    text = " ".join(done.stdout.split())
    assert done.exit_code == 0
    assert "final equity" in text and "refused" in text and "signals.jsonl:3" in text
    assert "report.html" in text


def test_bad_input_is_one_sentence_and_exit_code_2(app: typer.Typer, tmp_path: Path) -> None:
    done = invoke(app, "replay", "--prices", tmp_path / "DOGEUSDT.csv", "--head", "breakout")
    assert done.exit_code == 2 and "Traceback" not in done.output
    assert "there is no such file" in done.output and "Fix:" in done.output
    done = invoke(app, "replay", "--prices", tmp_path / "x.csv", "--head", "breakout", "--json")
    error = json.loads(done.stdout)["error"]
    assert error["code"] == "INSTRUMENT_UNKNOWN" and error["place"].endswith("x.csv")


def test_signals_of_which_none_can_be_read_are_bad_input_and_all_is_written(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path
) -> None:
    write_signals(tmp_path, ["", "{", '{"id": "a"}'])
    done = invoke(app, *files, "--out", tmp_path / "run")
    assert done.exit_code == 2 and (tmp_path / "run" / "summary.json").exists()
    assert "2 line(s) were refused" in done.output and "signals.jsonl:2" in done.output
    assert done.output.count("Fix:") >= 1
    done = invoke(app, *files, "--json")
    error = json.loads(done.stdout)["error"]
    assert done.exit_code == 2 and error["place"].endswith("signals.jsonl:2") and error["fix"]
    write_signals(tmp_path, ["{"] * 1_002)
    assert "more than 1,000 line(s)" in invoke(app, *files).output


def test_signals_that_are_read_and_denied_are_no_error(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path
) -> None:
    write_signals(tmp_path, [LONG | {"instrument": "NONE"}, "{"])
    done = invoke(app, *files, "--json")
    found = json.loads(done.stdout)
    assert done.exit_code == 0 and "error" not in found
    assert (found["approved"], found["refused"]) == (0, 1)


def test_a_faulty_configuration_names_every_key(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path
) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[risk]\npositions_mx = 3\ngroup_risk_max = 7\n")
    done = invoke(app, *files, "--config", config)
    assert done.exit_code == 2
    assert "positions_mx" in done.output and "group_risk_max" in done.output


def test_an_interrupt_is_130_and_leaves_nothing(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "simulate", stop)
    out = tmp_path / "out"
    done = invoke(app, *files, "--out", out / "run")
    assert done.exit_code == 130
    assert not out.exists() or not os.listdir(out)
    assert done.stderr == "interrupted; nothing was written\n"


def test_demo_writes_its_folder(app: typer.Typer, tmp_path: Path) -> None:
    done = invoke(app, "demo", "--out", tmp_path / "demo")
    assert done.exit_code == 0 and "Synthetic" in done.stdout
    assert "liquidations avoided" in done.stdout
    assert (tmp_path / "demo" / "report.html").stat().st_size > 1_000_000


def test_diff_tells_equal_runs_from_others(
    app: typer.Typer, files: tuple[str, ...], tmp_path: Path
) -> None:
    for name, more in (("a", ()), ("b", ("--reference",)), ("c", ("--close-at-end",))):
        assert invoke(app, *files, "--out", tmp_path / name, *more).exit_code == 0
    same = invoke(app, "diff", tmp_path / "a", tmp_path / "b")
    assert same.exit_code == 0 and "the same" in same.stdout
    other = invoke(app, "diff", tmp_path / "a", tmp_path / "c", "--json")
    assert other.exit_code == 1 and json.loads(other.stdout)["parted"]
    assert invoke(app, "diff", tmp_path, tmp_path).exit_code == 2


def test_bench_prints_what_it_measured(app: typer.Typer, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {"pyramid_seconds": 0.5, "decision": {"filled_us": 40.5}}
    monkeypatch.setattr(bench, "run", lambda quick: found | {"quick": quick})
    done = invoke(app, "bench", "--quick", "--json")
    assert json.loads(done.stdout) == {**found, "quick": True}
    text = invoke(app, "bench").stdout
    assert "filled us" in text and "40.5" in text


def test_a_reader_that_has_heard_enough_is_no_error(tmp_path: Path) -> None:
    script = "from cerberus_trader.control.main import main; main()"
    work = subprocess.Popen(
        [sys.executable, "-c", script, "config", "show"], cwd=tmp_path,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert work.stdout is not None and work.stderr is not None
    work.stdout.close()
    assert work.stderr.read() == b"" and work.wait(60) == 1
    work.stderr.close()
