"""What a backup says of itself, and how backups are named."""

from pathlib import Path

import msgspec

from cerberus_trader.journal.reader import JournalReader

SUFFIX = ".backup"
MANIFEST_VERSION = 1


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Name a file of a backup, its size and SHA-256 (hex)."""

    name: str
    bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Say what a backup holds: the journal up to `last_seq`, and under which configuration."""

    version: int = MANIFEST_VERSION
    engine_version: str
    engine_id: str
    stream: str
    created_ns: int
    rows: int
    last_seq: int
    last_hash: str
    last_ts_ns: int
    config: str
    files: tuple[Entry, ...]


class Made(msgspec.Struct, frozen=True):
    """Say what a backup holds and where it is."""

    path: str
    bytes: int
    encrypted: bool
    manifest: Manifest


def prefix(folder: Path) -> str:
    """Return how the names of this journal's backups begin."""
    return f"cerberus-{JournalReader(folder).meta.engine_id[:8]}-"
