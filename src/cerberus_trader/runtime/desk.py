"""The paper venue's desk: holds every tick against the levels, limits and orders that wait.

The rules are those of `venues/paper/rules.py`, applied row by row as `replay/driver.py` applies
them to candidates. Each method yields the reports of one outcome; the caller books them before it
asks for the next, because a booked fill may change what waits.
"""

from collections.abc import Iterator
from decimal import Decimal

from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import FillReport
from cerberus_trader.domain.order import Order
from cerberus_trader.replay.search import better
from cerberus_trader.runtime.prices import CLOSE, INSIDE, POINT, Line, LiveMarket, Tick
from cerberus_trader.venues.paper import rules
from cerberus_trader.venues.paper.book import Book, Holding, Waiting
from cerberus_trader.venues.paper.venue import PaperVenue, Report


class Desk:
    """Watch the paper venue's levels against the live market.

    `bests` holds the best price of each trailing stop by position id: it moves with the ticks,
    is kept beside the journal for a restart, and is never part of the state.
    """

    def __init__(self, venue: PaperVenue, market: LiveMarket) -> None:
        self.venue = venue
        self.market = market
        self.bests: dict[str, Decimal] = {}

    @property
    def book(self) -> Book:
        """Return what the venue holds."""
        return self.venue.book

    def submit(self, order: Order, now_ns: int) -> None:
        """Hand an order to the venue."""
        self.venue.submit(SubmitOrder(order), now_ns)

    def cancel(self, order: Order, now_ns: int) -> list[Report]:
        """Ask the venue to cancel an order."""
        return self.venue.cancel(CancelOrder(order.id, order.account, order.instrument), now_ns)

    # -- ticks -----------------------------------------------------------------------------

    def on_tick(self, tick: Tick, line: Line, ts: int) -> Iterator[list[Report]]:
        """Hold a tick against every position, then against every resting entry."""
        book = self.book
        if tick.kind == CLOSE or not (book.by_instrument.get(tick.name) or book.resting):
            return
        row = tick.row if tick.row >= 0 else line.row
        for held in book.of(tick.name):
            leg = self._test(tick, line, held, ts)
            if leg is not None:
                yield from self._leave(held, leg, line, row, ts)
        for waiting in book.resting_of(tick.name):
            if waiting.order.id not in book.resting:
                continue  # a trip in an earlier fill of this row cancelled it
            if waiting.order.kind == "limit":
                yield from self._try_limit(tick, line, waiting, row, ts)
            elif tick.kind == POINT and waiting.part_row != row:
                yield self._execute(waiting, tick.bid, tick.ask, line, row, ts)
        for held in book.of(tick.name):
            self._note_best(tick, held, ts)

    def _leave(
        self, held: Holding, leg: rules.Exit, line: Line, row: int, ts: int
    ) -> Iterator[list[Report]]:
        """Let a level that acted fill what the row (the bar, once) offers."""
        if leg.reason == "liquidation" or held.part_row != row:
            reports = self.venue.leave(held, leg, ts, line.offered(row, -held.sign))
            held.part_row = row
            yield reports

    def _execute(
        self, waiting: Waiting, bid: Decimal, ask: Decimal, line: Line, row: int, ts: int
    ) -> list[Report]:
        """Execute an order, or what is left of it, at a point."""
        size = line.offered(row, waiting.order.side)
        reports = self.venue.execute(waiting, ts, bid, ask, size)
        waiting.part_row = row if waiting.parts else -1
        return reports

    def best(self, held: Holding) -> Decimal:
        """Return the best price for a trailing stop, of every row so far."""
        return self.bests.get(held.position_id, held.best)

    def _test(self, tick: Tick, line: Line, held: Holding, ts: int) -> rules.Exit | None:
        """Let the rules decide about a position at a tick, if the tick is after its entry."""
        if ts <= held.opened_ns:
            return None
        best, liquidate = self.best(held), not line.marked
        if held.exiting:
            price = tick.bid if held.sign > 0 else tick.ask
            return rules.Exit(held.exiting, price) if tick.kind == POINT else None
        if tick.kind == INSIDE:
            start = ts - line.interval_ns + 1
            assert tick.bar is not None
            entered = tick.bar[0] if held.opened_ns == start else None
            best = better(best, tick.bar[0], held.sign > 0)
            return rules.inside_bar(held, tick.bar, None, best, liquidate, entered)
        if tick.mark is not None and rules.liquidated(held, tick.mark):
            return rules.Exit("liquidation", tick.mark)
        return rules.at_row(held, tick.bid, tick.ask, best, liquidate)

    def _note_best(self, tick: Tick, held: Holding, ts: int) -> None:
        """Let a row from the entry's own on count for the trailing stop, from the next row on.

        Later rows of the entry's instant count too. A bar counts as a whole once it is over; the
        one inside which the entry was made does not. Noted without a trailing stop too: an order
        that adds to the position may bring one.
        """
        if held.opened_ns == ts and tick.kind == INSIDE:
            return
        long = held.sign > 0
        if tick.kind == INSIDE:
            assert tick.bar is not None
            price = tick.bar[1] if long else tick.bar[2]
        else:
            price = tick.bid if long else tick.ask
        self.bests[held.position_id] = better(self.best(held), price, long)

    def _try_limit(
        self, tick: Tick, line: Line, waiting: Waiting, row: int, ts: int
    ) -> Iterator[list[Report]]:
        """Fill a resting entry that a tick reaches; inside a bar, test its stop at once."""
        order = waiting.order
        if (order.expires_ns and ts > order.expires_ns) or waiting.part_row == row:
            return
        assert order.price is not None
        if tick.bar is not None:
            bid, ask, best = tick.bar[1], tick.bar[2], order.price
        else:
            bid, ask = tick.bid, tick.ask
            best = bid if order.side > 0 else ask
        if not rules.reaches_limit(order.side, order.price, bid, ask):
            return
        waiting.part_row = row
        reports = self.venue.rest(waiting, ts, best, line.offered(row, order.side))
        yield reports
        held = self.book.holdings.get(f"{order.account}/{order.instrument}")
        if held is None or tick.bar is None:
            return
        if not any(type(report) is FillReport for report in reports):
            return
        best = held.best
        if held.opened_ns != ts:  # an add: the best goes on, with this bar's open
            best = better(self.best(held), tick.bar[0], held.sign > 0)
        leg = rules.inside_bar(
            held, tick.bar, None, best, not line.marked, order.price, adverse_only=True
        )
        if leg is not None:
            yield from self._leave(held, leg, line, row, ts)

    # -- orders and payments ---------------------------------------------------------------

    def arrivals(self, ts: int) -> Iterator[list[Report]]:
        """Execute every order that is due, end every one that expires, the oldest first."""
        while (item := self._due(ts)) is not None:
            order = item.order
            if order.id in self.book.resting:
                yield self.venue.expire(order.id, ts, "expired")
            else:
                line = self.market.lines[order.instrument]
                yield self._execute(item, line.bid, line.ask, line, line.row, ts)

    def _due(self, ts: int) -> Waiting | None:
        """Return the oldest order that has something to do: looked up anew after each one.

        An order executes if its instrument has a point at this very time.
        """
        book, found = self.book, None
        for item in book.arriving.values():
            line = self.market.lines.get(item.order.instrument)
            if (
                item.due_ns <= ts
                and line is not None
                and line.point_ns == ts
                and (found is None or item.sequence < found.sequence)
            ):
                found = item
        for item in book.resting.values():
            expires = item.order.expires_ns
            if expires and expires <= ts and (found is None or item.sequence < found.sequence):
                found = item
        return found

    def next_expiry(self) -> int | None:
        """Return when the next resting order expires."""
        return min(
            (w.order.expires_ns for w in self.book.resting.values() if w.order.expires_ns),
            default=None,
        )

    def funding(self, tick: Tick, ts: int) -> Iterator[list[Report]]:
        """Let every holder of the instrument pay or receive the funding that a tick carries."""
        price = self.market.mark(tick.name)
        if tick.funding is None or price is None:
            return
        for held in self.book.of(tick.name):
            yield self.venue.fund(held, ts, tick.funding, price)

    def forget(self) -> None:
        """Drop the best prices of positions that are gone."""
        held = {item.position_id for item in self.book.holdings.values()}
        for position_id in [key for key in self.bests if key not in held]:
            del self.bests[position_id]
