"""What a stream holds: the orders as they really are and as they were told, and what is open."""

from collections import Counter
from decimal import Decimal
from typing import Any, NamedTuple

from cerberus_trader.domain.events import FillReport
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import FORCED, Order
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine.state import ADOPTED

ZERO = Decimal(0)
OPENING = ("entry", "add")
MS = 1_000_000
DAY = 86_400_000_000_000


class Live:
    """Hold what really becomes of an order, and what of it the engine was told."""

    def __init__(self, order: Order, stop_fraction: Decimal) -> None:
        self.order = order
        self.stop_fraction = stop_fraction
        self.state = "flying"  # then working, lost, ended
        bracket = order.bracket
        self.stopped = bracket is not None and any(
            x is not None for x in (bracket.stop, bracket.stop_pct, bracket.trailing,
                                    bracket.trailing_pct)
        )  # fmt: skip
        self.filled = self.told = ZERO
        self.over = False  # the engine was told of its end, and of every fill
        self.denials = 0
        self.ack: str | None = None

    def rest(self) -> Decimal:
        """Return the notional that may still fill, as far as anybody told the engine."""
        if self.over:
            return ZERO
        return self.order.notional * (self.order.quantity - self.told) / self.order.quantity

    def price(self) -> Decimal:
        """Return the price at which it was judged, or to which it was changed."""
        return self.order.notional / self.order.quantity


class Part(NamedTuple):
    """Hold what of a fill belongs to a strategy: what it paid, and the trade that it ended."""

    strategy: str
    paid: Decimal
    ended: tuple[Decimal, Decimal, bool] | None = None
    """What the trade gained, the risk planned for what was left, whether it was on probation."""


class Held:
    """Hold a position as told: signed quantity and cost, the risk at its stop, its margin.

    `planned` is the engine's own figure of the risk, `paid` all that the trade has cost so far.
    """

    def __init__(self) -> None:
        self.quantity = self.cost = self.risk = self.margin = ZERO
        self.planned = self.paid = ZERO
        self.strategy = ""
        self.probation = False
        self.levels: tuple[str, ...] = ()
        self.stop: Decimal | None = None
        self.begun: Decimal | None = None
        self.trailing: Decimal | None = None
        self.stop_at = 0
        self.absences: Counter[str] = Counter()

    def side(self) -> int:
        """Return +1 long, -1 short, 0 flat."""
        return (self.quantity > ZERO) - (self.quantity < ZERO)

    def worst(self) -> Decimal:
        """Return what may be lost by itself: without a stop at the venue what is isolated."""
        bare = ZERO if self.protected() else min(self.margin, abs(self.cost))
        return max(self.risk, bare, self.lost_at(self.stop), self.lost_at(self.begun))

    def book(self, fill: FillReport, live: Live, now: int) -> list[Part]:
        """Add a fill, closing first; return whose it is. The fee is the owner's of the place."""
        signed, left, parts = fill.side * fill.quantity, fill.quantity, []
        fee = fill.fee
        if self.quantity * signed < 0:
            part = min(left, abs(self.quantity))
            share, fee_share = part / abs(self.quantity), fee * part / left
            before = self.planned
            paid = fill.side * part * fill.price
            self.cost -= self.cost * share
            self.risk -= self.risk * share
            self.planned -= self.planned * share
            self.quantity += fill.side * part
            self.paid += paid + fee_share
            ended = None if self.quantity else (-self.paid, before, self.probation)
            parts.append(Part(self.strategy, paid + fee, ended))
            left -= part
            fee = ZERO
        if left:
            self.stop_at = now
            if not self.quantity:
                self.strategy, self.probation = live.order.strategy, live.order.probation
                if fill.reason in FORCED:  # told before what it closed
                    self.strategy = ADOPTED
                self.cost = self.risk = self.planned = self.paid = ZERO
            paid = fill.side * left * fill.price
            self.quantity += fill.side * left
            self.cost += paid
            self.paid += paid + fill.fee * left / fill.quantity
            parts.append(Part(self.strategy, paid + fee))
            if live.order.reason in OPENING:
                self.risk += left * live.order.notional / live.order.quantity * live.stop_fraction
                self.planned += left * live.order.risk / live.order.quantity
        self.margin = fill.margin if self.quantity else ZERO
        told = {"stop": fill.stop, "trailing": fill.trailing}
        self.levels = tuple(kind for kind, level in told.items() if level is not None)
        self.stop = fill.stop if self.quantity else None
        if fill.stop is not None or fill.trailing is None:
            self.begun = None
        elif left or self.begun is None or fill.trailing != self.trailing:
            self.begun = fill.price - self.side() * fill.trailing
            self.planned = max(self.planned, self.lost_at(self.begun))
        self.trailing = fill.trailing
        self.absences.clear()
        return parts

    def lost_at(self, stop: Decimal | None) -> Decimal:
        """Return what a stop is away from the entry, for all of it."""
        return self.cost - self.quantity * stop if stop is not None else ZERO

    def protected(self) -> bool:
        """Tell whether a stop rests at the venue, as far as is known: it was missed twice else."""
        return bool(self.levels) and self.missed() < 2

    def missed(self) -> int:
        """Return how often the stop was missed that was missed most often."""
        return max(self.absences.values(), default=0)


