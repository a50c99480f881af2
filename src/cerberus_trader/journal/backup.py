"""Back up a journal while its engine runs: one file, consistent, verified, encrypted.

A backup holds journal.db, a fresh anchor for its last row, the sealed segments, trailing.json and
tokens.json (hashes of tokens). The views are left out: they are rebuilt from the journal. Inside
is a tar of those files under gzip, headed by a manifest with the size and SHA-256 of each.
"""

import gzip
import hashlib
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from cerberus_trader.domain.errors import CerberusError, DataError, JournalError, SystemFailure
from cerberus_trader.domain.facts import ConfigApplied
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.anchor import ANCHOR_NAME, Anchor, AnchorFile, read_anchor, sync_folder
from cerberus_trader.journal.lock import FolderLock
from cerberus_trader.journal.manifest import SUFFIX, Entry, Made, Manifest, prefix
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.segments import path_of
from cerberus_trader.journal.store import DAMAGE, JOURNAL_NAME, connect_reader, failure
from cerberus_trader.journal.unpack import MANIFEST_NAME, PURPOSE, check_backup
from cerberus_trader.journal.verify import verify
from cerberus_trader.journal.verify_segments import Report
from cerberus_trader.security.envelope import EnvelopeWriter
from cerberus_trader.security.passphrase import Passphrase

LOCK_NAME = "backup.lock"
STAGING = ".backup-"
SIDE_FILES = ("trailing.json", "tokens.json")
GZIP_LEVEL = 1
SPARE_BYTES = 64 * 2**20
"""What a copy must leave free on the disk that the engine writes to."""


def back_up(folder: Path, target: Path, passphrase: Passphrase | None) -> Made:
    """Write a backup of a state folder and read it back; None as passphrase leaves it open.

    `target` is a file that does not exist, or a folder in which a name is chosen. Works beside a
    running engine, which goes on writing. The file appears under its name only once it was synced
    and read back whole. Raises `JournalError` where the journal cannot be read or does not verify,
    `DataError` for a wrong target, `SystemFailure` where the disk refuses.
    """
    if not (folder / JOURNAL_NAME).is_file():
        raise DataError("there is no journal.", code="JOURNAL_ABSENT", place=str(folder),
                        fix="name the state folder with --state.")  # fmt: skip
    now_ns = time.time_ns()
    path = _target(folder, target, now_ns)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with _alone(folder):
            _clear(folder, temporary)
            try:
                manifest = _write(folder, temporary, passphrase, now_ns)
                temporary.rename(path)
                sync_folder(path.parent)
            finally:
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(path, error) from error
    return Made(str(path), path.stat().st_size, passphrase is not None, manifest)


def _write(
    folder: Path, temporary: Path, passphrase: Passphrase | None, now_ns: int
) -> Manifest:  # fmt: skip
    """Copy, pack, sync and read back."""
    with _staging(folder) as staging:
        manifest = _stage_again(folder, staging, now_ns)
        with temporary.open("xb") as file:
            os.fchmod(file.fileno(), 0o600)
            _pack(staging, manifest, file, passphrase)
            file.flush()
            os.fsync(file.fileno())
    if check_backup(temporary, passphrase) != manifest:
        raise SystemFailure("the backup reads back differently.", code="BACKUP_FAILED",
                            place=str(temporary), fix="check the disk.")  # fmt: skip
    return manifest


def _clear(folder: Path, temporary: Path) -> None:
    """Remove what killed backups of this journal left where the next one goes."""
    temporary.unlink(missing_ok=True)
    for left in temporary.parent.glob(f".{prefix(folder)}*{SUFFIX}.tmp"):
        with suppress(OSError):  # what cannot be removed holds up no backup
            left.unlink()


def _failed(path: Path, error: OSError) -> CerberusError:
    if isinstance(error, FileExistsError):
        return DataError("the file exists already.", code="BACKUP_EXISTS", place=str(path),
                         fix="name another file, or a folder.")  # fmt: skip
    return SystemFailure(f"the backup cannot be written: {error.strerror or error}.",
                         code="BACKUP_FAILED", place=str(path),
                         fix="check the disk and the folder.")  # fmt: skip


