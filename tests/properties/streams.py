"""Random order streams: signals of several strategies, and reports late, lost, partial and odd.

A stream is one short sequence of events for a real engine, with a small venue that never lies but
whose words travel: they are delayed, doubled, lost, and overtake each other. The checker adds up by
itself what is open, in flight and unknown, each at its worst, and holds every entry that leaves
against the limits in force. `run(seed)` returns what broke, one sentence each.
"""

from decimal import Decimal
from random import Random
from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.events import (
    ConfigEvent,
    LevelHit,
    Measured,
    OperatorEvent,
    OrderReport,
    OrderStatus,
    SignalEvent,
    TimerEvent,
    marks_of,
)
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine import breaker
from cerberus_trader.engine.engine import Engine, Step
from cerberus_trader.runtime.gate import Gate
from tests.kit import ITEMS, NOON
from tests.properties.stream_books import OPENING, Live, is_resent, stop_of, venue_order
from tests.properties.stream_draws import Draw, fields_of, items_of
from tests.properties.stream_limits import breaches, measured
from tests.properties.stream_venue import Venue

D = Decimal
ZERO = D(0)
SECOND = 1_000_000_000
DAY = 86_400 * SECOND
ALIVE = (Status.ACCEPTED, Status.PARTIALLY_FILLED)
NAMES = tuple(item.name for item in ITEMS)
COMMANDS = (
    "halt", "flatten", "freeze", "pause_strategy", "stop_strategy", "shutdown", "cancel_all",
    *("resume",) * 3, *("thaw",) * 2, *("resume_strategy",) * 3, *("reset_breaker",) * 5,
    "deposit", "withdraw", "withdraw", *("modify",) * 3,
)  # fmt: skip


