"""The simulated network: requests and answers that are late, lost, doubled, cut, or unreadable."""

import asyncio
from collections.abc import AsyncIterator, Callable
from random import Random
from typing import Any, TypeVar

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder
from cerberus_trader.domain.errors import VenueGarbage, VenueLost
from cerberus_trader.domain.order import Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.venue import SimVenue
from cerberus_trader.venues.base import AccountView, Ack, Answer, Booking, Capabilities, Word

T = TypeVar("T")


class SimClient:
    """Speak with the simulated venue over a faulty line, for one life of the engine.

    A process that has died sends nothing more, but what it had sent still arrives.
    """

    capabilities = Capabilities(
        order_types=("market", "limit", "stop", "take_profit"), holds_stops=True, brackets=True
    )

    def __init__(self, venue: SimVenue, rng: Random, faults: Faults) -> None:
        self.venue = venue
        self.rng = rng
        self.faults = faults
        self.on_word: Callable[[Word], None] = lambda word: None
        self.on_lost: Callable[[str], None] = lambda reason: None
        self.on_send: Callable[[Order | ModifyOrder], None] = lambda leaving: None
        self.cut = False
        self.dead = False
        self.connected = False
        self.on_line: Callable[[bool], None] = lambda there: None
        """What hears of it that the line is there, or is not any more."""
        self.on_look: Callable[[], None] = lambda: None
        """What hears of it that the account was told of."""
        self.lines = 0
        self.unseen = True
        """Whether the account was not told of since this line was opened."""

    @property
    def can_speak(self) -> bool:
        """Tell whether there is a line, and one that is not cut."""
        return self.connected and not self.cut and not self.dead

    # -- the port --------------------------------------------------------------------------

    async def connect(self) -> None:
        """Open the line."""
        await self._travel(self.cut)
        self._turn(True)
        self.unseen = True
        self.lines += 1
        self.venue.tell = self._tell

    async def submit(self, order: Order, send_before_ns: int) -> Ack:
        """Send an order."""
        self.on_send(order)
        return await self._ask(lambda: self.venue.submit(order, send_before_ns))

    async def cancel(self, order: CancelOrder) -> None:
        """Ask for a cancellation."""
        await self._ask(lambda: self.venue.cancel(order.order_id))

    async def modify(self, order: ModifyOrder, send_before_ns: int) -> None:
        """Ask for a change."""
        self.on_send(order)
        terms = (order.order_id, order.price, order.quantity)
        await self._ask(lambda: self.venue.modify(*terms, send_before_ns))

    async def query(self, order: Order) -> Answer:
        """Ask for one order."""
        return await self._ask(lambda: self.venue.query(order.id))

    async def account(self, account: str) -> AccountView:
        """Ask for everything."""
        silent, line = self.venue.now_ns() < self.venue.silent_until_ns, self.lines
        view = await self._ask(self.venue.account, silent=silent)
        self.unseen &= line != self.lines  # an answer to another line's question tells less
        self.on_look()
        return view

    async def bookings(self, account: str, since_ns: int) -> AsyncIterator[list[Booking]]:
        """Ask for fills and payments since a time."""
        yield await self._ask(lambda: self.venue.since(since_ns))

    async def close(self) -> None:
        """Close the line."""
        self._turn(False)

    # -- faults ----------------------------------------------------------------------------

    def partition(self, half_open: bool) -> None:
        """Cut the line; a half-open one does not say so."""
        self.cut = True
        if not half_open and self.connected and not self.dead:
            self._turn(False)
            self.on_lost("the connection was reset")

    def heal(self) -> None:
        """Mend the line; one that was half open breaks now."""
        self.cut = False
        if self.connected and not self.dead:
            self._turn(False)
            self.on_lost("the connection was closed")

    def reset(self) -> bool:
        """Break a line that may be opened again at once; tell whether there was one."""
        there = self.connected and not self.cut and not self.dead
        if there:
            self._turn(False)
            self.on_lost("the connection was reset")
        return there

    def _turn(self, there: bool) -> None:
        self.connected = there
        self.on_line(there)

    async def _ask(self, do: Callable[[], T], *, silent: bool = False) -> T:
        """Carry a request there and its answer back; what is lost is waited for in vain."""
        if self.dead or not self.connected:
            raise VenueLost("not connected.", code="VENUE_LOST")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        lost = silent or self.cut or self.rng.random() < self.faults.request_lost
        if not lost:
            # the request travels by itself: it arrives even if the caller gives up or dies
            loop.call_later(self._delay(), self._arrive, do, answer)
        return await answer

    def _arrive(self, do: Callable[[], T], answer: "asyncio.Future[T]") -> None:
        found = do()
        loop = asyncio.get_running_loop()
        if self.cut or self.rng.random() < self.faults.answer_lost:
            return
        garbled = self.rng.random() < self.faults.garbage
        loop.call_later(self._delay(), self._reply, answer, found, garbled)

    def _reply(self, answer: "asyncio.Future[Any]", found: Any, garbled: bool) -> None:
        if answer.done() or self.dead:
            return
        if garbled:
            answer.set_exception(VenueGarbage("<html>bad gateway", code="VENUE_GARBAGE"))
        else:
            answer.set_result(found)

    async def _travel(self, lost: bool) -> None:
        await asyncio.sleep(self._delay())
        if lost or self.dead:
            raise VenueLost("no connection.", code="VENUE_LOST")

    def _tell(self, word: Word) -> None:
        """Carry a report: late, twice, or never; reports overtake each other."""
        times = 2 if self.rng.random() < self.faults.word_twice else 1
        for _ in range(times):
            if self.cut or self.rng.random() < self.faults.word_lost:
                continue
            asyncio.get_running_loop().call_later(self._delay(), self._word, word)

    def _word(self, word: Word) -> None:
        if not self.dead and not self.cut and self.connected:
            self.on_word(word)

    def _delay(self) -> float:
        if self.rng.random() < self.faults.latency_tail:
            return self.rng.uniform(0.5, 4.0)
        return self.rng.uniform(0.0005, 2 * self.faults.latency_s)
