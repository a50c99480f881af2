"""Where the next level may be hit: by searching the columns, or by visiting every row.

Both answer with *candidates*: rows at which `venues/paper/rules.py` then decides. A column
search may name a row at which nothing happens, never pass one by at which something does.
"""

from decimal import Decimal
from typing import NamedTuple, Protocol

from cerberus_trader.domain.instrument import MarginLevel, to_grid
from cerberus_trader.market.columns import MarkBars, MarkPoints, Quotes
from cerberus_trader.replay.tape import Tape
from cerberus_trader.venues.paper.book import Book, Holding, Waiting

INSIDE, CLOSE, MARK, POINT = 0, 1, 2, 3


Levels = tuple[Decimal | None, Decimal | None, Decimal | None, MarginLevel | None, int]


class Candidate(NamedTuple):
    """Name a row to test: its time, what it is, and its index in its own series."""

    ts_ns: int
    kind: int
    row: int


class Finder(Protocol):
    """Find candidates of one instrument after a time, or after a candidate already tested."""

    def next(self, book: Book, after: Candidate) -> Candidate | None: ...

    def best(self, held: Holding, row: int, *, inside: bool) -> Decimal: ...


def after_time(t: int) -> Candidate:
    """Return the place after every row at or before t."""
    return Candidate(t, POINT + 1, 0)


