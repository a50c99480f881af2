"""The bus: durable facts to subscribers inside the process, by kind, strategy and instrument.

Each subscriber has a bounded queue of its own. One that does not keep up is dropped, never waited
for, and told at which row to go on; it then subscribes again from that row and first gets what the
journal holds since. Rows come in order, each once.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import Event
from cerberus_trader.domain.row import decode_row
from cerberus_trader.engine.state import State
from cerberus_trader.journal.reader import JournalReader

QUEUE_MAX = 1_000
SUBSCRIBERS_MAX = 64
CHUNK_ROWS = 256


class Filter(NamedTuple):
    """Choose facts; an empty part takes all. What names no strategy passes no choice of them."""

    kinds: tuple[type[f.Fact], ...] = ()
    strategies: tuple[str, ...] = ()
    instruments: tuple[str, ...] = ()


EVERYTHING = Filter()


class Published(NamedTuple):
    """Hold the facts of one row that a subscriber asked for."""

    seq: int
    event: Event
    facts: tuple[f.Fact, ...]


class Subscription:
    """Iterate over what was asked for; ends with `DataError` SUBSCRIBER_SLOW when dropped.

    `resume_seq` is the last row that was handed out or passed over: subscribe again after it.
    """

    def __init__(self, bus: "Bus", chosen: Filter, after_seq: int, most: int) -> None:
        self.bus = bus
        self.chosen = chosen
        self.resume_seq = after_seq
        self.most = most
        self.dropped = ""
        self.queue: deque[Published] = deque()
        self.ready = asyncio.Event()
        self.replay_to = bus.seq

    def offer(self, found: Published) -> bool:
        """Queue a row; False where the queue is full."""
        if len(self.queue) >= self.most:
            self.dropped = f"{self.most} rows waited"
            self.ready.set()
            return False
        self.queue.append(found)
        self.ready.set()
        return True

    async def __aiter__(self) -> AsyncIterator[Published]:
        try:
            async for found in self._replay():
                self.resume_seq = found.seq
                yield found
            self.resume_seq = max(self.resume_seq, self.replay_to)
            while True:
                while self.queue:
                    found = self.queue.popleft()
                    self.resume_seq = found.seq
                    yield found
                if self.dropped:
                    raise DataError(
                        f"the subscriber was dropped: {self.dropped}.", code="SUBSCRIBER_SLOW",
                        place=f"row {self.resume_seq}", fix="subscribe again after this row.",
                    )  # fmt: skip
                self.ready.clear()
                await self.ready.wait()
        finally:
            self.close()

    async def _replay(self) -> AsyncIterator[Published]:
        """Read what was asked for from the journal, a piece at a time, on another thread."""
        after = self.resume_seq
        while after < self.replay_to:
            through = min(after + CHUNK_ROWS, self.replay_to)
            for found in await asyncio.to_thread(self.bus.read, self.chosen, after, through):
                yield found
            after = through

    def close(self) -> None:
        """End the subscription."""
        self.bus.subscriptions.pop(self, None)


class Bus:
    """Publish durable facts; `take` is an observer of the runner, used from one event loop."""

    def __init__(self, folder: Path, state: State) -> None:
        self.folder = folder
        self.state = state
        self.seq = state.seq
        self.subscriptions: dict[Subscription, None] = {}

    def subscribe(
        self, chosen: Filter = EVERYTHING, *, after_seq: int | None = None, most: int = QUEUE_MAX
    ) -> Subscription:
        """Subscribe from now on, or from the row after one; raise `DataError` beyond the limit."""
        if len(self.subscriptions) >= SUBSCRIBERS_MAX:
            raise DataError(
                f"there are {SUBSCRIBERS_MAX} subscribers already.", code="SUBSCRIBERS_MAX",
                fix="end one of them.",
            )  # fmt: skip
        after = self.seq if after_seq is None else min(max(after_seq, 0), self.seq)
        found = Subscription(self, chosen, after, most)
        self.subscriptions[found] = None
        return found

    def take(self, seq: int, event: Event, facts: tuple[f.Fact, ...]) -> None:
        """Hand a durable row to everyone who asked for something in it; never waits."""
        self.seq = seq
        for subscription in list(self.subscriptions):
            wanted = self.select(subscription.chosen, event, facts)
            if wanted and not subscription.offer(Published(seq, event, wanted)):
                subscription.close()

    def read(self, chosen: Filter, after_seq: int, through_seq: int) -> list[Published]:
        """Read from the journal what a filter takes; raises `JournalError`."""
        return list(self._read(chosen, after_seq, through_seq))

    def _read(self, chosen: Filter, after_seq: int, through_seq: int) -> Iterator[Published]:
        for row in JournalReader(self.folder).rows(after_seq, through_seq):
            body = decode_row(row.body, place=f"journal row {row.seq}")
            wanted = self.select(chosen, body.event, body.facts)
            if wanted:
                yield Published(row.seq, body.event, wanted)

    def select(self, chosen: Filter, event: Event, facts: tuple[f.Fact, ...]) -> tuple[f.Fact, ...]:
        """Return the facts that a filter takes."""
        if chosen == EVERYTHING:
            return facts
        return tuple(fact for fact in facts if self._takes(chosen, event, fact))

    def _takes(self, chosen: Filter, event: Event, fact: f.Fact) -> bool:
        if chosen.kinds and type(fact) not in chosen.kinds:
            return False
        if not (chosen.strategies or chosen.instruments):
            return True
        strategy, instrument = self.subject(event, fact)
        return (not chosen.strategies or strategy in chosen.strategies) and (
            not chosen.instruments or instrument in chosen.instruments
        )

    def subject(self, event: Event, fact: f.Fact) -> tuple[str, str]:
        """Return the strategy and the instrument that a fact is about, empty where there is none.

        A fact about an order is about the order's; those of orders forgotten since are not known.
        """
        if isinstance(fact, f.SignalJudged):
            return fact.decision.strategy, fact.decision.instrument
        if isinstance(fact, f.OrderSubmitted):
            return fact.order.strategy, fact.order.instrument
        if isinstance(fact, f.FundingBooked) and fact.position is not None:
            return fact.position.strategy, fact.position.instrument
        order_id = getattr(fact, "order_id", "")
        if order_id:
            ended = self.state.ended.get(order_id)
            order = self.state.orders.get(order_id) or (ended.order if ended is not None else None)
            return (order.strategy, order.instrument) if order is not None else ("", "")
        strategy = getattr(fact, "strategy", "")
        if isinstance(fact, f.BreakerTripped):
            strategy = fact.scope
        instrument = getattr(fact, "instrument", "") or getattr(event, "instrument", "")
        return strategy, instrument
