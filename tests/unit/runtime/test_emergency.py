"""Flatten without the engine: it acts however torn the files are that it reads."""

import asyncio
import errno
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError, SystemFailure
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.runtime import emergency, marker
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.marker import (
    COPY_NAME,
    LOG_BYTES,
    LOG_NAME,
    Deed,
    EmergencyLog,
    HaltMarker,
    Header,
)
from cerberus_trader.runtime.restart import LeftBehind
from cerberus_trader.venues.base import AccountView
from tests.unit.runtime.test_trading import Loop

HEADER = Header("engine", "main", "unix:/v")
TORN = b'{"engine_id":"eng\n'


class Flat:
    """A venue at which nothing is open."""

    def __init__(self, *where: Any) -> None:
        self.where = where

    async def connect(self) -> None: ...

    async def account(self, account: str) -> AccountView:
        assert account == HEADER.account
        return AccountView(1, (), (), None)

    async def close(self) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give the folder of an engine that has run, with one old deed in its log."""
    monkeypatch.setattr(emergency, "RemoteVenue", Flat)
    monkeypatch.setattr(emergency, "PAUSE_S", 0)
    FolderLock(tmp_path).release()
    log = EmergencyLog(tmp_path)
    log.allocate(HEADER)
    log.add(Deed(1, "anna", "an older deed"))
    return tmp_path


def tear(path: Path) -> bytes:
    """Tear the first line of a log; return what the file holds then."""
    rest = path.read_bytes().partition(b"\n")[2]
    path.write_bytes((TORN + rest)[:LOG_BYTES])
    return path.read_bytes()


def run(folder: Path) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return emergency.flatten(folder, "bert", "", said.append), said


@pytest.mark.req("E-9.1.1")
def test_a_torn_log_is_kept_and_a_fresh_one_is_begun_beside_it(folder: Path) -> None:
    torn = tear(folder / LOG_NAME)
    for _ in range(2):
        found, said = run(folder)
        assert found["flat"] and found["torn"] == [str(folder / LOG_NAME)]
        assert any(str(folder / LOG_NAME) in line for line in said)
        assert (folder / LOG_NAME).read_bytes() == torn
    tear(folder / "emergency-1.log")
    found, _ = run(folder)
    assert found["torn"] == [str(folder / LOG_NAME), str(folder / "emergency-1.log")]
    deeds = [deed.text for deed in EmergencyLog(folder).all_deeds()]
    assert deeds[0] == "an older deed" and deeds[1:] == [
        "begins to close everything at the venue", "verified flat"
    ] * 3  # fmt: skip


async def test_the_next_start_journals_what_every_log_holds_and_begins_anew(folder: Path) -> None:
    tear(folder / LOG_NAME)
    await asyncio.to_thread(run, folder)
    loop = Loop()
    left = LeftBehind(HaltMarker(folder), EmergencyLog(folder), Log("error", "json"))
    left.open()
    await left.begin(loop.trading, HEADER)
    assert loop.state.trading == "halted"
    assert sorted(path.name for path in folder.glob("emergency*.log")) == [LOG_NAME]
    assert EmergencyLog(folder).read() == (HEADER, [])
    (event, _) = [event for _, event in loop.rig.seen if isinstance(event, OperatorEvent)]
    assert event.reason.startswith("an older deed; begins to close everything")


def test_where_no_file_tells_the_venue_the_next_start_closes_everything(folder: Path) -> None:
    tear(folder / LOG_NAME)
    (folder / COPY_NAME).write_bytes(b"\xff")
    with pytest.raises(SystemFailure, match="where the venue is") as raised:
        run(folder)
    assert raised.value.code == "NOT_FLAT"
    mark = HaltMarker(folder).read()
    assert mark is not None and mark.flatten


def test_a_folder_in_which_no_engine_has_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no emergency log"):
        run(tmp_path)


def test_logs_that_can_be_neither_read_nor_begun_stop_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "no space left")

    for name in (LOG_NAME, "emergency-2.log"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir()
    monkeypatch.setattr(marker, "_write", full)
    found, said = run(folder)
    assert found["flat"] and not found["marker"]
    assert len(found["torn"]) == 2 and sum("no space left" in line for line in said) == 2


def test_where_every_place_is_taken_the_torn_log_itself_goes_on(folder: Path) -> None:
    tear(folder / LOG_NAME)
    for n in range(1, marker.LOGS_MAX):
        (folder / f"emergency-{n}.log").write_bytes(TORN)
    run(folder)
    assert [deed.text for deed in EmergencyLog(folder).read()[1]][-1] == "verified flat"


@pytest.mark.parametrize("mark", [True, False])
def test_a_halt_after_a_flatten_keeps_what_the_flatten_asked_for(
    tmp_path: Path, mark: bool
) -> None:
    FolderLock(tmp_path).release()
    EmergencyLog(tmp_path).allocate(Header("engine", "main", "" if mark else "unix:/v"))
    if mark:
        assert not run(tmp_path)[0]["flat"], "the next start does it"
    emergency.halt(tmp_path, "carl", "end it")
    found = HaltMarker(tmp_path).read()
    assert found is not None and found.actor == "carl" and found.flatten is mark
