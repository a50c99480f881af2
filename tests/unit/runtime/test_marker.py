"""The halt marker and the emergency log: small files that are overwritten in place."""

import os
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.journal.lock import FolderLock, holder
from cerberus_trader.runtime.emergency import TOLD_MAX, told
from cerberus_trader.runtime.marker import (
    LOG_BYTES,
    LOG_NAME,
    MARKER_NAME,
    PAGE,
    Deed,
    EmergencyLog,
    HaltMarker,
    Header,
    Mark,
)
from cerberus_trader.runtime.restart import events_of


def test_a_mark_set_by_another_is_seen_at_once_and_taken_back_by_a_later_resume(
    tmp_path: Path,
) -> None:
    engine, other = HaltMarker(tmp_path), HaltMarker(tmp_path)
    assert not engine.is_set() and engine.read() is None
    engine.allocate()
    engine.allocate()
    assert not engine.is_set() and engine.read() is None
    other.set(Mark("anna", "news", 50))
    assert engine.is_set() and engine.read() == Mark("anna", "news", 50)
    engine.clear(49)
    assert engine.is_set(), "a halt after the resume stays"
    engine.clear(50)
    assert not engine.is_set() and other.read() is None
    assert (tmp_path / MARKER_NAME).stat().st_size == PAGE


def test_a_mark_without_an_engine_is_kept_and_one_that_is_torn_counts(tmp_path: Path) -> None:
    HaltMarker(tmp_path).set(Mark("a" * 9_999, "b" * 9_999, 1, flatten=True))
    found = HaltMarker(tmp_path).read()
    assert found is not None and found.flatten and len(found.reason) == 500
    (tmp_path / MARKER_NAME).write_bytes(b"HALT\n{torn")
    torn = HaltMarker(tmp_path).read()
    assert torn is not None and torn.actor == "unknown"


def test_deeds_are_kept_in_order_until_the_log_is_begun_anew(tmp_path: Path) -> None:
    log, header = EmergencyLog(tmp_path), Header("e1", "main", "unix:/v")
    assert log.read() == (None, [])
    log.allocate(header)
    deeds = [Deed(n, "anna", f"deed {n}") for n in range(3)]
    for deed in deeds:
        log.add(deed)
    second = EmergencyLog(tmp_path)
    assert second.read() == (header, deeds)
    second.add(Deed(9, "bert", "more"))
    assert log.read() == (header, [*deeds, Deed(9, "bert", "more")])
    assert (tmp_path / LOG_NAME).stat().st_size == LOG_BYTES
    log.allocate(header)
    assert log.read() == (header, [])


@pytest.mark.parametrize("left", [b"", b"--", b"----\n", b'HALT\n{"actor":"anna"'])
def test_a_marker_that_was_cut_short_is_made_whole_and_keeps_what_it_says(
    tmp_path: Path, left: bytes
) -> None:
    (tmp_path / MARKER_NAME).write_bytes(left)
    engine = HaltMarker(tmp_path)
    before = engine.read()
    engine.allocate()
    assert engine.is_set() is (left != b"----\n")
    assert (tmp_path / MARKER_NAME).stat().st_size == PAGE
    assert engine.read() == before and (before is not None) is engine.is_set()


@pytest.mark.parametrize(
    "page",
    [
        bytes(PAGE),
        b"\0" * 5 + b'{"actor":"anna","reason":"news","ts_ns":1}'.ljust(PAGE - 5, b"\0"),
        b"XALT\n".ljust(PAGE, b"\0"),
        b"----\n".ljust(PAGE - 1, b"\0") + b"x",
    ],
)
def test_whatever_is_not_the_unset_form_counts_as_marked_until_a_resume(
    tmp_path: Path, page: bytes
) -> None:
    engine = HaltMarker(tmp_path)
    engine.allocate()
    assert not engine.is_set() and [path.name for path in tmp_path.iterdir()] == [MARKER_NAME]
    (tmp_path / MARKER_NAME).write_bytes(page)
    mark = engine.read()
    assert mark is not None and (mark.actor, mark.ts_ns) == ("unknown", 0)
    engine.allocate()
    assert engine.is_set()
    engine.clear(1)
    assert not engine.is_set() and engine.read() is None


def test_a_mark_that_is_there_when_the_marker_is_made_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def late(*paths: Path) -> None:
        HaltMarker(tmp_path).set(Mark("anna", "news", 1))
        link(*paths)

    monkeypatch.setattr(os, "link", late)
    engine = HaltMarker(tmp_path)
    engine.allocate()
    assert engine.is_set() and engine.read() == Mark("anna", "news", 1)
    assert [path.name for path in tmp_path.iterdir()] == [MARKER_NAME]


def test_a_torn_deed_is_told_as_one_that_nobody_knows_and_a_full_log_says_so(
    tmp_path: Path,
) -> None:
    log, header = EmergencyLog(tmp_path), Header("e1")
    log.allocate(header)
    log.add(Deed(1, "anna", "whole"))
    path = tmp_path / LOG_NAME
    text = path.read_bytes().rstrip(b"\0")
    path.write_bytes((text + b'{"ts_ns":2,"ac').ljust(LOG_BYTES, b"\0"))
    lost = Deed(0, "unknown", "something that cannot be read any more")
    assert log.read() == (header, [Deed(1, "anna", "whole"), lost])
    log.add(Deed(3, "bert", "behind it"))
    assert log.read() == (header, [Deed(1, "anna", "whole"), lost, Deed(3, "bert", "behind it")])
    with pytest.raises(DataError, match="is full"):
        log.add(Deed(1, "anna", "x" * LOG_BYTES))
    path.write_bytes(b"\xff\xff")
    assert log.read() == (None, [])


def test_what_was_left_becomes_an_operators_halt_that_names_who_and_what() -> None:
    deeds = [Deed(1, "anna", "cancel entry a"), Deed(2, "anna", "close 1 ALFA")]
    first, second, third = events_of(Mark("carl", "news", 3, flatten=True), deeds)
    assert (first.command, first.actor) == ("halt", "anna (without the engine)")
    assert first.reason == "cancel entry a; close 1 ALFA"
    assert (second.command, second.reason) == ("halt", "halt marker: news")
    assert (third.command, third.actor) == ("flatten", "carl")
    assert events_of(None, []) == []


def test_everybody_is_named_and_nothing_that_was_done_is_left_out() -> None:
    deeds = [Deed(1, "anna", "cancel a"), Deed(2, "bert", "close b"), Deed(3, "anna", "close c")]
    assert [actor for actor, _ in told(deeds)] == ["anna", "bert", "anna"]
    assert told([Deed(1, "", "a torn line"), Deed(2, "", "b")]) == [("", "a torn line; b")]
    many = [Deed(n, "anna", f"close {n} of an instrument with a name") for n in range(500)]
    lines = [text for _, text in told(many)]
    assert "; ".join(lines) == "; ".join(deed.text for deed in many)
    assert len(lines) > 3 and max(map(len, lines)) <= TOLD_MAX


def test_the_holder_of_a_folder_is_named_while_it_holds_it(tmp_path: Path) -> None:
    assert holder(tmp_path) is None
    lock = FolderLock(tmp_path)
    assert holder(tmp_path) == os.getpid()
    lock.release()
    assert holder(tmp_path) is None
