"""Exporting rows as JSON lines."""

import io
import json

from cerberus_trader.journal.export import export_rows
from cerberus_trader.journal.memory import MemoryJournal


def test_json_bodies_are_kept_digit_by_digit_and_others_are_base64() -> None:
    journal = MemoryJournal(engine_id="e")
    journal.append(10, "signal", b'{"price": 0.10000000000000000001,\n "id": "a\\nb"}')
    journal.append(20, "blob", b"\x00\xff")
    journal.append(30, "broken", b'{"a": ')
    out = io.BytesIO()
    assert export_rows(journal.rows(), out) == 3
    lines = out.getvalue().splitlines()
    assert len(lines) == 3
    assert b'"price":0.10000000000000000001' in lines[0].replace(b" ", b"")
    first = json.loads(lines[0])
    assert (first["seq"], first["ts_ns"], first["kind"], first["stream"]) == (
        1,
        10,
        "signal",
        "main",
    )
    assert first["body"]["id"] == "a\nb"
    assert len(first["hash"]) == 64
    assert json.loads(lines[1])["body_base64"] == "AP8="
    assert "body" not in json.loads(lines[2])


def test_nothing_is_exported_from_nothing() -> None:
    assert export_rows([], io.BytesIO()) == 0
