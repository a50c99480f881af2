"""The hash chain: what it covers, and where it breaks."""

import hashlib
import struct

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal.chain import Chain, checked, fault_of, genesis
from cerberus_trader.journal.rows import Row


def history(count: int, engine_id: str = "e") -> list[Row]:
    chain = Chain("main", genesis(engine_id))
    rows = []
    for seq in range(1, count + 1):
        body = b"body %d" % seq
        rows.append(
            Row("main", seq, seq * 10, "tick", body, chain.link(seq, seq * 10, "tick", body))
        )
    return rows


def test_link_is_sha256_over_previous_hash_header_and_body() -> None:
    chain = Chain("main", genesis("e"))
    digest = chain.link(7, -5, "fill", b"xyz")
    header = b"\x00\x04main\x00\x04fill" + struct.pack(">QqI", 7, -5, 3)
    assert digest == hashlib.sha256(genesis("e") + header + b"xyz").digest()
    assert chain.head == digest


def test_engines_have_different_histories() -> None:
    assert history(1, "a")[0].hash != history(1, "b")[0].hash


def test_names_cannot_flow_into_each_other() -> None:
    one = Chain("ab", genesis("e")).link(1, 0, "c", b"")
    two = Chain("a", genesis("e")).link(1, 0, "bc", b"")
    assert one != two


@pytest.mark.parametrize(
    "change",
    [
        {"ts_ns": 31},
        {"kind": "tock"},
        {"body": b"body 4"},
        {"hash": bytes(32)},
        {"seq": 4},
        {"body": None},
        {"kind": 5},
    ],
)
def test_each_changed_field_breaks_the_chain_at_its_row(change: dict[str, object]) -> None:
    rows = history(5)
    rows[2] = rows[2]._replace(**change)  # type: ignore[arg-type]
    read = checked(rows, Chain("main", genesis("e")), 0, "here")
    assert next(read).seq == 1
    assert next(read).seq == 2
    with pytest.raises(JournalError, match="row 3") as caught:
        next(read)
    assert caught.value.code == "JOURNAL_DAMAGED"
    assert caught.value.place == "here"


def test_a_missing_row_is_named() -> None:
    rows = history(5)
    del rows[3]
    with pytest.raises(JournalError, match="row 4 is missing"):
        list(checked(rows, Chain("main", genesis("e")), 0, "here"))


def test_checking_can_start_in_the_middle() -> None:
    rows = history(5)
    read = list(checked(rows[3:], Chain("main", rows[2].hash), 3, "here"))
    assert [row.seq for row in read] == [4, 5]


def test_fault_of_right_row_is_empty() -> None:
    assert fault_of(history(1)[0], Chain("main", genesis("e")), 1) == ""
