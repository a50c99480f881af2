"""Repeats of the suite: what failed is named, and one failure is enough."""

import subprocess
from pathlib import Path

import pytest

from scripts import repeats


def test_every_run_is_told_and_one_that_fails_counts() -> None:
    said: list[str] = []
    outputs = iter(
        [
            (0, "..\n2 passed in 1s\n"),
            (1, ".F\nE   no\nFAILED tests/x.py::y - no\n1 failed\n"),
            (4, ""),
        ]
    )

    def run(parts: list[str]) -> "subprocess.CompletedProcess[str]":
        assert parts[1:4] == ["-m", "pytest", "-q"] and parts[-1] in repeats.PATHS
        code, text = next(outputs)
        return subprocess.CompletedProcess(parts, code, text, "")

    assert repeats.repeat(3, 2, run, said.append) == 2
    assert [line.split("s  ")[-1] for line in said[:2]] == ["2 passed in 1s", "1 failed"]
    assert "E   no" in said[2] and "FAILED tests/x.py::y - no" in said[3]
    assert said[4].endswith("no output")
    assert said[-1].startswith("R20: 3 runs, 2 failed, ")


def test_every_part_is_there() -> None:
    root = Path(repeats.__file__).parents[1]
    assert all((root / path).is_dir() for path in repeats.PATHS)


@pytest.mark.parametrize("given", [["--times", "0"], ["--jobs", "0"]])
def test_numbers_without_sense_are_refused(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        repeats.main(given)
    assert left.value.code == 2 and "at least 1" in capsys.readouterr().err


@pytest.mark.parametrize(("failed", "code"), [(0, 0), (1, 1)])
def test_the_exit_code_tells_of_any_failure(
    failed: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        repeats, "_run", lambda parts: subprocess.CompletedProcess(parts, failed, "1 passed", "")
    )
    assert repeats.main(["--times", "1"]) == code
    assert f"1 runs, {failed} failed" in capsys.readouterr().out
