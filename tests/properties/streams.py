"""Random order streams: signals of several strategies, and reports late, lost, partial and odd.

A stream is one short sequence of events for a real engine, with a small venue that never lies but
whose words travel: they are delayed, doubled, lost, and overtake each other. The checker adds up by
itself what is open, in flight and unknown, each at its worst, and holds every entry that leaves
against the limits in force. `run(seed)` returns what broke, one sentence each.
"""

from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    FillReport,
    FundingReport,
    LevelHit,
    LinkEvent,
    Measured,
    OperatorEvent,
    OrderModified,
    OrderReport,
    OrderStatus,
    SignalEvent,
    TimerEvent,
)
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine import breaker
from cerberus_trader.engine.engine import Engine, Step
from cerberus_trader.runtime.gate import Gate
from tests.kit import ITEMS, NOON
from tests.properties.stream_books import OPENING, Held, Live, stop_of, venue_order
from tests.properties.stream_draws import Draw, fields_of, items_of
from tests.properties.stream_limits import breaches, measured

D = Decimal
ZERO = D(0)
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
STATES = {"halt": "halted", "resume": "active", "freeze": "frozen", "thaw": "active"}
NAMES = tuple(item.name for item in ITEMS)
COMMANDS = ("halt", "resume", "resume", "deposit", "withdraw", "cancel_all", "flatten",
            "pause_strategy", "resume_strategy", "reset_breaker", "reset_breaker", "freeze", "thaw",
            "stop_strategy", "shutdown", "modify", "modify", "modify")  # fmt: skip


