"""The hash chain over stored rows: tampering and damage show at the first row they touch.

hash(row) = sha256(hash(previous row) + header + body), where the header is the canonical bytes
of stream, kind, seq, ts_ns and the body's length, and the first row follows the genesis hash of
the journal's engine id.
"""

import hashlib
import struct
from collections.abc import Iterable, Iterator

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.rows import Row

HASH_BYTES = 32
GENESIS_LABEL = b"cerberus-journal-1\x00"

_sha256 = hashlib.sha256
_name_size = struct.Struct(">H").pack
_numbers = struct.Struct(">QqI").pack


def genesis(engine_id: str) -> bytes:
    """Give the hash that the first row of a journal follows (32 bytes)."""
    return _sha256(GENESIS_LABEL + engine_id.encode()).digest()


def _named(name: str) -> bytes:
    raw = name.encode()
    return _name_size(len(raw)) + raw


class Chain:
    """Compute the hashes of one stream's rows, each from the one before it."""

    __slots__ = ("_kinds", "_stream", "head")

    def __init__(self, stream: str, head: bytes) -> None:
        self._stream = _named(stream)
        self._kinds: dict[str, bytes] = {}
        self.head = head

    def link(self, seq: int, ts_ns: int, kind: str, body: bytes) -> bytes:
        """Chain one more row and return its hash (32 bytes)."""
        names = self._kinds.get(kind)
        if names is None:
            names = self._kinds[kind] = self._stream + _named(kind)
        self.head = head = _sha256(
            b"".join((self.head, names, _numbers(seq, ts_ns, len(body)), body))
        ).digest()
        return head


def checked(rows: Iterable[Row], chain: Chain, after_seq: int, place: str) -> Iterator[Row]:
    """Yield the rows while number and hash of each follow from the row before it.

    Raises `JournalError` naming the first row that does not.
    """
    expected = after_seq
    for row in rows:
        expected += 1
        fault = fault_of(row, chain, expected)
        if fault:
            raise JournalError(
                f"row {expected} {fault}.",
                code="JOURNAL_DAMAGED",
                place=place,
                fix="run `cerberus journal verify`, then restore the journal from a backup.",
            )
        yield row


def fault_of(row: Row, chain: Chain, expected_seq: int) -> str:
    """Say what is wrong with a row, or return an empty text; advances the chain."""
    if row.seq != expected_seq:
        return f"is missing (found row {row.seq} in its place)"
    try:
        right = chain.link(row.seq, row.ts_ns, row.kind, row.body) == row.hash
    except (TypeError, AttributeError, struct.error, UnicodeEncodeError):
        return "holds values of the wrong type"
    return "" if right else "does not match its hash"