class Stream(Venue):
    """Drive one engine through one stream."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"stream {seed}")
        self.engine = Engine()
        self.gate = Gate(self.engine.state)
        self.now = NOON + self.rng.choice((0, 0, 0, DAY // 2 - 40 * SECOND))
        self.settings = Draw(self.rng).settings()
        self.items = items_of(self.rng)
        super().__init__(self.settings.account.balance, dict.fromkeys(NAMES, D(100)))
        self.paused: set[str] = set()
        self.off = {x for x, y in self.settings.strategies.items() if y.status != "active"}
        self.silent: set[str] = set()
        self.words: set[str] = set()
        self.flattening = False
        self.stopped: set[str] = set()
        self.forced: dict[str, str] = {}
        """What a person wants closed, all or of some strategies; the trips that close, by name."""
        self.signals = self.entries = 0
        self.asked: Signal | None = None
        self.sigma, self.age_ms = 0.0, 0
        self.said: list[Signal] = []
        self.judged: set[str] = set()
        self.known: list[tuple[str, int]] = []
        self.forgotten = 0
        self.take(ConfigEvent(self.now, self.settings, "c", self.items, "stream"))
        if self.rng.random() < 0.5:  # the money is the venue's, else the operator tells of it
            for account in ("main", "second"):
                self.view(account)

    def run(self) -> list[str]:
        """Let ten to thirty things happen, now and then many more."""
        acts = (self.signal, self.deliver, self.trade, self.silence, self.answer, self.look,
                self.price, self.operate, self.reload, self.fund, self.measure, self.transfer,
                self.strike)  # fmt: skip
        weights = (30, 35, 35, 3, 4, 2, 12, 5, 1, 1, 1, 3, 9)
        longest = self.rng.choice((30, 30, 30, 120))
        for act in self.rng.choices(acts, weights, k=self.rng.randint(10, longest)):
            self.now += self.rng.choice((1, SECOND // 10, SECOND, 5 * SECOND))
            act()
        self.settle()
        return self.found

    def take(self, event: Any, taken: int | None = None) -> Step:
        """Put an event through the engine, and hold what leaves against the limits.

        `taken` is how many places were taken before, where the event itself changes that.
        """
        before = len(self.places()) if taken is None else taken
        if marks_of(event) or not any(held.quantity for held in self.held.values()):
            self.roll()  # else the day begins with the next event that brings prices
        step = self.engine.step(event)
        if any(isinstance(x, f.SignalJudged | f.Filled | f.FundingBooked) for x in step.facts):
            self.peak = max(self.peak, self.equity())  # what comes again says nothing new
        for fact in step.facts:
            self.told(fact)
        if isinstance(event, OrderReport):
            self.failed_or_lived(event, step)
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
            assert fact.state == "frozen"
            self.words.add("freeze")
        elif isinstance(fact, f.BreakerTripped):
            name = f"{fact.condition}:{fact.scope}" if fact.scope else fact.condition
            self.tripped[name] = fact.scope
            if fact.action == "flatten":
                self.forced[name] = fact.scope
        elif isinstance(fact, f.OrderChanged) and fact.status in ALIVE:
            self.failed.discard(fact.order_id)
        elif isinstance(fact, f.BreakerReset):
            self.released(fact)

    def released(self, fact: f.BreakerReset) -> None:
        """Forget what a person, or the new day, released."""
        for name in fact.conditions:
            self.tripped.pop(name, None)
            self.forced.pop(name, None)
        if fact.actor == "day":
            return
        if "drawdown" in fact.conditions:
            self.peak = self.equity()
        self.probation = self.settings.breaker.half_open_trades or self.probation
        if self.settings.breaker.half_open_trades or "losses" in fact.conditions:
            self.streak = 0
        if self.settings.breaker.half_open_trades or "failures" in fact.conditions:
            self.failures = 0

    def failed_or_lived(self, event: OrderReport, step: Step) -> None:
        """Count an order that failed, where the report said anything new."""
        if any(isinstance(x, f.OrderChanged) and x.order_id == event.order_id for x in step.facts):
            live = self.lives.get(event.order_id)
            if event.state in ("rejected", "unknown"):
                if live is None or not is_resent(live.order):
                    self.fail(event.order_id)
            elif event.state == "accepted":
                self.failures = 0

    # -- what happens ----------------------------------------------------------------------

    def signal(self) -> None:
        rng = self.rng
        if self.said and rng.random() < 0.05:
            self.asked, held = rng.choice(self.said[-3:]), ""
        else:
            self.signals += 1
            name = rng.choice(NAMES)
            open_ = any(x.quantity for (_, y), x in self.held.items() if y == name)
            closes = ("close",) if open_ or rng.random() < 0.2 else ()
            side: Any = rng.choice(("buy", "buy", "sell", "sell", *closes))
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
        acted = any(isinstance(x, SubmitOrder) for x in step.commands)
        if held and not acted:
            self.found.append(f"{self.asked.id} did not close {held}: {step.facts}")
        if acted and self.asked.id in self.judged:
            self.found.append(f"{self.asked.id} was acted on when it came again")
        if any(isinstance(x, f.SignalJudged) for x in step.facts):
            self.remember(self.asked.id)
        self.asked = None

    def remember(self, name: str) -> None:
        """Note when a signal was judged, and until when those were judged that are forgotten."""
        self.judged.add(name)
        self.known.append((name, self.now))
        intake = self.settings.intake
        while len(self.known) > intake.remember_max or (
            self.now - self.known[0][1] > intake.remember_ms * 1_000_000
        ):
            self.forgotten = self.known.pop(0)[1]

    def closable(self, signal: Signal) -> str:
        """Name what a fresh signal has to close: a position that no close is on its way to."""
        place = (self.settings.strategies[signal.source].account, signal.instrument)
        held = self.held.get(place)
        if signal.side != "close" or held is None or held.strategy != signal.source:
            return ""
        if signal.ts_ns <= self.forgotten:
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

    def price(self) -> None:
        name = self.rng.choice(NAMES)
        far = self.rng.choice((1, 10, 10, 40))
        moved = self.prices[name] * D(self.rng.randint(100 - far, 100 + far)) / 100
        self.prices[name] = moved.quantize(D("0.01"))
        self.watch()
        self.take(TimerEvent(self.now, "health", self.marks()))

    def watch(self) -> None:
        """Tell of the equity floors that are reached, as the market does that watches them."""
        for floor in breaker.floors(self.engine.state):
            value = sum((w * self.prices[name] for name, w in floor.weights), floor.constant)
            if value <= floor.limit:
                self.take(LevelHit(self.now, "equity", floor.scope, self.marks()))

    def measure(self) -> None:
        """Measure something around the engine, sometimes beyond its limit."""
        condition: Any = self.rng.choice(("latency", "memory_hard", "feed", "feed"))
        value, scope = self.rng.choice((0.0, 1e9)), self.rng.choice(NAMES) * (condition == "feed")
        measured(self, condition, value, scope)
        self.take(Measured(self.now, condition, value, scope, self.marks()))

    def operate(self) -> None:
        rng = self.rng
        command: Any = rng.choice(COMMANDS)
        amount = D(rng.randint(1, 90)) * abs(self.equity()) / 100
        amount = amount.quantize(D("0.01")) if command in ("deposit", "withdraw") else None
        target, price = rng.choice(("a", "b", "c")) if command.endswith("_strategy") else "", None
        if command == "modify":
            target = next((x.order.id for x in self.waiting() if x.state == "working"), "")
            price = D(rng.randint(80, 120)) if rng.random() < 0.5 else None
            amount = rng.choice((None, D(1), D(5), D(40)))
        step = self.take(OperatorEvent(self.now, command, "t", "test", target, amount, price,
                                       authorised=True, marks=self.marks()))  # fmt: skip
        for fact in step.facts:
            if isinstance(fact, f.CashMoved):
                self.move(fact.amount)
        self.obey(command, target)
        if command in ("halt", "freeze"):
            self.words.add(command)
        elif command in ("pause_strategy", "stop_strategy"):
            self.paused.add(target)
        elif command == "resume_strategy":
            self.paused.discard(target)
            self.off.discard(target)

    @property
    def trading(self) -> str:
        """Tell what the words of people, and of the reconciliation, come to."""
        if self.words:
            return "frozen" if "freeze" in self.words else "halted"
        return "reducing" if self.flattening else "active"

    def obey(self, command: str, target: str) -> None:
        """Note what a person wants closed, until trading, or the strategy, goes on."""
        if command == "flatten":
            self.flattening = True
        elif command == "thaw":
            self.words.discard("freeze")
        elif command == "resume" and "freeze" not in self.words:
            self.words.discard("halt")
            self.flattening = False
        elif command == "stop_strategy":
            self.stopped.add(target)
        elif command in ("pause_strategy", "resume_strategy"):
            self.stopped.discard(target)

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
            for live in self.lives.values():
                live.state = "working" if live.state == "flying" else live.state
            for account in ("main", "second"):
                self.view(account)
        for place, quantity in self.real.items():
            held = self.held[place]
            if quantity and self.doomed(held.strategy):
                self.found.append(f"{quantity} {place} of {held.strategy} was not closed")
            elif quantity and held.missed() > 2:
                self.found.append(f"{quantity} {place} was left without its stop")

    def doomed(self, strategy: str) -> bool:
        """Tell whether a strategy's positions may not stay open."""
        forced = self.forced.values()
        return self.flattening or strategy in self.stopped or "" in forced or strategy in forced

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
