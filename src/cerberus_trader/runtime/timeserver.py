"""A question to an NTP server: by how much is our clock wrong? (SNTP, RFC 4330 and RFC 5905)

With our send and receive times t1, t4 and the server's t2, t3 the offset is
((t2 - t1) + (t3 - t4)) / 2, wrong by at most half the round trip (t4 - t1) - (t3 - t2). Only what
is beyond that half is a proven drift: a slow line alone must not stop trading.
"""

import asyncio
import struct
import time
from typing import Any

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.settings_guard import time_server_address

WAIT_S = 2.0
GRAIN_NS = 1_000_000
"""Clocks tick in steps: so much less than nothing a round trip may seem to take."""
EPOCH_S = 2_208_988_800  # from 1900 to 1970
PACKET = struct.Struct("!BBbb11I")
SERVER, UNSYNCHRONISED = 4, 3
STRATUM_MAX = 15


class TimeServer:
    """Ask one server, named as host or host:port."""

    def __init__(self, name: str, now_ns: Any = time.time_ns) -> None:
        address = time_server_address(name)
        if address is None:
            raise DataError(
                f"{name!r} is no time server.", code="TIME_SERVER",
                place="killswitch.time_server", fix="write host or host:port.",
            )  # fmt: skip
        self.address = address
        self.now_ns = now_ns

    async def drift_ns(self) -> int:
        """Return by how much our clock is surely wrong (negative: it is ahead), else 0.

        Raises `DataError` for an answer that tells nothing, `OSError`, and `TimeoutError` where
        name or answer take longer than `WAIT_S`.
        """
        async with asyncio.timeout(WAIT_S):
            data, sent_ns, received_ns = await self._ask()
        offset, doubt = offset_of(data, sent_ns, received_ns)
        return max(offset - doubt, 0) if offset > 0 else min(offset + doubt, 0)

    async def _ask(self) -> tuple[bytes, int, int]:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[tuple[bytes, int]] = loop.create_future()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Listener(answer, self.now_ns), remote_addr=self.address
        )
        try:
            sent_ns = self.now_ns()
            transport.sendto(request(sent_ns))
            data, received_ns = await answer
        finally:
            transport.close()
        return data, sent_ns, received_ns


class _Listener(asyncio.DatagramProtocol):
    def __init__(self, answer: "asyncio.Future[tuple[bytes, int]]", now_ns: Any) -> None:
        self.answer = answer
        self.now_ns = now_ns

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.answer.done():
            self.answer.set_result((data, self.now_ns()))

    def error_received(self, exc: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(exc)


def request(sent_ns: int) -> bytes:
    """Make the question: version 4, client; the server returns our stamp."""
    seconds, fraction = stamp(sent_ns)
    return PACKET.pack(0b00_100_011, 0, 0, 0, *([0] * 9), seconds, fraction)


def stamp(ts_ns: int) -> tuple[int, int]:
    """Return a time as NTP writes it: seconds since 1900, and a fraction of 2^32."""
    seconds, rest = divmod(ts_ns, 1_000_000_000)
    return (seconds + EPOCH_S) & 0xFFFFFFFF, (rest << 32) // 1_000_000_000


def nanoseconds(seconds: int, fraction: int) -> int:
    """Read an NTP time of this era or the next one (from 2036 on)."""
    if seconds < EPOCH_S:
        seconds += 1 << 32
    return (seconds - EPOCH_S) * 1_000_000_000 + (fraction * 1_000_000_000 >> 32)


def offset_of(data: bytes, sent_ns: int, received_ns: int) -> tuple[int, int]:
    """Return the server's time less ours, and by how much that may be wrong.

    Raises `DataError` for an answer that tells nothing.
    """
    if len(data) < PACKET.size:
        raise refused(f"its answer has {len(data)} bytes")
    flags, stratum, _, _, *words = PACKET.unpack_from(data)
    if flags & 7 != SERVER:
        raise refused("it answered as something else than a server")
    if stratum == 0:
        raise refused(f"it asks to be left alone ({words[2].to_bytes(4, 'big')!r})")
    if flags >> 6 == UNSYNCHRONISED or stratum > STRATUM_MAX:
        raise refused("it does not know the time itself")
    if (words[5], words[6]) != stamp(sent_ns):
        raise refused("it answered another question")
    t2, t3 = nanoseconds(words[7], words[8]), nanoseconds(words[9], words[10])
    round_trip = (received_ns - sent_ns) - (t3 - t2)
    if not words[9] or t3 < t2 or round_trip < -GRAIN_NS:  # it had the question for longer than we
        raise refused("its times cannot be")
    return ((t2 - sent_ns) + (t3 - received_ns)) // 2, max(round_trip, 0) // 2


def refused(reason: str) -> DataError:
    """Make the error of an answer that cannot be used."""
    return DataError(f"the time server cannot be used: {reason}.", code="TIME_SERVER",
                     fix="name another one in killswitch.time_server.")  # fmt: skip
