"""A file of signals: broken lines are reported and the rest runs; a broken file is refused."""

import gzip
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.heads.lines import files, read_signals


def line(number: int, second: int, **more: str) -> str:
    extra = "".join(f',"{key}":{value}' for key, value in more.items())
    return (
        f'{{"id":"s{number}","ts_s":{1_700_000_000 + second},"instrument":"X","side":"buy",'
        f'"confidence":0.5,"source":"a"{extra}}}'
    )


@pytest.mark.req("P-25.1", "E-7.1.2")
def test_a_broken_line_in_the_middle_is_reported_and_the_rest_runs(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl"
    long = line(5, 0, metadata='"' + "x" * 70_000 + '"')
    rows = [line(1, 5), line(2, 1), '{"id":"s3",', "", line(4, 5), long, line(6, 9)]
    path.write_text("\ufeff" + "\r\n".join(rows))
    signals, refusals = read_signals(path)
    assert [signal.id for signal in signals] == ["s2", "s1", "s4", "s6"]  # time, then file order
    assert [error.place for error in refusals] == [f"{path}:3", f"{path}:6"]


def test_gzip_reads_the_same(tmp_path: Path) -> None:
    path = tmp_path / "s.jsonl.gz"
    data = gzip.compress("\n".join(line(i, i) for i in range(500)).encode())
    path.write_bytes(data)
    assert len(read_signals(path)[0]) == 500
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match="cut short"):
        read_signals(path)


@pytest.mark.parametrize("content", [b"", b"\n \n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(DataError, match="no line") as caught:
        read_signals(path)
    assert caught.value.place == str(path)


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_signals(tmp_path / "none.jsonl")
    with pytest.raises(DataError, match="cannot be read"):
        read_signals(tmp_path)


def test_refusals_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "REFUSALS_MAX", 3)
    path = tmp_path / "s.jsonl"
    path.write_text("x\n" * 10 + line(1, 1))
    signals, refusals = read_signals(path)
    assert len(signals) == 1
    assert len(refusals) == 4
    assert "7 more" in refusals[-1].message