def _target(folder: Path, target: Path, now_ns: int) -> Path:
    """Name the file to write; refuse one that exists or a folder that does not."""
    path = target
    if target.is_dir():
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now_ns // 10**9))
        path = target / f"{prefix(folder)}{stamp}{SUFFIX}"
    if path.exists():
        raise _failed(path, FileExistsError())
    if not path.parent.is_dir():
        raise DataError("there is no such folder.", code="BACKUP_FOLDER", place=str(path.parent),
                        fix="create it, or name another place.")  # fmt: skip
    return path


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold off a second backup of the same folder."""
    lock = FolderLock(folder, LOCK_NAME, "a backup of this folder is being made")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """Make a folder for the copy, beside the journal; what a killed backup left is removed."""
    for left in folder.glob(f"{STAGING}*"):
        shutil.rmtree(left, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=STAGING, dir=folder))
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _stage_again(folder: Path, staging: Path, now_ns: int) -> Manifest:
    """Copy; once more where retention deleted segments between the copies of file and segments."""
    begun = [head for head in JournalReader(folder).heads() if head.deleted]
    try:
        return _stage(folder, staging, now_ns)
    except JournalError:
        if [head for head in JournalReader(folder).heads() if head.deleted] == begun:
            raise
        shutil.rmtree(staging)
        staging.mkdir(mode=0o700)
        return _stage(folder, staging, now_ns)


def _stage(folder: Path, staging: Path, now_ns: int) -> Manifest:
    """Copy what belongs into a backup, verify the copy, and describe it."""
    before = read_anchor(folder)  # read first: the copy must not be shorter
    meta = JournalReader(folder).meta
    _make_sure_of_room(folder)
    _copy_database(folder / JOURNAL_NAME, staging / JOURNAL_NAME)
    for name in SIDE_FILES:
        if (folder / name).is_file():
            shutil.copyfile(folder / name, staging / name)
    _link_segments(folder, staging)
    if before is not None:
        _anchor(staging, before)
    report = _verified(verify(staging), folder)
    (staging / ANCHOR_NAME).unlink(missing_ok=True)
    _anchor(staging, Anchor(meta.stream, report.last_seq, report.last_hash))
    reader = JournalReader(staging)
    last = next(reader.rows(report.last_seq - 1, report.last_seq), None)
    files = [path for path in sorted(staging.rglob("*")) if path.is_file()]
    return Manifest(
        engine_version=meta.engine_version, engine_id=meta.engine_id, stream=meta.stream,
        created_ns=now_ns, rows=report.rows, last_seq=report.last_seq,
        last_hash=report.last_hash.hex(), last_ts_ns=last.ts_ns if last is not None else 0,
        config=_config(reader), files=tuple(_entry(staging, path) for path in files),
    )  # fmt: skip


def _make_sure_of_room(folder: Path) -> None:
    """Refuse a copy that would fill the disk under the running engine."""
    size = sum(path.stat().st_size for path in folder.glob(f"{JOURNAL_NAME}*"))
    free = shutil.disk_usage(folder).free
    if free < size + SPARE_BYTES:
        raise SystemFailure(
            f"{free // 2**20} MB are free, the copy of the journal may need {size // 2**20} MB.",
            code="BACKUP_SPACE", place=str(folder), fix="free disk space.",
        )  # fmt: skip


def _copy_database(source: Path, target: Path) -> None:
    """Copy a consistent state of a database that others may be writing, without its free pages."""
    connection = connect_reader(source)
    try:
        connection.execute("VACUUM INTO ?", (str(target),))
    except DAMAGE as error:
        if isinstance(error, sqlite3.OperationalError) and "disk" in str(error):
            raise OSError(28, str(error)) from error
        raise failure(error, source, "copying the journal") from error
    finally:
        connection.close()


def _link_segments(folder: Path, staging: Path) -> None:
    """Add the segments that the copied journal names; their files never change."""
    reader = JournalReader(staging)
    for head in reader.heads():
        if head.deleted and head.audit_digest is None:
            continue
        suffix = "audit" if head.deleted else "seg"
        target = path_of(staging, head.first_seq, head.last_seq, suffix)
        target.parent.mkdir(exist_ok=True)
        with suppress(FileNotFoundError):  # verifying tells, unless retention has just deleted it
            os.link(path_of(folder, head.first_seq, head.last_seq, suffix), target)


def _anchor(folder: Path, anchor: Anchor) -> None:
    file = AnchorFile(folder)
    file.write(anchor)
    file.close()


def _verified(report: Report, folder: Path) -> Report:
    if not report.ok:
        raise JournalError(
            f"the journal does not verify: {'; '.join(report.reasons)}", code="JOURNAL_DAMAGED",
            place=str(folder), fix="run `cerberus journal verify`; restore an older backup.",
        )  # fmt: skip
    return report


def _config(reader: JournalReader) -> str:
    """Return the hash of the newest configuration, empty where there is none."""
    for row in reader.newest("config"):
        for fact in decode_row(row.body, place=f"journal row {row.seq}").facts:
            if isinstance(fact, ConfigApplied):
                return fact.digest
    return ""


def _entry(staging: Path, path: Path) -> Entry:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Entry(path.relative_to(staging).as_posix(), path.stat().st_size, digest)


def _pack(staging: Path, manifest: Manifest, file: BinaryIO, passphrase: Passphrase | None) -> None:
    """Write the archive, encrypted where there is a passphrase."""
    if passphrase is None:
        _archive(staging, manifest, file)
        return
    with EnvelopeWriter(file, passphrase, PURPOSE) as envelope:
        _archive(staging, manifest, cast(BinaryIO, envelope))


def _archive(staging: Path, manifest: Manifest, out: IO[bytes]) -> None:
    with (
        gzip.GzipFile("", "wb", GZIP_LEVEL, out, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as archive,
    ):
        body = msgspec.json.encode(manifest)
        head = tarfile.TarInfo(MANIFEST_NAME)
        head.size, head.mode = len(body), 0o600
        archive.addfile(head, BytesIO(body))
        for entry in manifest.files:
            info = tarfile.TarInfo(entry.name)
            info.size, info.mode, info.mtime = entry.bytes, 0o600, manifest.created_ns // 10**9
            with (staging / entry.name).open("rb") as source:
                archive.addfile(info, source)
