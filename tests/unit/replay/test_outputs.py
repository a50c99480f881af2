"""The folder of a run appears whole or not at all, and never in the place of anything else."""

import json
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.replay.outputs import SUMMARY, check_target, is_run, staged
from cerberus_trader.replay.summary import FORMAT


def fill(folder: Path, text: str) -> None:
    (folder / SUMMARY).write_text(json.dumps({"format": FORMAT, "text": text}))


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "run"
    with staged(out) as folder:
        fill(folder, "first")
        assert not out.exists()
    assert is_run(out) and [path.name for path in out.parent.iterdir()] == ["run"]


def test_a_former_run_is_replaced_whole(tmp_path: Path) -> None:
    out = tmp_path / "run"
    for text in ("first", "second"):
        with staged(out) as folder:
            fill(folder, text)
            if text == "first":
                (folder / "only-first").touch()
    assert json.loads((out / SUMMARY).read_text())["text"] == "second"
    assert [path.name for path in out.iterdir()] == [SUMMARY]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("broken")])
def test_a_failed_run_leaves_everything_as_it_was(tmp_path: Path, error: BaseException) -> None:
    out = tmp_path / "run"
    with staged(out) as folder:
        fill(folder, "former")
    with pytest.raises(type(error)), staged(out) as folder:
        fill(folder, "half")
        raise error
    assert json.loads((out / SUMMARY).read_text())["text"] == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_only_an_empty_folder_or_a_former_run_is_taken(tmp_path: Path) -> None:
    check_target(tmp_path / "new")
    check_target(tmp_path)
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DataError, match="no former run"):
        check_target(file)
    with pytest.raises(DataError, match="no former run"):
        check_target(tmp_path)
    (tmp_path / SUMMARY).write_text('{"format": "something else"}')
    with pytest.raises(DataError, match="no former run"):
        check_target(tmp_path)
