"""The venue of the streams: it never lies, but its words are delayed, doubled, lost, overtaken.

It fills, rejects and loses orders, holds the stops and take-profits that entries bring, drops them
at times, and closes positions by itself.
"""

from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.events import (
    AccountReport,
    FillReport,
    FundingReport,
    LinkEvent,
    OrderModified,
    OrderReport,
    OrderStatus,
    TransferReport,
)
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.order import Order
from cerberus_trader.engine.engine import Engine, Step
from cerberus_trader.runtime.gate import Gate
from tests.properties.stream_books import Ledger, Live, venue_order
from tests.properties.stream_legs import LEGS, NO_REST, Rest, leg_orders, levels_of

D = Decimal
ZERO = D(0)
SECOND = 1_000_000_000
Place = tuple[str, str]


class Venue(Ledger):
    """Hold what is really so, and bring words of it."""

    engine: Engine
    gate: Gate
    rng: Random

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.lives: dict[str, Live] = {}
        self.legs: dict[str, Live] = {}
        self.real: dict[Place, Decimal] = {}
        self.rests: dict[Place, Rest] = {}
        self.holds = self.rng.choice((True, True, True, True, False))
        self.queue: list[Any] = []
        self.taken: set[str] = set()
        self.down: set[str] = set()
        self.agreed: set[str] = set()
        self.trades = 0
        self.settling = False
        self.found: list[str] = []

    def take(self, event: Any, taken: int | None = None) -> Step:
        raise NotImplementedError

    def left(self, order: Order) -> None:
        raise NotImplementedError

    def places(self, strategy: str = "") -> set[Place]:
        raise NotImplementedError

    def marks(self) -> Any:
        return tuple(self.prices.items())

    # -- what becomes of orders ------------------------------------------------------------

    def trade(self) -> None:
        """Let an order arrive, fill, end, or get lost on its way."""
        rng = self.rng
        open_ = [x for x in self.lives.values() if x.state in ("flying", "working")]
        if not open_:
            return
        live = rng.choice(open_)
        if live.state == "flying":
            fate = rng.choice(("accepted",) * 5 + ("rejected", "retry", "not_sent", "lost"))
            live.state = {"accepted": "working", "lost": "lost"}.get(fate, "ended")
            if fate != "lost":
                self.queue.append((fate, live.order.id))
        elif rng.random() < 0.2:
            self.finish(live, rng.choice(("canceled", "expired")))
        else:
            self.fill(live)

    def fill(self, live: Live) -> None:
        """Fill all or a part; a reduce-only order takes no more than is open."""
        order, rng = live.order, self.rng
        place = (order.account, order.instrument)
        open_ = self.real.get(place, ZERO)
        left = order.quantity - live.filled
        if order.reduce_only:
            left = min(left, max(-order.side * open_, ZERO))
        quantity = left if self.settling or rng.random() < 0.6 else (left / 3).quantize(D("0.001"))
        if quantity <= ZERO:
            return self.finish(live, "canceled")
        price = self.prices[order.instrument] * D(rng.randint(990, 1010)) / 1000
        if order.price is not None and (price - order.price) * order.side > ZERO:
            price = order.price
        self.trade_of(live, quantity, price)
        if live.filled >= order.quantity:
            live.state = "ended"
        return None

    def trade_of(self, live: Live, quantity: Decimal, price: Decimal) -> None:
        """Let a quantity trade, and send the word of it on its way."""
        order, rng = live.order, self.rng
        place = (order.account, order.instrument)
        before = self.real.get(place, ZERO)
        live.filled += quantity
        after = self.real[place] = before + order.side * quantity
        if before * after <= ZERO:
            self.over(place)
        if order.bracket is not None and self.holds and after * order.side > ZERO:
            self.protect(place, order, price)
        self.trades += 1
        leverage = order.leverage if not order.reduce_only else D(5)
        rest = self.rests.get(place, NO_REST)
        self.queue.append(
            FillReport(
                0, order.id, f"t{self.trades}", order.account, order.instrument, order.side,
                quantity, price, D(rng.randint(0, 100)) / 100, "taker", order.reason,
                (abs(after) * price / leverage).quantize(D("0.0001")), order.quantity - live.filled,
                rest.levels.get("stop"), rest.levels.get("take_profit"),
                rest.levels.get("trailing"),
            )
        )  # fmt: skip

    def finish(self, live: Live, word: str) -> None:
        live.state = "ended"
        self.queue.append((word, live.order.id))

    # -- what rests for positions, and what is closed past all orders ------------------------

    def protect(self, place: Place, order: Order, price: Decimal) -> None:
        """Let the levels of an entry rest for its position; what rests already mostly stays."""
        assert order.bracket is not None
        rest = self.rests.get(place)
        if rest is None:
            self.rests[place] = Rest(order.id, levels_of(order, price))
        elif self.rng.random() < 0.3:
            self.rests[place] = Rest(rest.name, levels_of(order, price) or rest.levels)

    def over(self, place: Place) -> None:
        """End what rested for a position that is no more, and say so now and then."""
        rest = self.rests.pop(place, NO_REST)
        for kind in rest.levels:
            if self.rng.random() < 0.5:
                self.queue.append(("leg", rest.leg(kind), "canceled"))

    def strike(self) -> None:
        """Let a level be hit, or be dropped behind the engine's back, or close by force."""
        rng, open_ = self.rng, [place for place, quantity in self.real.items() if quantity]
        if not open_:
            return
        place = rng.choice(open_)
        rest = self.rests.get(place)
        if rest is None or not rest.levels or rng.random() < 0.2:
            self.force(place)
        elif rng.random() < 0.6:
            kind = rng.choice(list(rest.levels))
            self.rests[place] = Rest(rest.name, {x: y for x, y in rest.levels.items() if x != kind})
            if rng.random() < 0.6:
                word = rng.choice(("canceled", "expired", "rejected"))
                self.queue.append(("leg", rest.leg(kind), word))
        else:
            kind = rng.choice(list(rest.levels))
            self.close(place, rest.leg(kind), LEGS[kind])

    def force(self, place: Place) -> None:
        """Close a position past every order, as a liquidation or an automatic deleveraging."""
        self.trades += 1
        self.close(place, f"v{self.trades}", self.rng.choice(("liquidation", "deleveraging")))

    def close(self, place: Place, name: str, reason: Any) -> None:
        """Close a position or a part of it; the fills before are told first."""
        self.flush(place=place)
        open_, rng = self.real[place], self.rng
        quantity = abs(open_)
        if name not in self.legs:
            order = Order(name, place[0], self.held[place].strategy, place[1],
                          -1 if open_ > ZERO else 1, "market", reason, quantity,
                          reduce_only=True)  # fmt: skip
            self.legs[name] = Live(order, ZERO)
        live = self.legs[name]
        live.order = msgspec.structs.replace(live.order, quantity=live.filled + quantity)
        part = quantity if rng.random() < 0.7 else (quantity / 3).quantize(D("0.001"))
        if part > ZERO:
            self.trade_of(live, part, self.prices[place[1]] * D(rng.randint(950, 1010)) / 1000)

    # -- words -----------------------------------------------------------------------------

    def deliver(self) -> None:
        """Bring a word: any of those on their way, some of them again later, some never."""
        if not self.queue:
            return
        word = self.queue.pop(self.rng.randrange(len(self.queue)))
        if isinstance(word, FillReport | TransferReport) and self.rng.random() < 0.2:
            self.queue.append(word)
        self.hear(word)

    def hear(self, word: Any) -> None:
        """Take a word of the venue, a request that reaches it, or the end of a pause."""
        if isinstance(word, FillReport):
            self.book(word)
        elif isinstance(word, TransferReport):
            self.move_in(word)
        elif word[0] == "send":
            self.send_again(word[1])
        elif word[0] == "modify":
            self.modified(word[1])
        elif word[0] == "leg":
            self.told_end(word[1])
            self.take(OrderReport(self.now, word[1], word[2]))
        elif word[0] == "cancel":
            live = self.lives.get(word[1])
            if live is not None and live.state == "working":
                self.finish(live, "canceled")
        elif self.settling or self.rng.random() < 0.9:
            self.say(*word)

    def told_end(self, name: str) -> None:
        """Note that a stop, which may rest no more, was said to have ended.

        Of one that nobody knows it says nothing: fills out of order have given its position another
        name, until the next look.
        """
        if name not in self.engine.state.orders:
            return
        for place, held in self.held.items():
            rest = self.rests.get(place, NO_REST)
            for kind in held.levels:
                if rest.leg(kind) == name and kind not in rest.levels:
                    held.absences[kind] = 2

    def send_again(self, order: Order) -> None:
        """Let the gate have the last word on another attempt, when its pause is over."""
        if order.send_after_ns > self.now and not self.settling and self.rng.random() < 0.5:
            self.queue.append(("send", order))
        elif self.gate.refusal(order, self.now):
            self.take(OrderReport(self.now, order.id, "not_sent"))
        else:
            self.left(order)

    def modified(self, asked: ModifyOrder) -> None:
        """Change a working order, which the engine hears at once."""
        live, price, quantity = self.lives[asked.order_id], asked.price, asked.quantity
        assert price is not None and quantity is not None
        if live.state != "working" or quantity <= live.filled:
            return
        order = live.order
        live.order = msgspec.structs.replace(
            order, price=price, quantity=quantity, notional=price * quantity,
            risk=order.risk * quantity / order.quantity,
        )  # fmt: skip
        self.take(OrderModified(self.now, asked.order_id, price, quantity))

    def say(self, word: str, name: str) -> None:
        live = self.lives[name]
        retry = word == "retry"
        state: Any = "rejected" if retry else word
        taken = len(self.places())
        if state != "accepted" and live.told == live.filled:
            live.over = True
        self.take(OrderReport(self.now, name, state, "", retry, live.filled), taken)

    def book(self, word: FillReport) -> None:
        """Bring a fill, and keep the engine's side of the ledger."""
        live = self.lives.get(word.order_id) or self.legs[word.order_id]
        self.roll()
        if word.trade_id not in self.taken:
            self.taken.add(word.trade_id)
            live.told += word.quantity
            self.enter(word, live)
            if live.told >= live.order.quantity:
                live.over = True
        fill = msgspec.structs.replace(word, ts_ns=self.now, marks=self.marks())
        self.take(fill)

    def silence(self) -> None:
        """Let an answer stay out: the outcome of an order is not known."""
        live = self.any_life()
        if live is not None and live.state != "ended":
            self.take(OrderReport(self.now, live.order.id, "unknown", "no answer"))

    def any_life(self) -> Live | None:
        return self.rng.choice(list(self.lives.values())) if self.lives else None

    def flush(self, name: str = "", place: Place | None = None) -> None:
        """Bring every fill, of one order, one place or all, as is promised before an answer."""
        fills = [
            x for x in self.queue if isinstance(x, FillReport) and name in ("", x.order_id)
            and place in (None, (x.account, x.instrument))
        ]  # fmt: skip
        for word in fills:
            self.queue.remove(word)
            self.book(word)

    def transfer(self) -> None:
        """Move money at an account that was looked at: in, or out where much is left."""
        accounts = sorted(self.agreed)
        if accounts and self.equity() > ZERO:
            self.trades += 1
            amount = (D(self.rng.randint(-90, 90)) * self.equity() / 100).quantize(D("0.01"))
            if self.equity() + amount > ZERO:
                account = self.rng.choice(accounts)
                self.queue.append(TransferReport(0, account, amount, f"m{self.trades}"))

    def move_in(self, word: TransferReport) -> None:
        self.take(msgspec.structs.replace(word, ts_ns=self.now, marks=self.marks()))
        if word.name not in self.taken:
            self.taken.add(word.name)
            self.move(word.amount)

    def fund(self) -> None:
        """Let a position pay or receive funding."""
        for (account, name), held in self.held.items():
            if held.quantity:
                self.roll()
                amount = D(self.rng.randint(-50, 50))
                held.margin = margin = max(held.margin - amount, ZERO)
                self.pay(held.strategy, amount)
                held.paid += amount
                self.trades += 1
                self.take(FundingReport(self.now, account, name, ZERO, self.prices[name], amount,
                                        margin, self.marks(), f"p{self.trades}"))  # fmt: skip
                return

    # -- answers ---------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer a query truly, when the order could not arrive any more."""
        if self.rng.random() < 0.2:
            return self.answer_leg()
        live = self.any_life()
        if live is None or live.state == "flying":
            return None
        self.flush(live.order.id)
        self.now += 60 * SECOND
        theirs = venue_order(live)
        if theirs is None:
            live.denials += 1
            live.over = live.over or live.denials > 2
        elif theirs.state != "working":
            live.over = True
        self.take(OrderStatus(self.now, live.order.id, self.now, theirs))
        return None

    def answer_leg(self) -> None:
        """Answer for a protective order of an open position, or say that there is none."""
        places = [place for place, quantity in self.real.items() if quantity]
        if not places:
            return
        self.flush()
        place = self.rng.choice(places)
        rest = self.rests.get(place)
        if rest is None or not self.real[place]:
            return
        kind = self.rng.choice(("stop", "take_profit", "trailing"))
        if rest.leg(kind) not in self.engine.state.orders:
            return  # nobody asks
        self.now += 60 * SECOND
        theirs = next((x for x in leg_orders(rest, place[1], self.real[place])
                       if x.order_id == rest.leg(kind)), None)  # fmt: skip
        self.miss(place, kind)
        self.take(OrderStatus(self.now, rest.leg(kind), self.now, theirs))

    def miss(self, place: Place, *asked: str) -> None:
        """Count that a stop of which was told is not there."""
        rests = self.rests.get(place, NO_REST).levels
        held = self.held[place]
        if not held.levels and "stop" in asked and "stop" in rests:
            held.levels, held.stop = ("stop",), rests["stop"]  # the last word of a fill told none
        held.absences.update(kind for kind in held.levels if kind in asked and kind not in rests)

    def look(self) -> None:
        """Lose the line to an account, or look at all of it."""
        account = self.rng.choice(("main", "second"))
        if self.rng.random() < 0.25:
            self.down.add(account)
            self.take(LinkEvent(self.now, account, "lost", "reset"))
        elif not any(x.state == "flying" for x in self.lives.values()):
            self.flush()
            self.now += 60 * SECOND
            self.view(account)

    def view(self, account: str) -> None:
        """Show all that an account holds."""
        mine = [x for x in self.lives.values() if x.order.account == account]
        theirs = [found for x in mine if (found := venue_order(x))]
        for live in mine:
            live.denials += live.state == "lost"
            live.over = live.over or live.state == "ended" or live.denials > 2
        positions = []
        for (where, name), quantity in self.real.items():
            if not quantity or where != account:
                continue
            held, rest = self.held[where, name], self.rests.get((where, name), NO_REST)
            theirs += leg_orders(rest, name, quantity)
            self.miss((where, name), "stop", "trailing")
            sign = 1 if quantity > 0 else -1
            positions.append(VenuePosition(name, sign, abs(quantity), abs(held.cost), held.margin,
                                           D(5), rest.name))  # fmt: skip
        self.take(AccountReport(self.now, account, self.now, "timer", tuple(theirs),
                                tuple(positions), None, self.marks()))  # fmt: skip
        if account not in self.engine.state.unreconciled:
            self.down.discard(account)
            self.agreed.add(account)
