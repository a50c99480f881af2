"""Hot reload: valid changes are handed over whole, faulty ones leave the old in force."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cerberus_trader.config import Loaded, load_settings
from cerberus_trader.config_watch import ConfigWatcher
from cerberus_trader.domain.errors import CerberusError, ConfigError, SystemFailure
from cerberus_trader.domain.settings import Settings


class Desk:
    """Hold a watcher and what it reported."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "c.toml"
        self.write("[risk]\npositions_max = 3\n")
        self.changes: list[Loaded[Settings]] = []
        self.faults: list[CerberusError] = []
        self.broken: list[Exception] = []
        self.watcher = ConfigWatcher(
            self.path,
            self.load(),
            load=self.load,
            changed=self.changes.append,
            refused=self.faults.append,
        )

    def load(self) -> Loaded[Settings]:
        if self.broken:
            raise self.broken.pop()
        return load_settings(self.path, environ={})

    def write(self, text: str) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path)


@asynccontextmanager
async def watched(desk: Desk, settle_s: float, *, poll: bool = False) -> AsyncIterator[None]:
    """Watch while the body changes the file; end once a change was handed over, or after 4 s."""
    stop = asyncio.Event()
    task = asyncio.create_task(desk.watcher.run(stop, poll=poll))
    await asyncio.sleep(settle_s)
    yield
    for _ in range(200):
        if desk.changes:
            break
        await asyncio.sleep(0.02)
    stop.set()
    await asyncio.wait_for(task, 5)


def faults_of(desk: Desk) -> list[str]:
    """Return the lines of the last fault."""
    error = desk.faults[-1]
    assert isinstance(error, ConfigError)
    return error.faults


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


@pytest.mark.req("P-02.3")
def test_a_valid_change_is_handed_over_as_one_new_value(desk: Desk) -> None:
    old = desk.watcher.current
    desk.watcher.check()
    assert desk.changes == []
    desk.write("[risk]\npositions_max = 5\n[cache]\nttl_ms = 1\n")
    desk.watcher.check()
    assert [item.settings.risk.positions_max for item in desk.changes] == [5]
    assert desk.watcher.current is desk.changes[0]
    assert old.settings.risk.positions_max == 3


@pytest.mark.req("P-02.3", "C-01.4")
def test_a_faulty_file_keeps_the_old_configuration_and_says_so_once(desk: Desk) -> None:
    desk.write("[risk]\npositons_max = 5\n[cache]\nttl_ms = -1\n")
    desk.watcher.check()
    desk.watcher.check()
    assert len(desk.faults) == 1 and len(faults_of(desk)) == 2
    assert desk.changes == [] and desk.watcher.current.settings.risk.positions_max == 3
    desk.path.unlink()
    desk.watcher.check()
    assert "cannot be read" in faults_of(desk)[0]
    desk.write("[risk]\npositions_max = 4\n")
    desk.watcher.check()
    assert desk.watcher.current.settings.risk.positions_max == 4


@pytest.mark.parametrize(
    "error", [SystemFailure("the child was killed."), OSError(12, "Cannot allocate memory")]
)
async def test_a_load_that_fails_is_told_and_tried_again(
    desk: Desk, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cerberus_trader.config_watch.POLL_MS", 20)
    desk.broken = [error]
    desk.write("[risk]\npositions_max = 8\n")
    stop = asyncio.Event()
    task = asyncio.create_task(desk.watcher.run(stop))
    async with asyncio.timeout(10):
        while not desk.changes and not task.done():
            await asyncio.sleep(0.01)
    stop.set()
    await asyncio.wait_for(task, 5)
    assert [type(fault) for fault in desk.faults] == [SystemFailure]
    assert str(error.args[-1]) in str(desk.faults[0])
    assert [item.settings.risk.positions_max for item in desk.changes] == [8]


@pytest.mark.req("P-02.3")
def test_a_change_of_a_cold_setting_is_refused_whole(desk: Desk) -> None:
    desk.write("[risk]\npositions_max = 5\n[journal]\nsnapshot_rows = 200\n")
    desk.watcher.check()
    assert faults_of(desk) == [
        "journal.snapshot_rows: cannot change while running; restart to change it"
    ]
    assert desk.changes == [] and desk.watcher.current.settings.risk.positions_max == 3


def test_a_venue_that_comes_or_goes_needs_a_restart(desk: Desk) -> None:
    # the line to the venue would have stayed, and the next start taken what is open for paper
    desk.write('[risk]\npositions_max = 5\n[venues.x]\nkind = "paper"\n')
    desk.watcher.check()
    assert all("venues." in x and "restart" in x for x in faults_of(desk))
    assert desk.changes == []


@pytest.mark.req("P-02.3")
@pytest.mark.parametrize("poll", [False, True])
async def test_the_watcher_sees_a_file_replaced_by_an_editor(
    desk: Desk, poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cerberus_trader.config_watch.POLL_MS", 20)
    async with watched(desk, 0.3, poll=poll):
        desk.write("[risk]\npositions_max = 8\n")
    assert desk.changes[-1].settings.risk.positions_max == 8


@pytest.mark.req("P-02.3")
@pytest.mark.parametrize("poll", [False, True])
async def test_a_file_that_is_being_written_is_read_once_it_is_whole(
    desk: Desk, poll: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cerberus_trader.config_watch.POLL_MS", 20)
    monkeypatch.setattr("cerberus_trader.config_watch.RESTED_MS", 500)  # a slow machine writes too
    text = "[risk]\npositions_max = 8\n[cache]\nttl_ms = 1\n"
    async with watched(desk, 0.6, poll=poll):
        with desk.path.open("w") as file:  # in place, as some editors do: valid at each line
            for line in text.splitlines(keepends=True):
                file.write(line)
                file.flush()
                await asyncio.sleep(0.06)
    (only,) = desk.changes
    assert (only.settings.risk.positions_max, only.settings.cache.ttl_ms) == (8, 1)
    assert desk.faults == []


async def test_an_unwatchable_folder_falls_back_to_polling(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no watches left")

    monkeypatch.setattr("watchfiles.awatch", refuse)
    monkeypatch.setattr("cerberus_trader.config_watch.POLL_MS", 20)
    async with watched(desk, 0.05):
        desk.write("[risk]\npositions_max = 6\n")
        os.utime(desk.path)
    assert desk.changes[-1].settings.risk.positions_max == 6
