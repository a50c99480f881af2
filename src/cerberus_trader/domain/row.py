"""The body of a journal row: an event with all its facts, encoded once, hashed as stored."""

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, JournalError
from cerberus_trader.domain.events import Event
from cerberus_trader.domain.facts import VERSION, Fact


class Row(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold an event with its facts, and the version of the facts."""

    version: int
    event: Event
    facts: tuple[Fact, ...]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Row)


def encode_row(event: Event, facts: tuple[Fact, ...]) -> bytes:
    """Encode a row's body as compact JSON (positional arrays)."""
    return _encoder.encode(Row(VERSION, event, facts))


def decode_row(body: bytes, *, place: str = "") -> Row:
    """Decode a row's body; raise `JournalError` for a newer version or a damaged body."""
    try:
        head = msgspec.json.decode(body, type=tuple[int, msgspec.Raw, msgspec.Raw])
        if head[0] > VERSION:
            raise JournalError(
                f"the row has version {head[0]}, this engine knows up to {VERSION}.",
                code="JOURNAL_NEWER",
                place=place,
                fix="start the release that wrote it, or a newer one.",
            )
        return _decoder.decode(body)
    except UNREADABLE as error:
        raise JournalError(
            f"the row cannot be read: {error}.", code="JOURNAL_ROW", place=place,
            fix="run `cerberus journal verify`.",
        ) from None  # fmt: skip
