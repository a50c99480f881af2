"""The venue server: a simulated venue in a process of its own, in wall time, with faults.

It keeps its own ledger, speaks the messages of `venues/remote/wire.py`, moves its prices by itself
and publishes them. Faults are those of `faults.py` that a venue and a line can have: delays, lost
requests and answers, unreadable bytes, dropped and half-open lines, silent feeds, its own cancels.
"""

import asyncio
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.framing import Decoder, encode
from cerberus_trader.domain.money import ZERO, check_amount
from cerberus_trader.domain.order import Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.feed import Move
from cerberus_trader.simulation.venue import SimVenue
from cerberus_trader.venues.base import Ack, Word
from cerberus_trader.venues.remote import wire
from cerberus_trader.venues.remote.endpoint import Endpoint

ACCOUNT = "main"
STEP_S = 0.1
READ_BYTES = 1 << 16
LINES_MAX = 32
UNSENT_BYTES_MAX = 4 << 20
PAGE_NAMES = 5_000
GARBAGE = (
    b"<html><body>502 Bad Gateway</body></html>", b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1",
    b"\x00\x00\x00\x01\x92", b"\xff" * 64, encode(wire.Done(1, -5)),
)  # fmt: skip
OF_THE_ENGINE = frozenset({
    "crashes_per_minute", "crash_at_sync", "sync_s", "sync_stall", "disk_fails",
    "halts_per_minute", "flattens_per_minute", "clock_steps_per_minute",
})  # fmt: skip


