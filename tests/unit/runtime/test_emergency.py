"""Flatten without the engine: it acts however torn the files are that it reads."""

import asyncio
import errno
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, cast

import msgspec
import pytest

from cerberus_trader.domain.commands import CancelOrder
from cerberus_trader.domain.errors import DataError, SystemFailure, VenueLost
from cerberus_trader.domain.events import ConfigEvent, OperatorEvent
from cerberus_trader.domain.execution import VenueOrder
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
from cerberus_trader.runtime.restart import LeftBehind, entry_window_ms
from cerberus_trader.venues.base import AccountView, VenueClient
from tests.unit.runtime.test_trading import Loop

HEADER = Header("engine", "main", "unix:/v", 0)
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


class Silent(Flat):
    """A venue that is not there for some requests."""

    left: ClassVar[list[str]] = []

    async def account(self, account: str) -> AccountView:
        if self.left:
            raise VenueLost(self.left.pop())
        return await super().account(account)


def test_a_venue_that_does_not_answer_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "RemoteVenue", Silent)
    monkeypatch.setattr(Silent, "left", ["refused."] * 5 + ["no route."] * 5)
    found, said = run(folder)
    assert found["flat"] and not Silent.left
    words = [line.split(";")[0] for line in said if line.startswith("no answer")]
    assert words == ["no answer: no route.", "no answer: refused."]


@pytest.mark.req("E-9.1.1")
def test_a_torn_log_is_kept_and_a_fresh_one_is_begun_beside_it(folder: Path) -> None:
    torn = tear(folder / LOG_NAME)
    for _ in range(2):
        found, said = run(folder)
        assert not any("MARKER" in line for line in said)
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
    older, now, _ = [event for _, event in loop.rig.seen if isinstance(event, OperatorEvent)]
    assert (older.actor, older.reason) == ("anna (without the engine)", "an older deed")
    assert now.actor.startswith("bert") and now.reason.startswith("begins to close everything")


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
    assert sum("THE HALT MARKER COULD NOT BE WRITTEN" in line for line in said) == 1
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


class Late(Flat):
    """A venue that takes, after some looks of a second each, an entry that was under way."""

    def __init__(self, arrives_s: float) -> None:
        self.now_s, self.arrives_s = 0.0, arrives_s
        self.entries: list[VenueOrder] = []
        self.cancelled_s: list[float] = []

    async def account(self, account: str) -> AccountView:
        entry = VenueOrder("late", "ALFA", 1, Decimal(1), "working")
        if self.now_s < self.arrives_s <= self.now_s + 1:
            self.entries = [entry]
        self.now_s += 1
        return AccountView(1, tuple(self.entries), (), None)

    async def cancel(self, command: CancelOrder) -> None:
        self.entries = []
        self.cancelled_s.append(self.now_s)


@pytest.mark.req("C-10.4", "E-9.1.1")
@pytest.mark.parametrize("window_s", [0, 6, 20])
async def test_flat_is_what_is_so_after_the_last_entry_may_have_arrived(
    folder: Path, window_s: int
) -> None:
    said: list[str] = []
    line = Late(window_s - 0.5)
    header = msgspec.structs.replace(HEADER, entry_window_ms=window_s * 1_000)
    work = emergency.Flattener(
        cast(VenueClient, line), header, EmergencyLog(folder), "bert", said.append
    )
    work.now_s = lambda: line.now_s
    assert await work.run(0.0)
    assert line.now_s >= window_s + 2, "two looks after the window has passed"
    assert bool(line.cancelled_s) is (window_s > 0) and not line.entries
    assert len([text for text in said if "may still arrive" in text]) == window_s
    assert said[-1] == "verified flat"


async def test_a_longer_window_is_told_at_once_and_keeps_what_was_done(folder: Path) -> None:
    loop = Loop()
    left = LeftBehind(HaltMarker(folder), EmergencyLog(folder), Log("error", "json"))
    left.open()
    settings = loop.state.settings
    assert entry_window_ms(loop.state, loop.rig.clock.now_ns()) == 6_000
    left.take(1, ConfigEvent(1, settings, "c", ()), ())  # before there is a header
    await left.begin(loop.trading, HEADER)
    EmergencyLog(folder).whole()[0].add(Deed(2, "bert", "by a second process"))
    for window_ms, told_ms in ((5_000, 6_000), (50_000, 51_000), (10, 51_000)):
        limits = msgspec.structs.replace(settings.reconcile, submit_window_ms=window_ms)
        event = ConfigEvent(3, msgspec.structs.replace(settings, reconcile=limits), "c", ())
        left.take(2, event, ())
        _, header, torn = EmergencyLog(folder).whole()
        assert header is not None and header.entry_window_ms == told_ms and not torn
    assert [deed.text for deed in EmergencyLog(folder).all_deeds()] == ["by a second process"]
    loop.state.window_end_ns = loop.rig.clock.now_ns() + 90_000 * 10**6
    assert entry_window_ms(loop.state, loop.rig.clock.now_ns()) == 91_000


def test_a_header_of_an_older_release_means_the_default_window(folder: Path) -> None:
    (folder / COPY_NAME).unlink()
    old = b'{"engine_id":"engine","account":"main","endpoint":"unix:/v"}\n'
    (folder / LOG_NAME).write_bytes(old.ljust(LOG_BYTES, b"\0"))
    assert EmergencyLog(folder).whole()[1] == Header("engine", "main", "unix:/v", 6_000)
