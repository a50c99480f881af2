"""Frames of our sockets: four bytes of length (big endian) and that many of MessagePack.

A frame holds [version, message]; messages are tagged arrays. A frame above 1 MiB, of another
version, or that cannot be read is refused with `DataError`, and the connection is closed.
"""

import struct
from typing import Any, Generic, TypeVar

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError

VERSION = 1
FRAME_BYTES_MAX = 2**20
HEAD = struct.Struct(">I")

R = TypeVar("R")
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode


def encode(message: msgspec.Struct) -> bytes:
    """Make the frame of a message; raise `DataError` where it is too large."""
    body = _encode((VERSION, message))
    if len(body) > FRAME_BYTES_MAX:
        raise broken(f"a message of {len(body)} bytes is above {FRAME_BYTES_MAX}.")
    return HEAD.pack(len(body)) + body


def broken(message: str) -> DataError:
    """Make the error of a frame that cannot be taken."""
    return DataError(message, code="FRAME_REFUSED", place="socket",
                     fix="use the same release on both sides.")  # fmt: skip


class Decoder(Generic[R]):
    """Cut a stream of bytes into messages of one union; holds at most one frame's bytes."""

    def __init__(self, kind: Any) -> None:
        self._body: msgspec.msgpack.Decoder[R] = msgspec.msgpack.Decoder(kind)
        self._head = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw])
        self._bytes = bytearray()

    def feed(self, data: bytes) -> list[R]:
        """Take bytes; return the messages that they complete. Raises `DataError`."""
        buffer = self._bytes
        buffer += data
        found: list[R] = []
        while len(buffer) >= HEAD.size:
            (size,) = HEAD.unpack_from(buffer)
            if size > FRAME_BYTES_MAX:
                raise broken(f"a frame of {size} bytes is above {FRAME_BYTES_MAX}.")
            if len(buffer) < HEAD.size + size:
                break
            body = bytes(buffer[HEAD.size : HEAD.size + size])
            del buffer[: HEAD.size + size]
            found.append(self._message(body))
        return found

    def _message(self, body: bytes) -> R:
        try:
            version, raw = self._head.decode(body)
            if version != VERSION:
                raise broken(f"the frame has version {version}, this side speaks {VERSION}.")
            return self._body.decode(raw)
        except UNREADABLE as error:
            raise broken(f"the frame cannot be read: {error}.") from None
