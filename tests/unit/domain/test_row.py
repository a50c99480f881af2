"""Journal rows: every event and fact survives the round trip; newer and broken ones are refused."""

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.domain.row import decode_row, encode_row
from tests.kit import Bench


@pytest.mark.req("E-6.2.1", "E-6.1.3")
def test_rows_of_a_whole_trade_round_trip_byte_for_byte() -> None:
    bench = Bench()
    bench.open()
    bench.signal("sell", instrument="NOPE")
    bench.close("97")
    assert {type(event).__name__ for event, _ in bench.rows} == {
        "ConfigEvent", "SignalEvent", "FillReport",
    }  # fmt: skip
    for event, facts in bench.rows:
        body = encode_row(event, facts)
        row = decode_row(body)
        assert row.event == event
        assert encode_row(row.event, row.facts) == body


def test_a_newer_row_names_the_fix() -> None:
    with pytest.raises(JournalError, match=r"row 7.*version 99") as caught:
        decode_row(b"[99,[],[]]", place="row 7")
    assert caught.value.code == "JOURNAL_NEWER" and caught.value.exit_code == 3


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b"[1,[],[]]", b"\xff\xff", b'[1,["x"],[]]'])
def test_a_damaged_row_is_refused(body: bytes) -> None:
    with pytest.raises(JournalError, match="cannot be read"):
        decode_row(body)
