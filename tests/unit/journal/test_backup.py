"""Backups: made beside a writing engine, verified, encrypted, restored, and never half there."""

import gzip
import hashlib
import io
import json
import os
import shutil
import sqlite3
import stat
import tarfile
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import CerberusError, DataError, JournalError, SystemFailure
from cerberus_trader.domain.row import encode_row
from cerberus_trader.journal import backup as backup_module
from cerberus_trader.journal.anchor import read_anchor
from cerberus_trader.journal.backup import back_up
from cerberus_trader.journal.manifest import prefix
from cerberus_trader.journal.sqlite import SqliteJournal
from cerberus_trader.journal.store import JournalOptions
from cerberus_trader.journal.unpack import check_backup, is_encrypted, restore
from cerberus_trader.journal.verify import verify
from cerberus_trader.security.passphrase import Passphrase
from tests.keys import quick_keys
from tests.kit import Bench

WORDS = "correct horse battery"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive keys quickly."""
    quick_keys(monkeypatch)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with the journal of a small session, and what stands beside it."""
    folder = tmp_path / "state"
    bench = Bench()
    bench.open(stop="98")
    bench.close("101")
    with SqliteJournal(folder, engine_id="0123456789abcdef") as journal:
        for event, facts in bench.rows:
            tag = str(type(event).__struct_config__.tag)
            journal.append(event.ts_ns, tag, encode_row(event, facts))
        journal.save_snapshot(bench.now, "1", b"hash", b"state" * 100)
    (folder / "trailing.json").write_text('{"p1": "0.2"}')
    (folder / "tokens.json").write_text("[]")
    (folder / "views.db").write_bytes(b"views can be rebuilt")
    return folder


def words() -> Passphrase:
    return Passphrase(WORDS)


def code_of(path: Path, passphrase: Passphrase | None) -> str:
    with pytest.raises(CerberusError) as caught:
        check_backup(path, passphrase)
    assert caught.value.fix and str(path) in caught.value.place
    return caught.value.code