class ColumnFinder:
    """Search whole columns with their pyramids."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.known: dict[int, tuple[Levels, Candidate | None]] = {}

    def next(self, book: Book, after: Candidate) -> Candidate | None:
        """Return the first row after a place at which a level may be hit."""
        found: Candidate | None = None
        holdings = book.of(self.tape.name)
        if len(self.known) > len(holdings) + 64:
            self.known.clear()
        for held in holdings:
            candidate = self._of(held, after)
            if candidate is not None and (found is None or candidate < found):
                found = candidate
        for waiting in book.resting_of(self.tape.name):
            candidate = self._of_limit(waiting, after)
            if candidate is not None and (found is None or candidate < found):
                found = candidate
        return found

    def _of(self, held: Holding, after: Candidate) -> Candidate | None:
        """Return a position's next candidate: the known one while its levels stay as they are."""
        levels = (held.stop, held.take_profit, held.trailing, held.liquidation, held.since)
        known = self.known.get(held.number)
        if known is not None and known[0] == levels and (known[1] is None or known[1] > after):
            return known[1]
        found = self._of_prices(held, after)
        marked = self._of_marks(held, after)
        if marked is not None and (found is None or marked < found):
            found = marked
        self.known[held.number] = levels, found
        return found

    # -- prices ---------------------------------------------------------------------------

    def _start(self, after: Candidate) -> int:
        """Return the first row (bar) that may hold something after a place."""
        tape = self.tape
        if tape.bars is None:
            if after.kind == POINT:
                return after.row + 1
            return tape.row_after(after.ts_ns if after.kind > POINT else after.ts_ns - 1)
        if after.kind == POINT:
            return after.row  # its inside is still to come
        row = tape.row_at(after.ts_ns)
        inside_ns = int(tape.ts[row]) + tape.interval_ns - 1 if row >= 0 else -1
        return row + 1 if row < 0 or (inside_ns, INSIDE) <= after[:2] else row

    def _of_prices(self, held: Holding, after: Candidate) -> Candidate | None:
        tape, sign = self.tape, held.sign
        start = self._start(after)
        if tape.bars is None:
            start = max(start, held.since + 1)
            if start < tape.rows and int(tape.ts[start]) <= held.opened_ns:
                start = tape.row_after(held.opened_ns)
        else:
            start = max(start, held.since)
        row = end = tape.rows
        adverse, favourable = self._sides(sign)
        quantum, long = tape.quantum, sign > 0
        worst: list[int] = []
        if held.stop is not None:
            worst.append(to_grid(held.stop, quantum, up=not long))
        if held.liquidation is not None and tape.marks is None:
            dead = to_grid(held.liquidation.price, quantum, up=long)
            worst.append(dead)
            if isinstance(tape.prices, Quotes) and tape.prices.crossed:
                # the mid of a crossed quote lies beyond the side that is searched
                quotes = tape.prices
                row = (
                    quotes.ask_min.first_le(start, dead)
                    if long
                    else (quotes.bid_max.first_ge(start, dead))
                )
        if worst:
            level = max(worst) if long else min(worst)
            hit = (
                adverse.first_le(start, level, row) if long else adverse.first_ge(start, level, row)
            )
            row = min(row, hit)
        if held.take_profit is not None and start < row:
            level = to_grid(held.take_profit, quantum, up=long)
            near = min(row + 1, end)
            hit = (
                favourable.first_ge(start, level, near)
                if long
                else favourable.first_le(start, level, near)
            )
            row = min(row, hit) if hit < near else row
        if held.trailing is not None and start < min(row + 1, end):
            row = self._trail(held, start, min(row + 1, end), row)
        return self._candidate(row, after) if row < end else None

    def _trail(self, held: Holding, start: int, stop: int, row: int) -> int:
        """Return the first row that the trailing stop may hit, or the row found before."""
        tape, long = self.tape, held.sign > 0
        assert held.trailing is not None
        best = to_grid(self.best(held, start, inside=False), tape.quantum, up=long)
        distance = max(1, to_grid(held.trailing, tape.quantum, up=False))
        trail = tape.prices.trail_long if long else tape.prices.trail_short
        hit, _ = trail.first(start, best, distance, stop)
        return hit if hit < stop else row

    def _sides(self, sign: int):  # type: ignore[no-untyped-def]
        """Return the pyramids that a position's adverse and favourable levels search."""
        prices, bars, points = self.tape.prices, self.tape.bars, self.tape.points
        if bars is not None:
            return (bars.low_min, bars.high_max) if sign > 0 else (bars.high_max, bars.low_min)
        assert points is not None and prices is points
        return (points.bid_min, points.bid_max) if sign > 0 else (points.ask_max, points.ask_min)

    def _candidate(self, row: int, after: Candidate) -> Candidate:
        """Name a row as a point; a bar first by its open, then, if that is past, its inside."""
        tape = self.tape
        ts = int(tape.ts[row])
        candidate = Candidate(ts, POINT, row)
        if tape.bars is None or candidate > after:
            return candidate
        return Candidate(ts + tape.interval_ns - 1, INSIDE, row)

    # -- marks ----------------------------------------------------------------------------

    def _of_marks(self, held: Holding, after: Candidate) -> Candidate | None:
        marks = self.tape.marks
        if marks is None or held.liquidation is None:
            return None
        long = held.sign > 0
        quantum = Decimal(1).scaleb(-marks.digits)
        level = to_grid(held.liquidation.price, quantum, up=long)
        if isinstance(marks, MarkPoints):
            start = mark_start(marks, after, held.opened_ns)
            row = (
                marks.bid_min.first_le(start, level)
                if long
                else (marks.bid_max.first_ge(start, level))
            )
            return Candidate(int(marks.ts[row]), MARK, row) if row < len(marks) else None
        start = mark_bar_start(marks, after, held.opened_ns)
        row = (
            marks.low_min.first_le(start, level)
            if long
            else (marks.high_max.first_ge(start, level))
        )
        if row >= len(marks):
            return None
        ts = int(marks.ts_open[row])
        opening = Candidate(ts, MARK, row)
        if opening > after and ts > held.opened_ns:
            return opening
        return Candidate(ts + marks.interval_ns - 1, INSIDE, self.tape.row_at(ts))

    # -- resting entries ------------------------------------------------------------------

    def _of_limit(self, waiting: Waiting, after: Candidate) -> Candidate | None:
        tape, order = self.tape, waiting.order
        assert order.price is not None
        buy = order.side > 0
        level = to_grid(order.price, tape.quantum, up=not buy)
        start = self._start(after)
        if tape.bars is not None:
            row = (
                tape.bars.low_min.first_le(start, level)
                if buy
                else (tape.bars.high_max.first_ge(start, level))
            )
        else:
            assert tape.points is not None
            row = (
                tape.points.ask_min.first_le(start, level)
                if buy
                else (tape.points.bid_max.first_ge(start, level))
            )
        return self._candidate(row, after) if row < tape.rows else None

    # -- trailing -------------------------------------------------------------------------

    def best(self, held: Holding, row: int, *, inside: bool) -> Decimal:
        """Return the best price before a row: entry and rows since, a bar's own open inside it."""
        tape, long = self.tape, held.sign > 0
        best = held.best
        if held.trailing is None:
            return best
        if tape.bars is not None:
            high = tape.bars.high_max if long else tape.bars.low_min
        else:
            assert tape.points is not None
            high = tape.points.bid_max if long else tape.points.ask_min
        if row > held.since:
            best = better(best, tape.decimal(high.extreme(held.since, row)), long)
        if inside and tape.bars is not None:
            best = better(best, tape.decimal(int(tape.bars.open[row])), long)
        return best


