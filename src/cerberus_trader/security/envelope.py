"""The encrypted envelope: AES-256-GCM under a key that Argon2id derives from a passphrase.

A file is a header and chunks. The header holds everything that reading needs besides the
passphrase: Argon2id costs and salt, and the random data key, itself encrypted under the derived
key, so that a wrong passphrase is told from damaged data. Chunks follow the STREAM construction
(Hoang, Reyhanitabar, Rogaway, Vizar 2015): the nonce is prefix + counter + last-flag and the
header is associated data, so that changing, reordering, cutting and appending chunks all fail.
"""

import hashlib
import os
import struct
from types import TracebackType
from typing import BinaryIO, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from cerberus_trader.domain.errors import DataError
from cerberus_trader.security.passphrase import Passphrase, wipe

MAGIC = b"CERBENV1"
VERSION = 1
ARGON2ID, AES_256_GCM_STREAM = 1, 1
CHUNK_BYTES = 256 * 1024
TAG_BYTES, KEY_BYTES = 16, 32
COUNTER_MAX = 2**32 - 1

# magic, version, KDF, cipher, purpose, memory KiB, passes, lanes, salt, nonce prefix, chunk bytes
_settings = struct.Struct(">8sBBB16sIII16s7sI")
# nonce and ciphertext of the data key, then a check of everything before it
_key = struct.Struct(">12s48s")
_check = struct.Struct(">16s")
HEADER_BYTES = _settings.size + _key.size + _check.size
_tail = struct.Struct(">IB")


class Cost(NamedTuple):
    """Set what deriving the key costs (RFC 9106, second recommendation, by default)."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


# What a header may ask for: less would be weak, more would exhaust the machine that reads it.
COST_MIN, COST_MAX = Cost(8 * 1024, 1, 1), Cost(256 * 1024, 16, 16)
CHUNK_MIN, CHUNK_MAX = 1024, 4 * 2**20


class Header(NamedTuple):
    """Hold what a header says, and its raw bytes."""

    purpose: str
    cost: Cost
    salt: bytes
    prefix: bytes
    chunk_bytes: int
    wrap_nonce: bytes
    wrapped_key: bytes
    raw: bytes


def wrong_passphrase(place: str) -> DataError:
    """Make the error of a passphrase that does not open the envelope."""
    return DataError(
        "the passphrase does not open this file.", code="ENVELOPE_PASSPHRASE", place=place,
        fix="give the passphrase it was written with.",
    )  # fmt: skip


def damaged(place: str, what: str) -> DataError:
    """Make the error of an envelope that is not as it was written."""
    return DataError(
        f"the encrypted file is damaged: {what}.", code="ENVELOPE_DAMAGED", place=place,
        fix="use another copy of it.",
    )  # fmt: skip


def _within(cost: Cost, place: str) -> None:
    for name, value, low, high in zip(Cost._fields, cost, COST_MIN, COST_MAX, strict=True):
        if not low <= value <= high:
            raise DataError(
                f"it asks for Argon2id with {name} {value}; {low} to {high} is allowed.",
                code="ENVELOPE_COST", place=place, fix="use a file that Cerberus wrote.",
            )  # fmt: skip


def _derive(passphrase: Passphrase, salt: bytes, cost: Cost) -> bytearray:
    key = bytearray(KEY_BYTES)
    Argon2id(
        salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    ).derive_into(passphrase.buffer, key)  # type: ignore[arg-type]  # fmt: skip
    return key


def parse_header(raw: bytes, purpose: str, place: str) -> Header:
    """Read a header; raise `DataError` for a foreign, newer, damaged or immoderate one."""
    if not raw.startswith(MAGIC):
        raise DataError(
            "this is no encrypted file of Cerberus.", code="ENVELOPE_FOREIGN", place=place,
            fix="name a file that Cerberus wrote.",
        )  # fmt: skip
    if len(raw) < HEADER_BYTES:
        raise damaged(place, "its header is cut short")
    body, check = raw[: -_check.size], raw[-_check.size :]
    if hashlib.sha256(body).digest()[: _check.size] != check:
        raise damaged(place, "its header does not match its checksum")
    _, version, kdf, cipher, named, memory, passes, lanes, salt, prefix, chunk = (
        _settings.unpack_from(body)
    )
    if (version, kdf, cipher) != (VERSION, ARGON2ID, AES_256_GCM_STREAM):
        raise DataError(
            f"the encrypted file has format {version}.{kdf}.{cipher}; this release reads"
            f" {VERSION}.{ARGON2ID}.{AES_256_GCM_STREAM}.",
            code="ENVELOPE_NEWER", place=place, fix="use the release that wrote it.",
        )  # fmt: skip
    held = named.rstrip(b"\0").decode("ascii", "replace")
    if held != purpose:
        raise DataError(
            f"the encrypted file holds a {held}, not a {purpose}.", code="ENVELOPE_PURPOSE",
            place=place, fix=f"name a {purpose}.",
        )  # fmt: skip
    cost = Cost(memory, passes, lanes)
    _within(cost, place)
    if not CHUNK_MIN <= chunk <= CHUNK_MAX:
        raise damaged(place, f"chunks of {chunk} bytes are not allowed")
    nonce, wrapped = _key.unpack_from(body, _settings.size)
    return Header(held, cost, salt, prefix, chunk, nonce, wrapped, raw)


class EnvelopeWriter:
    """Encrypt what is written, chunk by chunk, into a binary file.

    `purpose` (1 to 16 ASCII characters) says what is inside, and reading asks for it again.
    The file is whole only after `close`; the passphrase is not kept.
    """

    def __init__(
        self, sink: BinaryIO, passphrase: Passphrase, purpose: str, *, cost: Cost | None = None,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:  # fmt: skip
        cost = cost or Cost()
        _within(cost, "cost")
        assert purpose.isascii() and 0 < len(purpose) <= 16
        assert CHUNK_MIN <= chunk_bytes <= CHUNK_MAX
        self._sink, self._chunk_bytes = sink, chunk_bytes
        salt, self._prefix = os.urandom(16), os.urandom(7)
        settings = _settings.pack(
            MAGIC, VERSION, ARGON2ID, AES_256_GCM_STREAM, purpose.encode(), *cost, salt,
            self._prefix, chunk_bytes,
        )  # fmt: skip
        nonce, data_key = os.urandom(12), bytearray(os.urandom(KEY_BYTES))
        outer = _derive(passphrase, salt, cost)
        wrapped = AESGCM(outer).encrypt(nonce, data_key, settings)
        self._cipher = AESGCM(data_key)
        wipe(outer)
        wipe(data_key)
        body = settings + _key.pack(nonce, wrapped)
        self._header = body + hashlib.sha256(body).digest()[: _check.size]
        self._counter = 0
        self._buffer = bytearray()
        self.closed = False
        sink.write(self._header)

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Take bytes; a full chunk is written once it is known not to be the last."""
        self._buffer += data
        while len(self._buffer) > self._chunk_bytes:
            self._chunk(bytes(self._buffer[: self._chunk_bytes]), last=False)
            del self._buffer[: self._chunk_bytes]
        return len(data)

    def _chunk(self, data: bytes, *, last: bool) -> None:
        if self._counter >= COUNTER_MAX:
            raise OverflowError("the envelope is full")
        nonce = self._prefix + _tail.pack(self._counter, last)
        self._sink.write(self._cipher.encrypt(nonce, data, self._header))
        self._counter += 1

    def close(self) -> None:
        """Write the last chunk, which may be empty; the sink stays open."""
        if not self.closed:
            self.closed = True
            self._chunk(bytes(self._buffer), last=True)
            wipe(self._buffer)

    def __enter__(self) -> "EnvelopeWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if error is None:
            self.close()