@pytest.mark.req("D-11.8", "D-12.8")
def test_a_backup_restores_the_journal_and_what_stands_beside_it(
    state: Path, tmp_path: Path
) -> None:
    made = back_up(state, tmp_path / "one.backup", words())
    again = restore(Path(made.path), tmp_path / "again", words())
    report, before = verify(tmp_path / "again"), verify(state)
    assert report.ok and (report.rows, report.last_hash) == (before.rows, before.last_hash)
    assert report.snapshots == 1 and report.rows == again.rows == made.manifest.rows > 0
    anchor = read_anchor(tmp_path / "again")
    assert anchor is not None and anchor.seq == report.last_seq
    assert again.config == "c1" and again.last_hash == before.last_hash.hex()
    names = {path.name for path in (tmp_path / "again").iterdir()}
    assert names == {"journal.db", "anchor", "trailing.json", "tokens.json"}
    assert (tmp_path / "again" / "trailing.json").read_text() == '{"p1": "0.2"}'
    for path in (Path(made.path), *(tmp_path / "again").iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    with SqliteJournal(tmp_path / "again") as journal:
        assert journal.append(1, "tick", b"") == report.last_seq + 1
    assert not list(state.glob(".backup*")) and is_encrypted(Path(made.path))


def test_nothing_readable_is_in_an_encrypted_backup(state: Path, tmp_path: Path) -> None:
    raw = Path(back_up(state, tmp_path / "one", words()).path).read_bytes()
    for text in (
        b"SQLite",
        b"COIN",
        b"manifest",
        b"0123456789abcdef",
        WORDS.encode(),
        b"\x1f\x8b\x08",
    ):
        assert text not in raw
    plain = Path(back_up(state, tmp_path / "two", None).path).read_bytes()
    assert b"0123456789abcdef" in gzip.decompress(plain) and not is_encrypted(tmp_path / "two")


@pytest.mark.req("D-12.8")
def test_a_backup_is_one_moment_of_a_journal_that_is_being_written(tmp_path: Path) -> None:
    options = JournalOptions(sync_interval_s=0.01, checkpoint_bytes=50_000)
    seen = []
    with SqliteJournal(tmp_path / "live", options=options) as journal:
        for number in range(4):
            for _ in range(500):
                journal.append(journal.last_seq, "tick", b"x" * 300)
            promised = journal.durable_seq
            made = back_up(tmp_path / "live", tmp_path / f"b{number}", None).manifest
            assert promised <= made.last_seq <= journal.last_seq
            seen.append(made.last_seq)
    assert seen == sorted(seen)
    restored = restore(tmp_path / "b3", tmp_path / "again", None)
    assert verify(tmp_path / "again").rows == restored.rows == seen[-1]


def test_where_a_backup_may_be_written(state: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    made = Path(back_up(state, folder, None).path)
    assert made.parent == folder and made.name.startswith(prefix(state) + "20")
    assert prefix(state) == "cerberus-01234567-"
    for target, code in ((made, "BACKUP_EXISTS"), (tmp_path / "no" / "where", "BACKUP_FOLDER")):
        with pytest.raises(DataError) as caught:
            back_up(state, target, None)
        assert caught.value.code == code
    with pytest.raises(DataError, match="no journal"):
        back_up(tmp_path / "none", tmp_path / "x", None)
    assert [path.name for path in folder.iterdir()] == [made.name]


def test_a_journal_that_does_not_verify_is_not_backed_up(state: Path, tmp_path: Path) -> None:
    connection = sqlite3.connect(state / "journal.db")
    connection.executescript(
        "DROP TRIGGER journal_no_update; UPDATE journal SET body = x'00' WHERE seq = 2"
    )
    connection.close()
    with pytest.raises(JournalError, match="row 2"):
        back_up(state, tmp_path / "one", None)
    assert not (tmp_path / "one").exists() and not list(tmp_path.glob(".one*"))
    shutil.rmtree(state)
    state.mkdir()
    (state / "journal.db").write_bytes(b"junk" * 4000)
    with pytest.raises(JournalError):
        back_up(state, tmp_path / "one", None)


def test_a_journal_shorter_than_its_anchor_is_not_backed_up(state: Path, tmp_path: Path) -> None:
    shutil.copy(state / "journal.db", tmp_path / "older.db")
    with SqliteJournal(state) as journal:
        journal.append(1, "tick", b"")
    shutil.copy(tmp_path / "older.db", state / "journal.db")
    with pytest.raises(JournalError, match="anchor"):
        back_up(state, tmp_path / "one", None)


def test_two_backups_of_one_folder_do_not_meet(state: Path, tmp_path: Path) -> None:
    with backup_module._alone(state), pytest.raises(JournalError, match="being made"):
        back_up(state, tmp_path / "one", None)
    (state / ".backup-left").mkdir()
    (state / ".backup-left" / "journal.db").write_bytes(b"of a killed backup")
    back_up(state, tmp_path / "one", None)
    assert not list(state.glob(".backup-*"))


def test_what_killed_backups_left_goes_with_the_next_one(state: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    others = [kept / ".cerberus-ffffffff-20240101T000000Z.backup.tmp", kept / ".mine.tmp"]
    left = [kept / f".{prefix(state)}2024010{day}T000000Z.backup.tmp" for day in (1, 2)]
    for path in (*others, *left, tmp_path / ".one.tmp"):
        path.write_bytes(b"of a killed backup")
    with backup_module._alone(state):
        for target in (kept, tmp_path / "one"):
            with pytest.raises(JournalError, match="being made"):
                back_up(state, target, None)
    assert len(list(kept.iterdir())) == 4 and (tmp_path / ".one.tmp").exists(), "they may be in use"
    made = back_up(state, kept, None)
    assert set(kept.iterdir()) == {*others, Path(made.path)}
    back_up(state, tmp_path / "one", None)
    assert not (tmp_path / ".one.tmp").exists()


def test_a_backup_is_alone_until_it_has_its_name(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = backup_module.check_backup

    def checked(path: Path, passphrase: Passphrase | None) -> object:
        with pytest.raises(JournalError, match="being made"):
            back_up(state, tmp_path / "two", None)
        return check(path, passphrase)

    monkeypatch.setattr(backup_module, "check_backup", checked)
    back_up(state, tmp_path / "one", None)
    assert (tmp_path / "one").exists()


def test_a_full_disk_leaves_no_backup(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(state)._replace(free=2**20)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: usage)
        with pytest.raises(SystemFailure, match="1 MB are free"):
            back_up(state, tmp_path / "one", None)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFailure) as caught:
        back_up(state, tmp_path / "one", words())
    assert caught.value.code == "BACKUP_FAILED" and "No space left" in caught.value.message
    assert {path.name for path in tmp_path.iterdir()} == {"state"}


def test_what_reads_back_differently_is_no_backup(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = backup_module._pack

    def broken(*arguments: object) -> None:
        pack(*arguments)  # type: ignore[arg-type]
        file = arguments[2]
        assert isinstance(file, io.BufferedWriter)
        file.seek(-1, os.SEEK_END)
        file.write(b"\1\1")

    monkeypatch.setattr(backup_module, "_pack", broken)
    with pytest.raises(DataError):
        back_up(state, tmp_path / "one", None)
    assert {path.name for path in tmp_path.iterdir()} == {"state"}


@pytest.mark.req("D-11.8")
def test_passphrases_and_foreign_files_each_have_their_error(state: Path, tmp_path: Path) -> None:
    path = Path(back_up(state, tmp_path / "one", words()).path)
    assert code_of(path, Passphrase("incorrect horse")) == "ENVELOPE_PASSPHRASE"
    assert code_of(path, None) == "PASSPHRASE_MISSING"
    (tmp_path / "foreign").write_bytes(b"something else entirely")
    assert code_of(tmp_path / "foreign", words()) == "BACKUP_FOREIGN"
    assert code_of(tmp_path / "absent", words()) == "BACKUP_ABSENT"
    with pytest.raises(DataError):
        restore(path, tmp_path / "again", Passphrase("incorrect horse"))
    assert {found.name for found in tmp_path.iterdir()} == {"state", "one", "foreign"}


@pytest.mark.parametrize("encrypted", [True, False])
def test_every_cut_and_flipped_bit_of_a_backup_is_found_or_harmless(
    state: Path, tmp_path: Path, encrypted: bool
) -> None:
    passphrase = words() if encrypted else None
    path = Path(back_up(state, tmp_path / "one", passphrase).path)
    whole, raw = check_backup(path, passphrase), path.read_bytes()
    step = max(1, len(raw) // 400)
    codes = set()
    for at in range(0, len(raw), step):
        for data in (raw[:at], raw[:at] + bytes([raw[at] ^ 1 << at % 8]) + raw[at + 1 :]):
            path.write_bytes(data)
            try:
                assert check_backup(path, passphrase) == whole
                assert not encrypted  # gzip has bits that mean nothing: what it packs is the same
                assert gzip.decompress(data) == gzip.decompress(raw)
            except DataError as error:
                codes.add(error.code)
    assert codes <= {"BACKUP_DAMAGED", "ENVELOPE_DAMAGED", "BACKUP_FOREIGN", "BACKUP_NEWER"}
    path.write_bytes(raw + b"more")
    assert code_of(path, passphrase) == ("ENVELOPE_DAMAGED" if encrypted else "BACKUP_DAMAGED")


def archive(path: Path, *members: tuple[str, bytes], manifest: dict[str, object]) -> None:
    """Write an archive by hand."""
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as out:
        for name, body in (("manifest.json", json.dumps(manifest).encode()), *members):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            out.addfile(info, io.BytesIO(body))


def listed(name: str, body: bytes, **changes: object) -> dict[str, object]:
    entry = {"name": name, "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    return {"version": 1, "engine_version": "", "engine_id": "e", "stream": "main",
            "created_ns": 0, "rows": 0, "last_seq": 0, "last_hash": "", "last_ts_ns": 0,
            "config": "", "files": [{**entry, **changes}]}  # fmt: skip


def test_an_archive_writes_only_what_belongs_into_a_backup(tmp_path: Path) -> None:
    path = tmp_path / "hostile"
    for name in ("../../evil", "/etc/evil", "evil.py", "segments/../../evil", "segments/1-2.txt"):
        archive(path, (name, b"body"), manifest=listed(name, b"body"))
        with pytest.raises(DataError, match="no file of a backup"):
            restore(path, tmp_path / "into", None)
    archive(path, ("anchor", b"body"), manifest=listed("anchor", b"body", sha256="00"))
    assert code_of(path, None) == "BACKUP_DAMAGED"
    archive(path, ("anchor", b"body"), manifest=listed("anchor", b"body", bytes=3))
    assert code_of(path, None) == "BACKUP_DAMAGED"
    archive(path, ("anchor", b"x"), ("more", b"x"), manifest=listed("anchor", b"x"))
    assert code_of(path, None) == "BACKUP_DAMAGED"
    archive(path, manifest={"version": 2})
    assert code_of(path, None) == "BACKUP_NEWER"
    archive(path, manifest={"version": "x"})
    assert code_of(path, None) == "BACKUP_DAMAGED"
    archive(path, ("anchor", b"body"), manifest=listed("anchor", b"body"))
    with pytest.raises(JournalError, match="does not verify"):
        restore(path, tmp_path / "into", None)
    assert {found.name for found in tmp_path.iterdir()} == {"hostile"}


def test_a_used_folder_is_never_restored_into(state: Path, tmp_path: Path) -> None:
    path = Path(back_up(state, tmp_path / "one", None).path)
    for used in (state, path):
        with pytest.raises(DataError) as caught:
            restore(path, used, None)
        assert caught.value.code == "RESTORE_FOLDER"
    (tmp_path / "empty").mkdir()
    assert restore(path, tmp_path / "empty", None).rows == verify(tmp_path / "empty").rows
    assert restore(path, tmp_path / "deep" / "er", None).rows


def test_a_disk_that_fails_during_a_restore_leaves_nothing(
    state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(back_up(state, tmp_path / "one", None).path)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SystemFailure, match="No space left"):
        restore(path, tmp_path / "again", None)
    assert {found.name for found in tmp_path.iterdir()} == {"state", "one"}
