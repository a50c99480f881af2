"""The commands config, token, journal and doctor: outputs, errors, exit codes."""

import errno
import json
import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from cerberus_trader.control import doctor
from cerberus_trader.control.main import app
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.row import encode_row
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.runtime import client
from cerberus_trader.runtime.marker import MARKER_NAME, HaltMarker, Mark
from tests.kit import Bench

runner = CliRunner()


def call(*arguments: str, code: int = 0) -> str:
    done = runner.invoke(app, list(arguments))
    assert done.exit_code == code, (done.exit_code, done.output)
    return done.output


def data(*arguments: str, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code))


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Write the journal of a small session."""
    bench = Bench()
    bench.open(stop="98")
    bench.signal(instrument="NOPE")
    bench.close("101")
    options = JournalOptions(durability="none")
    with SqliteJournal(tmp_path, engine_id="engine", options=options) as written:
        for event, facts in bench.rows:
            written.append(event.ts_ns, type(event).__name__, encode_row(event, facts))
    return tmp_path


def test_the_front_door() -> None:
    assert call("--version").startswith("cerberus ")
    for name in ("replay", "run", "status", "explain", "config", "token", "journal", "doctor"):
        assert name in call("--help")
    assert "No such command" in call("nonsense", code=2)


@pytest.mark.parametrize("group", ["", "journal", "token", "config", "venue"])
def test_commands_are_listed_with_their_whole_first_sentence(group: str) -> None:
    found: Any = get_command(app)
    for name in group.split():
        found = found.commands[name]
    text = " ".join(call(*group.split(), "--help").partition("Commands:")[2].split())
    assert "..." not in text and len(found.commands) > 1
    for name, command in found.commands.items():
        first = " ".join(command.help.split("\n\n")[0].split()).partition(". ")[0]
        assert f"{name} {first}" in text


@pytest.mark.req("P-02.1", "C-01.4", "T-14.4")
def test_config_check_names_every_fault_at_once(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text("[risk]\npositions_max = 2\n")
    bad.write_text("[risk]\npositions_mx = 2\n[breaker]\nday_loss = 5\n")
    assert call("config", "check", str(good)).startswith("ok: ")
    assert data("config", "check", str(good))["ok"] is True
    text = call("config", "check", str(bad), code=2)
    assert "did you mean risk.positions_max" in text and "breaker.day_loss = 5" in text
    found = data("config", "check", str(bad), code=2)["error"]
    assert found["code"] == "CONFIG_INVALID" and str(bad) in found["place"]
    call("config", "check", str(tmp_path / "absent.toml"), code=2)


def test_config_show_prints_every_setting(tmp_path: Path) -> None:
    good = tmp_path / "good.toml"
    good.write_text("[risk]\npositions_max = 2\n")
    assert "risk.positions_max = 2" in call("config", "show", "--config", str(good))
    shown = data("config", "show", "--config", str(good), "--profile", "test")
    assert shown["settings"]["stage"] == "test" and len(shown["hash"]) == 64


@pytest.mark.req("C-06.3")
def test_tokens_are_shown_once_listed_and_revoked(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    made = data("token", "create", "--scope", "reset", "--label", "ann", "--state", state)
    kept = (tmp_path / "state" / "tokens.json").read_text()
    assert made["token"] not in kept and made["id"] in kept
    (listed,) = data("token", "list", "--state", state)
    assert (listed["status"], listed["label"], listed["role"]) == ("valid", "ann", "admin")
    assert made["token"] not in call("token", "list", "--state", state)
    call("token", "revoke", made["id"], "--state", state)
    assert data("token", "list", "--state", state)[0]["status"] == "revoked"
    assert "Shown once" in call("token", "create", "--state", state)
    call("token", "create", "--role", "king", "--state", state, code=2)
    missed = call("token", "revoke", "nobody", "--state", state, code=2)
    assert "`cerberus token list`" in missed and "token create" not in missed
    assert call("token", "list", "--state", str(tmp_path / "none")).strip() == "no tokens"


@pytest.mark.req("E-6.3.3", "E-11.3.2")
def test_journal_verify_checks_the_chain_and_decides_again(journal: Path) -> None:
    assert call("journal", "verify", "--state", str(journal)).startswith("ok: 5 rows")
    found = data("journal", "verify", "--state", str(journal), "--replay")
    assert found["ok"] and found["rows"] == 5
    assert (found["replay"]["rows"], found["replay"]["differences"]) == (5, 0)


def test_journal_verify_reports_rows_that_decide_otherwise(tmp_path: Path) -> None:
    bench = Bench()
    bench.open()
    event, facts = bench.rows[1]
    bench.rows[1] = (event, facts[:1])  # as if an order had been forgotten
    options = JournalOptions(durability="none")
    with SqliteJournal(tmp_path, engine_id="engine", options=options) as written:
        for event, facts in bench.rows:
            written.append(event.ts_ns, type(event).__name__, encode_row(event, facts))
    text = call("journal", "verify", "--state", str(tmp_path), "--replay", code=3)
    assert "1 differ" in text and "first: row 2" in text


def test_a_damaged_journal_is_reported_with_exit_code_3(journal: Path) -> None:
    file = journal / "journal.db"
    body = bytearray(file.read_bytes())
    at = body.find(b'"submitted"')
    body[at + 1] ^= 1
    file.write_bytes(bytes(body))
    text = call("journal", "verify", "--state", str(journal), code=3)
    assert text.startswith("DAMAGED") and "row" in text


def test_a_journal_of_a_later_release_is_not_called_damaged(journal: Path) -> None:
    with closing(sqlite3.connect(journal / "journal.db")) as database:
        database.execute("PRAGMA user_version = 99")
    text = call("journal", "verify", "--state", str(journal), code=3)
    assert "format 99" in text and "start the release that wrote it" in text
    assert "DAMAGED" not in text


def test_journal_exports_lines_and_rebuilds_views(journal: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    assert "5 rows" in call("journal", "export", "--state", str(journal), "--out", str(out))
    assert len([json.loads(line) for line in out.read_text().splitlines()]) == 5
    assert call("journal", "export", "--state", str(journal)).count("\n") == 5
    assert data("journal", "rebuild-views", "--state", str(journal)) == {"rows": 5}
    with ViewsWriter(journal) as writer:
        assert writer.applied_seq() == 5
    call("journal", "verify", "--state", str(tmp_path / "none"), code=3)


def test_doctor_says_what_is_there_and_what_is_missing(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = data("doctor", "--state", str(journal))
    assert found["problems"] == [] and found["journal"]["rows"] == 5
    assert found["packages"]["msgspec"] and found["fdatasync_ms"] >= 0
    assert "all well" in call("doctor", "--state", str(journal / "elsewhere"))
    monkeypatch.setattr(doctor, "CORE", ("msgspec", "no-such-package"))
    monkeypatch.setattr(doctor, "OPTIONAL", {"no_such_module": "a faster loop"})
    monkeypatch.setattr(doctor, "DISK_MB_MIN", 2**40)
    text = call("doctor", "--state", str(journal), code=1)
    assert "PROBLEM: package no-such-package is missing" in text
    assert "optional: no_such_module is missing (a faster loop)" in text and "MB free" in text


def test_doctor_reads_the_configuration_that_a_run_would_take(
    journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ("doctor", "--state", str(journal))
    assert "configuration: ok (defaults" in call(*words)
    file = tmp_path / "config" / "config.toml"
    file.parent.mkdir()
    file.write_text("[risk]\npositions_maxx = 1\n")
    text = call(*words, code=1)
    assert "configuration: FAULTY" in text and "all well" not in text
    assert "PROBLEM: the configuration cannot be used: config/config.toml: 1 fault(s)" in text
    good = tmp_path / "good.toml"
    good.write_text("[risk]\npositions_max = 1\n")
    assert "good.toml" in call(*words, "--config", str(good))
    assert data(*words, "--profile", "none", code=1)["configuration"]["state"] == "faulty"


def test_doctor_tells_a_lost_journal_from_none_yet(journal: Path, tmp_path: Path) -> None:
    for file in journal.glob("journal.db*"):
        file.unlink()
    text = call("doctor", "--state", str(journal), code=1)
    assert f"journal: lost in {journal}" in text and "restore a backup" in text
    assert "journal: none yet in" in call("doctor", "--state", str(tmp_path / "none"))
    assert call("journal", "verify", "--state", str(journal), code=3).startswith("DAMAGED")
    none = call("journal", "verify", "--state", str(tmp_path / "none"), code=3)
    assert "there is no journal. Fix: name the folder" in none and "DAMAGED" not in none


def test_doctor_says_of_a_file_that_it_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = call("doctor", "--state", str(tmp_path / "file"), code=1)
    assert f"PROBLEM: {tmp_path / 'file'} is no folder" in text and "journal: none\n" in text
    assert data("doctor", "--state", str(tmp_path / "file"), code=1)["engine"] is None


def test_doctor_finds_a_damaged_journal(journal: Path) -> None:
    (journal / "journal.db").write_bytes(b"not a database at all, not even nearly" * 50)
    text = call("doctor", "--state", str(journal), code=1)
    assert "PROBLEM" in text and "journal" in text


def test_doctor_reports_a_full_disk_as_it_reports_anything(
    journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(doctor.tempfile, "NamedTemporaryFile", full)
    text = call("doctor", "--state", str(journal), code=1)
    assert f"PROBLEM: nothing can be written to {journal}: No space left on device" in text
    assert "journal: ok" in text and "not writable" in text
    assert data("doctor", "--state", str(journal), code=1)["fdatasync_ms"] is None


def test_doctor_tells_of_the_halt_marker(journal: Path) -> None:
    assert "halt marker: not set\nengine: not running" in call("doctor", "--state", str(journal))
    HaltMarker(journal).set(Mark("anna", "news", 7))
    text = call("doctor", "--state", str(journal))
    assert "halt marker: SET by anna (news): nothing is opened until `cerberus resume`" in text
    found = data("doctor", "--state", str(journal))["halt_marker"]
    assert (found["actor"], found["reason"], found["ts_ns"]) == ("anna", "news", 7)
    (journal / MARKER_NAME).unlink()
    (journal / MARKER_NAME).mkdir()
    text = call("doctor", "--state", str(journal), code=1)
    assert "PROBLEM: the halt marker cannot be read: Is a directory" in text


@pytest.mark.parametrize(
    ("phase", "words", "code"),
    [("trade", "trade, trading active, venue connected", 0),
     ("preflight", "preflight, trading active, VENUE NOT CONNECTED", 1),
     ("failed", "failed, trading active", 0)],
)  # fmt: skip
def test_doctor_asks_a_running_engine_for_its_venue(
    journal: Path, monkeypatch: pytest.MonkeyPatch, phase: str, words: str, code: int
) -> None:
    monkeypatch.setattr(client, "ask", lambda *_: {"phase": phase, "trading": "active"})
    lock = FolderLock(journal)
    text = call("doctor", "--state", str(journal), code=code)
    lock.release()
    assert f"engine: process {os.getpid()}, {words}\n" in text


@pytest.mark.parametrize("error", [client.NotRunning, client.NoAnswer])
def test_doctor_finds_an_engine_that_is_silent(
    journal: Path, monkeypatch: pytest.MonkeyPatch, error: type[DataError]
) -> None:
    def silent(*_: Any) -> None:
        raise error("the engine did not answer.")

    monkeypatch.setattr(client, "ask", silent)
    lock = FolderLock(journal)
    hangs = error is client.NoAnswer
    text = call("doctor", "--state", str(journal), code=int(hangs))
    lock.release()
    assert f"engine: process {os.getpid()} holds the folder and tells nothing" in text
    assert ("PROBLEM" in text) is hangs
