"""A passphrase in a buffer that can be wiped, never shown by `repr`, logs or errors.

Wiping is best effort: Python keeps copies of every `str` it has seen until their memory is used
again, and the text of an environment variable stays with the process.
"""

import ctypes
import unicodedata
from pathlib import Path

from cerberus_trader.config import read_secret
from cerberus_trader.domain.errors import DataError

BYTES_MIN, BYTES_MAX = 8, 1_024


def wipe(buffer: bytearray) -> None:
    """Overwrite a buffer with zeros in place."""
    if buffer:
        ctypes.memset((ctypes.c_char * len(buffer)).from_buffer(buffer), 0, len(buffer))


class Passphrase:
    """Hold a passphrase as UTF-8 (composed form) until it is wiped.

    Raises `DataError` (PASSPHRASE_SHORT) for fewer than 8 bytes, or more than 1,024.
    """

    __slots__ = ("buffer",)

    def __init__(self, text: str, *, place: str = "passphrase") -> None:
        self.buffer = bytearray(unicodedata.normalize("NFC", text).encode())
        if not BYTES_MIN <= len(self.buffer) <= BYTES_MAX:
            wipe(self.buffer)
            raise DataError(
                f"a passphrase has {BYTES_MIN} to {BYTES_MAX} bytes.", code="PASSPHRASE_SHORT",
                place=place, fix="choose a longer one: several random words.",
            )  # fmt: skip

    def __repr__(self) -> str:
        return "Passphrase(***)"

    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("a passphrase is not pickled")

    def wipe(self) -> None:
        """Forget it."""
        wipe(self.buffer)
        self.buffer = bytearray()

    def __enter__(self) -> "Passphrase":
        return self

    def __exit__(self, *exc: object) -> None:
        self.wipe()


def from_file(path: Path) -> Passphrase:
    """Read the first line of a file; raises `DataError` where it cannot be read."""
    try:
        with path.open("r", encoding="utf-8") as file:
            text = file.readline(BYTES_MAX + 1).rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise DataError(
            "the file of the passphrase cannot be read.", code="PASSPHRASE_FILE",
            place=str(path), fix="name a text file whose first line is the passphrase.",
        ) from None  # fmt: skip
    return Passphrase(text, place=str(path))


def from_environment(name: str) -> Passphrase | None:
    """Take a passphrase from an environment variable; None where it is absent or empty."""
    text = read_secret(name)
    return Passphrase(text, place=name) if text else None
