"""Checking sealed segments: each file against its head, the heads against each other."""

from dataclasses import dataclass, field
from pathlib import Path

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.events import RetentionEvent
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.anchor import Anchor
from cerberus_trader.journal.chain import Chain, fault_of
from cerberus_trader.journal.heads import Head, fault_of_head
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.segments import damaged, digest_of, path_of, read_segment
from cerberus_trader.journal.store import Meta

REASONS_MAX = 20
RETENTION = "retention"


@dataclass
class Report:
    """Say what a journal holds and everything that is wrong with it.

    `rows` counts those that are there, in segments and in the file; `deleted_seq` is the last row
    that retention deleted (0: none). `first_bad_seq` is the first row that does not follow from
    the one before it (None: none);
    `reasons` are faults, `notes` are harmless (a torn anchor slot after a crash).
    """

    folder: str
    meta: Meta | None = None
    rows: int = 0
    last_seq: int = 0
    last_hash: bytes = b""
    first_bad_seq: int | None = None
    anchor: Anchor | None = None
    snapshots: int = 0
    segments: int = 0
    deleted_seq: int = 0
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Tell whether nothing is wrong."""
        return not self.reasons

    def blame(self, reason: str) -> None:
        """Add a fault, up to a bound."""
        if len(self.reasons) < REASONS_MAX:
            self.reasons.append(reason)

    def blame_row(self, seq: int, fault: str) -> None:
        """Add a fault of a row."""
        if self.first_bad_seq is None:
            self.first_bad_seq = seq
        self.blame(f"row {seq} {fault}")


class Walk:
    """Follow the chain row by row, blaming each row that does not continue it."""

    def __init__(
        self, folder: Path, meta: Meta, report: Report, chain: Chain, anchor_seq: int,
        hashes: dict[int, bytes],
    ) -> None:  # fmt: skip
        self.folder, self.meta, self.report, self.chain = folder, meta, report, chain
        self.anchor_seq, self.hashes = anchor_seq, hashes
        self.told: set[tuple[int, str]] = set()

    def take(self, row: Row) -> None:
        """Take the next row."""
        report = self.report
        fault = fault_of(row, self.chain, report.last_seq + 1)
        if fault:
            report.blame_row(report.last_seq + 1, fault)
            stored: tuple[object, ...] = row  # a damaged file may hold anything
            if not isinstance(stored[1], int) or not isinstance(stored[5], bytes):
                return
            self.chain.head = row.hash  # each later row is judged by what is stored before it
        elif row.kind == RETENTION:
            self._note(row)
        self.reach(row.seq, row.hash)

    def reach(self, seq: int, digest: bytes) -> None:
        """Note how far the chain has come."""
        self.report.last_seq, self.report.last_hash = seq, digest
        if seq == self.anchor_seq:
            self.hashes[seq] = digest

    def _note(self, row: Row) -> None:
        """Take a deletion that the journal itself tells of."""
        event = decode_row(row.body, place=f"journal row {row.seq}").event
        if isinstance(event, RetentionEvent) and event.what == "rows":
            self.told.add((event.last_seq, event.last_hash))


def check_segments(heads: list[Head], walk: Walk) -> int:
    """Check every segment and return the last row that has left the file."""
    report = walk.report
    for head in heads:
        fault = fault_of_head(head, report.last_seq + 1, walk.chain.head)
        if not fault and head.deleted and report.segments:
            fault = f"segment {head.first_seq}-{head.last_seq} is deleted before an older one"
        if fault:
            report.blame_row(report.last_seq + 1, f"is not where it should be: {fault}")
        if head.deleted:
            walk.chain.head = head.last_hash
            walk.reach(head.last_seq, head.last_hash)
            report.deleted_seq = head.last_seq
        else:
            report.segments += 1
            _check_file(head, walk)
    for head in heads:
        if head.deleted and head.audit_digest is not None:
            _check_audit(head, walk)
    return heads[-1].last_seq if heads else 0


def _check_file(head: Head, walk: Walk) -> None:
    path = path_of(walk.folder, head.first_seq, head.last_seq)
    try:
        if digest_of(path) != head.digest:
            raise damaged(path, "does not match its checksum")
        for row in read_segment(path, walk.meta.stream):
            walk.report.rows += 1
            walk.take(row)
        if (walk.report.last_seq, walk.chain.head) != (head.last_seq, head.last_hash):
            raise damaged(path, f"does not end with row {head.last_seq}")
    except JournalError as error:
        walk.report.blame_row(walk.report.last_seq + 1, f"cannot be read: {error}")
        walk.chain.head = head.last_hash
        walk.reach(head.last_seq, head.last_hash)


def _check_audit(head: Head, walk: Walk) -> None:
    path = path_of(walk.folder, head.first_seq, head.last_seq, "audit")
    try:
        if digest_of(path) != head.audit_digest:
            raise damaged(path, "does not match its checksum")
        if sum(1 for _ in read_segment(path, walk.meta.stream)) != head.audit_rows:
            raise damaged(path, f"does not hold {head.audit_rows} rows")
    except JournalError as error:
        walk.report.blame(f"audit: {error}")


def check_deletions(heads: list[Head], walk: Walk) -> None:
    """Blame rows that are deleted though no later row of the journal tells of it.

    Deletion goes from the oldest row on, so that the newest deletion vouches for those before.
    """
    gone = [head for head in heads if head.deleted]
    if gone and (gone[-1].last_seq, gone[-1].last_hash.hex()) not in walk.told:
        walk.report.blame(
            f"rows to {gone[-1].last_seq} are deleted, but no row of the journal tells of it"
        )
