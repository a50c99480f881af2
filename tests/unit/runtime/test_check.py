"""The check of the whole journal after a start: silent when well, a halt when not."""

import json
import sqlite3
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.verify import verify
from cerberus_trader.runtime import check, upkeep
from cerberus_trader.runtime.inbox import Inbox
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from tests.days import write_days


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(check, "AFTER_S", 0.0)
    monkeypatch.setattr(check, "AGAIN_S", 0.0)
    write_days(tmp_path / "state", 4)
    return tmp_path / "state"


async def checked(folder: Path) -> tuple[Inbox, list[dict[str, object]], dict[str, int]]:
    inbox, out, metrics = Inbox(), StringIO(), Metrics()
    await check.check_journal(folder, inbox, Log(stream=out), metrics)
    return inbox, [json.loads(line) for line in out.getvalue().splitlines()], metrics.upkeep


async def test_a_whole_journal_is_verified_in_silence(state: Path) -> None:
    inbox, lines, counts = await checked(state)
    assert [line["event"] for line in lines] == ["journal verified"]
    assert counts == {"verified_seq": verify(state).last_seq} and not inbox.operator


async def test_an_old_damaged_row_freezes_trading_and_is_told(state: Path) -> None:
    with sqlite3.connect(state / "journal.db") as connection:
        connection.executescript(
            "DROP TRIGGER journal_no_update; UPDATE journal SET body = x'00' WHERE seq = 2"
        )
    connection.close()
    with SqliteJournal(state) as journal:
        list(journal.restore().rows)  # a start does not see it
    inbox, lines, counts = await checked(state)
    assert lines[0]["alert"] and lines[0]["code"] == "JOURNAL_DAMAGED" and "row 2" in str(lines[0])
    assert counts["journal_faults"] == 1
    (command,) = inbox.operator
    assert getattr(command.event, "command", "") == "freeze"


async def test_a_check_that_cannot_run_is_told_and_tried_again(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = [("WORKER", "no.such.module"), ("WORKER", upkeep.WORKER)]
    real = upkeep.apart

    async def apart(*given: Any) -> Any:
        name, value = tries.pop(0)
        monkeypatch.setattr(upkeep, name, value)
        return await real(*given)

    monkeypatch.setattr(check, "apart", apart)
    inbox, lines, _ = await checked(state)
    told, well = lines
    assert told["alert"] and told["code"] == "UPKEEP_FAILED" and not inbox.operator
    assert well["event"] == "journal verified"


async def test_a_process_that_cannot_be_started_is_told_and_ends_nothing(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, tries = upkeep.apart, [1, 2]

    async def refused(*given: Any) -> Any:
        if tries:
            tries.pop()
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return await real(*given)

    monkeypatch.setattr(check, "apart", refused)
    inbox, lines, counts = await checked(state)
    assert [line.get("alert", False) for line in lines] == [True, True, False]
    assert "Resource temporarily unavailable" in str(lines[0])
    assert counts["verified_seq"] and not inbox.operator
