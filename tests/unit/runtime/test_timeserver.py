"""The time server: asked over a real socket of this machine, honest and misbehaving."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.runtime import timeserver as module
from cerberus_trader.runtime.timeserver import PACKET, TimeServer, nanoseconds, offset_of, stamp
from tests.kit import NOON, SECOND

MS = 1_000_000
Words = list[int]
Spoil = Callable[[Words], Any]


class Fake(asyncio.DatagramProtocol):
    """Speak SNTP with a clock that is `ahead_ns` of the one that asks; `spoil` changes an answer.

    The clock stands still, so that every answer is exact.
    """

    def __init__(self, ahead_ns: int = 0, spoil: Spoil | None = None) -> None:
        self.ahead_ns = ahead_ns
        self.spoil = spoil
        self.questions: list[bytes] = []

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.questions.append(data)
        asked = PACKET.unpack(data)
        now = stamp(NOON + self.ahead_ns)
        words = [0b00_100_100, 2, 0, -20, 0, 0, 0, *now, *asked[-2:], *now, *now]
        answer = self.spoil(words) if self.spoil is not None else words
        if answer is not None:
            self.transport.sendto(
                answer if isinstance(answer, bytes) else PACKET.pack(*answer), addr
            )


@asynccontextmanager
async def serving(fake: Fake) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: fake, local_addr=("127.0.0.1", 0))
    try:
        yield f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    finally:
        transport.close()


async def drift(fake: Fake, now_ns: Callable[[], int] = lambda: NOON) -> int:
    async with serving(fake) as name:
        return await TimeServer(name, now_ns).drift_ns()


@pytest.mark.req("P-04.1")
@pytest.mark.parametrize("ahead_ns", [0, 1, 3 * SECOND, -3 * SECOND, 86_400 * SECOND])
async def test_an_honest_server_tells_by_how_much_our_clock_is_wrong(ahead_ns: int) -> None:
    fake = Fake(ahead_ns)
    assert abs(await drift(fake) - ahead_ns) <= 1
    (question,) = fake.questions
    assert len(question) == 48 and question[0] == 0b00_100_011
    assert PACKET.unpack(question)[-2:] == stamp(NOON)


async def test_a_slow_line_alone_is_no_drift() -> None:
    times = iter([NOON, NOON + 2 * SECOND])  # asked, answered
    assert await drift(Fake(SECOND), lambda: next(times)) == 0
    times = iter([NOON, NOON + 2 * SECOND])
    assert abs(await drift(Fake(5 * SECOND), lambda: next(times)) - 3 * SECOND) <= 1
    times = iter([NOON, NOON + 2 * SECOND])
    assert abs(await drift(Fake(-5 * SECOND), lambda: next(times)) + 5 * SECOND) <= 1


def put(place: int, value: int) -> Spoil:
    def spoil(words: Words) -> Words:
        words[place] = value
        return words

    return spoil


def later(place: int, seconds: int) -> Spoil:
    return lambda words: put(place, words[place] + seconds)(words)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (put(0, 0b00_100_011), "something else than a server"),
        (put(0, 0b00_100_101), "something else than a server"),
        (put(1, 0), "to be left alone"),
        (put(1, 16), "does not know the time itself"),
        (put(1, 255), "does not know the time itself"),
        (put(0, 0b11_100_100), "does not know the time itself"),
        (lambda words: PACKET.pack(*words)[:47], "has 47 bytes"),
        (lambda words: b"x", "has 1 bytes"),
        (later(9, 1), "another question"),
        (put(10, 1), "another question"),
        (put(13, 0), "its times cannot be"),
        (later(13, -1), "its times cannot be"),
        (later(13, 1), "its times cannot be"),
    ],
)  # fmt: skip
async def test_an_answer_that_tells_nothing_is_refused(spoil: Spoil, said: str) -> None:
    with pytest.raises(DataError, match="cannot be used") as refused:
        await drift(Fake(spoil=spoil))
    assert said in refused.value.message
    assert refused.value.code == "TIME_SERVER" and "killswitch.time_server" in refused.value.fix


async def test_more_than_the_answer_is_passed_over() -> None:
    assert abs(await drift(Fake(SECOND, lambda words: PACKET.pack(*words) + b"more")) - SECOND) <= 1


async def test_silence_ends_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WAIT_S", 0.05)
    with pytest.raises(TimeoutError):
        await drift(Fake(spoil=lambda words: None))


async def test_where_nobody_listens_an_error_says_so() -> None:
    async with serving(Fake()) as name:
        pass
    with pytest.raises(OSError):
        await TimeServer(name).drift_ns()


async def test_only_the_first_of_two_answers_counts() -> None:
    class Twice(Fake):
        def datagram_received(self, data: bytes, addr: Any) -> None:
            super().datagram_received(data, addr)
            self.ahead_ns = 9 * SECOND
            super().datagram_received(data, addr)

    assert abs(await drift(Twice(SECOND)) - SECOND) <= 1
    listener = module._Listener(asyncio.get_running_loop().create_future(), lambda: NOON)
    listener.error_received(OSError("gone"))
    listener.error_received(OSError("again"))
    listener.datagram_received(b"late", None)
    assert str(listener.answer.exception()) == "gone"


@pytest.mark.parametrize("name", ["", ":1", "a:99999", "a:x"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(DataError) as refused:
        TimeServer(name)
    assert refused.value.place == "killswitch.time_server"


def test_stamps_cross_the_end_of_the_era_in_2036() -> None:
    assert stamp(0) == (2_208_988_800, 0)
    for second in (0, 1_700_000_000, 2_085_978_495, 2_085_978_496, 2_200_000_000):
        ns = second * SECOND + 500 * MS
        assert nanoseconds(*stamp(ns)) == ns
    assert stamp(2_085_978_496 * SECOND)[0] == 0


def test_the_offset_is_the_formulas() -> None:
    sent, received = NOON, NOON + 30 * MS
    arrived, left = NOON + 110 * MS, NOON + 120 * MS
    words = [0b00_100_100, 1, 0, 0, 0, 0, 0, 0, 0, *stamp(sent), *stamp(arrived), *stamp(left)]
    offset, doubt = offset_of(PACKET.pack(*words), sent, received)
    assert abs(offset - 100 * MS) <= 1 and abs(doubt - 10 * MS) <= 1
