"""A second simulated market, slow and simple, written from the rules of the market alone.

It shares no code with the product: fractions instead of decimals, one loop over every instant,
every rule at the place where the rules' page names it. Tests compare its fills with a replay's.
It covers what a replay does when every limit is lifted: a signal gives quantity, leverage, levels.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

from tests.oracle.history import History, Row

MS = 1_000_000
EIGHT = Fraction(1, 10**8)


class Fill(NamedTuple):
    """One fill, as both markets tell it."""

    ts_ns: int
    instrument: str
    reason: str
    side: int
    quantity: Fraction
    price: Fraction
    fee: Fraction
    liquidity: str


@dataclass
class Rules:
    """What the run is set to."""

    latency_ms: int = 0
    slippage_bps: Fraction = Fraction(0)
    limit_take_profit: bool = False
    add: bool = False
    reverse: bool = False
    close_at_end: bool = False


@dataclass
class Order:
    """An entry or a close on its way, or an entry that rests at its limit."""

    number: int
    name: str
    sign: int
    due_ns: int
    signal: Any
    limit: Fraction | None = None
    expires_ns: int | None = None
    bound: int | None = None  # a close: the number of the entry or position it is bound to
    quantity: Fraction | None = None


@dataclass
class Position:
    """What is held, with the levels that rest at the venue."""

    number: int
    sign: int
    since_ns: int
    best: Fraction
    quantity: Fraction = Fraction(0)
    cost: Fraction = Fraction(0)
    margin: Fraction = Fraction(0)
    stop: Fraction | None = None
    profit: Fraction | None = None
    trailing: Fraction | None = None

    def raise_best(self, price: Fraction) -> None:
        """Count a price for the trailing stop."""
        self.best = self.sign * max(self.sign * self.best, self.sign * price)

    def nearer(self) -> tuple[Fraction, str] | None:
        """The stop that acts, with its reason."""
        found = [] if self.stop is None else [(self.sign * self.stop, 1, self.stop, "stop_loss")]
        if self.trailing is not None:
            level = self.best - self.sign * self.trailing
            found.append((self.sign * level, 0, level, "trailing_stop"))
        return max(found)[2:] if found else None


@dataclass
class Book:
    """One instrument's side of the market."""

    history: History
    position: Position | None = None
    entries: list[Order] = field(default_factory=list)  # working: on their way, or resting
    closes: list[Order] = field(default_factory=list)

    @property
    def item(self) -> Any:
        """The instrument."""
        return self.history.item


def up(value: Fraction, step: Fraction) -> Fraction:
    """Round up to a step."""
    return ceil(value / step) * step


def down(value: Fraction, step: Fraction) -> Fraction:
    """Round down to a step."""
    return floor(value / step) * step


def worse(value: Fraction, tick: Fraction, side: int) -> Fraction:
    """Round a fill against us: a buy up, a sale down, never below one tick."""
    return max(up(value, tick) if side > 0 else down(value, tick), tick)


def number(value: Any) -> Fraction | None:
    """Read a decimal."""
    return None if value is None else Fraction(value)


