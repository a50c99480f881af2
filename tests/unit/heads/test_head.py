"""The head `file` gives its lines at their own times, whatever the prices do."""

from pathlib import Path

import msgspec
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.heads.lines import read_signals
from cerberus_trader.heads.lines.head import FileConfig, FileHead
from cerberus_trader.replay.heads import drain, heads_on
from tests.unit.heads.worlds import START, bars, tape


@pytest.fixture
def path(tmp_path: Path) -> Path:
    rows = [(7, "XUSDT"), (3, "XUSDT"), (3, "OTHER"), (3, "XUSDT"), (10**9, "XUSDT")]
    lines = [
        f'{{"id":"s{i}","ts_ns":{START + t * 10**9},"instrument":"{name}","side":"buy",'
        f'"confidence":0.5,"source":"desk"}}'
        for i, (t, name) in enumerate(rows)
    ]
    made = tmp_path / "s.jsonl"
    made.write_text("\n".join([*lines, "broken"]))
    return made


@pytest.mark.req("P-25.1", "C-03.5")
def test_lines_come_at_their_times_for_their_instrument(path: Path) -> None:
    [run] = heads_on(find_head("file"), {"path": str(path)}, "f", [tape(bars(20))])
    signals = drain(run)
    assert [signal.id for signal in signals] == ["s1", "s3", "s0", "s4"]
    assert signals == [s for s in read_signals(path)[0] if s.instrument == "XUSDT"]
    assert len(run.run.head.refusals) == 1


def test_a_file_that_became_shorter_is_refused(path: Path) -> None:
    head = FileHead(FileConfig(str(path)))
    head.load(msgspec.msgpack.encode(5))
    assert head.next_ns(-1) is None
    with pytest.raises(DataError, match="shorter"):
        head.load(msgspec.msgpack.encode(6))


def test_the_path_is_asked_for() -> None:
    with pytest.raises(DataError, match="path"):
        find_head("file").configure({})