def mark_start(marks: MarkPoints, after: Candidate, opened_ns: int) -> int:
    """Return the first mark point after a place and after the entry."""
    if after.kind == MARK:
        return after.row + 1
    t = max(after.ts_ns - (after.kind < MARK), opened_ns)
    return int(marks.ts.searchsorted(t, "right"))


def mark_bar_start(marks: MarkBars, after: Candidate, opened_ns: int) -> int:
    """Return the first mark bar whose open or inside comes after a place and the entry."""
    t = max(after.ts_ns, opened_ns)
    row = int(marks.ts_open.searchsorted(t, "right")) - 1
    if row < 0:
        return 0
    inside_ns = int(marks.ts_open[row]) + marks.interval_ns - 1
    past = (inside_ns, INSIDE) <= after[:2] or inside_ns <= opened_ns
    return row + 1 if past else row


def better(one: Decimal, other: Decimal, long: bool) -> Decimal:
    """Return the better of two prices for a position."""
    return max(one, other) if long else min(one, other)


class RowFinder:
    """Visit every row, keeping the best for trailing stops as it goes: the reference."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.bests: dict[int, tuple[int, Decimal]] = {}

    def next(self, book: Book, after: Candidate) -> Candidate | None:
        """Return the very next row of prices or marks."""
        found = None
        for candidate in (self._price(after), self._mark(after)):
            if candidate is not None and (found is None or candidate < found):
                found = candidate
        return found

    def _price(self, after: Candidate) -> Candidate | None:
        tape = self.tape
        row = max(int(tape.ts.searchsorted(after.ts_ns)) - 1, 0)
        if after.kind == POINT and tape.bars is None:
            row = after.row
        while row < tape.rows:
            ts = int(tape.ts[row])
            steps = [Candidate(ts, POINT, row)]
            if tape.bars is not None:
                steps.append(Candidate(ts + tape.interval_ns - 1, INSIDE, row))
                steps.append(Candidate(ts + tape.interval_ns, CLOSE, row))
            for candidate in steps:
                if candidate > after:
                    return candidate
            row += 1
        return None

    def _mark(self, after: Candidate) -> Candidate | None:
        marks = self.tape.marks
        if marks is None:
            return None
        points = isinstance(marks, MarkPoints)
        times = marks.ts if isinstance(marks, MarkPoints) else marks.ts_open
        row = max(int(times.searchsorted(after.ts_ns)) - 1, 0)
        while row < len(times):
            ts = int(times[row])
            if (candidate := Candidate(ts, MARK, row)) > after:
                return candidate
            if not points:
                inside_ns = ts + self.tape.interval_ns - 1
                inside = Candidate(inside_ns, INSIDE, self.tape.row_at(ts))
                if inside > after:
                    return inside
            row += 1
        return None

    def best(self, held: Holding, row: int, *, inside: bool) -> Decimal:
        """Return the best price before a row, by walking there row by row."""
        tape, long = self.tape, held.sign > 0
        if held.trailing is None:
            return held.best
        at, best = self.bests.get(held.number, (held.since, held.best))
        if at > row:
            at, best = held.since, held.best
        while at < row:
            seen = tape.quote(at)[0 if long else 1]
            if tape.bars is not None:
                seen = tape.decimal(int((tape.bars.high if long else tape.bars.low)[at]))
            best = better(best, seen, long)
            at += 1
        self.bests[held.number] = (at, best)
        if inside and tape.bars is not None:
            best = better(best, tape.quote(row)[0], long)
        return best
