"""The control protocol's decoder: whole messages out of any cut, clear refusals of the rest."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import frames

texts = st.text(max_size=40)
requests = st.one_of(
    st.just(frames.Status()),
    st.builds(frames.Explain, texts),
    st.builds(frames.WhyNot, texts),
    st.builds(frames.Operate, texts, texts, texts, texts),
    st.builds(frames.Authorise, texts, texts, texts, texts),
    st.builds(frames.Shutdown, texts),
)


def decoder() -> frames.Decoder[frames.Request]:
    return frames.Decoder(frames.Request)


@given(st.lists(requests, max_size=6), st.lists(st.integers(1, 50), max_size=40))
def test_any_cut_gives_the_same_messages(sent: list[frames.Request], cuts: list[int]) -> None:
    stream = b"".join(frames.encode(message) for message in sent)
    reader, found, at = decoder(), [], 0
    for size in [*cuts, len(stream)]:
        found += reader.feed(stream[at : at + size])
        at += size
    assert found == sent


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_waited_for(data: bytes) -> None:
    reader = decoder()
    try:
        found = reader.feed(data)
    except DataError as error:
        assert error.code == "FRAME_REFUSED" and error.message
    else:
        size = int.from_bytes(data[:4], "big") if len(data) >= 4 else 0
        assert found == [] and (len(data) < 4 or len(data) < 4 + size)


@given(requests, st.integers(0, 10**6), st.binary(min_size=1, max_size=3))
def test_a_damaged_frame_never_escapes_as_another_error(
    message: frames.Request, at: int, noise: bytes
) -> None:
    stream = bytearray(frames.encode(message))
    at = 4 + at % (len(stream) - 4)
    stream[at : at + len(noise)] = noise
    stream[:4] = (len(stream) - 4).to_bytes(4, "big")
    try:
        for found in decoder().feed(bytes(stream)):
            assert isinstance(found, frames.Request)
    except DataError as error:
        assert error.code == "FRAME_REFUSED"


def test_a_frame_above_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(DataError, match="above"):
        decoder().feed((frames.FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
    with pytest.raises(DataError, match="above"):
        frames.encode(frames.Explain("x" * frames.FRAME_BYTES_MAX))


def test_another_version_is_refused_by_its_number() -> None:
    body = msgspec.msgpack.encode((2, frames.Status()))
    with pytest.raises(DataError, match="version 2"):
        decoder().feed(len(body).to_bytes(4, "big") + body)


@given(st.dictionaries(texts, st.one_of(st.integers(-(2**60), 2**60), texts, st.none())))
def test_a_reply_comes_back_as_it_was(data: dict[str, object]) -> None:
    reader: frames.Decoder[frames.Answer] = frames.Decoder(frames.Answer)
    (found,) = reader.feed(frames.encode(frames.Reply(7, data)))
    assert found == frames.Reply(7, data)
