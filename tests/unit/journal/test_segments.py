"""Segments: written once, read back whole or in parts, damage always found."""

import random
import zlib
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import segments
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.segments import (
    VERSION,
    Footer,
    Written,
    digest_of,
    path_of,
    read_segment,
    write_segment,
)

FOOTER = Footer(VERSION, "rows", "main", "engine", 1, 40, 0)


def made(count: int = 40, size: int = 50) -> list[Row]:
    draw = random.Random(7)
    journal = MemoryJournal()
    for number in range(count):
        journal.append(number, f"kind{number % 3}", draw.randbytes(size))
    return list(journal.rows())


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make blocks of a few rows."""
    monkeypatch.setattr(segments, "BLOCK_BYTES", 500)


def written(folder: Path, rows: list[Row]) -> tuple[Path, Written]:
    path = path_of(folder, 1, len(rows))
    return path, write_segment(path, rows, FOOTER)


@pytest.mark.usefixtures("small")
def test_rows_come_back_and_any_part_of_them(tmp_path: Path) -> None:
    rows = made()
    path, found = written(tmp_path, rows)
    assert found == (path.stat().st_size, digest_of(path), 40)
    assert list(read_segment(path, "main")) == rows
    for after, through in ((0, 1), (0, 7), (5, 6), (11, 40), (39, 40), (40, 99), (12, 12)):
        part = list(read_segment(path, "main", after, through))
        assert part == rows[after:through], (after, through)
    assert [item.name for item in path.parent.iterdir()] == ["1-40.seg"]


def test_text_shrinks(tmp_path: Path) -> None:
    body = b'{"kind":"signal","instrument":"DOGEUSDT","values":[1,2,3]}' * 20
    journal = MemoryJournal()
    for number in range(500):
        journal.append(number, "signal", body)
    _, found = written(tmp_path, list(journal.rows()))
    assert found.size < 500 * len(body) / 10


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    assert written(tmp_path, made())[1].digest == written(tmp_path, made())[1].digest


@pytest.mark.usefixtures("small")
def test_every_cut_and_every_flipped_bit_is_found(tmp_path: Path) -> None:
    rows = made(8)
    path, found = written(tmp_path, rows)
    whole = path.read_bytes()
    for at in range(len(whole)):
        for data in (whole[:at], flipped(whole, at, at % 8)):
            path.write_bytes(data)
            with pytest.raises(JournalError) as caught:
                list(read_segment(path, "main"))
            assert caught.value.code in ("JOURNAL_SEGMENT", "JOURNAL_NEWER")
            assert caught.value.place == str(path) and caught.value.exit_code == 3
            assert digest_of(path) != found.digest
    path.write_bytes(whole + b"\0")
    with pytest.raises(JournalError, match="after its end"):
        list(read_segment(path, "main"))


def flipped(data: bytes, at: int, bit: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]


def block(first: int, rows: int, raw: bytes, claimed: int | None = None) -> bytes:
    packed = zlib.compress(raw)
    head = segments._block.pack(first, rows, len(raw) if claimed is None else claimed, len(packed))
    return head + segments._crc.pack(zlib.crc32(packed, zlib.crc32(head))) + packed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no segment"),
        (b"CERBSEG1", "cut short"),
        (
            b"CERBSEG1" + block(1, 1, b"x" * 1000, claimed=10) + block(0, 0, b"{}"),
            "damaged at byte 8",
        ),
        (b"CERBSEG1" + block(1, 1, b"x", claimed=2**30), "damaged at byte 8"),
        (b"CERBSEG1" + block(1, 5, b"x" * 70) + block(0, 0, b"{}"), "damaged at byte 8"),
        (b"CERBSEG1" + block(0, 0, b"not json"), "footer"),
        (b"CERBSEG1" + block(0, 0, b"[" * 50_000), "footer"),
    ],
)
def test_a_hostile_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "1-2.seg"
    path.write_bytes(content)
    with pytest.raises(JournalError, match=words):
        list(read_segment(path, "main"))


def test_foreign_newer_and_absent_segments_are_refused(tmp_path: Path) -> None:
    path, _ = written(tmp_path, made())
    with pytest.raises(JournalError, match="footer says"):
        list(read_segment(path, "other"))
    newer = Footer(VERSION + 1, "rows", "main", "engine", 1, 40, 0)
    with pytest.raises(JournalError, match="format 2"):
        write_segment(path_of(tmp_path, 1, 50), made(), newer)
    assert {item.name for item in path.parent.iterdir()} == {"1-40.seg"}
    with pytest.raises(JournalError, match="cannot be read"):
        list(read_segment(tmp_path / "none", "main"))
    with pytest.raises(JournalError, match="cannot be read"):
        digest_of(tmp_path / "none")


def test_what_reads_back_differently_is_not_put_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = segments._write

    def torn(file: object, rows: object, footer: object) -> int:
        count = write(file, rows, footer)  # type: ignore[arg-type]
        file.seek(30)  # type: ignore[attr-defined]
        file.write(b"\0\0\0\0")  # type: ignore[attr-defined]
        return count

    monkeypatch.setattr(segments, "_write", torn)
    with pytest.raises(JournalError):
        written(tmp_path, made())
    assert list(path_of(tmp_path, 1, 40).parent.iterdir()) == []
