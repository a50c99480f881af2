"""The link: commands out to a venue, its words back in, and what to do when it does not answer.

A request without an answer, or with one that cannot be read, leaves the order UNKNOWN: it is asked
about until the venue has told, never sent again. Who is asked about follows from the state alone,
so that a restart goes on where the last process ended. Before each query and each look at the
account every booking since the last agreement is taken, so that no answer overtakes its fills;
bookings that the venue numbers are taken in its order. Where it says more than can be taken, the
line is broken on purpose: whatever is dropped then can be asked for again.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.errors import VenueGarbage, VenueLost
from cerberus_trader.domain.events import (
    NO_LINE,
    NO_LOOK,
    AccountReport,
    Anomaly,
    Event,
    LinkEvent,
    ModifyNotSent,
    OrderModified,
    OrderReport,
    OrderStatus,
)
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.clock import Clock
from cerberus_trader.runtime.heard import Gaps, Heard, check_once, name_of
from cerberus_trader.venues.base import Booking, VenueClient, Word

MS = 1_000_000
OVERLAP_NS = 5_000_000_000
WORDS_MAX = 10_000
"""So many reports may wait to be taken; a line that brings more of them is broken."""
AHEAD_MAX = 10_000
"""So many bookings may wait for the ones before them."""
DRAIN_S = 0.05
FIRST_PAUSE_S, BACKOFF_S_MAX = 0.1, 5.0
NOT_CONNECTED = "there is no line to the venue"
LATE = "late: the time to send it has passed"
UNREACHED_S = 60.0
"""How often a venue that cannot be reached is told of."""

Cause = Literal["start", "timer", "reconnect", "operator"]
Put = Callable[[Event], None]


class Link:
    """Speak with one venue for one account; used from one event loop.

    `put` takes events for the engine; they are stamped and priced when they are taken. `stopped`
    and `unchanging` are the gate's last word: why an order, or a change of one, may not leave,
    empty if it may.
    """

    def __init__(
        self, client: VenueClient, account: str, state: State, clock: Clock, put: Put,
        send_before: Callable[[Order], int], stopped: Callable[[Order], str],
        unchanging: Callable[[ModifyOrder], str],
    ) -> None:  # fmt: skip
        self.client = client
        self.account = account
        self.state = state
        self.clock = clock
        self.put = put
        self.send_before = send_before
        self.stopped = stopped
        self.unchanging = unchanging
        self.on_latency: Callable[[float], None] = lambda value: None
        self.on_drift: Callable[[float], None] = lambda value: None
        self.waiting: Callable[[], int] = int
        """How many reports wait to be taken."""
        self.connected = self._given_up = self._flooded = False
        self.lost = asyncio.Event()
        self._back = asyncio.Event()
        self.wake = asyncio.Event()
        self._requests: dict[asyncio.Task[None], None] = {}
        self._held: deque[Order] = deque()
        self._gaps = Gaps()
        self._heard = Heard(account, state, self._tell)
        self._next: int | None = None
        self._booked_count = 0
        self._begun_ns: int | None = None
        self._ahead: dict[int, tuple[Booking, ...]] = {}
        self._why = ""
        client.on_word = self.on_word
        client.on_lost = self.on_lost

    # -- commands --------------------------------------------------------------------------

    def submit(self, command: SubmitOrder, now_ns: int) -> None:
        """Send an order; what came of it follows as an event.

        An entry waits while too many requests are under way; what reduces never does.
        """
        if command.order.reduce_only or self._room():
            self._start(self._submit(command.order))
        else:
            self._held.append(command.order)

    def cancel(self, command: CancelOrder, now_ns: int) -> list[OrderReport]:
        """Ask for a cancellation; it may overtake the submission (K-13)."""
        for order in self._held:
            if order.id == command.order_id:
                self._held.remove(order)
                self._report(order.id, "not_sent", "canceled while it waited to be sent")
                return []
        self._start(self._cancel(command))
        return []

    def modify(self, command: ModifyOrder, now_ns: int) -> list[OrderReport]:
        """Ask for a change; one that is lost shows at the next look at the account."""
        self._start(self._modify(command))
        return []

    async def _modify(self, command: ModifyOrder) -> None:
        asked_ns = self.state.changes.get(command.order_id, (0,))[0]
        before = asked_ns + self.state.settings.reconcile.submit_window_ms * MS
        refusal = self.unchanging(command) or (LATE if self.clock.now_ns() > before else "")
        if refusal:  # stopped or waited since the gate let it pass
            held = ModifyNotSent(0, command.order_id, refusal, command.price, command.quantity)
            return self.put(held)
        try:
            async with asyncio.timeout(self._answer_s):
                await self.client.modify(command, before)
        except (VenueLost, TimeoutError) as error:
            self._garbled(error, f"modify {command.order_id}")
            self.wake.set()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        if self._given_up:
            return work.close()
        task = asyncio.ensure_future(work)
        self._requests[task] = None
        task.add_done_callback(self._ended)

    def _room(self) -> bool:
        return len(self._requests) < self.state.settings.resources.requests_max

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._requests[task]
        while self._held and self._room():
            order = self._held.popleft()
            if order.id in self.state.orders:  # else it has ended meanwhile
                self._start(self._submit(order))
        if not task.cancelled() and (error := task.exception()) is not None:
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a request failed", "exception": error})

    async def _submit(self, order: Order) -> None:
        while order.reduce_only and not self.connected:
            await self._back.wait()  # nobody doubts what has not left, and no other is sent for it
        now = self.clock.now_ns()
        window = now + self.state.settings.reconcile.submit_window_ms * MS
        before = window if order.reduce_only else min(window, self.send_before(order))
        refusal = self.stopped(order) or (LATE if now > before else "")
        if not refusal and not self.connected:
            refusal = NOT_CONNECTED
        if refusal:  # stopped or waited since the gate let it pass
            self._report(order.id, "not_sent", refusal)
            return
        loop = asyncio.get_running_loop()
        begun = loop.time()
        try:
            async with asyncio.timeout(self._answer_s):
                ack = await self.client.submit(order, before)
        except (VenueLost, TimeoutError) as error:
            self._garbled(error, f"submit {order.id}")
            self._report(order.id, "unknown", _words(error))
            self.wake.set()
            self.on_latency(max((loop.time() - begun) * 1e3, self._answer_s * 1e3 + 1.0))
            return
        self.on_latency((loop.time() - begun) * 1e3)
        self._report(order.id, "accepted" if ack.accepted else "rejected", ack.reason, ack.retry)

    async def _cancel(self, command: CancelOrder) -> None:
        try:
            async with asyncio.timeout(self._answer_s):
                await self.client.cancel(command)
        except (VenueLost, TimeoutError) as error:  # asked about, and asked again
            self._garbled(error, f"cancel {command.order_id}")
            self.wake.set()

    def _report(self, order_id: str, state: Any, reason: str, retry: bool = False) -> None:
        self.put(OrderReport(0, order_id, state, reason, retry))

    # -- words -----------------------------------------------------------------------------

    def on_word(self, word: Word) -> None:
        """Take what the venue says by itself."""
        if self._flooded:
            return  # it comes from the line that is being broken
        if self.waiting() >= WORDS_MAX:
            return self._flood(f"{WORDS_MAX} words wait to be taken")
        if isinstance(word, OrderModified):
            asked = self.state.changes.get(word.order_id, ())[1:]
            if asked != (word.price, word.quantity):
                self.wake.set()  # said again, or a person's change: a look tells
        if isinstance(word, OrderReport | OrderModified):
            self.put(word)
        else:
            self._take(word)

    def _take(self, booking: Booking, *, listed: bool = False) -> None:
        """Take a booking in the venue's order; behind a gap it waits until the gap is asked for.

        One that was never seen and has a number that is past counts all the same: a venue that has
        lost its memory counts anew.
        """
        if self._flooded:
            return
        known = name_of(booking) in self._heard.contents or self._booked(booking)
        # its place is passed all the same
        taken = (booking,) if self._heard.ours(booking) and self._heard.consistent(booking) else ()
        if not booking.sequence:
            if taken:
                self._book(booking)
        elif self._next is None or booking.sequence > self._next:
            if not self._ahead.get(booking.sequence):  # the first one stands
                self._ahead[booking.sequence] = taken
            self.wake.set()
            if len(self._ahead) > AHEAD_MAX:
                self._flood(f"{AHEAD_MAX} bookings wait for those before them")
        elif booking.sequence == self._next:
            self._ahead.setdefault(booking.sequence, taken)  # the first one stands
            self._follow()
        elif taken and not known and listed:
            self._book(booking)
        elif taken and not known:
            self._begin_anew(booking)

    def _follow(self) -> None:
        """Take what follows without a gap."""
        while self._next is not None and (found := self._ahead.pop(self._next, None)) is not None:
            for booking in found:
                self._book(booking)
            self._next += 1

    def _book(self, booking: Booking) -> None:
        self._booked_count += 1
        self.put(booking)

    def _begin_anew(self, booking: Booking) -> None:
        """Ask for the list, and count from its beginning."""
        detail = f"number {booking.sequence} is new, {self._next} was due"
        self.put(Anomaly(0, self.account, "out_of_order", name_of(booking), detail))
        self._heard.contents.pop(name_of(booking), None)
        self._drop_ahead()
        self._next = None
        self.wake.set()

    def _drop_ahead(self) -> None:
        """Drop what waits behind a gap, as if it had never come."""
        for unseen in (held for kept in self._ahead.values() for held in kept):
            self._heard.contents.pop(name_of(unseen), None)
        self._ahead.clear()

    def _flood(self, detail: str) -> None:
        """Break the line of a venue that says more than can be taken, and say so once."""
        self._flooded = True
        self._drop_ahead()
        self.put(Anomaly(0, self.account, "flood", "line", detail))
        self.on_lost(f"broken on purpose: {detail}")
        self._start(self.client.close())

    async def _drained(self, most: int) -> None:
        """Wait until at most so many reports wait to be taken."""
        while self.waiting() > most:
            await asyncio.sleep(DRAIN_S)

    def on_lost(self, reason: str) -> None:
        """Note that the line broke."""
        self._why = reason
        if self.connected:
            self.connected = False
            self._back.clear()
            self.put(LinkEvent(0, self.account, "lost", reason))
        self.lost.set()

    def _tell(self, anomaly: Anomaly) -> None:
        """Put a contradiction, which is looked into at once."""
        self.put(anomaly)
        if anomaly.kind == "trade_conflict":
            self.wake.set()

    def _garbled(self, error: BaseException, place: str) -> None:
        if isinstance(error, VenueGarbage):
            self.put(Anomaly(0, self.account, "garbage", place, error.message[:200]))

    # -- the loop --------------------------------------------------------------------------

    @property
    def _answer_s(self) -> float:
        return self.state.settings.reconcile.answer_ms_max / 1e3

    @property
    def _blind_s(self) -> float:
        """After how long without a look nothing new may be opened."""
        return max(3 * self.state.settings.reconcile.interval_ms / 1e3, 5 * self._answer_s)

    def begin(self) -> None:
        """Say that nothing new may be opened before the account was looked at."""
        self.put(LinkEvent(0, self.account, "connecting", "not yet reconciled"))

    async def run(self) -> None:
        """Keep the line, and look at the account: at start, on a timer, after each reconnect."""
        cause: Cause = "start"
        pause = 0.0
        while True:
            await self._drained(WORDS_MAX // 2)
            await asyncio.sleep(pause)
            await self._connect()
            self.connected = True
            self._back.set()
            self.put(LinkEvent(0, self.account, "connected"))
            looked = await self._keep(cause)
            # one that breaks before it could be looked at would break again at once, for ever
            pause = 0.0 if looked else min(max(2 * pause, FIRST_PAUSE_S), BACKOFF_S_MAX)
            cause = "reconnect"

    async def _connect(self) -> None:
        """Open a line, however long that takes; say why there is none, at once and at times."""
        pause, loop = FIRST_PAUSE_S, asyncio.get_running_loop()
        since_s = told_s = loop.time()
        while True:
            self.lost.clear()  # before: a line may break again while it opens
            self._flooded = False
            try:
                async with asyncio.timeout(self._answer_s):
                    await self.client.connect()
                if not self.lost.is_set():
                    return
                raise VenueLost(self._why, code="VENUE_LOST")  # behind its first answer
            except (VenueLost, TimeoutError) as error:
                self._garbled(error, "connect")
                now_s = loop.time()
                if pause == FIRST_PAUSE_S or now_s - told_s >= UNREACHED_S:
                    told_s = now_s
                    words = f"{NO_LINE} {now_s - since_s:.0f} s: {_words(error)}"
                    self.put(LinkEvent(0, self.account, "lost", words))
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF_S_MAX)

    async def _keep(self, cause: Cause) -> bool:
        """Look at the account until the line breaks: often while something is in question.

        Tells whether any look succeeded.
        """
        pause, looked, loop = 0.0, False, asyncio.get_running_loop()
        seen_s = told_s = loop.time()
        while not self.lost.is_set():
            await self._drained(WORDS_MAX)  # no answer is asked for before there is room for it
            self.wake.clear()  # before: what comes up during a look asks for another one
            done = await self._look(cause)
            looked, now_s = looked or done, loop.time()
            if done:
                seen_s = told_s = now_s
            elif now_s - told_s >= self._blind_s:
                told_s = now_s
                words = f"{NO_LOOK} {now_s - seen_s:.0f} s"
                self.put(LinkEvent(0, self.account, "lost", words))
            cause = "timer" if done else cause
            if done and self.account not in self.state.unreconciled and not self._questions():
                pause = self.state.settings.reconcile.interval_ms / 1e3
            else:
                pause = min(max(pause * 2, 0.05), BACKOFF_S_MAX, self._answer_s)
            await self._pause(pause)
        return looked

    async def _pause(self, pause: float) -> None:
        """Wait a while, or until the line breaks or an answer failed to come."""
        waits = [asyncio.ensure_future(event.wait()) for event in (self.lost, self.wake)]
        try:
            await asyncio.wait(waits, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _look(self, cause: Cause) -> bool:
        """Take missed bookings, ask about every order in question, then about the account."""
        try:
            for order in self._questions():
                if not await self.catch_up():
                    return False
                async with asyncio.timeout(self._answer_s):
                    answer = await self.client.query(order)
                self.put(OrderStatus(0, order.id, answer.venue_ns, answer.order))
            await self.catch_up()
            before = self._booked_count
            async with asyncio.timeout(self._answer_s):
                asked_ns = self.clock.now_ns()
                view = await self.client.account(self.account)
                self._drift(view.venue_ns, asked_ns, self.clock.now_ns())
            check_once(view)
            caught_up = await self.catch_up()
        except (VenueLost, TimeoutError) as error:
            self._garbled(error, "account")
            return False
        booked = self._booked_count != before  # does the balance hold it? nobody can tell
        if not caught_up or (booked and self.account not in self.state.agreed):
            return False
        cash = None if booked else view.balance
        self.put(
            AccountReport(0, self.account, view.venue_ns, cause, view.orders, view.positions, cash)
        )
        return True

    def _drift(self, venue_ns: int, asked_ns: int, told_ns: int) -> None:
        """Hold our clock against the venue's: what lies between question and answer is no drift."""
        early, late = asked_ns - venue_ns, venue_ns - told_ns
        self.on_drift(max(early, late, 0) / MS)

    def forget(self) -> None:
        """Drop what is only remembered to notice contradictions: memory is short."""
        self._heard.forget()

    async def catch_up(self) -> bool:
        """Take every booking since the last agreement; those known are passed over.

        Tells whether none waits for others, which would show as a difference. What happened in an
        account before we ever looked at it is not ours to book.
        """
        since = self.state.agreed.get(self.account)
        if since is None:
            since = await self._begin()
        pages = self.client.bookings(self.account, max(since - OVERLAP_NS, 0))
        while True:
            async with asyncio.timeout(self._answer_s):
                page = await anext(pages, None)
            if page is None:
                self._pass_gaps()
                return not self._ahead
            await self._drained(WORDS_MAX)
            self._take_listed(page)
            if self._flooded:
                raise VenueLost("the line is broken on purpose.", code="VENUE_LOST")

    def _pass_gaps(self) -> None:
        """Go on behind numbers that never come; those behind them would wait for ever."""
        now_s = asyncio.get_running_loop().time()
        self._gaps.listed(self._ahead, now_s)
        while self._ahead and self._gaps.over(first := min(self._ahead), now_s):
            detail = f"{self._next} and on, until {first}"
            self.put(Anomaly(0, self.account, "gap", "bookings", detail))
            self._next = first
            self._follow()

    async def _begin(self) -> int:
        """Ask the venue when we began to look: by our own clock the list could begin later than
        it does after the agreement, and what lies between is in the opening balance already."""
        if self._begun_ns is None:
            async with asyncio.timeout(self._answer_s):
                self._begun_ns = (await self.client.account(self.account)).venue_ns
        return self._begun_ns

    def _take_listed(self, bookings: list[Booking]) -> None:
        for booking in bookings:
            if self._next is None and booking.sequence:
                self._next = booking.sequence  # the list has no gaps
            if booking.sequence or not self._booked(booking):
                self._take(booking, listed=True)
            else:
                self._heard.consistent(booking)

    def _booked(self, booking: Booking) -> bool:
        return f"{booking.account}/{name_of(booking)}" in self.state.trade_ids

    def _questions(self) -> list[Order]:
        """List the orders that the venue must be asked about, from the state alone."""
        late = self.clock.now_ns() - self.state.settings.reconcile.answer_ms_max * MS
        return [
            order
            for order in self.state.orders.values()
            if order.account == self.account
            and (
                order.status is Status.UNKNOWN
                or (order.status is Status.PENDING_CANCEL and order.created_ns < late)
            )
        ]

    def give_up(self) -> None:
        """Wait no longer for any answer, and send nothing more."""
        self._given_up = True
        self._held.clear()
        for task in list(self._requests):
            task.cancel()

    async def close(self) -> None:
        """Give up requests that wait, and close the line."""
        self.give_up()
        await self.client.close()


def _words(error: BaseException) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)[:200]