class Stream:
    """Drive one engine through one stream."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"stream {seed}")
        self.engine = Engine()
        self.gate = Gate(self.engine.state)
        self.now = NOON + self.rng.choice((0, 0, 0, DAY // 2 - 40 * SECOND))
        self.settings = Draw(self.rng).settings()
        self.items = items_of(self.rng)
        self.prices = dict.fromkeys(NAMES, D(100))
        self.lives: dict[str, Live] = {}
        self.real: dict[tuple[str, str], Decimal] = {}
        self.held: dict[tuple[str, str], Held] = {}
        self.cash = self.settings.account.balance
        self.queue: list[Any] = []
        self.taken: set[str] = set()
        self.down: set[str] = set()
        self.paused: set[str] = set()
        self.off = {x for x, y in self.settings.strategies.items() if y.status != "active"}
        self.silent: set[str] = set()
        self.tripped: set[str] = set()
        self.trading = "active"
        self.day, self.probation = self.now // DAY, 0
        self.day_equity = self.peak = self.cash
        self.trades = self.signals = self.entries = 0
        self.asked: Signal | None = None
        self.sigma, self.age_ms, self.settling = 0.0, 0, False
        self.said: list[Signal] = []
        self.found: list[str] = []
        self.take(ConfigEvent(self.now, self.settings, "c", self.items, "stream"))

    def run(self) -> list[str]:
        """Let ten to thirty things happen."""
        acts = (self.signal, self.deliver, self.trade, self.silence, self.answer, self.look,
                self.price, self.operate, self.reload, self.fund, self.measure)  # fmt: skip
        weights = (40, 25, 25, 4, 5, 3, 6, 4, 1, 1, 1)
        for act in self.rng.choices(acts, weights, k=self.rng.randint(10, 30)):
            self.now += self.rng.choice((1, SECOND // 10, SECOND, 5 * SECOND))
            act()
        self.settle()
        return self.found

    def take(self, event: Any, taken: int | None = None) -> Step:
        """Put an event through the engine, and hold what leaves against the limits.

        `taken` is how many places were taken before, where the event itself changes that.
        """
        before = len(self.places()) if taken is None else taken
        if self.now // DAY > self.day:
            self.day, self.day_equity = self.now // DAY, self.equity()
            self.peak = max(self.peak, self.day_equity)
        if isinstance(event, SignalEvent | FillReport | FundingReport):
            self.peak = max(self.peak, self.equity())
        step = self.engine.step(event)
        for fact in step.facts:
            self.told(fact)
        for command in step.commands:
            if isinstance(command, SubmitOrder) and command.order.attempt:
                self.queue.append(("send", command.order))  # after a pause
            elif isinstance(command, SubmitOrder):
                self.left(command.order)
            elif isinstance(command, CancelOrder):
                self.queue.append(("cancel", command.order_id))
            elif isinstance(command, ModifyOrder):
                self.queue.append(("modify", command))
        if len(self.places()) > max(before, self.settings.risk.positions_max):
            self.found.append(f"{len(self.places())} places are taken")
        if self.engine.state.counters.faults:
            self.found.append(f"deciding failed: {step.facts}")
        return step

    def told(self, fact: f.Fact) -> None:
        """Take notice of what the engine did by itself, or of a reset that it granted."""
        if isinstance(fact, f.TradingStateChanged) and fact.actor == "reconciliation":
            self.trading = fact.state
        elif isinstance(fact, f.BreakerReset):
            if fact.actor == "day":
                self.tripped -= {x for x in self.tripped if "day_loss" in x}
                return
            if "drawdown" in fact.conditions:
                self.peak = self.equity()
            self.tripped -= set(fact.conditions)
            self.probation = self.settings.breaker.half_open_trades or self.probation

    def equity(self) -> Decimal:
        return self.cash + sum(x.quantity * self.prices[y] for (_, y), x in self.held.items())

    def marks(self) -> Any:
        return tuple(self.prices.items())

    # -- what happens ----------------------------------------------------------------------

    def signal(self) -> None:
        rng = self.rng
        if self.said and rng.random() < 0.05:
            self.asked, held = rng.choice(self.said[-3:]), ""
        else:
            self.signals += 1
            name = rng.choice(NAMES)
            side: Any = rng.choice(("buy", "buy", "sell", "sell", "close"))
            fields = fields_of(rng, side, self.prices[name])
            made = self.now - rng.choice((0, 0, 0, 0, 5 * SECOND))
            self.asked = Signal(f"s{self.signals}", made, name, side,
                                rng.choice((0.2, 0.3, 0.7, 0.95)), rng.choice(("a", "b", "c")),
                                **fields)  # fmt: skip
            self.said.append(self.asked)
            held = self.closable(self.asked)
        price = self.prices[self.asked.instrument]
        self.sigma = sigma = rng.choice((0.05, 0.05, 0.2))
        self.age_ms = rng.choice((0, 0, 0, 0, 5_000))
        seen = self.now - self.age_ms * 1_000_000
        market = Snapshot(seen, price, price, 0, sigma, sigma, self.marks())
        step = self.take(SignalEvent(self.now, self.asked, market))
        if held and not any(isinstance(x, SubmitOrder) for x in step.commands):
            self.found.append(f"{self.asked.id} did not close {held}: {step.facts}")
        self.asked = None

    def closable(self, signal: Signal) -> str:
        """Name what a fresh signal has to close: a position that no close is on its way to."""
        place = (self.settings.strategies[signal.source].account, signal.instrument)
        held = self.held.get(place)
        if signal.side != "close" or held is None or held.strategy != signal.source:
            return ""
        closes = [x.order for x in self.lives.values() if x.state != "ended" or not x.over]
        sends = [x for x in self.queue if isinstance(x, tuple) and x[0] == "send"]  # after a pause
        closes += [order for _, order in sends]
        closing = any(x.reduce_only and (x.account, x.instrument) == place for x in closes)
        part = signal.quantity is not None and signal.quantity < abs(held.quantity)
        return "" if not held.quantity or closing or part else f"{held.quantity} {place[1]}"

    def left(self, order: Order) -> None:
        """Take an order that leaves: from here on it may be anywhere."""
        live = Live(order, ZERO if order.bracket is None else stop_of(order, self.item(order)))
        if order.id in self.lives:
            self.found.append(f"order {order.id} left twice")
        self.lives[order.id] = live
        if order.reason in OPENING and not order.reduce_only:
            self.entries += 1
            self.found += breaches(self, live)

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
        live.filled += quantity
        after = self.real[place] = open_ + order.side * quantity
        price = self.prices[order.instrument] * D(rng.randint(990, 1010)) / 1000
        if order.price is not None and (price - order.price) * order.side > ZERO:
            price = order.price
        self.trades += 1
        if live.filled >= order.quantity:
            live.state = "ended"
        leverage = order.leverage if not order.reduce_only else D(5)
        self.queue.append(
            FillReport(
                0, order.id, f"t{self.trades}", order.account, order.instrument, order.side,
                quantity, price, D(rng.randint(0, 100)) / 100, "taker", order.reason,
                (abs(after) * price / leverage).quantize(D("0.0001")), order.quantity - live.filled,
            )
        )  # fmt: skip
        return None

    def finish(self, live: Live, word: str) -> None:
        live.state = "ended"
        self.queue.append((word, live.order.id))

    def deliver(self) -> None:
        """Bring a word: any of those on their way, some of them again later, some never."""
        if not self.queue:
            return
        word = self.queue.pop(self.rng.randrange(len(self.queue)))
        if isinstance(word, FillReport) and self.rng.random() < 0.2:
            self.queue.append(word)
        self.hear(word)

    def hear(self, word: Any) -> None:
        """Take a word of the venue, a request that reaches it, or the end of a pause."""
        if isinstance(word, FillReport):
            self.book(word)
        elif word[0] == "send":
            self.send_again(word[1])
        elif word[0] == "modify":
            self.modified(word[1])
        elif word[0] == "cancel":
            live = self.lives.get(word[1])
            if live is not None and live.state == "working":
                self.finish(live, "canceled")
        elif self.settling or self.rng.random() < 0.9:
            self.say(*word)

    def send_again(self, order: Order) -> None:
        """Let the gate have the last word on another attempt, when its pause is over."""
        if self.gate.refusal(order, self.now):
            self.take(OrderReport(self.now, order.id, "not_sent"))
        else:
            self.left(order)

    def modified(self, asked: ModifyOrder) -> None:
        """Change a working order, which the engine hears at once."""
        live, price, quantity = self.lives[asked.order_id], asked.price, asked.quantity
        assert price is not None and quantity is not None
        if live.state != "working" or quantity <= live.filled:
            return
        replace = msgspec.structs.replace
        live.order = replace(live.order, price=price, quantity=quantity, notional=price * quantity)
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
        live = self.lives[word.order_id]
        if word.trade_id not in self.taken:
            self.taken.add(word.trade_id)
            live.told += word.quantity
            held = self.held.setdefault((word.account, word.instrument), Held())
            before = held.quantity
            held.book(word, live)
            if before and before * held.quantity <= ZERO:
                self.probation = max(self.probation - 1, 0)
            self.cash -= word.side * word.quantity * word.price + word.fee
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

    def flush(self, name: str = "") -> None:
        """Bring every fill, of one order or of all, as is promised before an answer."""
        fills = [x for x in self.queue if isinstance(x, FillReport) and name in ("", x.order_id)]
        for word in fills:
            self.queue.remove(word)
            self.book(word)

    def answer(self) -> None:
        """Answer a query truly, when the order could not arrive any more."""
        live = self.any_life()
        if live is None or live.state == "flying":
            return
        self.flush(live.order.id)
        self.now += 60 * SECOND
        theirs = venue_order(live)
        if theirs is None:
            live.denials += 1
            live.over = live.over or live.denials > 2
        elif theirs.state != "working":
            live.over = True
        self.take(OrderStatus(self.now, live.order.id, self.now, theirs))

    def look(self) -> None:
        """Lose the line to an account, or look at all of it."""
        account = self.rng.choice(("main", "second"))
        if self.rng.random() < 0.4:
            self.down.add(account)
            self.take(LinkEvent(self.now, account, "lost", "reset"))
            return
        if any(x.state == "flying" for x in self.lives.values()):
            return
        self.flush()
        self.now += 60 * SECOND
        mine = [x for x in self.lives.values() if x.order.account == account]
        theirs = [found for x in mine if (found := venue_order(x))]
        for live in mine:
            live.denials += live.state == "lost"
            live.over = live.over or live.state == "ended" or live.denials > 2
        positions = tuple(
            VenuePosition(name, 1 if quantity > 0 else -1, abs(quantity),
                          abs(self.held[where, name].cost), self.held[where, name].margin, D(5))
            for (where, name), quantity in self.real.items() if quantity and where == account
        )  # fmt: skip
        self.take(AccountReport(self.now, account, self.now, "timer", tuple(theirs), positions,
                                None, self.marks()))  # fmt: skip
        if account not in self.engine.state.unreconciled:
            self.down.discard(account)

    def price(self) -> None:
        name = self.rng.choice(NAMES)
        self.prices[name] = (self.prices[name] * D(self.rng.randint(90, 110)) / 100).quantize(
            D("0.01")
        )
        self.watch()
        self.take(TimerEvent(self.now, "health", self.marks()))

    def watch(self) -> None:
        """Tell of the equity floors that are reached, as the market does that watches them."""
        for floor in breaker.floors(self.engine.state):
            value = sum((w * self.prices[name] for name, w in floor.weights), floor.constant)
            if value <= floor.limit:
                self.take(LevelHit(self.now, "equity", floor.scope, self.marks()))

    def fund(self) -> None:
        """Let a position pay or receive funding."""
        for (account, name), held in self.held.items():
            if held.quantity:
                amount = D(self.rng.randint(-50, 50))
                margin = max(held.margin - amount, ZERO)
                held.margin, self.cash = margin, self.cash - amount
                self.trades += 1
                self.take(FundingReport(self.now, account, name, ZERO, self.prices[name], amount,
                                        margin, self.marks(), f"p{self.trades}"))  # fmt: skip
                return

    def measure(self) -> None:
        """Measure something around the engine, sometimes beyond its limit."""
        condition: Any = self.rng.choice(("latency", "memory_hard", "feed", "feed"))
        value, scope = self.rng.choice((0.0, 1e9)), self.rng.choice(NAMES) * (condition == "feed")
        measured(self, condition, value, scope)
        self.take(Measured(self.now, condition, value, scope, self.marks()))

    def operate(self) -> None:
        rng = self.rng
        command: Any = rng.choice(COMMANDS)
        amount = D(rng.randint(1, 3_000)) if command in ("deposit", "withdraw", "modify") else None
        target, price = rng.choice(("a", "b", "c")) if command.endswith("_strategy") else "", None
        if command == "modify":
            target = next((x.order.id for x in self.waiting() if x.state == "working"), "")
            price = D(rng.randint(80, 120)) if rng.random() < 0.5 else None
            amount = rng.choice((None, D(1), D(5), D(40)))
        before = self.engine.state.flows
        self.take(OperatorEvent(self.now, command, "t", "test", target, amount, price,
                                authorised=True, marks=self.marks()))  # fmt: skip
        moved = self.engine.state.flows - before
        self.cash, self.peak = self.cash + moved, self.peak + moved
        self.day_equity += moved
        if command in ("halt", "resume", "flatten", "freeze", "thaw"):
            stopped = "reducing" if self.trading == "active" else self.trading
            if self.trading != "frozen" or command == "thaw":
                self.trading = STATES.get(command, stopped)
        elif command in ("pause_strategy", "stop_strategy"):
            self.paused.add(target)
        elif command == "resume_strategy":
            self.paused.discard(target)
            self.off.discard(target)

    def reload(self) -> None:
        """Put other limits in force, sometimes other instruments; what is there already stays."""
        before = self.settings.strategies
        self.settings = Draw(self.rng).settings()
        for name, strategy in self.settings.strategies.items():
            if strategy.status == "active":
                self.off.discard(name)
            elif strategy.status != before[name].status:
                self.off.add(name)
        if self.rng.random() < 0.5:
            self.items = items_of(self.rng)
        self.take(ConfigEvent(self.now, self.settings, f"c{self.now}", self.items, "stream",
                              marks=self.marks()))  # fmt: skip

    def settle(self) -> None:
        """Let the venue answer all and fill every close: what may not stay open is flat then."""
        self.settling = True
        mute = [x for x in self.lives.values() if x.state in ("lost", "ended") and not x.over]
        for _ in range(6):
            self.now += 10 * SECOND
            words, self.queue = self.queue, []
            for word in words:
                self.hear(word)
            for live in mute:
                self.flush(live.order.id)
                status = OrderStatus(self.now, live.order.id, self.now, venue_order(live))
                self.take(status)
            self.take(TimerEvent(self.now, "health", self.marks()))
            for live in [x for x in self.lives.values() if x.order.reduce_only]:
                if live.state in ("flying", "working"):
                    live.state = "working"
                    self.fill(live)
        self.flush()
        for (account, name), quantity in self.real.items():
            held = self.held[account, name]
            if quantity and self.doomed(held.strategy):
                self.found.append(f"{quantity} {name} of {held.strategy} was not closed")

    def doomed(self, strategy: str) -> bool:
        """Tell whether a strategy's positions may not stay open."""
        state = self.engine.state
        trips = [x for x in state.trips.values() if x.action == "flatten"]
        record = state.strategies.get(strategy)
        stopped = record is not None and record.status == "stopped"
        return stopped or state.flattening or any(x.scope in ("", strategy) for x in trips)

    # -- sums ------------------------------------------------------------------------------

    def item(self, order: Order) -> Instrument:
        return next(item for item in self.items if item.name == order.instrument)

    def waiting(self) -> list[Live]:
        """Return the entries that may still fill: in flight, working, or unknown."""
        return [x for x in self.lives.values() if not x.over and x.order.reason in OPENING]

    def places(self, strategy: str = "") -> set[tuple[str, str]]:
        """Return the places that are, or may come to be, taken."""
        taken = {place for place, held in self.held.items()
                 if held.quantity and strategy in ("", held.strategy)}  # fmt: skip
        owned = {place for place, held in self.held.items() if held.quantity}
        for live in self.waiting():
            place = (live.order.account, live.order.instrument)
            if not strategy or (live.order.strategy == strategy and place not in owned):
                taken.add(place)
        return taken


def run(seed: int) -> tuple[list[str], int]:
    """Run one stream; return what broke, and how many entries left."""
    stream = Stream(seed)
    return stream.run(), stream.entries