class Market:
    """Run signals over histories; `fills` is the outcome."""

    def __init__(self, histories: Iterable[History], signals: Iterable[Any], rules: Rules) -> None:
        ordered = sorted(histories, key=lambda history: history.item.name)
        self.books = {history.item.name: Book(history) for history in ordered}
        self.signals = sorted(signals, key=lambda signal: signal.ts_ns)
        self.rules = rules
        self.fills: list[Fill] = []
        self.numbers = 0
        self.end_ns = max(history.end_ns for history in ordered)

    def run(self) -> list[Fill]:
        """Visit every instant in its order."""
        times = {signal.ts_ns for signal in self.signals}
        for book in self.books.values():
            times |= book.history.times()
        for now in sorted(times):
            self.expire(now - 1)
            for book in self.books.values():
                if now <= self.end_ns:
                    self.prices(book, now)
            self.arrivals(now)
            for book in self.books.values():
                if now <= self.end_ns:
                    self.funding(book, now)
            self.expire(now)
            for signal in self.signals:
                if signal.ts_ns == now:
                    self.judge(self.books[signal.instrument], signal, now)
            if now == self.end_ns:
                for book in self.books.values():
                    self.end(book, now)
        return self.fills

    def expire(self, now: int) -> None:
        """End the resting entries whose time is over; one on its way expires when it arrives."""
        for book in self.books.values():
            book.entries = [e for e in book.entries if e.due_ns >= 0 or e.expires_ns is None
                            or e.expires_ns > now]  # fmt: skip

    # prices

    def prices(self, book: Book, now: int) -> None:
        """Let one instrument's prices of an instant pass."""
        history = book.history
        self.inside(book, now)
        for mark in history.mark_rows.get(now, ()):
            position = book.position
            if position and position.since_ns < now and self.broke(book, mark):
                self.liquidate(book, now)
        for row in history.rows.get(now, ()):
            self.row(book, row, now)

    def row(self, book: Book, row: Row, now: int) -> None:
        """Test the levels on one row: a quote, a trade, a bar's open."""
        position = book.position
        if position and position.since_ns < now:
            quote = row.bid if position.sign > 0 else row.ask
            if not book.history.marked and self.broke(book, (row.bid + row.ask) / 2):
                self.liquidate(book, now)
            elif (stop := position.nearer()) and position.sign * (quote - stop[0]) <= 0:
                self.leave(book, now, quote, stop[1])
            elif position.profit and position.sign * (quote - position.profit) >= 0:
                self.take_profit(book, now, quote)
        if position:
            position.raise_best(row.bid if position.sign > 0 else row.ask)
        for entry in [e for e in book.entries if e.limit is not None and e.due_ns < 0]:
            quote = row.ask if entry.sign > 0 else row.bid
            if entry.sign * (quote - entry.limit) <= 0:
                self.enter(book, entry, now, entry.limit, "maker", row)

    def inside(self, book: Book, now: int) -> None:
        """Look inside the bars that end at this instant: adverse extreme, then favourable."""
        bar, mark = book.history.bar_inside.get(now), book.history.mark_inside.get(now)
        if bar is None and mark is None:
            return
        held = position = book.position
        if held and held.since_ns < now:
            self.adverse(book, now, bar, mark, bar.open if bar else None)
            position = book.position
        high = None
        if position and bar:
            high = bar.high if position.sign > 0 else bar.low
            if position.profit and position.sign * (high - position.profit) >= 0:
                self.take_profit(book, now, position.profit)
        for entry in [e for e in book.entries if e.limit is not None and e.due_ns < 0]:
            extreme = None if not bar else bar.low if entry.sign > 0 else bar.high
            if extreme is not None and entry.sign * (extreme - entry.limit) <= 0:
                self.enter(book, entry, now, entry.limit, "maker", Row(entry.limit, entry.limit))
                if book.position and book.position.sign == entry.sign:
                    self.adverse(book, now, bar, mark, entry.limit)
        if position and high is not None:
            position.raise_best(high)

    def adverse(self, book: Book, now: int, bar: Any, mark: Any, start: Fraction | None) -> None:
        """Test a stop and the liquidation on the adverse extremes; the stop first if above it."""
        position = book.position
        assert position
        sign, stop = position.sign, position.nearer()
        low = (bar.low if sign > 0 else bar.high) if bar else None
        base = mark if book.history.marked else bar
        ruler = (base.low if sign > 0 else base.high) if base else None
        stopped = stop is not None and low is not None and sign * (low - stop[0]) <= 0
        broken = ruler is not None and self.broke(book, ruler)
        if stopped and not (broken and self.broke(book, stop[0])):
            price = sign * min(sign * stop[0], sign * start)
            self.leave(book, now, price, stop[1])
        elif broken:
            self.liquidate(book, now)

    # orders

    def arrivals(self, now: int) -> None:
        """Execute what has arrived, by sequence."""
        waiting = [o for book in self.books.values() for o in book.entries + book.closes]
        for order in sorted(waiting, key=lambda order: order.number):
            self.arrive(order, now)

    def arrive(self, order: Order, now: int) -> None:
        """Execute one order, if it is due and its instrument has a row now."""
        book = self.books[order.name]
        rows = book.history.rows.get(now)
        if not rows or not 0 <= order.due_ns <= now:
            return
        if order.bound is not None:
            book.closes.remove(order)
            self.close(book, order, now, rows[-1])
        elif order in book.entries:
            self.execute(book, order, now, rows[-1])

    def execute(self, book: Book, order: Order, now: int, row: Row) -> None:
        """Execute an entry at its row: take, rest, or be rejected."""
        quote = row.ask if order.sign > 0 else row.bid
        if order.expires_ns is not None and order.expires_ns < now:
            book.entries.remove(order)
            return
        if order.limit is None:
            price = self.slipped(quote, order.sign)
        elif order.sign * (quote - order.limit) <= 0:
            price = quote
        else:
            price = order.limit
        price = worse(price, book.history.tick, order.sign)
        opposed = book.position is not None and book.position.sign != order.sign
        rests = order.limit is not None and order.sign * (quote - order.limit) > 0
        if not self.allowed(book, order, price) or (opposed and not rests):
            book.entries.remove(order)
        elif rests:
            order.due_ns = -1  # it rests
        else:
            self.enter(book, order, now, price, "taker", row)

    def allowed(self, book: Book, order: Order, price: Fraction) -> bool:
        """Ask whether the tier of a notional offers the leverage."""
        tiers = book.item.tiers
        notional = price * self.quantity(book, order.signal)
        tier = next((t for t in tiers if notional <= Fraction(t.cap)), tiers[-1] if tiers else None)
        return tier is None or self.leverage(order) <= Fraction(tier.leverage_max)

    def leverage(self, order: Order) -> Fraction:
        """The leverage that a signal asks for; missing means 1."""
        return number(order.signal.leverage) or Fraction(1)

    def quantity(self, book: Book, signal: Any) -> Fraction:
        """The quantity of a signal, down to the lot."""
        return down(Fraction(signal.quantity), Fraction(book.item.lot))

    def slipped(self, price: Fraction, side: int) -> Fraction:
        """Worsen a price by the slippage."""
        return price * (1 + side * self.rules.slippage_bps / 10_000)

    def enter(self, book: Book, order: Order, now: int, price: Fraction, liquidity: str,
              row: Row) -> None:  # fmt: skip
        """Fill an entry; set the levels that count from it."""
        book.entries.remove(order)
        if book.position and book.position.sign != order.sign:
            return
        quantity, signal, tick = self.quantity(book, order.signal), order.signal, book.history.tick
        reason = "add" if book.position else "entry"
        self.tell(book, now, reason, order.sign, quantity, price, liquidity)
        quote = row.bid if order.sign > 0 else row.ask
        position = book.position
        if position is None:
            position = book.position = Position(order.number, order.sign, now, quote)
        position.quantity += quantity
        position.cost += quantity * price
        position.margin += up(quantity * price / self.leverage(order), EIGHT)
        stop, profit = levels(signal, price, order.sign, tick)
        distance = trailing(signal, price, tick)
        position.stop = stop if stop is not None else position.stop
        position.profit = profit if profit is not None else position.profit
        position.trailing = distance if distance is not None else position.trailing

    def close(self, book: Book, order: Order, now: int, row: Row) -> None:
        """Close what the close is bound to: the position, or the unfilled entry."""
        position = book.position
        if position and position.number == order.bound:
            quote = row.bid if position.sign > 0 else row.ask
            quantity = min(order.quantity or position.quantity, position.quantity)
            self.leave(book, now, quote, "signal", quantity=quantity)
        else:
            book.entries = [e for e in book.entries if e.number != order.bound]

    def take_profit(self, book: Book, now: int, price: Fraction) -> None:
        """Fill the take-profit: at market, or at its limit as maker."""
        assert book.position and book.position.profit
        if self.rules.limit_take_profit:
            self.leave(book, now, book.position.profit, "take_profit", "maker")
        else:
            self.leave(book, now, price, "take_profit")

    def leave(self, book: Book, now: int, price: Fraction, reason: str, liquidity: str = "taker",
              quantity: Fraction | None = None) -> None:  # fmt: skip
        """Reduce the position at a price."""
        position = book.position
        assert position
        quantity = quantity or position.quantity
        side = -position.sign
        if liquidity == "taker":
            price = self.slipped(price, side)
        price = worse(price, book.history.tick, side)
        self.tell(book, now, reason, side, quantity, price, liquidity)
        left = (position.quantity - quantity) / position.quantity
        position.quantity *= left
        position.cost *= left
        position.margin = up(position.margin * left, EIGHT)
        if not position.quantity:
            book.position = None

    def tell(self, book: Book, now: int, reason: str, side: int, quantity: Fraction,
             price: Fraction, liquidity: str) -> None:  # fmt: skip
        """Record a fill with its fee."""
        rate = book.item.maker_fee if liquidity == "maker" else book.item.taker_fee
        fee = up(quantity * price * Fraction(rate), EIGHT)
        self.fills.append(Fill(now, book.item.name, reason, side, quantity, price, fee, liquidity))

    # margin

    def broke(self, book: Book, price: Fraction) -> bool:
        """Tell whether a price is at or beyond the liquidation price."""
        position, tiers = book.position, book.item.tiers
        if not position or not tiers:
            return False
        notional = position.quantity * price
        tier = next((t for t in tiers if notional <= Fraction(t.cap)), tiers[-1])
        equity = position.margin + position.sign * (notional - position.cost)
        return equity <= notional * Fraction(tier.rate) - Fraction(tier.cum)

    def liquidate(self, book: Book, now: int) -> None:
        """Take the position and all of its margin."""
        position = book.position
        assert position
        q, sign, margin = position.quantity, position.sign, position.margin
        price = Fraction(0)
        for tier in book.item.tiers:
            rate, cum = Fraction(tier.rate), Fraction(tier.cum)
            price = (margin + cum - sign * position.cost) / (q * (rate - sign))
            if q * price <= Fraction(tier.cap):
                break
        tick = book.history.tick
        bankrupt = (position.cost - sign * margin) / q
        rounded = worse(price, tick, -sign)
        if sign * (rounded - bankrupt) < 0:
            rounded = worse(price, tick, sign)
        fee = margin + sign * (rounded * q - position.cost)
        self.fills.append(Fill(now, book.item.name, "liquidation", -sign, q, rounded, fee, "taker"))
        book.position = None

    def funding(self, book: Book, now: int) -> None:
        """Charge funding to whoever holds now; test the liquidation at once on its price."""
        for rate in book.history.rates.get(now, ()):
            price = book.history.funding_price(now)
            if book.position is None or price is None:
                continue
            due = book.position.sign * book.position.quantity * price * rate
            book.position.margin -= up(due, EIGHT)
            if self.broke(book, price):
                self.liquidate(book, now)

    # signals

    def judge(self, book: Book, signal: Any, now: int) -> None:
        """Judge a signal; send what it becomes."""
        if now > self.end_ns or (known := book.history.known(now)) is None:
            return
        held = book.position or (book.entries[0] if book.entries else None)
        wanted = {"buy": 1, "sell": -1, "close": 0}[signal.side]
        alive = [entry.number for entry in book.entries]
        alive += [book.position.number] if book.position else []
        if any(close.bound in alive for close in book.closes):
            return
        if held and wanted == held.sign and not self.rules.add:
            return
        if wanted != 0 and held and wanted == held.sign:
            self.judge_entry(book, signal, now, wanted, known)
            return
        if held:
            # a close is for what was there when it was judged: a later add stays
            size = held.quantity if book.position else self.quantity(book, held.signal)
            asked = number(signal.quantity) if wanted == 0 else None
            if asked is not None and asked < size:
                size = self.quantity(book, signal)
            if size > 0:
                self.send(book, signal, now, -held.sign, bound=held.number, quantity=size)
        if wanted != 0 and (not held or self.rules.reverse):
            self.judge_entry(book, signal, now, wanted, known)

    def judge_entry(self, book: Book, signal: Any, now: int, sign: int, known: Row) -> None:
        """Deny an entry of no size or with a level on the wrong side; send it otherwise."""
        tick, limit = book.history.tick, None
        reference = (known.bid + known.ask) / 2
        if signal.order == "limit":
            wish = Fraction(signal.limit)
            limit = reference = down(wish, tick) if sign > 0 else up(wish, tick)
        quantity = self.quantity(book, signal)
        small = quantity * reference < Fraction(book.item.notional_min)
        if not quantity or quantity < Fraction(book.item.quantity_min) or small:
            return
        stop, profit = levels(signal, reference, sign, tick)
        if stop is not None and sign * (reference - stop) <= 0:
            return
        if profit is not None and sign * (profit - reference) <= 0:
            return
        self.send(book, signal, now, sign, limit=limit)

    def send(self, book: Book, signal: Any, now: int, sign: int, *, limit: Fraction | None = None,
             bound: int | None = None, quantity: Fraction | None = None) -> None:  # fmt: skip
        """Send an order; one that is due at once executes before the next signal."""
        self.numbers += 1
        order = Order(self.numbers, book.item.name, sign, now + self.rules.latency_ms * MS, signal,
                      limit, bound=bound, quantity=quantity)  # fmt: skip
        if bound is None and signal.expires_ms:
            order.expires_ns = now + signal.expires_ms * MS
        (book.entries if bound is None else book.closes).append(order)
        self.arrive(order, now)

    def end(self, book: Book, now: int) -> None:
        """End an instrument's data: orders expire; an open position is closed if asked."""
        book.entries, book.closes = [], []
        position, row = book.position, book.history.last
        if position and self.rules.close_at_end:
            self.leave(book, now, row.bid if position.sign > 0 else row.ask, "end_of_data")


def levels(
    signal: Any, price: Fraction, sign: int, tick: Fraction
) -> tuple[Fraction | None, Fraction | None]:
    """Work out a stop, rounded towards the entry, and a take-profit, rounded away from it."""
    stop, profit = number(signal.stop_loss), number(signal.take_profit)
    if signal.stop_loss_pct is not None:
        stop = price * (1 - sign * Fraction(signal.stop_loss_pct) / 100)
    if signal.take_profit_pct is not None:
        profit = price * (1 + sign * Fraction(signal.take_profit_pct) / 100)
    towards, away = (up, up) if sign > 0 else (down, down)
    return (
        None if stop is None else towards(stop, tick),
        None if profit is None else away(profit, tick),
    )


def trailing(signal: Any, price: Fraction, tick: Fraction) -> Fraction | None:
    """Work out a trailing distance, rounded up."""
    if signal.trailing_pct is not None:
        return up(price * Fraction(signal.trailing_pct) / 100, tick)
    return None if signal.trailing is None else up(Fraction(signal.trailing), tick)
