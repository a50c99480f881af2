"""What a venue sends: whatever comes is a message that makes sense, or it is garbage."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError, VenueGarbage
from cerberus_trader.domain.events import (
    FillReport,
    FundingReport,
    OrderModified,
    OrderReport,
    TransferReport,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.framing import HEAD, Decoder, encode
from cerberus_trader.venues.remote import wire

amounts = st.one_of(
    st.decimals(allow_nan=True, allow_infinity=True), st.decimals(0, 10**6, places=4)
)
texts = st.text(max_size=70)
whole = st.integers(-(2**63), 2**64 - 1)
sides = st.sampled_from((-1, 0, 1, 7))
orders = st.builds(
    VenueOrder, texts, texts, sides, amounts, st.sampled_from(("working", "filled")), amounts,
    st.none() | amounts, st.booleans(), texts,
)  # fmt: skip
positions = st.builds(VenuePosition, texts, sides, amounts, amounts, amounts, amounts, texts)
fills = st.builds(
    FillReport, st.sampled_from((0, 1)), texts, texts, texts, texts, sides, amounts, amounts,
    amounts, st.just("taker"), st.just("entry"), amounts, amounts, st.none() | amounts,
    st.none() | amounts, st.none() | amounts, st.just(()), whole,
)  # fmt: skip
payments = st.builds(
    FundingReport, st.just(0), texts, texts, amounts, amounts, amounts, amounts, st.just(()),
    texts, whole,
)  # fmt: skip
transfers = st.builds(
    TransferReport, st.sampled_from((0, 1)), texts, amounts, texts, st.just(()), whole
)
reports = st.builds(
    OrderReport, st.just(0), texts, st.just("canceled"), texts, st.booleans(), st.none() | amounts
)
changes = st.builds(OrderModified, st.just(0), texts, amounts, amounts)
words = st.one_of(fills, payments, transfers, reports, changes)
quotes = st.builds(wire.Quote, texts, amounts, amounts, whole)
messages: st.SearchStrategy[wire.Message] = st.one_of(
    st.builds(wire.Acked, whole, st.booleans(), texts, st.booleans()),
    st.builds(wire.Done, whole, whole),
    st.builds(wire.Told, whole, whole, st.none() | orders),
    st.builds(wire.Holds, whole, whole, st.lists(orders, max_size=2).map(tuple),
              st.lists(positions, max_size=2).map(tuple), st.none() | amounts),
    st.builds(wire.Booked, whole, st.lists(fills | payments | transfers, max_size=2).map(tuple)),
    st.builds(wire.Sums, whole, st.dictionaries(texts, amounts, max_size=2),
              st.dictionaries(texts, whole, max_size=2)),
    st.builds(wire.Refused, whole, texts),
    st.builds(wire.Spoken, words),
    st.builds(wire.Prices, st.lists(quotes, max_size=2).map(tuple)),
)  # fmt: skip


def numbers_of(value: Any) -> list[Any]:
    """Return every decimal inside a message."""
    if isinstance(value, msgspec.Struct):
        return [n for name in value.__struct_fields__ for n in numbers_of(getattr(value, name))]
    if isinstance(value, tuple):
        return [n for item in value for n in numbers_of(item)]
    return [value] if hasattr(value, "is_finite") else []


def read(data: bytes) -> list[wire.Message]:
    """Read what a line would take; raises `DataError` or `VenueGarbage`."""
    decoder: Decoder[wire.Message] = Decoder(wire.Message)
    return [wire.checked(message) for message in decoder.feed(data)]


@given(messages)
def test_a_message_makes_sense_or_is_garbage(message: wire.Message) -> None:
    try:
        (found,) = read(encode(message))
    except VenueGarbage:
        return
    assert all(number.is_finite() and abs(number) < 10**53 for number in numbers_of(found))


@given(messages, st.integers(0, 10**6), st.binary(min_size=1, max_size=4))
def test_damage_never_escapes_as_another_error(
    message: wire.Message, at: int, noise: bytes
) -> None:
    stream = bytearray(encode(message))
    at = HEAD.size + at % (len(stream) - HEAD.size)
    stream[at : at + len(noise)] = noise
    stream[: HEAD.size] = HEAD.pack(len(stream) - HEAD.size)
    try:
        read(bytes(stream))
    except (DataError, VenueGarbage) as error:
        assert error.message


@given(st.binary(max_size=300))
def test_bytes_without_meaning_are_refused_or_waited_for(data: bytes) -> None:
    try:
        assert read(data) == []
    except (DataError, VenueGarbage) as error:
        assert error.message


@pytest.mark.parametrize("text", ["<html>", "HTTP/1.1 502 Bad Gateway\r\n", "{}\n", "null"])
def test_text_of_a_web_server_is_refused(text: str) -> None:
    data = text.encode() * 50
    with pytest.raises(DataError):
        read(data)