class VenueServer:
    """Serve one account of a venue to any number of lines; used from one event loop."""

    def __init__(self, venue: SimVenue, move: Move, faults: Faults, rng: Random) -> None:
        self.venue = venue
        self.move = move
        self.faults = faults
        self.rng = rng
        self.lines: list[Line] = []
        self.half_open_until = 0.0
        self.silent_until = 0.0
        self.venue.faults = faults
        self.venue.tell = self.tell

    async def run(self, endpoint: Endpoint, ready: Callable[[], None]) -> None:
        """Serve until cancelled."""
        self.move_prices()
        server = await listen(endpoint, self._accept)
        ready()
        try:
            async with server, asyncio.TaskGroup() as group:
                group.create_task(self._walk())
                for rate, act in self._troubles():
                    if rate:
                        group.create_task(self._often(rate, act))
        finally:
            for line in list(self.lines):
                line.drop()
            if endpoint.path:
                Path(endpoint.path).unlink(missing_ok=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.lines) >= LINES_MAX:
            return writer.close()
        line = Line(self, writer)
        self.lines.append(line)
        try:
            await line.serve(reader)
        except (OSError, DataError):
            pass
        finally:
            self.lines.remove(line)
            line.drop()

    # -- what happens by itself ------------------------------------------------------------

    async def _walk(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self.move_prices()

    def move_prices(self) -> None:
        """Move every price, let orders act on it, and publish it unless the feed is silent."""
        now, quotes = time.time_ns(), []
        for name, bid, ask in self.move(self.faults.price_jump):
            self.venue.price(name, bid, ask)
            quotes.append(wire.Quote(name, bid, ask, now))
        if time.monotonic() >= self.silent_until:
            for line in self.lines:
                if line.words:
                    line.send(wire.Prices(tuple(quotes)))

    def tell(self, word: Word) -> None:
        """Carry a report to every line: late, twice, or never."""
        loop = asyncio.get_running_loop()
        for line in self.lines:
            if not line.words:
                continue
            for _ in range(2 if self.rng.random() < self.faults.word_twice else 1):
                if self.rng.random() >= self.faults.word_lost:
                    loop.call_later(self.delay(), line.send, wire.Spoken(word))

    def delay(self) -> float:
        """Return how long a message is on its way."""
        if self.rng.random() < self.faults.latency_tail:
            return self.rng.uniform(0.5, 4.0)
        return self.rng.uniform(0.0, 2 * self.faults.latency_s)

    def _troubles(self) -> list[tuple[float, Callable[[], Any]]]:
        f = self.faults
        return [
            (f.partitions_per_minute, self._partition),
            (f.feed_gaps_per_minute, self._gap),
            (f.funding_per_minute, self._fund),
            (f.venue_cancels * 10, self.venue.cancel_some),
            (f.human_per_minute, self._human),
            (f.transfers_per_minute, self._transfer),
        ]

    async def _often(self, per_minute: float, act: Callable[[], Any]) -> None:
        while True:
            await asyncio.sleep(self.rng.expovariate(per_minute / 60.0))
            act()

    def _partition(self) -> None:
        """Drop every line, or fall silent on all without a word."""
        if self.rng.random() < self.faults.half_open:
            self.half_open_until = time.monotonic() + self.rng.uniform(0.5, 10.0)
            return
        for line in list(self.lines):
            if line.words:
                line.drop()

    def _gap(self) -> None:
        self.silent_until = time.monotonic() + self.rng.uniform(1.0, 40.0)

    def _fund(self) -> None:
        name = self.rng.choice(list(self.venue.prices))
        self.venue.fund(name, Decimal(self.rng.randint(-10, 10)) / 10_000)

    def _human(self) -> None:
        name = self.rng.choice(list(self.venue.prices))
        item = self.venue.instruments[name]
        quantity = max(item.lot * self.rng.randint(1, 50), item.lot)
        self.venue.trade_by_hand(name, self.rng.choice((1, -1)), quantity)

    def _transfer(self) -> None:
        share = Decimal(self.rng.randint(-33, 50)) / 100
        self.venue.transfer((self.venue.balance * share).quantize(Decimal("0.01")))

    # -- what is asked ---------------------------------------------------------------------

    def answer(self, request: wire.Request) -> wire.Answer:
        """Carry out a request."""
        venue, number = self.venue, request.number
        if isinstance(request, wire.Submit):
            ack = self._submit(request.order, request.send_before_ns)
            return wire.Acked(number, ack.accepted, ack.reason, ack.retry)
        if isinstance(request, wire.Cancel):
            venue.cancel(request.order_id)
        elif isinstance(request, wire.Modify):
            if request.price > ZERO and request.quantity > ZERO:
                terms = (request.order_id, request.price, request.quantity)
                venue.modify(*terms, request.send_before_ns)
        elif isinstance(request, wire.Query):
            return wire.Told(number, *venue.query(request.order_id))
        elif isinstance(request, wire.Account):
            return wire.Holds(number, *venue.account())
        elif isinstance(request, wire.Bookings):
            found = [b for b in venue.since(request.since_ns) if b.sequence > request.after]
            page = tuple(found[: wire.BOOKINGS_MAX])
            return wire.Booked(number, page, len(found) > len(page))
        elif isinstance(request, wire.Ledger):
            names = list(venue.accepted)
            start = names.index(request.after) + 1 if request.after in venue.accepted else 0
            part = names[start : start + PAGE_NAMES]
            counts = {name: venue.accepted[name] for name in part}
            return wire.Sums(number, dict(venue.ledger), counts, start + len(part) < len(names))
        elif isinstance(request, wire.Transfer):
            refused = self._moved(request.amount)
            if refused:
                return wire.Refused(number, refused)
        elif isinstance(request, wire.Hello) and request.account != ACCOUNT:
            return wire.Refused(number, f"there is only the account {ACCOUNT}")
        return wire.Done(number, time.time_ns())

    def _moved(self, amount: Decimal) -> str:
        """Move money that makes sense; say why not, empty where it was moved."""
        try:
            check_amount(amount, place="amount")
        except DataError as error:
            return error.message
        return self.venue.transfer(amount)

    def _submit(self, order: Order, send_before_ns: int) -> Ack:
        """Take an order that makes sense."""
        if order.instrument not in self.venue.prices:
            return Ack(False, "no such instrument")
        sane = order.quantity.is_finite() and order.quantity > ZERO and order.side in (1, -1)
        if not sane or order.kind not in ("market", "limit"):
            return Ack(False, "no such order")
        if order.kind == "limit" and (order.price is None or not order.price > ZERO):
            return Ack(False, "a limit order needs a price")
        return self.venue.submit(order, send_before_ns)


class Line:
    """Hold one client's line. Faults spare the lines of those who only ask (without words)."""

    def __init__(self, server: VenueServer, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.writer = writer
        self.words = False

    @property
    def cut(self) -> bool:
        """Tell whether the line is half open: nothing comes through, and nobody says so."""
        return self.words and time.monotonic() < self.server.half_open_until

    async def serve(self, reader: asyncio.StreamReader) -> None:
        """Take requests until the line ends; raises `DataError` for what cannot be read."""
        decoder: Decoder[wire.Request] = Decoder(wire.Request)
        while data := await reader.read(READ_BYTES):
            for request in decoder.feed(data):
                if not self.cut:
                    self.take(request)

    def take(self, request: wire.Request) -> None:
        """Let a request travel to the venue, if it does not get lost."""
        server, loop = self.server, asyncio.get_running_loop()
        if isinstance(request, wire.Hello):
            self.words = request.words and request.account == ACCOUNT
        if isinstance(request, wire.Hello | wire.Ping) or not self.words:
            self.send(server.answer(request))  # by the line itself, or for an auditor
        elif server.rng.random() >= server.faults.request_lost:
            loop.call_later(server.delay(), self._arrive, request)

    def _arrive(self, request: wire.Request) -> None:
        """Carry out a request, although its line may have ended since."""
        server = self.server
        answer = server.answer(request)
        if server.rng.random() < server.faults.answer_lost:
            return
        loop = asyncio.get_running_loop()
        if server.rng.random() < server.faults.garbage:
            loop.call_later(server.delay(), self.write, server.rng.choice(GARBAGE))
        else:
            loop.call_later(server.delay(), self.send, answer)

    def send(self, message: wire.Message) -> None:
        """Send a message."""
        try:
            self.write(encode(message))
        except DataError:
            self.drop()  # more than a frame holds: the client finds the line gone

    def write(self, data: bytes) -> None:
        """Send bytes; a client that does not read them is dropped."""
        if self.cut or self.writer.is_closing():
            return
        if self.writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            return self.drop()
        self.writer.write(data)

    def drop(self) -> None:
        """End the line at once."""
        with suppress(OSError, RuntimeError):
            self.writer.transport.abort()


async def listen(endpoint: Endpoint, accept: Any) -> asyncio.Server:
    """Listen on an endpoint; a Unix socket is its owner's alone. Raises `DataError`."""
    try:
        if not endpoint.path:
            return await asyncio.start_server(accept, endpoint.host, endpoint.port)
        if _answers(endpoint.path):
            raise DataError("somebody listens there already.", place=endpoint.path,
                            fix="name another endpoint.")  # fmt: skip
        Path(endpoint.path).unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            return await asyncio.start_unix_server(accept, endpoint.path)
        finally:
            os.umask(before)
    except OSError as error:
        raise DataError(f"cannot listen: {error.strerror or error}.", place=str(endpoint),
                        fix="name another endpoint.") from None  # fmt: skip


def _answers(path: str) -> bool:
    """Tell whether somebody listens on a Unix socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        try:
            line.connect(path)
        except OSError:
            return False
    return True
