"""Make hostile bytes out of good ones: cut, flip, double, splice, and put nonsense in."""

from random import Random

NONSENSE = (
    b"NaN", b"-Infinity", b"Infinity", b"1e999", b"-1e-999", b"1e18", b"1e19", b"0", b"-0", b"-1",
    b"9223372036854775808", b"18446744073709551616", b"1" * 400, b"0." + b"3" * 60, b"null",
    b"true", b"[]", b"{}", b'""', b"[" * 3000, b"{" * 40, b"<html>", b"\x00", b"\xff\xfe", b"\xc3",
    b"\xed\xa0\x80", b"\\ud800", "\u0661".encode(), "\u202e".encode(), b"\n", b"\r\n", b",", b'"',
    b"'", b"=", b"#", b"%s", b"../", b"__class__", b"2026-13-45T99:99:99Z", b"\xef\xbb\xbf",
)  # fmt: skip


def mutate(rng: Random, seeds: list[bytes]) -> bytes:
    """Return a good input with one to four things done to it; sometimes mere noise."""
    if rng.random() < 0.03:
        return rng.randbytes(rng.randrange(200))
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 1, 2, 8, 40)))
        act = rng.randrange(8)
        if act == 0 and data:
            data[at % len(data)] ^= 1 << rng.randrange(8)
        elif act == 1:
            data[at:end] = rng.randbytes(rng.randrange(5))
        elif act == 2:
            data[at:end] = b""
        elif act == 3:
            data[at:at] = data[at:end] * rng.choice((1, 2, 50))
        elif act == 4:
            del data[at:]
        elif act == 5:
            other = rng.choice(seeds)
            data[at:] = other[rng.randrange(len(other) + 1) :]
        elif act == 6:
            data[at:end] = rng.choice(NONSENSE)
        else:
            _value(rng, data)
    return bytes(data)


def _value(rng: Random, data: bytearray) -> None:
    """Replace a whole value of a text: what stands between two marks."""
    marks = [i for i, byte in enumerate(data) if byte in b':,=[]{}" \n']
    if len(marks) > 1:
        first = rng.randrange(len(marks) - 1)
        data[marks[first] + 1 : marks[first + 1]] = rng.choice(NONSENSE)
