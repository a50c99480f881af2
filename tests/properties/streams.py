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

from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.events import (
    AccountReport,
    ConfigEvent,
    FillReport,
    LinkEvent,
    OperatorEvent,
    OrderReport,
    OrderStatus,
    SignalEvent,
    TimerEvent,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.market import Snapshot
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import (
    Breaker,
    Levels,
    Leverage,
    Orders,
    Reconcile,
    Risk,
    Settings,
    Sizing,
    Strategy,
)
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine, Step
from tests.kit import ITEMS, NOON
from tests.properties.stream_limits import breaches

D = Decimal
ZERO = D(0)
SECOND = 1_000_000_000
NAMES = tuple(item.name for item in ITEMS)
OPENING = ("entry", "add")
COMMANDS = ("halt", "resume", "resume", "deposit", "withdraw", "cancel_all", "flatten",
            "pause_strategy", "resume_strategy", "reset_breaker")  # fmt: skip


def settings_of(rng: Random) -> Settings:
    """Draw limits of which each bites now and then: several strategies over two accounts."""

    def limit(loose: str, *tight: str) -> Decimal:
        return D(loose if rng.random() < 0.6 else rng.choice(tight))

    strategies = {
        name: Strategy(
            account=account, positions_max=int(limit("9", "1", "2")), add=rng.random() < 0.4,
            reverse=rng.random() < 0.4, budget=limit("1", "0.3", "0.6"),
            leverage_max=limit("30", "2", "5"),
        )
        for name, account in (("a", "main"), ("b", "main"), ("c", "second"))
    }  # fmt: skip
    return Settings(
        leverage=Leverage(volatility_factor_min=1.0, success_factor_min=1.0, drawdown_start=0.5,
                          drawdown_end=0.9, cap=limit("40", "3", "10")),
        sizing=Sizing(methods=("risk",), obey_quantity=rng.random() < 0.5,
                      risk_fraction=rng.choice((D("0.002"), D("0.01"), D("0.05")))),
        risk=Risk(
            positions_max=int(limit("9", "1", "2", "3")),
            position_exposure_max=limit("5", "0.2", "0.5"),
            group_exposure_max=limit("9", "0.3", "0.8"),
            gross_exposure_max=limit("9", "0.4", "1"),
            group_risk_max=limit("1", "0.005", "0.02"),
            order_notional_max=limit("0", "700", "1500"),
        ),
        breaker=Breaker(day_loss_action="off", drawdown_action="off", cooldown_ms=0,
                        failures_max=int(limit("0", "3")), losses_max=int(limit("0", "2"))),
        orders=Orders(retries_max=rng.choice((0, 2))),
        reconcile=Reconcile(unexplained="accept"),
        strategies=strategies,
        levels=Levels(stop_required=rng.random() < 0.5),
    )  # fmt: skip


class Live:
    """Hold what really becomes of an order, and what of it the engine was told."""

    def __init__(self, order: Order, stop_fraction: Decimal) -> None:
        self.order = order
        self.stop_fraction = stop_fraction
        self.state = "flying"  # then working, lost, ended
        self.filled = self.told = ZERO
        self.over = False  # the engine was told of its end, and of every fill
        self.denials = 0
        self.ack: str | None = None

    def rest(self) -> Decimal:
        """Return the notional that may still fill, as far as anybody told the engine."""
        if self.over:
            return ZERO
        return self.order.notional * (self.order.quantity - self.told) / self.order.quantity


class Held:
    """Hold a position as told: signed quantity and cost, the risk at its stop, its margin."""

    def __init__(self) -> None:
        self.quantity = self.cost = self.risk = self.margin = ZERO
        self.strategy = ""

    def book(self, fill: FillReport, live: Live) -> None:
        """Add a fill, closing first."""
        signed, left = fill.side * fill.quantity, fill.quantity
        if self.quantity * signed < 0:
            part = min(left, abs(self.quantity))
            share = part / abs(self.quantity)
            self.cost -= self.cost * share
            self.risk -= self.risk * share
            self.quantity += fill.side * part
            left -= part
        if left:
            if not self.quantity:
                self.strategy = live.order.strategy
                self.cost = self.risk = ZERO
            self.quantity += fill.side * left
            self.cost += fill.side * left * fill.price
            if live.order.reason in OPENING:
                self.risk += left * live.order.notional / live.order.quantity * live.stop_fraction
        self.margin = fill.margin if self.quantity else ZERO


class Stream:
    """Drive one engine through one stream."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(f"stream {seed}")
        self.engine = Engine()
        self.now = NOON
        self.settings = settings_of(self.rng)
        self.prices = dict.fromkeys(NAMES, D(100))
        self.lives: dict[str, Live] = {}
        self.real: dict[tuple[str, str], Decimal] = {}
        self.held: dict[tuple[str, str], Held] = {}
        self.cash = self.settings.account.balance
        self.queue: list[Any] = []
        self.taken: set[str] = set()
        self.down: set[str] = set()
        self.paused: set[str] = set()
        self.trading = "active"
        self.trades = self.signals = self.entries = 0
        self.asked: Signal | None = None
        self.found: list[str] = []
        self.take(ConfigEvent(self.now, self.settings, "c", ITEMS, "stream"))

    def run(self) -> list[str]:
        """Let ten to thirty things happen."""
        acts = (self.signal, self.deliver, self.trade, self.silence, self.answer, self.look,
                self.price, self.operate, self.reload)  # fmt: skip
        weights = (40, 25, 25, 4, 5, 3, 6, 3, 1)
        for act in self.rng.choices(acts, weights, k=self.rng.randint(10, 30)):
            self.now += self.rng.choice((1, SECOND // 10, SECOND, 5 * SECOND))
            act()
        return self.found

    def take(self, event: Any, taken: int | None = None) -> Step:
        """Put an event through the engine, and hold what leaves against the limits.

        `taken` is how many places were taken before, where the event itself changes that.
        """
        before = len(self.places()) if taken is None else taken
        step = self.engine.step(event)
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                self.left(command.order)
            elif isinstance(command, CancelOrder):
                self.queue.append(("cancel", command.order_id))
        if len(self.places()) > max(before, self.settings.risk.positions_max):
            self.found.append(f"{len(self.places())} places are taken")
        if self.engine.state.counters.faults:
            self.found.append(f"deciding failed: {step.facts}")
        return step

    def marks(self) -> Any:
        return tuple(self.prices.items())

    # -- what happens ----------------------------------------------------------------------

    def signal(self) -> None:
        rng = self.rng
        repeated = self.signals and rng.random() < 0.05
        self.signals += not repeated
        name, side = rng.choice(NAMES), rng.choice(("buy", "buy", "sell", "sell", "close"))
        price, fields = self.prices[name], {}
        if side != "close":
            fields = {
                "stop_loss_pct": rng.choice((None, D("0.5"), D(2), D(8))),
                "quantity": D(rng.choice(("1", "10", "33.333", "80"))),
                "leverage": rng.choice((None, D(1), D(1), D(50))),
            }
            if rng.random() < 0.4:
                fields |= {"order": rng.choice(("limit", "fok")), "limit": price}
        self.asked = Signal(f"s{self.signals}", self.now, name, side, rng.choice((0.3, 0.7, 0.95)),
                            rng.choice(("a", "b", "c")), **fields)  # fmt: skip
        market = Snapshot(self.now, price, price, 0, 0.05, 0.05, self.marks())
        self.take(SignalEvent(self.now, self.asked, market))
        self.asked = None

    def left(self, order: Order) -> None:
        """Take an order that leaves: from here on it may be anywhere."""
        live = Live(order, ZERO if order.bracket is None else stop_of(order))
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
        quantity = left if rng.random() < 0.6 else (left / 3).quantize(D("0.001"))
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
        if isinstance(word, FillReport):
            if self.rng.random() < 0.2:
                self.queue.append(word)
            self.book(word)
        elif word[0] == "cancel":
            live = self.lives[word[1]]
            if live.state == "working":
                self.finish(live, "canceled")
        elif self.rng.random() < 0.9:
            self.say(*word)

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
            held.book(word, live)
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
        """Answer a query of one order truly, at a time at which it could not arrive any more."""
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
        theirs = [found for x in mine if (found := venue_order(x)) is not None]
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
        self.take(TimerEvent(self.now, "health", self.marks()))

    def operate(self) -> None:
        rng = self.rng
        command: Any = rng.choice(COMMANDS)
        amount = D(rng.randint(1, 3_000)) if command in ("deposit", "withdraw") else None
        target = rng.choice(("a", "b", "c")) if command.endswith("_strategy") else ""
        before = self.engine.state.flows
        self.take(OperatorEvent(self.now, command, "t", "test", target, amount, authorised=True))
        self.cash += self.engine.state.flows - before
        if command in ("halt", "resume", "flatten"):
            stopped = "reducing" if self.trading == "active" else self.trading
            self.trading = {"halt": "halted", "resume": "active"}.get(command, stopped)
        elif command == "pause_strategy":
            self.paused.add(target)
        elif command == "resume_strategy":
            self.paused.discard(target)

    def reload(self) -> None:
        """Put other limits in force; what is there already stays."""
        self.settings = settings_of(self.rng)
        self.take(ConfigEvent(self.now, self.settings, f"c{self.now}", ITEMS, "stream"))

    # -- sums ------------------------------------------------------------------------------

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


def stop_of(order: Order) -> Decimal:
    """Return how far an entry's stop lies from its price, as a fraction; without one its margin."""
    bracket = order.bracket
    assert bracket is not None
    return bracket.stop_pct / 100 if bracket.stop_pct is not None else 1 / order.leverage


def venue_order(live: Live) -> VenueOrder | None:
    """Return an order as the venue shows it; None for one that never arrived."""
    order = live.order
    if live.state == "lost":
        return None
    whole = live.filled >= order.quantity
    state: Any = "filled" if whole else "working" if live.state == "working" else "canceled"
    return VenueOrder(order.id, order.instrument, order.side, order.quantity, state, live.filled)


def run(seed: int) -> tuple[list[str], int]:
    """Run one stream; return what broke, and how many entries left."""
    stream = Stream(seed)
    found = stream.run()
    return found, stream.entries
