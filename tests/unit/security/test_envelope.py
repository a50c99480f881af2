"""The envelope: what goes in comes out, and nothing that was touched does."""

import hashlib
import io
import itertools
import pickle
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError
from cerberus_trader.security import envelope
from cerberus_trader.security.envelope import (
    CHUNK_MIN,
    COST_MIN,
    HEADER_BYTES,
    TAG_BYTES,
    Cost,
    EnvelopeReader,
    EnvelopeWriter,
    seal,
    unseal,
)
from cerberus_trader.security.passphrase import Passphrase, from_environment, from_file, wipe
from tests.keys import quick_keys

WORDS = "correct horse battery"
CHUNK = CHUNK_MIN + TAG_BYTES
SETTINGS_AT = {"version": 8, "kdf": 9, "cipher": 10, "memory": 27, "passes": 31, "lanes": 35}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Derive each key once: damage is tried thousands of times."""
    quick_keys(monkeypatch)


def sealed(data: bytes, purpose: str = "test") -> bytes:
    sink = io.BytesIO()
    with (
        Passphrase(WORDS) as words,
        EnvelopeWriter(sink, words, purpose, cost=COST_MIN, chunk_bytes=CHUNK_MIN) as writer,
    ):
        writer.write(data)
    return sink.getvalue()


def opened(raw: bytes, words: str = WORDS, purpose: str = "test") -> bytes:
    return EnvelopeReader(io.BytesIO(raw), Passphrase(words), purpose, place="here").read()


def refusal(raw: bytes, words: str = WORDS, purpose: str = "test") -> DataError:
    with pytest.raises(DataError) as caught:
        opened(raw, words, purpose)
    assert caught.value.place == "here" and caught.value.fix
    assert words not in str(caught.value)
    return caught.value


def resigned(raw: bytes, at: int, layout: str, value: int) -> bytes:
    """Change a number of the header and make its checksum right again."""
    body = bytearray(raw[: HEADER_BYTES - 16])
    struct.pack_into(layout, body, at, value)
    return bytes(body) + hashlib.sha256(body).digest()[:16] + raw[HEADER_BYTES:]


@settings(max_examples=25, deadline=None)
@given(st.binary(max_size=4 * CHUNK_MIN), st.integers(1, 3000), st.integers(1, 3000))
def test_what_goes_in_comes_out_in_any_steps(data: bytes, written: int, read: int) -> None:
    sink = io.BytesIO()
    with EnvelopeWriter(sink, Passphrase(WORDS), "t", cost=COST_MIN, chunk_bytes=CHUNK_MIN) as out:
        for start in range(0, len(data), written):
            out.write(data[start : start + written])
    reader = EnvelopeReader(io.BytesIO(sink.getvalue()), Passphrase(WORDS), "t")
    found = b"".join(iter(lambda: reader.read(read), b""))
    assert found == data
    full = (
        len(data) // CHUNK_MIN if len(data) % CHUNK_MIN or not data else len(data) // CHUNK_MIN - 1
    )
    assert len(sink.getvalue()) == HEADER_BYTES + len(data) + (full + 1) * TAG_BYTES


def test_the_same_content_is_never_written_alike() -> None:
    one, two = sealed(b"x" * 3000), sealed(b"x" * 3000)
    assert one != two and len(one) == len(two)
    assert WORDS.encode() not in one and b"xxxx" not in one


def test_the_key_is_the_one_of_rfc_9106() -> None:
    """The test vector of RFC 9106, section 5.3, by the library that derives our keys."""
    found = Argon2id(
        salt=b"\x02" * 16, length=32, iterations=3, lanes=4, memory_cost=32,
        secret=b"\x03" * 8, ad=b"\x04" * 12,
    ).derive(b"\x01" * 32)  # fmt: skip
    assert found.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    assert Cost() == (65_536, 3, 4)


@pytest.mark.usefixtures("quick")
def test_every_flipped_bit_of_header_and_chunks_is_found() -> None:
    raw = sealed(b"secret content " * 100)
    step = 7  # every byte, a bit of it that changes from byte to byte
    for at in range(len(raw)):
        changed = bytearray(raw)
        changed[at] ^= 1 << (at * step % 8)
        code = refusal(bytes(changed)).code
        assert code == ("ENVELOPE_FOREIGN" if at < 8 else "ENVELOPE_DAMAGED"), at


@pytest.mark.usefixtures("quick")
def test_every_cut_is_found() -> None:
    raw = sealed(b"y" * (2 * CHUNK_MIN))
    for length in range(len(raw)):
        code = refusal(raw[:length]).code
        assert code == ("ENVELOPE_FOREIGN" if length < 8 else "ENVELOPE_DAMAGED"), length


def test_chunks_cannot_be_moved_dropped_repeated_appended_or_borrowed() -> None:
    raw, other = sealed(b"y" * (3 * CHUNK_MIN)), sealed(b"y" * (3 * CHUNK_MIN))
    head, body = raw[:HEADER_BYTES], raw[HEADER_BYTES:]
    chunks = [body[start : start + CHUNK] for start in range(0, len(body), CHUNK)]
    assert len(chunks) == 3 and opened(head + b"".join(chunks)) == b"y" * (3 * CHUNK_MIN)
    for order in itertools.permutations(chunks):
        if list(order) != chunks:
            assert refusal(head + b"".join(order)).code == "ENVELOPE_DAMAGED"
    for wrong in ([*chunks[:2]], chunks[1:], [*chunks, chunks[0]], [*chunks, b"more"],
                  [other[HEADER_BYTES : HEADER_BYTES + CHUNK], *chunks[1:]]):  # fmt: skip
        assert refusal(head + b"".join(wrong)).code == "ENVELOPE_DAMAGED"


def test_nothing_unproved_is_handed_out() -> None:
    raw = bytearray(sealed(b"a" * CHUNK_MIN + b"b" * CHUNK_MIN))
    raw[-1] ^= 1
    reader = EnvelopeReader(io.BytesIO(bytes(raw)), Passphrase(WORDS), "test")
    assert reader.read(CHUNK_MIN) == b"a" * CHUNK_MIN
    with pytest.raises(DataError, match="damaged"):
        reader.read(1)


@pytest.mark.req("D-11.8")
def test_a_wrong_passphrase_is_told_from_damage() -> None:
    raw = sealed(b"content")
    wrong = refusal(raw, "incorrect horse")
    assert wrong.code == "ENVELOPE_PASSPHRASE" and "passphrase" in wrong.message
    assert refusal(raw[:-1]).code == "ENVELOPE_DAMAGED"
    assert refusal(raw, purpose="vault").code == "ENVELOPE_PURPOSE"
    assert refusal(b"\x1f\x8b gzip").code == "ENVELOPE_FOREIGN"
    assert refusal(b"").code == "ENVELOPE_FOREIGN"


@pytest.mark.parametrize(
    ("name", "layout", "value"),
    [("memory", ">I", 2**31), ("memory", ">I", 8), ("passes", ">I", 2**20), ("passes", ">I", 0),
     ("lanes", ">I", 64), ("lanes", ">I", 0)],
)  # fmt: skip
def test_a_header_may_not_ask_for_any_cost(
    name: str, layout: str, value: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bytearray:
        raise AssertionError("the key was derived")

    raw = resigned(sealed(b"content"), SETTINGS_AT[name], layout, value)
    monkeypatch.setattr(envelope, "_derive", never)
    assert refusal(raw).code == "ENVELOPE_COST"
    with pytest.raises(DataError):
        EnvelopeWriter(io.BytesIO(), Passphrase(WORDS), "t", cost=Cost(2**31, 1, 1))


def test_a_newer_format_and_wild_chunks_are_refused() -> None:
    raw = sealed(b"content")
    for name in ("version", "kdf", "cipher"):
        assert refusal(resigned(raw, SETTINGS_AT[name], ">B", 2)).code == "ENVELOPE_NEWER"
    assert refusal(resigned(raw, 62, ">I", 2**30)).code == "ENVELOPE_DAMAGED"
    # costs within the bounds that are not those it was written with open nothing
    assert refusal(resigned(raw, SETTINGS_AT["passes"], ">I", 2)).code == "ENVELOPE_PASSPHRASE"


def test_small_things_go_whole_and_bounded() -> None:
    sink = io.BytesIO()
    seal(b"key material", Passphrase(WORDS), "vault", sink, cost=COST_MIN)
    raw = sink.getvalue()
    take = lambda limit: unseal(  # noqa: E731
        io.BytesIO(raw), Passphrase(WORDS), "vault", bytes_max=limit
    )
    assert take(12) == b"key material"
    with pytest.raises(DataError, match="more than 11"):
        take(11)


def test_a_passphrase_is_never_shown_and_can_be_wiped(tmp_path: Path) -> None:
    words = Passphrase(WORDS)
    assert WORDS not in repr(words) + str(words)
    with pytest.raises(TypeError):
        pickle.dumps(words)
    held = words.buffer
    words.wipe()
    assert held == bytes(len(WORDS)) and words.buffer == b""
    wipe(bytearray())
    for text in ("short", "x" * 2000):
        with pytest.raises(DataError) as caught:
            Passphrase(text)
        assert text not in str(caught.value) and caught.value.code == "PASSPHRASE_SHORT"


def test_composed_and_decomposed_letters_are_one_passphrase() -> None:
    assert Passphrase("café au lait").buffer == Passphrase("cafe\u0301 au lait").buffer


def test_where_a_passphrase_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "words"
    file.write_text(WORDS + "\nsecond line\n")
    assert from_file(file).buffer == WORDS.encode()
    for bad in (tmp_path / "absent", tmp_path):
        with pytest.raises(DataError) as caught:
            from_file(bad)
        assert caught.value.code == "PASSPHRASE_FILE"
    monkeypatch.setenv("SOME_WORDS", WORDS)
    found = from_environment("SOME_WORDS")
    assert found is not None and found.buffer == WORDS.encode()
    monkeypatch.delenv("SOME_WORDS")
    assert from_environment("SOME_WORDS") is None
