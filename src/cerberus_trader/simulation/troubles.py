"""Troubles that an account makes by itself: silence, other instruments, charges, broken lines; and
heads that close an entry while it rests.

Each has a stream of chances of its own: a run without one of them is the same as before.
"""

import asyncio
from decimal import Decimal
from random import Random
from typing import TYPE_CHECKING, Any

import msgspec

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.signal import Signal

if TYPE_CHECKING:
    from cerberus_trader.simulation.life import Life
    from cerberus_trader.simulation.world import World

OTHER = "ECHO"
"""An instrument of the venue that the engine is not configured for."""
SILENCE_S = (5.0, 120.0)
HASTE_S = 0.1
SECOND_THOUGHTS_S = (0.05, 5.0)
D = Decimal


class Troubles:
    """Hold the troubles of one world, and count how often they happened."""

    def __init__(self, world: "World") -> None:
        self.world = world
        faults, seed = world.faults, world.seed
        self.silences = Random(f"silences {seed}")
        self.hands = Random(f"others {seed}")
        self.charges = Random(f"charges {seed}")
        self.haste = Random(f"hasty {seed}")
        self.closes = Random(f"entries closed {seed}")
        self.others = bool(faults.others_per_minute)
        self.untold = self.others or bool(faults.charges_per_minute)
        """Whether the venue's cash moves without a booking that the engine can take."""
        self.accepts = self.others and self.hands.random() < 0.75
        """Whether the engine accepts what it cannot explain: else a place elsewhere freezes it."""
        self.price = 50.0
        self.silent = self.elsewhere = self.charged = self.hastened = self.closed = 0

    def begin(self) -> None:
        """Prepare the venue."""
        venue, seed = self.world.venue, self.world.seed
        venue.doubles, venue.jumps = Random(f"doubles {seed}"), Random(f"numbers {seed}")
        venue.bindings = Random(f"bindings {seed}")
        venue.on_fill = self.hasten
        if self.others:
            known: Instrument = next(iter(self.world.items.values()))
            other = msgspec.structs.replace(known, name=OTHER, group=OTHER)
            venue.instruments = {**self.world.items, OTHER: other}
            venue.outside.add(OTHER)
            self.move_price()

    def rates(self) -> list[tuple[float, Any]]:
        """Return what happens how often per minute."""
        f = self.world.faults
        return [
            (f.account_silences_per_minute, self.silence),
            (f.others_per_minute, self.trade_elsewhere),
            (f.charges_per_minute, self.charge),
            (f.entries_closed_per_minute, self.close_entry),
        ]

    def silence(self) -> None:
        """Let questions about the account go unanswered for a while; all else goes on."""
        self.silent += 1
        seconds = self.silences.uniform(*SILENCE_S)
        self.world.venue.silent_until_ns = self.world.wall.now_ns() + int(seconds * 1e9)

    def trade_elsewhere(self) -> None:
        """Let a person trade in the other instrument, let an order rest, or let it be funded."""
        rng, venue = self.hands, self.world.venue
        side, quantity, kind = rng.choice((1, -1)), D(rng.randint(1, 50)) / 10, rng.random()
        self.elsewhere += 1
        if kind < 0.7:
            venue.trade_by_hand(OTHER, side, quantity)
        elif kind < 0.85:
            bid, ask = venue.prices[OTHER]
            venue.rest_by_hand(OTHER, side, quantity, bid if side > 0 else ask)
        else:
            venue.fund(OTHER, D(rng.randint(-10, 10)) / 10_000)

    def charge(self) -> None:
        """Let the venue take a little without a word."""
        self.charged += 1
        self.world.venue.charge(D(self.charges.randint(1, 500)) / 100)

    def close_entry(self) -> None:
        """Let a head rest an entry far from the market, and soon close or reverse it."""
        rng, prices, heads = self.closes, self.world.prices, self.world.heads
        name, head, sign = rng.choice(list(prices)), rng.choice(heads), rng.choice((1, -1))
        self.closed += 1
        limit = D(int(prices[name] * (100 - 50 * sign))) / 100
        other = rng.choice(("close", "close", "sell" if sign > 0 else "buy"))
        self._signal("rest", head, name, "buy" if sign > 0 else "sell", limit)
        later = asyncio.get_running_loop().call_later
        later(rng.uniform(*SECOND_THOUGHTS_S), self._signal, "off", head, name, other)

    def _signal(
        self, word: str, head: str, name: str, side: Any, limit: Decimal | None = None
    ) -> None:
        life, wall = self.world.life, self.world.wall
        if life is None:
            return
        life.signal(Signal(
            f"{word} {self.closed} {wall.now_ns()}", wall.now_ns() + wall.offset_ns, name, side,
            0.7, head, order="limit" if limit is not None else "market", limit=limit,
            stop_loss_pct=D(1) if side != "close" else None,
        ))  # fmt: skip

    def hasten(self) -> bool:
        """Break the line shortly after a fill: the looks that follow meet a list that lags."""
        hasty = self.haste.random() < self.world.faults.hasty_looks
        if hasty:
            asyncio.get_running_loop().call_later(self.haste.uniform(0.0, HASTE_S), self._reset)
        return hasty

    def _reset(self) -> None:
        life = self.world.life
        if life is not None and life.alive and life.client.reset():
            self.hastened += 1

    def move_price(self) -> None:
        """Move the price of the other instrument."""
        if self.others:
            self.price *= 1.0 + self.hands.gauss(0.0, 0.0015)
            bid = D(int(self.price * 100)) / 100
            self.world.venue.price(OTHER, bid, bid + D("0.02"))

    def is_outside(self, place: str) -> bool:
        """Tell whether an instrument, or the one of an order of this id, is not the engine's."""
        live = self.world.venue.orders.get(place)
        return (live.order.instrument if live is not None else place) in self.world.venue.outside


def blind(life: "Life", now_s: float) -> str:
    """Say that the account was not looked at since the line came back, or not for too long.

    Empty where neither is so. While there is no line nothing leaves, whatever the engine tries; an
    entry that passed the gate before the line broke is asked for again by the link as it leaves.
    """
    if life.client.connected and life.client.unseen:
        return "not looked at since the line came back"
    away_s = now_s - life.seen_s
    return f"blind for {away_s:.1f} s" if away_s > max(life.waits_s, life.may_wait_s()) else ""
