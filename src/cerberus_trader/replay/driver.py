"""The replay: recorded history through the engine and the paper venue, event by event.

Time jumps from one thing that matters to the next: a row at which a level may be hit, an equity
floor, an arriving order, funding, midnight, a signal. The order within an instant is that of
the venue's rules: prices, floors, arriving orders, funding, then timers and signals.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Protocol

from cerberus_trader.domain.commands import CancelOrder, Command, SubmitOrder
from cerberus_trader.domain.events import (
    ConfigEvent,
    EndOfData,
    Event,
    FillReport,
    LevelHit,
    OrderReport,
    SignalEvent,
    TimerEvent,
)
from cerberus_trader.domain.facts import Fact, OrderSubmitted, SignalIgnored, SignalJudged
from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import DAY_NS
from cerberus_trader.replay.floors import Floors, RowFloors
from cerberus_trader.replay.search import (
    CLOSE,
    INSIDE,
    MARK,
    POINT,
    Candidate,
    ColumnFinder,
    Finder,
    RowFinder,
    after_time,
)
from cerberus_trader.replay.tape import Tape
from cerberus_trader.venues.paper import rules
from cerberus_trader.venues.paper.book import Holding, Waiting
from cerberus_trader.venues.paper.venue import PaperVenue, Report

PRICES, FLOOR, ARRIVAL, FUNDING, TIMER, SIGNAL, END = range(7)
NEVER = 2**63 - 1

Key = tuple[int, int, int, int, int]
Record = Callable[[Event, tuple[Fact, ...]], None]


class Signals(Protocol):
    """Bring signals in order of time; a head in a replay looks like a file."""

    def next_ns(self) -> int:
        """Return the time of the next signal, `NEVER` when there is none."""
        ...

    def take(self) -> list[Signal]:
        """Return the signals of that time, and go on."""
        ...


class SigmaOf(Protocol):
    """Tell volatility at a time, as daily fractions: (estimate, one-minute); -1 unknown."""

    def at(self, t: int) -> tuple[float, float]: ...


class Driver:
    """Run one replay."""

    def __init__(
        self,
        config: ConfigEvent,
        tapes: list[Tape],
        signals: Signals,
        record: Record,
        *,
        sigmas: dict[str, SigmaOf] | None = None,
        reference: bool = False,
        close_at_end: bool = False,
    ) -> None:
        self.tapes = sorted(tapes, key=lambda tape: tape.name)
        self.by_name = {tape.name: tape for tape in self.tapes}
        self.signals = signals
        self.record = record
        self.sigmas = sigmas or {}
        self.close_at_end = close_at_end
        self.engine = Engine()
        instruments = {item.name: item for item in config.instruments}
        marked = frozenset(tape.name for tape in self.tapes if tape.marks is not None)
        self.venue = PaperVenue(config.settings.paper, instruments, self.marks, marked)
        # a share of each row's size fills at most: every row matters
        parts = bool(config.settings.paper.participation_max)
        finder = RowFinder if reference or parts else ColumnFinder
        self.finders: dict[str, Finder] = {tape.name: finder(tape) for tape in self.tapes}
        self.floors = (RowFloors if reference else Floors)(self.tapes, self.engine.state)
        self.places: dict[str, Candidate] = {}
        self.numbers = {tape.name: number for number, tape in enumerate(self.tapes)}
        self.hits: dict[str, Key] = {}
        self.stale: dict[str, None] = {}
        self.queue: deque[Signal] = deque()
        self.due: dict[str, tuple[int, int]] = {}
        self.fundings = {tape.name: 0 for tape in self.tapes if tape.funding is not None}
        self.now_ns, self.phase = 0, SIGNAL
        self.end_ns = max(tape.end_ns for tape in self.tapes)
        self.last: Key = (self.end_ns, END, 0, 0, 0)
        self.ended = False
        self.take(config)

    # -- the loop -------------------------------------------------------------------------

    def run(self, progress: Callable[[int], None] | None = None) -> None:
        """Run to the end of the prices, then judge what signals are left."""
        steps = 0
        while True:
            key = self.next_key()
            if key[0] == NEVER:
                return
            self.now_ns, self.phase = key[:2]
            self.process(key)
            steps += 1
            if progress is not None and not steps & 255:
                progress(self.now_ns)

    def next_key(self) -> Key:
        """Return the earliest thing that matters."""
        best: Key = (self.now_ns if self.queue else self.signals.next_ns(), SIGNAL, 0, 0, 0)
        if self.ended:
            return best
        if self.last < best:
            best = self.last
        if self.stale:
            self.search()
        for hit in self.hits.values():
            if hit < best:
                best = hit
        for waiting in self.venue.book.arriving.values():
            due = self.due[waiting.order.id][0]
            best = min(best, (due, ARRIVAL, waiting.sequence, 0, 0))
        for waiting in self.venue.book.resting.values():
            expires = waiting.order.expires_ns
            if expires:
                best = min(best, (max(expires, self.now_ns), ARRIVAL, waiting.sequence, 1, 0))
        if self.venue.book.holdings:
            midnight = self.midnight_key()
            if midnight < best:
                best = midnight
            if self.fundings:
                best = min(best, self.funding_key())
            floor = self.floors.next(self.now_ns, best[0])
            if floor is not None:
                best = min(best, (floor, FLOOR, 0, 0, 0))
        return best

    def search(self) -> None:
        """Find the next candidate of every instrument whose levels have changed."""
        book, now = self.venue.book, self.now_ns
        # rows before now are done with; those of this instant while prices pass, not yet
        least = Candidate(now, -1, -1) if self.phase == PRICES else after_time(now)
        for name in self.stale:
            self.hits.pop(name, None)
            if book.by_instrument.get(name) or book.resting:
                place = max(self.places.get(name, least), least)
                hit = self.finders[name].next(book, place)
                if hit is not None:
                    number = self.numbers[name]
                    self.hits[name] = (hit.ts_ns, PRICES, number, hit.kind, hit.row)
        self.stale.clear()

    def process(self, key: Key) -> None:
        """Do the thing that a key names."""
        ts, phase, number = key[:3]
        if phase == PRICES:
            tape = self.tapes[number]
            self.on_candidate(tape, Candidate(ts, key[3], key[4]))
        elif phase == FLOOR:
            self.on_level(ts)
        elif phase == ARRIVAL:
            self.on_arrival(number)
        elif phase == FUNDING:
            self.on_funding(self.tapes[number], key[3])
        elif phase == TIMER:
            self.take(TimerEvent(ts, "day", self.marks(ts, "")))
        elif phase == SIGNAL:
            # one at a time: an order that is due at once executes before the next signal
            if not self.queue:
                self.queue.extend(self.signals.take())
            if self.queue:  # a head may wake without a signal
                self.on_signal(self.queue.popleft(), ts)
        else:
            self.on_end()

    # -- prices ---------------------------------------------------------------------------

    def on_candidate(self, tape: Tape, candidate: Candidate) -> None:
        """Test the rules at a row, for each position, then for each resting entry."""
        name = tape.name
        self.places[name] = candidate
        self.stale[name] = None
        book = self.venue.book
        for held in book.of(name):
            leg = self.test(tape, held, candidate)
            if leg is not None:
                self.leave(tape, held, leg, candidate)
        if candidate.kind in (INSIDE, POINT):
            for waiting in book.resting_of(name):
                if waiting.order.id not in book.resting:
                    continue  # a trip in an earlier fill of this row cancelled it
                if waiting.order.kind == "limit":
                    self.try_limit(tape, waiting, candidate)
                else:
                    self.go_on(tape, waiting, candidate)

    def leave(self, tape: Tape, held: Holding, leg: rules.Exit, candidate: Candidate) -> None:
        """Let a level that acted fill what the row (the bar, once) offers."""
        row = candidate.row
        if leg.reason != "liquidation" and held.part_row == row:
            return
        size = tape.size(row, -held.sign)
        reports = self.venue.leave(held, leg, candidate.ts_ns, size)
        held.part_row = row
        self.reports(reports)

    def go_on(self, tape: Tape, waiting: Waiting, candidate: Candidate) -> None:
        """Execute what is left of a market order at a later row."""
        if candidate.kind != POINT or waiting.part_row == candidate.row:
            return
        bid, ask = tape.quote(candidate.row)
        size = tape.size(candidate.row, waiting.order.side)
        reports = self.venue.execute(waiting, candidate.ts_ns, bid, ask, size)
        waiting.part_row = candidate.row
        self.reports(reports)

    def test(self, tape: Tape, held: Holding, candidate: Candidate) -> rules.Exit | None:
        """Let the rules decide about a position at a row, if the row is after its entry."""
        ts, kind, row = candidate
        if ts <= held.opened_ns or kind == CLOSE:
            return None
        if kind == MARK:
            price = mark_price(tape, row)
            return rules.Exit("liquidation", price) if rules.liquidated(held, price) else None
        finder = self.finders[tape.name]
        if held.exiting:
            if kind != POINT:
                return None
            return rules.Exit(held.exiting, tape.quote(row)[0 if held.sign > 0 else 1])
        if kind == POINT:
            bid, ask = tape.quote(row)
            best = finder.best(held, row, inside=False)
            return rules.at_row(held, bid, ask, best, tape.marks is None)
        return self.test_inside(tape, held, candidate)

    def test_inside(self, tape: Tape, held: Holding, candidate: Candidate) -> rules.Exit | None:
        """Let the rules decide about a position inside a bar."""
        start = candidate.ts_ns - tape.interval_ns + 1
        bar = bar_of(tape, candidate.row, start)
        best = self.finders[tape.name].best(held, candidate.row, inside=True)
        mark = adverse_mark(tape, start, held.sign)
        return rules.inside_bar(held, bar, mark, best, tape.marks is None)

    def try_limit(self, tape: Tape, waiting: Waiting, candidate: Candidate) -> None:
        """Fill a resting entry that a row reaches; inside a bar, test its stop at once."""
        order, ts = waiting.order, candidate.ts_ns
        if (order.expires_ns and ts > order.expires_ns) or waiting.part_row == candidate.row:
            return
        assert order.price is not None
        if candidate.kind == POINT:
            bid, ask = tape.quote(candidate.row)
            best = bid if order.side > 0 else ask
        else:
            bar = bar_of(tape, candidate.row, ts - tape.interval_ns + 1)
            if bar is None:
                return
            bid, ask, best = bar[1], bar[2], order.price
        if not rules.reaches_limit(order.side, order.price, bid, ask):
            return
        inside = candidate.kind == INSIDE
        waiting.part_row = candidate.row
        size = tape.size(candidate.row, order.side)
        reports = self.venue.rest(waiting, ts, best, size)
        self.reports(reports)
        held = self.venue.book.holdings.get(f"{order.account}/{order.instrument}")
        if held is None or not any(type(report) is FillReport for report in reports):
            return
        if held.opened_ns == ts:
            held.since, best = candidate.row + inside, held.best
        else:  # an add: the best goes on
            best = self.finders[tape.name].best(held, candidate.row, inside=inside)
        if inside:
            self.test_entry_bar(tape, held, candidate, order.price, best)

    def test_entry_bar(
        self, tape: Tape, held: Holding, candidate: Candidate, limit: Decimal, best: Decimal
    ) -> None:
        """Test a position entered or added to inside a bar on its adverse extremes only."""
        start = candidate.ts_ns - tape.interval_ns + 1
        bar = bar_of(tape, candidate.row, start)
        mark = adverse_mark(tape, start, held.sign)
        leg = rules.inside_bar(held, bar, mark, best, tape.marks is None, limit, adverse_only=True)
        if leg is not None:
            self.leave(tape, held, leg, candidate)

    # -- levels, orders, funding, signals, the end ------------------------------------------------

    def on_level(self, ts: int) -> None:
        """Report the first engine level that this instant's prices reach."""
        level = self.floors.level
        assert level is not None
        marks = self.marks(ts, "")
        if not self.take(LevelHit(ts, level.kind, level.scope, marks)):
            raise AssertionError(f"level {level.kind} {level.scope!r} was reached for nothing")

    def on_arrival(self, sequence: int) -> None:
        """Execute an arriving order, or end one that expires."""
        book = self.venue.book
        for waiting in (*book.arriving.values(), *book.resting.values()):
            if waiting.sequence == sequence:
                break
        else:
            return
        order = waiting.order
        if order.id in book.resting:
            self.stale[order.instrument] = None
            self.reports(self.venue.expire(order.id, self.now_ns, "expired"))
            return
        tape = self.by_name[order.instrument]
        row = self.due.pop(order.id)[1]
        bid, ask = tape.quote(row)
        size = tape.size(row, order.side)
        reports = self.venue.execute(waiting, self.now_ns, bid, ask, size)
        waiting.part_row = row if waiting.parts else -1
        self.reports(reports)
        held = book.holdings.get(f"{order.account}/{order.instrument}")
        if held is not None and held.opened_ns == self.now_ns and held.position_id == order.id:
            held.since = row

    def funding_key(self) -> Key:
        """Return the next funding time of a held instrument."""
        best: Key = (NEVER, FUNDING, 0, 0, 0)
        for number, tape in enumerate(self.tapes):
            if tape.name not in self.fundings or not self.venue.book.by_instrument.get(tape.name):
                continue
            assert tape.funding is not None
            row = int(tape.funding.ts.searchsorted(self.now_ns, "left"))
            row = max(row, self.fundings[tape.name])
            if row < len(tape.funding) and int(tape.funding.ts[row]) <= self.end_ns:
                best = min(best, (int(tape.funding.ts[row]), FUNDING, number, row, 0))
        return best

    def on_funding(self, tape: Tape, row: int) -> None:
        """Let every holder of the instrument pay or receive funding."""
        self.fundings[tape.name] = row + 1
        assert tape.funding is not None
        rate = Decimal(int(tape.funding.rate[row])).scaleb(-tape.funding.digits)
        price = tape.mark(self.now_ns)
        if price is None:
            return
        for held in self.venue.book.of(tape.name):
            self.reports(self.venue.fund(held, self.now_ns, rate, price))

    def midnight_key(self) -> Key:
        """Return the next UTC midnight, while something is held."""
        return ((self.engine.state.day + 1) * DAY_NS, TIMER, 0, 0, 0)

    def on_signal(self, signal: Signal, ts: int) -> None:
        """Judge a signal on what is known at its time."""
        tape = self.by_name.get(signal.instrument)
        known = tape.known(ts) if tape is not None else None
        snapshot = None
        if known is not None:
            sigma = self.sigmas.get(signal.instrument)
            wide, minute = sigma.at(ts) if sigma is not None else (-1.0, -1.0)
            snapshot = Snapshot(
                known.ts_ns, known.bid, known.ask, known.interval_ns, wide, minute,
                self.marks(ts, ""),
            )  # fmt: skip
        self.take(SignalEvent(ts, signal, snapshot))
        if self.ended:
            self.expire_all()

    def on_end(self) -> None:
        """End the data: expire what did not execute, close what is asked to be closed."""
        self.ended = True
        self.hits.clear()
        self.expire_all()
        if not self.close_at_end:
            self.take(EndOfData(self.end_ns, False, self.marks(self.end_ns, "")))
            return
        self.take(EndOfData(self.end_ns, True, self.marks(self.end_ns, "")))
        for waiting in list(self.venue.book.arriving.values()):
            tape = self.by_name[waiting.order.instrument]
            bid, ask = tape.last_marks()
            self.reports(self.venue.execute(waiting, self.end_ns, bid, ask))

    def expire_all(self) -> None:
        """Expire every order that found no price."""
        book = self.venue.book
        for order_id in (*book.arriving, *book.resting):
            self.due.pop(order_id, None)
            self.reports(self.venue.expire(order_id, self.now_ns, "no price is left"))

    # -- engine and venue -----------------------------------------------------------------

    def take(self, event: Event) -> bool:
        """Put an event through the engine, record it, carry out its commands."""
        step = self.engine.step(event)
        facts = step.facts
        self.record(event, facts)
        for command in step.commands:
            self.send(command)
        for fact in facts:
            if moves_levels(fact):
                self.floors.changed()
                break
        return bool(facts)

    def send(self, command: Command) -> None:
        """Hand a command to the venue."""
        if type(command) is SubmitOrder:
            order = command.order
            self.venue.submit(command, self.now_ns)
            waiting = self.venue.book.arriving[order.id]
            place = self.by_name[order.instrument].execution(waiting.due_ns)
            self.due[order.id] = place if place is not None else (NEVER - 1, -1)
        elif type(command) is CancelOrder:
            self.due.pop(command.order_id, None)
            self.stale[command.instrument] = None
            self.reports(self.venue.cancel(command, self.now_ns))

    def reports(self, reports: list[Report]) -> None:
        """Put the venue's reports through the engine."""
        for report in reports:
            if type(report) is OrderReport:
                order = self.engine.state.orders.get(report.order_id)
                if order is not None:
                    self.stale[order.instrument] = None
            else:
                self.stale[report.instrument] = None  # type: ignore[union-attr]
            self.take(report)

    def marks(self, ts: int, name: str) -> Marks:
        """Price every instrument that has exposure, and one more, at a time."""
        tapes, exposures = self.by_name, self.engine.state.exposures
        found = [(held, price) for held in exposures if (price := tapes[held].mark(ts)) is not None]
        if name and name not in exposures:
            price = tapes[name].mark(ts)
            if price is not None:
                found.append((name, price))
        return tuple(found)


