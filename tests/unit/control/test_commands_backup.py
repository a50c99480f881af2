"""The commands journal backup and restore: passphrases, outputs, exit codes."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cerberus_trader.control import commands_backup
from cerberus_trader.control.main import app
from cerberus_trader.control.tokens import TokenStore
from cerberus_trader.domain.errors import DataError
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.runtime import client
from cerberus_trader.runtime.marker import HaltMarker
from tests.days import write_days
from tests.keys import quick_keys

WORDS = "correct horse battery"
NOW = 1_700_000_000_000_000_000
runner = CliRunner()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_keys(monkeypatch)
    monkeypatch.delenv(commands_backup.ENVIRONMENT, raising=False)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    with SqliteJournal(tmp_path / "state") as journal:
        for number in range(50):
            journal.append(10**18 + number, "tick", b"body %d" % number)
    return tmp_path / "state"


def call(*arguments: str | Path, code: int = 0) -> str:
    done = runner.invoke(app, ["journal", *map(str, arguments)])
    assert done.exit_code == code, (done.exit_code, done.output)
    return done.output


def data(*arguments: str | Path, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code))


@pytest.mark.req("D-11.8", "D-12.8")
def test_backup_and_restore_with_a_passphrase_of_the_environment(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(commands_backup.ENVIRONMENT, WORDS)
    made = data("backup", tmp_path / "one.backup", "--state", state)
    assert made["encrypted"] and (made["rows"], made["last_seq"]) == (50, 50)
    assert made["bytes"] == (tmp_path / "one.backup").stat().st_size
    text = call("restore", tmp_path / "one.backup", "--into", tmp_path / "again")
    assert "50 rows to row 50 of 2001-09-09 01:46:40 UTC" in text and made["last_hash"][:16] in text
    assert call("verify", "--state", tmp_path / "again").startswith("ok: 50 rows")
    monkeypatch.setenv(commands_backup.ENVIRONMENT, "incorrect horse")
    error = data("restore", tmp_path / "one.backup", "--into", tmp_path / "more", code=2)["error"]
    assert error["code"] == "ENVELOPE_PASSPHRASE" and "horse" not in json.dumps(error)


def test_a_passphrase_from_a_file_or_none_asked_for(state: Path, tmp_path: Path) -> None:
    words = tmp_path / "words"
    words.write_text(WORDS + "\n")
    assert "encrypted" in call("backup", tmp_path / "one.backup", "--state", state,
                               "--passphrase-file", words)  # fmt: skip
    assert data("restore", tmp_path / "one.backup", "--into", tmp_path / "again",
                "--passphrase-file", words)["rows"] == 50  # fmt: skip
    text = call("backup", tmp_path / "two.backup", "--state", state, "--plain")
    assert "NOT ENCRYPTED" in text
    assert data("restore", tmp_path / "two.backup", "--into", tmp_path / "plain")["rows"] == 50


def test_without_a_passphrase_nothing_is_written(state: Path, tmp_path: Path) -> None:
    error = data("backup", tmp_path / "one.backup", "--state", state, code=2)["error"]
    assert error["code"] == "PASSPHRASE_MISSING" and "--passphrase-file" in error["fix"]
    assert not (tmp_path / "one.backup").exists()


def test_a_person_is_asked_twice(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def prompt(text: str, **options: Any) -> str:
        asked.append(options["confirmation_prompt"])
        return WORDS

    monkeypatch.setattr(commands_backup.typer, "prompt", prompt)
    monkeypatch.setattr(commands_backup, "is_terminal", lambda: True)
    call("backup", tmp_path / "one.backup", "--state", state)
    call("restore", tmp_path / "one.backup", "--into", tmp_path / "again")
    assert asked == [True, False]


def test_what_is_wrong_has_an_exit_code(state: Path, tmp_path: Path) -> None:
    call("backup", tmp_path / "one.backup", "--state", tmp_path / "none", "--plain", code=2)
    call("backup", tmp_path / "one.backup", "--state", state, "--plain")
    call("backup", tmp_path / "one.backup", "--state", state, "--plain", code=2)
    call("restore", tmp_path / "one.backup", "--into", state, code=2)
    raw = bytearray((tmp_path / "one.backup").read_bytes())
    raw[len(raw) // 2] ^= 1
    (tmp_path / "one.backup").write_bytes(raw)
    found = data("restore", tmp_path / "one.backup", "--into", tmp_path / "x", code=2)
    assert found["error"]["code"] == "BACKUP_DAMAGED"
    (state / "journal.db").write_bytes(b"junk" * 3000)
    call("backup", tmp_path / "two.backup", "--state", state, "--plain", code=3)


@pytest.mark.req("D-11.7")
def test_prune_says_what_it_did_by_config_and_by_options(tmp_path: Path) -> None:
    folder = tmp_path / "days"
    write_days(folder, 6)
    config = tmp_path / "c.toml"
    config.write_text("[retention]\nsegment_rows = 100\n")
    found = data("prune", "--state", folder, "--config", config)
    assert found["segments_sealed"] == 3 and found["segments_deleted"] == 0
    text = call("prune", "--state", folder, "--days", "3")
    assert "segments deleted 2" in text
    assert data("verify", "--state", folder, "--replay")["deleted_seq"] > 10
    assert "deleted by retention" in call("verify", "--state", folder)
    assert data("rebuild-views", "--state", folder)["rows"] > 0
    assert data("prune", "--state", folder, "--disk-bytes", "1")["segments_deleted"] == 1
    call("prune", "--state", tmp_path / "none", code=3)
    bad = tmp_path / "bad.toml"
    bad.write_text("[retention]\ndays = 9\naudit_days = 3\n")
    call("prune", "--state", folder, "--config", bad, code=2)


def test_migrate_leaves_a_journal_of_this_format_alone(state: Path, tmp_path: Path) -> None:
    assert data("migrate", "--state", state) == {"before": 2, "after": 2}
    assert "nothing to do" in call("migrate", "--state", state)
    call("migrate", "--state", tmp_path / "none", code=3)


@pytest.mark.req("D-12.8", "C-17.4")
def test_what_was_stopped_since_the_backup_is_not_armed_again_by_a_restore(
    state: Path, tmp_path: Path
) -> None:
    text, _ = TokenStore(state).create("admin", now_ns=NOW)
    made = data("backup", tmp_path / "one.backup", "--state", state, "--plain")
    again = tmp_path / "again"
    said = call("restore", tmp_path / "one.backup", "--into", again)
    assert "starts halted" in said and "cerberus token create" in said
    mark = HaltMarker(again).read()
    assert mark is not None and not mark.flatten
    when = datetime.fromtimestamp(made["created_ns"] // 10**9, UTC)
    assert mark.reason == f"restored from a backup of {when:%Y-%m-%d %H:%M:%S} UTC"
    with pytest.raises(DataError) as caught:
        TokenStore(again).check(text, role="viewer", now_ns=NOW + 1)
    assert caught.value.code == "TOKEN_REVOKED"
    assert TokenStore(state).check(text, role="admin", now_ns=NOW + 1), "the old folder's stays"
    found = data("restore", tmp_path / "one.backup", "--into", tmp_path / "more")
    assert (found["halted"], found["tokens_revoked"]) == (True, 1)
    for path in again.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path


def test_tokens_that_cannot_be_read_are_left_out_of_a_restored_folder(
    state: Path, tmp_path: Path
) -> None:
    (state / "tokens.json").write_text("[{")
    call("backup", tmp_path / "one.backup", "--state", state, "--plain")
    found = data("restore", tmp_path / "one.backup", "--into", tmp_path / "again")
    assert found["tokens_revoked"] == 0 and found["halted"]
    assert TokenStore(tmp_path / "again").tokens() == ()


def test_a_folder_that_cannot_be_halted_is_not_restored(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    call("backup", tmp_path / "one.backup", "--state", state, "--plain")
    monkeypatch.setattr(HaltMarker, "set", full)
    error = data("restore", tmp_path / "one.backup", "--into", tmp_path / "again", code=1)["error"]
    assert error["code"] == "RESTORE_FAILED" and not (tmp_path / "again").exists()


@pytest.mark.parametrize("name", ["elsewhere", "elsewhere/", "there.backup/"])
def test_a_folder_that_is_not_there_does_not_become_a_file(
    state: Path, tmp_path: Path, name: str
) -> None:
    """A disk that is not mounted: the copy would lie on the disk that it is to outlive."""
    error = data("backup", f"{tmp_path}/{name}", "--state", state, "--plain", code=2)["error"]
    assert error["code"] == "BACKUP_FOLDER" and error["place"] == f"{tmp_path}/{name}"
    assert "mount" in error["fix"] and "NAME.backup" in error["fix"]
    assert [path.name for path in tmp_path.iterdir()] == ["state"]
    (tmp_path / name).mkdir()
    made = data("backup", f"{tmp_path}/{name}", "--state", state, "--plain")
    assert Path(made["path"]).parent == tmp_path / name


def test_prune_does_not_act_beside_an_engine_that_is_silent(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(*_: object) -> None:
        raise client.NoAnswer("the engine did not answer.", code="NO_ANSWER")

    monkeypatch.setattr(client, "ask", silent)
    error = data("prune", "--state", state, code=4)["error"]
    assert error["code"] == "NO_ANSWER"