class Ledger:
    """Add up what was told: cash and positions, by account and by strategy, and what went wrong."""

    settings: Settings
    now: int

    def __init__(self, cash: Decimal, prices: dict[str, Decimal]) -> None:
        self.prices = prices
        self.held: dict[tuple[str, str], Held] = {}
        self.cash = self.day_equity = self.peak = cash
        self.earned: dict[str, Decimal] = {}
        self.day_bases: dict[str, Decimal] = {}
        self.day = self.now // DAY
        self.tripped: dict[str, str] = {}
        self.streak = self.failures = self.probation = 0
        self.failures_since = self.now
        self.failed: set[str] = set()

    def equity(self) -> Decimal:
        return self.cash + sum(x.quantity * self.prices[y] for (_, y), x in self.held.items())

    def pnl(self, strategy: str) -> Decimal:
        """Return what a strategy has gained, at the prices of now."""
        open_ = (x.quantity * self.prices[place[1]] for place, x in self.held.items()
                 if x.strategy == strategy)  # fmt: skip
        return self.earned.get(strategy, ZERO) + sum(open_, ZERO)

    def pay(self, strategy: str, amount: Decimal) -> None:
        self.cash -= amount
        self.earned[strategy] = self.earned.get(strategy, ZERO) - amount

    def move(self, amount: Decimal) -> None:
        """Let money come in or go out, which is neither a gain nor a loss."""
        self.cash, self.peak = self.cash + amount, self.peak + amount
        self.day_equity += amount
        if self.day_equity <= ZERO < self.equity():  # of nothing there is no share to lose
            self.begin()

    def roll(self) -> None:
        """Begin the UTC day, where the time has come."""
        if self.now // DAY <= self.day:
            return
        self.begin()
        self.peak = max(self.peak, self.day_equity)

    def begin(self) -> None:
        """Count the gains and losses of the day from now on."""
        self.day, self.day_equity = self.now // DAY, self.equity()
        self.day_bases = {name: self.pnl(name) for name in self.settings.strategies}

    def enter(self, fill: FillReport, live: Live) -> None:
        """Book a fill that is told for the first time."""
        limits = self.settings.breaker
        held = self.held.setdefault((fill.account, fill.instrument), Held())
        for part in held.book(fill, live, self.now):
            self.pay(part.strategy, part.paid)
            if part.ended is None:
                continue
            gained, planned, probation = part.ended
            self.probation = max(self.probation - probation, 0)
            if not planned or abs(gained) > planned * Decimal(str(limits.scratch_r)):
                self.streak = 0 if gained > ZERO else self.streak + 1
            if limits.losses_max and self.streak >= limits.losses_max:
                self.tripped["losses"] = ""
        if fill.reason in ("liquidation", "deleveraging") and limits.liquidation_trips:
            self.tripped[fill.reason] = ""
        self.failures = 0
        self.failed.discard(fill.order_id)

    def fail(self, name: str) -> None:
        """Count an order that failed: once, as long as nothing says that it lives."""
        if name in self.failed:
            return
        limits = self.settings.breaker
        self.failed.add(name)
        inside = self.now - self.failures_since <= limits.failures_window_ms * MS
        self.failures = self.failures + 1 if self.failures and inside else 1
        if self.failures == 1:
            self.failures_since = self.now
        if limits.failures_max and self.failures >= limits.failures_max:
            self.tripped["failures"] = ""


def is_resent(order: Order) -> bool:
    """Tell whether the close of a signal is sent again: it counted when it failed first."""
    return order.reason == "signal" and order.attempt > 0 and not order.signal_id


def stop_of(order: Order, item: Instrument) -> Decimal:
    """Return how far an entry's stop lies from its price, as a fraction; without one its margin.

    Stops are rounded towards the entry; a trailing stop counts where there is no other.
    """
    bracket, price = order.bracket, order.notional / order.quantity
    assert bracket is not None
    stop = bracket.stop
    if bracket.stop_pct is not None:
        stop = price * (100 - order.side * bracket.stop_pct) / 100
        stop = item.price_up(stop) if order.side > 0 else item.price_down(stop)
    if stop is not None:
        return abs(price - stop) / price
    if bracket.trailing is not None:
        return bracket.trailing / price
    if bracket.trailing_pct is not None:
        return bracket.trailing_pct / 100
    return 1 / order.leverage


def venue_order(live: Live) -> VenueOrder | None:
    """Return an order as the venue shows it; None for one that never arrived."""
    order = live.order
    if live.state == "lost":
        return None
    whole = live.filled >= order.quantity
    state: Any = "filled" if whole else "working" if live.state == "working" else "canceled"
    return VenueOrder(order.id, order.instrument, order.side, order.quantity, state, live.filled,
                      order.price)  # fmt: skip