def moves_levels(fact: Fact) -> bool:
    """Tell whether a fact may change what an engine level depends on."""
    if type(fact) is OrderSubmitted:  # a position that is being closed warns no more
        return fact.order.reduce_only
    return type(fact) is not SignalJudged and type(fact) is not SignalIgnored


def mark_price(tape: Tape, row: int) -> Decimal:
    """Return a mark point, or the open of a mark bar."""
    marks = tape.marks
    assert marks is not None
    column = marks.price if hasattr(marks, "price") else marks.open
    return Decimal(int(column[row])).scaleb(-marks.digits)


def bar_of(tape: Tape, row: int, start_ns: int) -> tuple[Decimal, Decimal, Decimal] | None:
    """Return (open, high, low) of the bar that opens at a time; None where there is none."""
    bars = tape.bars
    if bars is None or row < 0 or int(bars.ts_open[row]) != start_ns:
        return None
    return (
        tape.decimal(int(bars.open[row])),
        tape.decimal(int(bars.high[row])),
        tape.decimal(int(bars.low[row])),
    )


def adverse_mark(tape: Tape, start_ns: int, sign: int) -> Decimal | None:
    """Return the adverse extreme of the mark bar that opens at a time."""
    marks = tape.marks
    if marks is None or hasattr(marks, "price"):
        return None
    row = int(marks.ts_open.searchsorted(start_ns))
    if row >= len(marks) or int(marks.ts_open[row]) != start_ns:
        return None
    return Decimal(int((marks.low if sign > 0 else marks.high)[row])).scaleb(-marks.digits)