class EnvelopeReader:
    """Decrypt an envelope chunk by chunk; nothing is handed out that was not authenticated.

    Raises `DataError` at once for a foreign, damaged, newer or immoderate header
    (ENVELOPE_FOREIGN, _DAMAGED, _NEWER, _PURPOSE, _COST) and for a wrong passphrase
    (ENVELOPE_PASSPHRASE); while reading, ENVELOPE_DAMAGED at the first chunk that is not right.
    The end of data has been proved only when `read` returned nothing.
    """

    def __init__(
        self, source: BinaryIO, passphrase: Passphrase, purpose: str, *, place: str = ""
    ) -> None:
        self._source, self._place = source, place
        header = parse_header(source.read(HEADER_BYTES), purpose, place)
        outer = _derive(passphrase, header.salt, header.cost)
        settings = header.raw[: _settings.size]
        data_key = bytearray(KEY_BYTES)
        try:
            AESGCM(outer).decrypt_into(header.wrap_nonce, header.wrapped_key, settings, data_key)
        except InvalidTag:
            raise wrong_passphrase(place) from None
        finally:
            wipe(outer)
        self._cipher = AESGCM(data_key)
        wipe(data_key)
        self._header = header
        self._size = header.chunk_bytes + TAG_BYTES
        self._next = source.read(self._size)
        self._counter = 0
        self._ready = bytearray()
        self._ended = False

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes (-1: all); empty at the proved end."""
        while not self._ended and (size < 0 or len(self._ready) < size):
            self._ready += self._chunk()
        taken = bytes(self._ready if size < 0 else self._ready[:size])
        del self._ready[: len(taken)]
        return taken

    def _chunk(self) -> bytes:
        """Decrypt the next chunk; it is the last one exactly where nothing follows it."""
        data, self._next = self._next, self._source.read(self._size)
        last = not self._next
        nonce = self._header.prefix + _tail.pack(self._counter, last)
        try:
            clear = self._cipher.decrypt(nonce, data, self._header.raw)
        except InvalidTag:
            what = "it is cut short or ends wrongly" if last else "its content was changed"
            raise damaged(self._place, f"{what} (chunk {self._counter})") from None
        self._counter += 1
        self._ended = last
        return clear


def seal(
    data: bytes | bytearray, passphrase: Passphrase, purpose: str, sink: BinaryIO, *,
    cost: Cost | None = None,
) -> None:  # fmt: skip
    """Encrypt a few bytes whole into a file."""
    with EnvelopeWriter(sink, passphrase, purpose, cost=cost) as writer:
        writer.write(data)


def unseal(
    source: BinaryIO, passphrase: Passphrase, purpose: str, *, bytes_max: int, place: str = ""
) -> bytes:
    """Decrypt a small envelope whole; raise `DataError` where it holds more than `bytes_max`."""
    reader = EnvelopeReader(source, passphrase, purpose, place=place)
    found = reader.read(bytes_max + 1)
    if len(found) > bytes_max or reader.read(1):
        raise damaged(place, f"it holds more than {bytes_max} bytes")
    return found
