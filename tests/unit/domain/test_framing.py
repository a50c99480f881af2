"""Frames: what is too large, of another version, or unreadable is refused by name."""

import struct
from typing import Any

import msgspec
import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.framing import FRAME_BYTES_MAX, VERSION, Decoder, encode


class Word(msgspec.Struct, frozen=True, array_like=True, tag="word"):
    """Carry a text."""

    text: str


def frame(body: Any) -> bytes:
    """Frame anything at all."""
    data = msgspec.msgpack.encode(body)
    return struct.pack(">I", len(data)) + data


def test_messages_come_out_as_they_went_in_however_the_bytes_arrive() -> None:
    data = encode(Word("one")) + encode(Word("two"))
    decoder: Decoder[Word] = Decoder(Word)
    assert [word.text for byte in data for word in decoder.feed(bytes([byte]))] == ["one", "two"]


def test_a_message_that_is_too_large_is_refused_before_it_is_sent() -> None:
    with pytest.raises(DataError, match=f"above {FRAME_BYTES_MAX}"):
        encode(Word("x" * FRAME_BYTES_MAX))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (struct.pack(">I", FRAME_BYTES_MAX + 1), "is above"),
        (frame((VERSION + 1, Word("one"))), f"this side speaks {VERSION}"),
        (frame((VERSION, ("other", 1))), "cannot be read"),
        (frame("no pair"), "cannot be read"),
        (struct.pack(">I", 1) + b"\xc1", "cannot be read"),
    ],
)
def test_a_frame_that_cannot_be_taken_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words) as refused:
        Decoder(Word).feed(data)
    assert refused.value.code == "FRAME_REFUSED"
