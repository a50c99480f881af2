"""Read a backup back: prove it whole, or restore it into an empty state folder.

In the journal a restore marks nothing. Every start reconciles with the venue before it trades, and
a restored journal is a history that ends earlier than the venue's, which is what reconciliation is
for: orders and fills since the backup are found there and booked as new rows. What people stopped
or revoked since then is in no backup: whoever restores halts the folder before it appears.
"""

import gzip
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

import msgspec

from cerberus_trader.domain.errors import (
    UNREADABLE,
    CerberusError,
    DataError,
    JournalError,
    SystemFailure,
)
from cerberus_trader.journal.anchor import sync_folder
from cerberus_trader.journal.manifest import MANIFEST_VERSION, Manifest
from cerberus_trader.journal.verify import verify
from cerberus_trader.security.envelope import MAGIC, EnvelopeReader
from cerberus_trader.security.passphrase import Passphrase

PURPOSE = "backup"
MANIFEST_NAME = "manifest.json"
MANIFEST_BYTES_MAX = 64 * 2**20
GZIP_MAGIC = b"\x1f\x8b"
COPY_BYTES = 2**20
# Nothing else is ever written, whatever an archive names.
NAMES = re.compile(
    r"journal\.db|anchor|trailing\.json|tokens\.json"
    r"|segments/[0-9]{1,20}-[0-9]{1,20}\.(?:seg|audit)"
)
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile, tarfile.TarError)


def damaged(path: Path, what: str) -> DataError:
    """Make the error of a backup that is not as it was written."""
    return DataError(
        f"the backup is damaged: {what}.", code="BACKUP_DAMAGED", place=str(path),
        fix="use another backup.",
    )  # fmt: skip


def check_backup(path: Path, passphrase: Passphrase | None) -> Manifest:
    """Read a whole backup and return its manifest; raise `DataError` unless all of it is right."""
    return _read(path, passphrase, None)


def is_encrypted(path: Path) -> bool:
    """Tell whether a file is an encrypted backup; a file that cannot be read is none."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def restore(
    path: Path, into: Path, passphrase: Passphrase | None,
    prepare: Callable[[Path, Manifest], None] | None = None,
) -> Manifest:  # fmt: skip
    """Restore a backup into a state folder that is absent or empty, and verify what was written.

    The folder appears whole or not at all, after `prepare` has been called with it. Raises
    `DataError` for a used folder, a wrong passphrase or a damaged backup, `JournalError` where the
    journal in it does not verify.
    """
    into = into.absolute()
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise DataError("the folder is not empty.", code="RESTORE_FOLDER", place=str(into),
                        fix="name a new folder; move the old one away first.")  # fmt: skip
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{into.name}.restoring-", dir=into.parent))
        try:
            manifest = _read(path, passphrase, work)
            _prove(work, manifest, path)
            if prepare is not None:
                prepare(work, manifest)
            sync_folder(work)
            work.rename(into)
            sync_folder(into.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise SystemFailure(
            f"the backup cannot be restored: {error.strerror or error}.", code="RESTORE_FAILED",
            place=str(error.filename or into), fix="check the disk and the folder.",
        ) from error  # fmt: skip
    return manifest


def _prove(work: Path, manifest: Manifest, path: Path) -> None:
    """Verify chain and anchor of what was unpacked, and that it ends where it should."""
    report = verify(work)
    if not report.ok:
        raise JournalError(
            f"the restored journal does not verify: {'; '.join(report.reasons)}",
            code="JOURNAL_DAMAGED", place=str(path), fix="use another backup.",
        )  # fmt: skip
    if (report.last_seq, report.last_hash.hex()) != (manifest.last_seq, manifest.last_hash):
        raise damaged(path, "its journal does not end where its manifest says")


@contextmanager
def _opened(path: Path, passphrase: Passphrase | None) -> Iterator[IO[bytes]]:
    """Open the gzip stream of a backup, decrypting where it is encrypted."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise DataError(f"it cannot be read: {error.strerror}.", code="BACKUP_ABSENT",
                        place=str(path), fix="name a backup file.") from None  # fmt: skip
    with file:
        magic = file.read(len(MAGIC))
        file.seek(0)
        if magic.startswith(GZIP_MAGIC):
            yield file
            return
        if magic != MAGIC:
            raise DataError("this is no backup of Cerberus.", code="BACKUP_FOREIGN",
                            place=str(path), fix="name a backup file.")  # fmt: skip
        if passphrase is None:
            raise DataError("the backup is encrypted.", code="PASSPHRASE_MISSING",
                            place=str(path), fix="give its passphrase.")  # fmt: skip
        yield cast(BinaryIO, EnvelopeReader(file, passphrase, PURPOSE, place=str(path)))


def _read(path: Path, passphrase: Passphrase | None, into: Path | None) -> Manifest:
    """Read a backup through, writing its files below `into` unless that is None."""
    with _opened(path, passphrase) as source:
        try:
            with gzip.GzipFile(fileobj=source, mode="rb") as packed:
                with tarfile.open(fileobj=packed, mode="r|") as archive:
                    manifest = _members(archive, path, into)
                while packed.read(COPY_BYTES):
                    pass  # to the end of file and envelope: checksum, last chunk, nothing after
        except CerberusError:
            raise
        except DAMAGED as error:
            raise damaged(path, str(error).rstrip(".") or type(error).__name__) from None
    return manifest


def _members(archive: tarfile.TarFile, path: Path, into: Path | None) -> Manifest:
    manifest = _manifest(archive, path)
    for entry in manifest.files:
        info = archive.next()
        if info is None or not info.isreg() or (info.name, info.size) != (entry.name, entry.bytes):
            raise damaged(path, f"{entry.name} is not where its manifest says")
        if not NAMES.fullmatch(entry.name):
            raise damaged(path, f"{entry.name[:80]!r} is no file of a backup")
        source = archive.extractfile(info)
        assert source is not None
        if _copy(source, into / entry.name if into is not None else None) != entry.sha256:
            raise damaged(path, f"{entry.name} does not match its checksum")
    if archive.next() is not None:
        raise damaged(path, "it holds a file that its manifest does not name")
    return manifest


def _manifest(archive: tarfile.TarFile, path: Path) -> Manifest:
    info = archive.next()
    if info is None or info.name != MANIFEST_NAME or info.size > MANIFEST_BYTES_MAX:
        raise damaged(path, "it does not begin with its manifest")
    source = archive.extractfile(info)
    assert source is not None
    body = source.read()
    try:
        version = msgspec.json.decode(body, type=dict[str, object]).get("version")
        if isinstance(version, int) and version > MANIFEST_VERSION:
            raise DataError(
                f"the backup has version {version}; this release reads {MANIFEST_VERSION}.",
                code="BACKUP_NEWER", place=str(path), fix="use the release that wrote it.",
            )  # fmt: skip
        return msgspec.json.decode(body, type=Manifest)
    except UNREADABLE:
        raise damaged(path, "its manifest cannot be read") from None


def _copy(source: IO[bytes], target: Path | None) -> str:
    """Copy a file, synced, and return its SHA-256; without a target only read it."""
    digest = hashlib.sha256()
    if target is None:
        while data := source.read(COPY_BYTES):
            digest.update(data)
        return digest.hexdigest()
    target.parent.mkdir(exist_ok=True)
    with target.open("xb") as file:
        os.fchmod(file.fileno(), 0o600)
        while data := source.read(COPY_BYTES):
            digest.update(data)
            file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()
