"""The simulated venue: it decides what really happened, and its ledger is the oracle.

It shares no code with the paper venue. It speaks the venue port's language: orders by our ids,
brackets with legs of derived ids, fills and payments that can be asked for again. All times are
its own clock's, in nanoseconds. What it reports by itself goes to `tell`.
"""

from collections.abc import Callable
from decimal import Decimal
from random import Random

import msgspec

from cerberus_trader.domain.events import (
    FillReport,
    FundingReport,
    OrderModified,
    OrderReport,
    TransferReport,
)
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import Order
from cerberus_trader.simulation.faults import Faults
from cerberus_trader.simulation.held import Held, Live, other_side
from cerberus_trader.venues.base import AccountView, Ack, Answer, Booking, Word

ZERO = Decimal(0)
CENT = Decimal("0.00000001")
LIST_LAG_NS = 800_000_000  # how long what the venue lists may lag behind what it has done


class SimVenue:
    """Hold one account of one venue; `later(seconds, call)` runs something in time."""

    def __init__(
        self, instruments: dict[str, Instrument], balance: Decimal, rng: Random,
        now_ns: Callable[[], int], later: Callable[[float, Callable[[], None]], object],
    ) -> None:  # fmt: skip
        self.instruments = instruments
        self.rng = rng
        self.now_ns = now_ns
        self.later = later
        self.faults = Faults()
        self.tell: Callable[[Word], None] = lambda word: None
        self.prices: dict[str, tuple[Decimal, Decimal]] = {}
        self.orders: dict[str, Live] = {}
        self._open: dict[str, Live] = {}
        self.positions: dict[str, Held] = {}
        self.balance = balance
        self.ledger: dict[str, Decimal] = {"deposits": -balance, "cash": balance}
        self.bookings: list[tuple[int, Booking]] = []
        self.accepted: dict[str, int] = {}
        self.refusals: dict[str, str] = {}
        self.arrived: list[tuple[int, Order]] = []
        self.numbers = 0
        self.born = ""
        """What tells the ids of this venue's trades from those before it lost its memory."""
        self.most = 0
        """The most instruments that ever had a position or a working entry at once."""
        self.most_of: dict[str, int] = {}
        """The same of each strategy's."""
        self.results: dict[str, Decimal] = {}
        """What the positions of each strategy brought, fees and funding included."""
        self.lags = Random(0)
        self._older: dict[str, tuple[int, list[VenueOrder]]] = {}
        """The stops and profits of a position before a fill, and until when they are listed."""
        self.dropped: set[str] = set()
        """The ids of the protective orders that were ended, cut or never attached."""
        self.outside: set[str] = set()
        """The instruments in which a person alone trades: the engine does not know them."""
        self.untold: list[tuple[int, Decimal]] = [(0, ZERO)]
        """By how much the cash has moved in all, by when, without a booking for the engine."""
        self.silent_until_ns = 0
        """Until when questions about the account stay without an answer."""
        self.doubles, self.jumps, self.bindings = Random(0), Random(0), Random(0)
        self.doubled = self.sequence = self.skipped = 0
        self.on_fill: Callable[[], bool] = lambda: False
        """What hears of a fill, and tells whether the list shall lag behind it."""
        self.intruders: list[str] = []
        """The entries that came to a place that another strategy had taken."""

    # -- what a client may ask -------------------------------------------------------------

    def submit(self, order: Order, send_before_ns: int) -> Ack:
        """Take an order, unless it is late, known, or refused."""
        now = self.now_ns()
        if now > send_before_ns:
            return Ack(False, "the time to send it has passed")
        if order.id in self.orders:
            return Ack(True, "known already")
        if self.rng.random() < self.faults.busy:
            return Ack(False, "busy", retry=True)
        if not order.reduce_only and self.rng.random() < self.faults.refused:
            return Ack(False, "refused by the venue")
        if not order.reduce_only:
            self._find_intruder(order)
        self.arrived.append((now, order))
        self.accepted[order.id] = self.accepted.get(order.id, 0) + 1
        live = self._add(order, now)
        self._note_exposed()
        slow = self.rng.random() < self.faults.slow_fill
        self.later(self.rng.uniform(0.0, 3.0) if slow else 0.0, lambda: self.work(live))
        return Ack(True)

    def cancel(self, order_id: str) -> None:
        """End a working order; an order that is not there yet is not stopped by it."""
        live = self.orders.get(order_id)
        if live is not None and live.state == "working":
            self._end(live, "canceled", "")

    def modify(self, name: str, price: Decimal, quantity: Decimal, send_before_ns: int) -> None:
        """Change a resting order, unless it is late."""
        live = self.orders.get(name)
        late = self.now_ns() > send_before_ns
        if late or live is None or live.state != "working" or quantity <= live.filled:
            return
        live.order = msgspec.structs.replace(live.order, price=price, quantity=quantity)
        self.tell(OrderModified(0, name, price, quantity))

    def query(self, order_id: str) -> Answer:
        """Tell of one order; one that has just come may be missing."""
        live = self.orders.get(order_id)
        hidden = live is not None and self._is_late(live)
        return Answer(self.now_ns(), None if live is None or hidden else live.row())

    def account(self) -> AccountView:
        """Tell of everything that is open; the list may lack what has just come."""
        rows = [live.row() for live in self._working() if not self._is_late(live)]
        for name, held in self.positions.items():
            until, older = self._older.get(name, (0, []))
            rows += older if self.now_ns() < until else held.legs(name)
        held_rows = [held.row(name) for name, held in self.positions.items()]
        if held_rows and self.doubles.random() < self.faults.double_rows:
            held_rows.append(other_side(self.doubles.choice(held_rows)))
            self.doubled += 1
        return AccountView(self.now_ns(), tuple(rows), tuple(held_rows), self.balance)

    def since(self, since_ns: int) -> list[Booking]:
        """Tell every booking from a time on."""
        return [booking for ts, booking in self.bookings if ts >= since_ns]

    # -- the market ------------------------------------------------------------------------

    def price(self, name: str, bid: Decimal, ask: Decimal) -> None:
        """Move a price: levels and resting orders act on it."""
        self.prices[name] = (bid, ask)
        held = self.positions.get(name)
        if held is not None:
            self._test(name, held, bid if held.quantity > ZERO else ask)
        for live in self._working():
            if live.state == "working" and live.order.instrument == name:
                if live.order.kind == "limit":
                    self.work(live)
                if live.order.expires_ns and self.now_ns() > live.order.expires_ns:
                    self._end(live, "expired", "expired")

    def fund(self, name: str, rate: Decimal) -> None:
        """Let a position pay or receive."""
        held = self.positions.get(name)
        if held is None:
            return
        bid, ask = self.prices[name]
        price = (bid + ask) / 2
        amount = (held.quantity * price * rate).quantize(CENT)
        held.margin -= amount
        self._post("funding", amount)
        self._earn(held.owner, -amount)
        if name in self.outside:
            self._keep_untold(-amount)
        self._book(
            FundingReport(0, "main", name, rate, price, amount, held.margin, (),
                          f"p{self.born}{self._number()}", self._next())
        )  # fmt: skip

    def cancel_some(self) -> None:
        """Cancel a working order of its own accord."""
        for live in self._working():
            if live.order.kind == "limit":
                return self._end(live, "canceled", "by the venue")

    def drop_leg(self, name: str, leg: str, *, told: bool) -> None:
        """End the stop (s) or the take-profit (t) of a position of its own accord."""
        held, level = self.positions.get(name), "stop" if leg == "s" else "profit"
        if held is None or getattr(held, level) is None:
            return
        setattr(held, level, None)
        held.stopped = None if leg == "s" else held.stopped
        leg_id = held.leg_id(leg)
        self.dropped.add(leg_id)
        if told:
            self.tell(OrderReport(0, leg_id, "canceled", "by the venue", filled=ZERO))

    def cut_stop(self, name: str, share: Decimal) -> None:
        """Let the stop of a position be for a share of it only."""
        held = self.positions.get(name)
        if held is not None and held.stop is not None:
            part = self.instruments[name].quantity_down(abs(held.quantity) * share)
            held.stopped = part or None
            self.dropped.add(held.leg_id("s"))

    def move_stop(self, name: str, share: Decimal) -> None:
        """Let a person move the stop of a position, by a share of its price."""
        held = self.positions.get(name)
        if held is not None and held.stop is not None:
            held.stop = self.instruments[name].price_down(held.stop * (1 + share))
        elif held is not None and held.trailing is not None:
            held.trailing *= 1 + 10 * share

    def trade_by_hand(self, name: str, side: int, quantity: Decimal) -> None:
        """Let a person trade in the account, past us."""
        order = Order(
            f"hand{self.born}{self._number()}", "main", "", name, side, "market", "entry", quantity
        )
        bid, ask = self.prices[name]
        live = self._add(order, self.now_ns())
        self._fill(live, quantity, ask if side > 0 else bid)

    def rest_by_hand(self, name: str, side: int, quantity: Decimal, price: Decimal) -> None:
        """Let a person place a limit order, past us."""
        order = Order(
            f"hand{self.born}{self._number()}", "main", "", name, side, "limit", "entry",
            quantity, price=price,
        )  # fmt: skip
        self._add(order, self.now_ns())

    def charge(self, amount: Decimal) -> None:
        """Take something off the cash, and tell nobody."""
        self._post("charges", amount)
        self._keep_untold(-amount)

    def deleverage(self, name: str, share: Decimal) -> None:
        """Close a part of a position that gains, to cover what others could not pay."""
        held = self.positions.get(name)
        if held is None:
            return
        bid, ask = self.prices[name]
        price = bid if held.sign > 0 else ask
        size = self.instruments[name].quantity_down(abs(held.quantity) * share)
        if size <= ZERO or held.quantity * price <= held.cost:
            return
        order = Order(
            f"adl{self.born}{self._number()}", "main", "", name, -held.sign, "market",
            "deleveraging", size, reduce_only=True, closes=held.owner,
        )  # fmt: skip
        self._fill(self._add(order, self.now_ns()), size, price)

    def transfer(self, amount: Decimal) -> str:
        """Let a person move money in (negative: out); say why not, empty where it was moved."""
        free = self.balance - sum((held.margin for held in self.positions.values()), ZERO)
        if not amount or amount < -max(free, ZERO):
            return f"only {plain(free)} is free" if amount else "nothing to move"
        self._post("deposits", -amount)
        self._book(
            TransferReport(0, "main", amount, f"m{self.born}{self._number()}", (),
                           self._next())
        )  # fmt: skip
        return ""

    # -- inside ----------------------------------------------------------------------------

    def _add(self, order: Order, now_ns: int) -> Live:
        live = self.orders[order.id] = self._open[order.id] = Live(order, now_ns)
        return live

    def _working(self) -> list[Live]:
        """Return what works now; a long practice walks over no order that ended."""
        self._open = {name: live for name, live in self._open.items() if live.state == "working"}
        return list(self._open.values())

    def work(self, live: Live) -> None:
        """Fill what the market gives of an order, at once or part by part."""
        order = live.order
        if live.state != "working" or order.instrument not in self.prices:
            return
        bid, ask = self.prices[order.instrument]
        price = ask if order.side > 0 else bid
        if order.kind == "limit":
            assert order.price is not None
            if (price - order.price) * order.side > ZERO:
                return
        wanted = live.left
        if order.reduce_only:
            held = self.positions.get(order.instrument)
            if held is None or held.sign == order.side or held.owner != order.closes:
                return self._close_nothing(live)
            wanted = min(wanted, abs(held.quantity))
        held = self.positions.get(order.instrument)
        if not order.reduce_only and held is not None and held.sign != order.side:
            return self._end(live, "canceled", "the other side is open")
        part = wanted
        if self.rng.random() < self.faults.partial:
            part = self.instruments[order.instrument].quantity_down(
                wanted * Decimal(self.rng.randint(1, 9)) / 10
            )
        if part <= ZERO:
            part = wanted
        self._fill(live, part, price)
        if live.state == "working" and order.kind == "market":
            self.later(self.rng.uniform(0.0, 2.0), lambda: self.work(live))

    def _close_nothing(self, live: Live) -> None:
        """End a close without a position: it cancels the entry that it is bound to, or not even."""
        entry = self.orders.get(live.order.closes)
        bound = self.bindings.random() >= self.faults.closes_unbound
        if bound and entry is not None and entry.state == "working":
            self._end(entry, "canceled", "closed before it filled")
        if live.filled:
            return self._end(live, "canceled", "the rest had nothing to close")
        self._end(live, "expired", "nothing left to close")

    def _fill(
        self, live: Live, quantity: Decimal, price: Decimal, order_id: str = "", reason: str = ""
    ) -> None:
        """Trade: move cash, position and ledger, and report the fill."""
        order, name = live.order, live.order.instrument
        fee = (quantity * price * self.instruments[name].taker_fee).quantize(CENT)
        live.filled += quantity
        live.parts += 1
        held = self.positions.get(name)
        if held is None:
            held = self.positions[name] = Held(order.id, order.leverage)
        owner, before = held.owner, self.balance
        hasty = self.on_fill()
        if self.lags.random() < self.faults.late_list or hasty:
            self._older[name] = self.now_ns() + LIST_LAG_NS, held.legs(name)
        self._move(held, order, quantity, price)
        self._post("fees", fee)
        self._earn(owner, self.balance - before)
        if name in self.outside:
            self._keep_untold(self.balance - before)
        leaves = live.left
        if not held.quantity:
            del self.positions[name]
            if order.reduce_only:
                leaves = ZERO
        if leaves <= ZERO:
            live.state = "filled"
        flat = not held.quantity
        margin = ZERO if flat else held.margin
        levels = (None, None, None) if flat else (held.stop, held.profit, held.trailing)
        self._book(
            FillReport(
                0, order_id or order.id, f"v{self.born}{self._number()}", "main", name, order.side,
                quantity, price, fee, "taker", reason or order.reason,  # type: ignore[arg-type]
                margin, leaves, *levels, sequence=self._next(),
            )
        )  # fmt: skip

    def _move(self, held: Held, order: Order, quantity: Decimal, price: Decimal) -> None:
        """Change a position by a trade; what it closes is realised."""
        before, signed = held.quantity, quantity * order.side
        if before == ZERO or (before > ZERO) == (signed > ZERO):
            held.quantity += signed
            held.cost += signed * price
            held.margin += (quantity * price / held.leverage).quantize(CENT)
            self._protect(held, order, price)
            return
        closed = min(quantity, abs(before))
        share = closed / abs(before)
        cost = (held.cost * share).quantize(CENT) if closed < abs(before) else held.cost
        gain = closed * order.side * -price - cost
        self._post("realised", -gain)
        held.cost -= cost
        held.margin -= (held.margin * share).quantize(CENT)
        held.quantity += closed * order.side
        if not held.quantity:
            held.margin = ZERO
        if closed < quantity:  # a person traded through zero
            held.owner, held.stop, held.profit, held.trailing = order.id, None, None, None
            held.stopped = None
            self._move(held, order, quantity - closed, price)

    def _protect(self, held: Held, order: Order, price: Decimal) -> None:
        bracket = order.bracket
        if bracket is None or held.stop is not None or held.trailing is not None:
            return
        if self.faults.unattached and self.rng.random() < self.faults.unattached:
            return self.dropped.update(map(held.leg_id, "str"))
        side = Decimal(order.side)
        if bracket.stop is not None:
            held.stop = bracket.stop
        elif bracket.stop_pct is not None:
            held.stop = price * (100 - side * bracket.stop_pct) / 100
        if bracket.take_profit is not None:
            held.profit = bracket.take_profit
        elif bracket.take_profit_pct is not None:
            held.profit = price * (100 + side * bracket.take_profit_pct) / 100
        if bracket.trailing_pct is not None:
            held.trailing, held.best = price * bracket.trailing_pct / 100, price

    def _test(self, name: str, held: Held, price: Decimal) -> None:
        """Let a level of a position act: liquidation first, then stop, then profit."""
        sign, size = held.sign, abs(held.quantity)
        worth = held.margin + held.quantity * price - held.cost
        if self.instruments[name].tiers and worth <= size * price * Decimal("0.0065"):
            return self._leave(name, held, price, "l", "liquidation")
        if held.stop is not None and (price - held.stop) * sign <= ZERO:
            return self._leave(name, held, price, "s", "stop_loss")
        if held.profit is not None and (price - held.profit) * sign >= ZERO:
            return self._leave(name, held, price, "t", "take_profit")
        if (price - held.best) * sign > ZERO:
            held.best = price
        if held.trailing is not None and (held.best - price) * sign >= held.trailing:
            return self._leave(name, held, price, "r", "trailing_stop")

    def _leave(self, name: str, held: Held, price: Decimal, leg: str, reason: str) -> None:
        size = abs(held.quantity)
        if leg == "s" and held.stopped is not None:
            size, held.stop, held.stopped = min(size, held.stopped), None, None
        order = Order(
            held.leg_id(leg), "main", "", name, -held.sign, "market",
            reason,  # type: ignore[arg-type]
            size, reduce_only=True, closes=held.owner,
        )  # fmt: skip
        live = self._add(order, self.now_ns())
        self._fill(live, size, price, reason=reason)

    def _post(self, account: str, amount: Decimal) -> None:
        """Book what leaves the cash (positive) to an account: two legs that sum to zero."""
        self.ledger[account] = self.ledger.get(account, ZERO) + amount
        self.ledger["cash"] -= amount
        self.balance -= amount

    def _earn(self, owner: str, amount: Decimal) -> None:
        """Count a result for the strategy whose entry opened the position."""
        name = self._strategy_of(owner)
        self.results[name] = self.results.get(name, ZERO) + amount

    def _book(self, booking: Booking) -> None:
        self.bookings.append((self.now_ns(), booking))
        self.tell(booking)

    def _end(self, live: Live, state: str, reason: str) -> None:
        live.state, live.reason = state, reason
        self.tell(
            OrderReport(
                0, live.order.id,
                state,  # type: ignore[arg-type]
                reason, filled=live.filled,
            )
        )  # fmt: skip

    def _note_exposed(self) -> None:
        """Keep how many instruments have exposure at most, over all and by strategy."""
        taken = {name: self._strategy_of(held.owner) for name, held in self.positions.items()}
        for live in self._working():
            if not live.order.reduce_only:
                taken.setdefault(live.order.instrument, live.order.strategy)
        taken = {name: owner for name, owner in taken.items() if name not in self.outside}
        self.most = max(self.most, len(taken))
        owners = list(taken.values())
        for owner in dict.fromkeys(owners):
            self.most_of[owner] = max(self.most_of.get(owner, 0), owners.count(owner))

    def _find_intruder(self, order: Order) -> None:
        held = self.positions.get(order.instrument)
        there = [held.owner] if held is not None else []
        for live in self._working():
            if live.order.instrument == order.instrument and not live.order.reduce_only:
                there.append(live.order.id)
        if any(self._strategy_of(name) != order.strategy for name in there):
            self.intruders.append(order.id)

    def _strategy_of(self, order_id: str) -> str:
        live = self.orders.get(order_id)
        return live.order.strategy if live is not None else ""

    def _keep_untold(self, amount: Decimal) -> None:
        self.untold.append((self.now_ns(), self.untold[-1][1] + amount))

    def _next(self) -> int:
        """Return the next booking's number; at times one or two are passed over."""
        skip = self.jumps.choice((1, 2)) if self.jumps.random() < self.faults.numbers_skip else 0
        self.skipped += skip > 0
        self.sequence += 1 + skip
        return self.sequence

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _is_late(self, live: Live) -> bool:
        young = self.now_ns() - live.arrived_ns < LIST_LAG_NS
        return young and self.rng.random() < self.faults.late_list
