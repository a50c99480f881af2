"""The head in the guide runs as it stands there."""

import re
from pathlib import Path

import pytest

from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.heads.lines import parse_signal
from cerberus_trader.replay.heads import drain, heads_on
from cerberus_trader.replay.lookahead import check_lookahead
from tests.unit.heads.worlds import bars, tape


def block(root: Path, language: str) -> str:
    text = (root / "docs" / "heads.md").read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.req("P-07.1", "P-07.2")
def test_the_head_in_the_guide(project_root: Path, tmp_path: Path) -> None:
    source = block(project_root, "python")
    assert len([line for line in source.splitlines() if line.strip()]) <= 20
    path = tmp_path / "cross.py"
    path.write_text(source)
    spec = find_head(str(path))
    tapes = [tape(bars(4_000, minutes=30))]
    signals = drain(heads_on(spec, {}, "cross", tapes)[0])
    assert len(signals) > 10
    assert {signal.side for signal in signals} == {"buy"}  # without an engine nothing is held
    report = check_lookahead(
        lambda cut: [s for one in heads_on(spec, {}, "cross", cut) for s in drain(one)],
        tapes, runs_max=5,
    )  # fmt: skip
    assert report.faults == ()


def test_the_line_in_the_guide(project_root: Path) -> None:
    assert parse_signal(block(project_root, "json").strip(), place="guide").source == "desk"
