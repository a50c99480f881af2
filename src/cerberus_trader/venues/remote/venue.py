"""A venue in another process: the port of `venues/base.py` over a Unix or TCP socket.

One line carries numbered requests and their answers in any order, reports, and prices. Whatever
cannot be read or cannot be right breaks the line: every request in flight then has no answer, and
a new line begins with a look at the account. A line on which a heartbeat is not answered before the
next is due is dead, also where the other end never said so: it is found within two heartbeats.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from decimal import Decimal
from typing import Any, TypeVar

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder
from cerberus_trader.domain.errors import DataError, VenueGarbage, VenueLost
from cerberus_trader.domain.framing import Decoder, encode
from cerberus_trader.domain.order import Order
from cerberus_trader.venues.base import (
    AccountView,
    Ack,
    Answer,
    Booking,
    Capabilities,
    Word,
    venue,
)
from cerberus_trader.venues.remote import wire
from cerberus_trader.venues.remote.endpoint import Endpoint

READ_BYTES = 1 << 16
UNSENT_BYTES_MAX = 1 << 20
"""A venue that reads so slowly that more than this waits to be sent counts as lost."""

A = TypeVar("A", wire.Acked, wire.Done, wire.Told, wire.Holds, wire.Booked, wire.Sums)


@venue("remote")
class RemoteVenue:
    """Speak with a venue server for one account; used from one event loop.

    `known` tells which instruments we know; `words` is off for a line that only asks.
    """

    capabilities = Capabilities(
        order_types=("market", "limit", "stop", "take_profit"), holds_stops=True, brackets=True
    )

    def __init__(
        self, endpoint: Endpoint, account: str = "main", *,
        known: wire.Known = lambda name: True, words: bool = True,
        heartbeat_s: float = wire.HEARTBEAT_S,
    ) -> None:  # fmt: skip
        self.endpoint = endpoint
        self.account_name = account
        self.known = known
        self.words = words
        self.heartbeat_s = heartbeat_s
        self.on_word: Callable[[Word], None] = lambda word: None
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_prices: Callable[[wire.Prices], None] = lambda prices: None
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[wire.Answer]] = {}
        self._tasks: list[asyncio.Task[None]] = []

    # -- the port --------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open a new line in place of any old one."""
        self._break(VenueLost("connecting anew.", code="VENUE_LOST"), tell=False)
        try:
            reader, self._writer = await self.endpoint.open()
        except OSError as error:
            raise VenueLost(f"no connection: {error}.", code="VENUE_LOST") from None
        self._start(self._read(reader))
        number = self._number()
        await self._ask(wire.Hello(number, self.account_name, self.words), wire.Done)
        if self._writer is not None:
            self._start(self._beat())

    async def submit(self, order: Order, send_before_ns: int) -> Ack:
        """Send an order."""
        found = await self._ask(wire.Submit(self._number(), order, send_before_ns), wire.Acked)
        return Ack(found.accepted, found.reason, found.retry)

    async def cancel(self, order: CancelOrder) -> None:
        """Ask for a cancellation."""
        await self._ask(wire.Cancel(self._number(), order.order_id), wire.Done)

    async def modify(self, order: ModifyOrder, send_before_ns: int) -> None:
        """Ask for another limit price and quantity of a resting entry."""
        terms = (order.order_id, order.price, order.quantity)
        await self._ask(wire.Modify(self._number(), *terms, send_before_ns), wire.Done)

    async def query(self, order: Order) -> Answer:
        """Ask for one order by our id."""
        found = await self._ask(wire.Query(self._number(), order.id), wire.Told)
        if found.order is not None and found.order.order_id != order.id:
            raise wire.garbage("the answer is about another order")
        return Answer(found.venue_ns, found.order)

    async def account(self, account: str) -> AccountView:
        """Ask for everything that is held."""
        found = await self._ask(wire.Account(self._number()), wire.Holds)
        return AccountView(found.venue_ns, found.orders, found.positions, found.balance)

    async def bookings(self, account: str, since_ns: int) -> AsyncIterator[list[Booking]]:
        """Ask for bookings since a time, page by page."""
        after = 0
        while True:
            page = await self._ask(wire.Bookings(self._number(), since_ns, after), wire.Booked)
            yield list(page.bookings)
            if not page.more:
                return
            if not page.bookings or page.bookings[-1].sequence <= after:
                raise wire.garbage("the list of bookings does not go on")
            after = page.bookings[-1].sequence

    async def transfer(self, amount: Decimal) -> None:
        """Move money into the account (negative: out of it), as a person does at the venue."""
        await self._ask(wire.Transfer(self._number(), amount), wire.Done)

    async def ledger(self) -> wire.Sums:
        """Ask for the venue's ledger and every order that it ever accepted."""
        accepted: dict[str, int] = {}
        while True:
            after = next(reversed(accepted), "")
            page = await self._ask(wire.Ledger(self._number(), after), wire.Sums)
            accepted.update(page.accepted)
            if not page.more or not page.accepted:
                return wire.Sums(0, page.accounts, accepted)

    async def close(self) -> None:
        """Close the line."""
        self._break(VenueLost("the line was closed.", code="VENUE_LOST"), tell=False)
        await asyncio.sleep(0)  # the transport closes in the loop's next turn

    # -- requests --------------------------------------------------------------------------

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _ask(self, request: wire.Request, kind: type[A]) -> A:
        """Send a request and wait for its answer; one that is given up is not waited for."""
        answer: asyncio.Future[wire.Answer] = asyncio.get_running_loop().create_future()
        self._waiting[request.number] = answer
        try:
            self._send(request)
            found = await answer
        finally:
            self._waiting.pop(request.number, None)
        if isinstance(found, wire.Refused):
            raise VenueLost(f"the venue refused: {found.reason}", code="VENUE_REFUSED")
        if not isinstance(found, kind):
            error = wire.garbage(f"an answer of the kind {type(found).__name__} was not asked for")
            self._break(error)
            raise error
        return found

    def _send(self, request: wire.Request) -> None:
        writer = self._writer
        if writer is None:
            raise VenueLost("not connected.", code="VENUE_LOST")
        if writer.transport.get_write_buffer_size() > UNSENT_BYTES_MAX:
            self._break(VenueLost("the venue does not read.", code="VENUE_LOST"))
            raise VenueLost("the venue does not read.", code="VENUE_LOST")
        writer.write(encode(request))

    # -- the line --------------------------------------------------------------------------

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._tasks.append(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task in self._tasks:
            self._tasks.remove(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "the venue's line", "exception": error})

    async def _read(self, reader: asyncio.StreamReader) -> None:
        decoder: Decoder[wire.Message] = Decoder(wire.Message)
        try:
            while data := await reader.read(READ_BYTES):
                for message in decoder.feed(data):
                    self._take(wire.checked(message))
        except DataError as error:
            return self._break(wire.garbage(error.message))
        except VenueGarbage as error:
            return self._break(error)
        except OSError as error:
            return self._break(VenueLost(f"the line broke: {error}.", code="VENUE_LOST"))
        self._break(VenueLost("the venue closed the line.", code="VENUE_LOST"))

    def _take(self, message: wire.Message) -> None:
        if isinstance(message, wire.Spoken):
            self.on_word(message.word)
        elif isinstance(message, wire.Prices):
            self.on_prices(message)
        else:
            answer = self._waiting.pop(message.number, None)
            if answer is not None and not answer.done():  # else it came too late
                answer.set_result(message)

    async def _beat(self) -> None:
        """Send heartbeats; a line on which one is not answered before the next is due is dead."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.heartbeat_s
            try:
                async with asyncio.timeout(self.heartbeat_s):
                    await self._ask(wire.Ping(self._number()), wire.Done)
            except TimeoutError:
                return self._break(VenueLost("no answer to a heartbeat.", code="VENUE_LOST"))
            except VenueLost as error:  # refused, or not what was asked: nothing more is believed
                return self._break(error)
            await asyncio.sleep(max(due - loop.time(), 0.0))

    def _break(self, error: VenueLost, *, tell: bool = True) -> None:
        """End the line: whoever waits gets the error, the owner hears of it once."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._tasks = []
        with suppress(OSError, RuntimeError):
            writer.transport.abort()
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            if not answer.done():
                answer.set_exception(error)
        if tell:
            self.on_lost(error.message)
