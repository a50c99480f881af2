"""What signals have closed is closed, no more and no less: against a count of single units.

Every unit belongs to an entry and is still to come, held, or gone. A signal that closes is about
some of them, and marks a number of those; whatever closes such units, takes marks away. At every
step the engine must owe as much as is marked, never send again more than that, and never deny a
close of what nothing on its way takes. In the end nothing may be marked.
"""

import random
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import OrderReport, OrderStatus, TimerEvent
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.settings import Strategy
from cerberus_trader.engine.engine import Step
from tests.kit import SECOND, Bench, D, decision
from tests.kit import settings as chosen
from tests.unit.engine.closes import PLACE, refuse

MARGIN = D(1_000_000)
STEPS = 60
CANCELLED = (Status.PENDING_CANCEL, Status.SUBMITTED)


@dataclass
class Unit:
    """One unit of an entry; `meant` where a signal was about it."""

    entry: str
    held: bool = False
    meant: bool = False


class Count:
    """The units, and how many of those that are meant are marked."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.begun: set[str] = set()
        self.marks = 0

    @property
    def held(self) -> list[Unit]:
        return [unit for unit in self.units if unit.held]

    def coming(self, entry: str) -> list[Unit]:
        return [unit for unit in self.units if unit.entry == entry and not unit.held]

    def fill(self, entry: str, quantity: int) -> None:
        self.begun.add(entry)
        for unit in self.coming(entry)[:quantity]:
            unit.held = True

    def end(self, entry: str) -> None:
        for unit in self.coming(entry):
            self.units.remove(unit)
        self.settle()

    def take(self, quantity: int) -> None:
        for unit in sorted(self.held, key=lambda unit: not unit.meant)[:quantity]:
            self.units.remove(unit)
            self.marks -= unit.meant
        self.settle()

    def close(self, part: int | None, entry: str = "") -> None:
        """Mark what is closed, a part or all: of what is held, else of the entry on its way."""
        asked = self.held or self.coming(entry)
        if self.held and part is None:
            asked += [unit for name in self.begun for unit in self.coming(name)]
        for unit in asked:
            unit.meant = True
        self.marks += len(asked) if part is None else min(part, len(asked))
        self.settle()

    def settle(self) -> None:
        self.marks = max(min(self.marks, sum(unit.meant for unit in self.units)), 0)
        for unit in self.units if not self.marks else ():
            unit.meant = False


class Run:
    """Drive an engine and the count through the same things, drawn from a seed."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.count = Count()
        strategies = {"default": Strategy(sources=("*",), add=True)}
        off = {"losses_max": 0, "failures_max": 0, "day_loss_action": "off"}
        wide = {"group_risk_max": D(1)}
        self.bench = Bench(chosen(strategies=strategies, risk=wide, breaker=off))
        self.bench.state.agreed["main"] = self.bench.now
        self.entries: dict[str, Order] = {}

    def closes(self) -> list[Order]:
        return [o for o in self.bench.state.orders.values() if o.reduce_only and not o.protective]

    def quantity(self, most: int) -> int:
        return self.draw.randint(1, most)

    def enter(self) -> None:
        fields: dict[str, Any] = (
            {"order": "fok", "limit": D(100)} if self.draw.random() < 0.2 else {}
        )
        for order in sent(self.bench.signal(quantity=D(self.quantity(9)), **fields)):
            self.entries[order.id] = order
            self.count.units += [Unit(order.id) for _ in range(int(order.quantity))]

    def accept_entry(self) -> None:
        known = self.bench.state.orders
        for name in [n for n in self.entries if n in known]:
            self.bench.take(OrderReport(self.bench.now, name, "accepted"))

    def fill_entry(self) -> None:
        working = [o for o in self.entries.values() if self.count.coming(o.id)]
        if working:
            order = self.draw.choice(working)
            left = len(self.count.coming(order.id))
            quantity = self.quantity(left)
            self.count.fill(order.id, quantity)
            self.bench.fill(order, quantity=D(quantity), leaves=D(left - quantity), margin=MARGIN)

    def end_entry(self) -> None:
        working = [o for o in self.entries if o in self.bench.state.orders]
        if working:
            self.end(self.draw.choice(working))

    def end(self, name: str) -> None:
        self.count.end(name)
        for order in sent(refuse(self.bench, self.bench.state.orders[name], "canceled")):
            self.count.close(int(order.quantity))  # what a killed one had filled

    def close(self) -> None:
        part = self.quantity(9) if self.draw.random() < 0.6 else None
        asked = {} if part is None else {"quantity": D(part)}
        known = [o for o in self.closes() if o.status is not Status.UNKNOWN]
        covered = sum(o.quantity - o.filled for o in known)
        step = self.bench.signal("close", **asked)
        found, held = decision(step), len(self.count.held)
        if found.verdict == "approved":
            whole = part is None or (held and part >= held)
            self.count.close(None if whole else part, sent(step)[0].closes)
        else:
            assert not held or covered >= held, found.code

    def fill_close(self) -> None:
        if self.closes() and self.count.held:
            order = self.draw.choice(self.closes())
            left = int(order.quantity - order.filled)
            quantity = self.quantity(min(left, len(self.count.held)))
            self.count.take(quantity)
            self.bench.fill(order, quantity=D(quantity), leaves=D(left - quantity), margin=MARGIN)

    def refuse_close(self) -> None:
        if self.closes():
            state = self.draw.choice(("rejected", "canceled", "expired", "not_sent"))
            order = self.draw.choice(self.closes())
            if not order.filled or state in ("canceled", "expired"):
                again = state == "rejected" and self.draw.random() < 0.5
                self.sent_again(refuse(self.bench, order, state, retry=again))

    def lose_close(self) -> None:
        for order in self.closes()[:1]:
            refuse(self.bench, order, "unknown")

    def deny_close(self) -> None:
        """Let the venue deny a close of unknown outcome until that is proven."""
        for order in [o for o in self.closes() if o.status is Status.UNKNOWN][:1]:
            for _ in range(4):
                self.bench.now += 5 * SECOND
                self.bench.take(OrderStatus(self.bench.now, order.id, self.bench.now, None))

    def stop(self) -> None:
        if self.count.held:
            quantity = self.quantity(len(self.count.held))
            self.count.take(quantity)
            self.bench.close("100", quantity=D(quantity), margin=MARGIN)

    def beat(self) -> None:
        self.bench.now += 300 * SECOND
        over = not self.closes()
        self.sent_again(self.bench.take(TimerEvent(self.bench.now, "health")))
        if over and self.count.marks == sum(unit.meant for unit in self.count.units):
            for name in {unit.entry for unit in self.count.units if unit.meant and not unit.held}:
                assert self.bench.state.orders[name].status in CANCELLED

    def sent_again(self, step: Step) -> None:
        for again in sent(step):
            same = [o for o in self.closes() if o.closes == again.closes]
            way = sum(o.quantity - o.filled for o in same)
            assert way <= min(self.count.marks, len(self.count.held) or self.count.marks)

    def check(self) -> None:
        state = self.bench.state
        position, target = state.positions.get(PLACE), state.targets.get(PLACE)
        assert (position.quantity if position else 0) == len(self.count.held)
        owed: Decimal | int = target.owed if target else 0
        assert owed == self.count.marks

    def heal(self) -> None:
        for name in list(self.entries):
            if name in self.bench.state.orders:
                self.end(name)
        for _ in range(6):
            for order in self.closes():
                left = min(int(order.quantity - order.filled), len(self.count.held))
                if left:
                    self.count.take(left)
                    self.bench.fill(order, quantity=D(left), leaves=D(0), margin=MARGIN)
                if order.id in self.bench.state.orders:
                    refuse(self.bench, order, "expired")
                self.check()
            self.beat()
        self.check()
        assert not self.count.marks and not self.bench.state.targets


def sent(step: Step) -> list[Order]:
    return [c.order for c in step.commands if isinstance(c, SubmitOrder)]


def run(seed: int) -> None:
    """Do what a seed draws, checking after each step."""
    found = Run(seed)
    acts: list[Any] = [found.enter, found.fill_entry, found.fill_entry, found.close, found.close,
                       found.fill_close, found.refuse_close, found.beat, found.end_entry,
                       found.stop, found.lose_close, found.deny_close,
                       found.accept_entry]  # fmt: skip
    for _ in range(STEPS):
        found.draw.choice(acts)()
        found.check()
    found.heal()


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 10**9))
def test_signals_close_what_they_ask_for(seed: int) -> None:
    run(seed)
