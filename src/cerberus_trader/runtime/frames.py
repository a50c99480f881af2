"""The control protocol: frames of four bytes of length (big endian) and that many of MessagePack.

A frame holds [version, message]; messages are tagged arrays. A frame above 1 MiB, of another
version, or that cannot be read is refused with `DataError`, and the connection is closed.
"""

import struct
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec

from cerberus_trader.domain.errors import DataError

VERSION = 1
FRAME_BYTES_MAX = 2**20
HEAD = struct.Struct(">I")


class Status(msgspec.Struct, frozen=True, tag="status", array_like=True):
    """Ask what is going on."""


class Explain(msgspec.Struct, frozen=True, tag="explain", array_like=True):
    """Ask for a decision by its id; empty is the last one."""

    decision: str = ""


class WhyNot(msgspec.Struct, frozen=True, tag="why_not", array_like=True):
    """Ask what would have had to differ for an approval."""

    decision: str = ""


class Operate(msgspec.Struct, frozen=True, tag="operate", array_like=True):
    """Give a command that needs no token, such as halt; `target` names a strategy or an order."""

    command: str
    actor: str
    reason: str = ""
    target: str = ""
    price: Decimal | None = None
    amount: Decimal | None = None


class ResetBreaker(msgspec.Struct, frozen=True, tag="reset_breaker", array_like=True):
    """Release the breaker's trips; the token's scope must allow it."""

    token: str
    actor: str
    reason: str


class Prune(msgspec.Struct, frozen=True, tag="prune", array_like=True):
    """Ask for retention now, by the settings in force."""

    actor: str


class Shutdown(msgspec.Struct, frozen=True, tag="shutdown", array_like=True):
    """Stop the engine by the configured policy."""

    actor: str


Request = Status | Explain | WhyNot | Operate | ResetBreaker | Prune | Shutdown


class Reply(msgspec.Struct, frozen=True, tag="reply", array_like=True):
    """Answer with plain values; `seq` is the durable row that the answer follows from."""

    seq: int
    data: dict[str, Any]


class Failure(msgspec.Struct, frozen=True, tag="failure", array_like=True):
    """Say why a request was not carried out."""

    code: str
    message: str
    fix: str = ""


Answer = Reply | Failure

R = TypeVar("R")
_encode = msgspec.msgpack.Encoder(decimal_format="string").encode


def encode(message: Request | Answer) -> bytes:
    """Make the frame of a message; raise `DataError` where it is too large."""
    body = _encode((VERSION, message))
    if len(body) > FRAME_BYTES_MAX:
        raise broken(f"a message of {len(body)} bytes is above {FRAME_BYTES_MAX}.")
    return HEAD.pack(len(body)) + body


def broken(message: str) -> DataError:
    """Make the error of a frame that cannot be taken."""
    return DataError(message, code="FRAME_REFUSED", place="control socket",
                     fix="use a client of this release.")  # fmt: skip


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
                raise broken(f"the frame has version {version}, this engine speaks {VERSION}.")
            return self._body.decode(raw)
        except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            raise broken(f"the frame cannot be read: {error}.") from None
