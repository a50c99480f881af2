"""Exporting a journal as JSON lines, one line per row."""

import base64
from collections.abc import Iterable
from typing import BinaryIO

import msgspec

from cerberus_trader.domain.errors import UNREADABLE
from cerberus_trader.journal.rows import Row


def export_rows(rows: Iterable[Row], out: BinaryIO) -> int:
    """Write each row as a line of UTF-8 JSON and return the count.

    Keys: stream, seq, ts_ns, kind, hash (hex), and `body` with the JSON as stored (numbers keep
    their digits), or `body_base64` where the body is not JSON.
    """
    count = 0
    for row in rows:
        out.write(line_of(row))
        count += 1
    return count


def line_of(row: Row) -> bytes:
    """Encode one row as a line of JSON."""
    fields: dict[str, object] = {
        "stream": row.stream,
        "seq": row.seq,
        "ts_ns": row.ts_ns,
        "kind": row.kind,
        "hash": row.hash.hex(),
    }
    try:
        msgspec.json.decode(row.body)
        # Reformatting takes line breaks out and touches no number or text.
        fields["body"] = msgspec.Raw(msgspec.json.format(row.body, indent=-1))
    except UNREADABLE:
        fields["body_base64"] = base64.b64encode(row.body).decode()
    return msgspec.json.encode(fields) + b"\n"
