"""One simulated run: chaos with crashes and restarts, then healing, then the checkers.

Everything follows from one seed: the faults, the prices, the signals, every delay. The world does
not stand still while the engine is down: prices move on, other signals come after the restart.
"""

import asyncio
import hashlib
from decimal import Decimal
from random import Random
from typing import Any

import msgspec

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.events import ConfigEvent
from cerberus_trader.domain.facts import Reconciled
from cerberus_trader.domain.instrument import Instrument, Tier
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.simulation import bare, changes, configs
from cerberus_trader.simulation import loop as virtual
from cerberus_trader.simulation.checkers import check
from cerberus_trader.simulation.configs import HEADS, NAMES, settings_of, several, varied, wider
from cerberus_trader.simulation.faults import Faults, draw, drawn
from cerberus_trader.simulation.life import Life, Wall
from cerberus_trader.simulation.settled import pending
from cerberus_trader.simulation.store import Disk
from cerberus_trader.simulation.troubles import Troubles, blind
from cerberus_trader.simulation.venue import SimVenue

EPOCH_NS = 1_700_000_000_000_000_000
STEP_S = 0.25
HEAL_S = 60.0
LAST_S = 2.0
D = Decimal
TIERS = (Tier(D(0), D(1_000_000), D("0.0065"), D(75)),)


class Result(msgspec.Struct, frozen=True):
    """Hold what a run came to: orders sent and arrived; `trace` is a hash over everything."""

    seed: int
    faults: dict[str, float]
    minutes: float
    violations: tuple[str, ...]
    crashes: int
    sync_crashes: int
    submits: int
    orders: int
    fills: int
    rows: int
    unknown: int
    trace: str


class World:
    """Hold one run: the venue, the disk, the engine's lives, and what makes trouble."""

    def __init__(self, seed: int, faults: Faults, minutes: float) -> None:
        self.seed = seed
        self.faults = faults
        self.minutes = minutes
        self.rng = Random(f"world {seed}")
        self.transfers = Random(f"transfers {seed}")
        self.takes = Random(f"deleverages {seed}")
        self.commands = Random(f"strategies {seed}")
        chance = self.commands.random()
        self.heads = HEADS[: self.commands.choice((2, 3)) if chance < faults.strategies else 1]
        """The sources of signals, each with a strategy of its name."""
        drawn = Random(f"varied {seed}")
        self.varied = drawn.random() < faults.varied
        """Whether settings, the health watch, midnight and a spot instrument are drawn too."""
        self.widths = Random(f"signals {seed}")
        self.stops = Random(f"stops {seed}")
        self.moves = Random(f"changes {seed}")
        self.midnight = self.varied and drawn.random() < 0.5
        self.spot = NAMES[-1:] if self.varied and drawn.random() < 0.5 else ()
        self.items = {
            name: Instrument(name, tick=D("0.01"), lot=D("0.001"), notional_min=D(5),
                             taker_fee=D("0.0005"), group=name,
                             kind="spot" if name in self.spot else "perpetual",
                             tiers=() if name in self.spot else TIERS)
            for name in NAMES
        }  # fmt: skip
        self.surprised = bool(faults.human_per_minute or faults.restored)
        """Whether a person trades past the engine, or its history may end before the venue's."""
        chance = Random(f"accepts {seed}").random()
        self.accepts = bool(faults.restored) or (self.surprised and chance < 0.75)
        """Whether the engine accepts what a person trades: else it freezes."""
        self.drops = bool(faults.legs_dropped_per_minute or faults.unattached)
        self.skewed = bool(faults.clock_steps_per_minute)
        self.troubles = Troubles(self)
        self.configs = self.positions_max = self.remember_max = 0
        self.places_of: dict[str, int] = {}
        """The most positions that each strategy was ever allowed."""
        self.config = self._configure()
        # the epoch is 6,400 s before midnight
        early = int((6_400 - drawn.uniform(0.2, 0.8) * minutes * 60.0) * 1e9)
        self.wall = Wall(EPOCH_NS + early * self.midnight)
        self.disk = Disk("sim")
        self.failures: list[str] = []
        self.life: Life | None = None
        self.lives = 0
        self.crashes = self.sync_crashes = self.unknown = 0
        self.prices: dict[str, float] = dict.fromkeys(NAMES, 100.0)
        self.given: dict[str, list[int]] = {}
        """When the engine was given the price of each instrument."""
        self.bare: dict[str, list[bare.Spell]] = {}
        self.breaks: list[float] = []
        """When there was no line, or no life, as often as prices move."""
        self.healed = False
        self.signals = 0
        self.silent_until = 0.0
        self.sent: list[tuple[float, Order, str]] = []
        self.changed: list[tuple[float, ModifyOrder, str]] = []
        """What left when, and why it should not have: orders, and changes of entries."""
        self.calm: set[str] = set()
        """The reducing orders that left while the disk had not failed."""
        self.starts: list[float] = []
        self.lines: list[tuple[float, bool]] = []
        """When the line to the venue came, and when it went."""
        self.blank = False
        """Whether a restored backup was older than the first look at the account."""

    # -- the run ---------------------------------------------------------------------------

    async def run(self) -> Result:
        """Run chaos, heal, check."""
        running = asyncio.get_running_loop()
        running.set_exception_handler(self._unhandled)
        self.venue = SimVenue(
            self.items, self.config.settings.account.balance, Random(f"venue {self.seed}"),
            self.wall.now_ns, lambda s, call: running.call_later(s, call),
        )  # fmt: skip
        self.venue.faults, self.venue.lags = self.faults, Random(f"lags {self.seed}")
        self.troubles.begin()
        self._move_prices()
        tasks = [asyncio.ensure_future(work) for work in (self._lives(), self._market())]
        tasks += [
            asyncio.ensure_future(self._often(rate, act)) for rate, act in self._troubles() if rate
        ]
        await asyncio.sleep(max(self.minutes * 60.0 - 2 * LAST_S, 0.0))
        cut_off = Random(f"end {self.seed}").random() < self.faults.cut_off
        if cut_off:
            self._rest()
        await asyncio.sleep(LAST_S)
        if cut_off:
            self._cut_off()
        await asyncio.sleep(LAST_S)
        for task in tasks[2:]:
            task.cancel()
        converged = await self._heal()
        for task in tasks:
            task.cancel()
        violations = [*self.failures, *check(self)]
        if not converged:
            violations.insert(0, f"not settled {HEAL_S:g} s after healing: {pending(self)}")
        if self.life is not None:
            self.life.crash()
        return self._result(violations)

    def _troubles(self) -> list[tuple[float, Any]]:
        """Return what happens how often per minute."""
        f = self.faults
        return [
            (120.0, self._signal),
            (f.crashes_per_minute, self._crash),
            (f.partitions_per_minute, self._partition),
            (f.feed_gaps_per_minute, self._gap),
            (f.halts_per_minute, self._halt),
            (f.flattens_per_minute, lambda: self._operate("flatten")),
            (f.clock_steps_per_minute, self._step_clock),
            (f.funding_per_minute, self._fund),
            (f.venue_cancels * 10, lambda: self.venue.cancel_some()),
            (f.human_per_minute, self._human),
            (f.reloads_per_minute, self._reload),
            (f.transfers_per_minute, self._transfer),
            (f.deleverages_per_minute, self._deleverage),
            (f.legs_dropped_per_minute, self._drop_leg),
            (f.strategy_commands_per_minute, self._command),
            (6.0, self._rearm),
            (6.0, self._modify),
            (30.0, lambda: self._modify(self.moves)),
            *self.troubles.rates(),
        ]

    async def _often(self, per_minute: float, act: Any) -> None:
        rng = Random(f"{self.seed} {per_minute} {act}"[:40])
        while True:
            await asyncio.sleep(rng.expovariate(per_minute / 60.0))
            act()

    async def _heal(self) -> bool:
        """Mend everything, and wait until nothing is in question any more."""
        self._drop_leg()  # what is missed now stays missed
        self._move_stops()
        self.healed = True
        self.faults = self.venue.faults = Faults()
        self.wall.offset_ns = 0
        self.silent_until = 0.0
        self.venue.silent_until_ns = 0
        if self.life is not None:
            self.life.faults = self.life.client.faults = self.faults
            self.life.client.heal()
        since = self.wall.now_ns()
        for _ in range(int(HEAL_S / 0.5)):
            await asyncio.sleep(0.5)
            if not pending(self, since):
                return True
        return False

    def _result(self, violations: list[str]) -> Result:
        digest = hashlib.sha256(self.disk.rows[-1].hash if self.disk.rows else b"")
        digest.update(repr(self.venue.bookings).encode())
        return Result(
            self.seed, {}, self.minutes, tuple(violations), self.crashes,
            self.sync_crashes, len(self.sent), len(self.venue.arrived), len(self.venue.bookings),
            len(self.disk.rows), self.unknown, digest.hexdigest(),
        )  # fmt: skip

    # -- the engine's lives ----------------------------------------------------------------

    async def _lives(self) -> None:
        """Start the engine again whenever it is down."""
        while True:
            if self.life is None or not self.life.alive:
                if self.lives:
                    await asyncio.sleep(self.rng.uniform(0.1, 0.5 if self.healed else 15.0))
                self._start()
            await asyncio.sleep(0.1)

    def _start(self) -> None:
        self.lives += 1
        self.starts.append(asyncio.get_running_loop().time())
        rng = Random(f"life {self.seed} {self.lives}")
        again = Random(f"again {self.seed} {self.lives}")
        if again.random() < self.faults.reconfigured:
            self.config = self._configure()
        if self.lives > 1 and again.random() < self.faults.restored:
            self._restore(max(0, len(self.disk.rows) - again.randint(1, 150)))
        life = Life(
            self.lives, self.disk, self.venue, self.wall, self.config, self.faults, rng,
            self.failures,
        )  # fmt: skip
        life.journal.before_sync = life.journal.after_sync = lambda: self._at_sync(life)
        self._line(False)
        life.client.on_line = self._line
        life.client.on_send = lambda leaving: self._sending(life, leaving)
        self.life = life
        if self.varied:
            life.watch_health()
        life.start()

    def _line(self, there: bool) -> None:
        self.lines.append((asyncio.get_running_loop().time(), there))

    def _restore(self, rows: int) -> None:
        """Go back to an older history."""
        self.disk.restore_backup(rows)
        kept = (decode_row(row.body, place=f"row {row.seq}") for row in self.disk.rows)
        self.blank |= not any(type(fact) is Reconciled for row in kept for fact in row.facts)

    def _at_sync(self, life: Life) -> None:
        if life.alive and life.rng.random() < self.faults.crash_at_sync:
            self.sync_crashes += 1
            self.crashes += 1
            life.crash()

    def _sending(self, life: Life, leaving: Order | ModifyOrder) -> None:
        """Look at an order, or a change of one, at the moment it leaves."""
        if not life.alive:
            return  # a timer of a process that is gone: nothing leaves
        now, word = asyncio.get_running_loop().time(), changes.word_of(life, leaving)
        if not word and not (isinstance(leaving, Order) and leaving.reduce_only):
            word = blind(life, now)
        if isinstance(leaving, ModifyOrder):
            return self.changed.append((now, leaving, word))
        if leaving.reduce_only and not life.failed:
            self.calm.add(leaving.id)
        self.sent.append((now, leaving, word))

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if self.life is not None and self.life.failed:
            return
        self.failures.append(f"unhandled: {type(error).__name__}: {error or context}")

    def _configure(self) -> ConfigEvent:
        """Draw another configuration; the loosest limit so far bounds what may be open."""
        self.configs += 1
        rng = Random(f"settings {self.seed}" + f" {self.configs}" * (self.configs > 1))
        chosen = settings_of(rng, self.accepts or self.troubles.accepts)
        if len(self.heads) > 1:
            own = Random(f"strategies {self.seed} {self.configs}")
            chosen = several(chosen, own, self.heads)
        if self.varied:
            chosen = varied(chosen, Random(f"varied {self.seed} {self.configs}"))
        chosen = configs.hasty(chosen, Random(f"ages {self.seed} {self.configs}"))
        self.remember_max = max(self.remember_max, chosen.intake.remember_max)
        self.positions_max = max(self.positions_max, chosen.risk.positions_max)
        for name, strategy in chosen.strategies.items():
            self.places_of[name] = max(self.places_of.get(name, 0), strategy.positions_max)
        items = tuple(self.items.values())
        return ConfigEvent(EPOCH_NS, chosen, f"sim {self.configs}", items, "sim")

    # -- trouble ---------------------------------------------------------------------------

    def _crash(self) -> None:
        life = self.life
        if life is None or not life.alive:
            return
        if self.varied and self.stops.random() < 0.3:  # stopped cleanly, or not quite
            life.operate("shutdown")
            asyncio.get_running_loop().call_later(self.stops.uniform(0.1, 3.0), life.crash)
            return
        self.crashes += 1
        life.crash()

    def _partition(self) -> None:
        life = self.life
        if life is not None and life.alive:
            life.client.partition(self.rng.random() < self.faults.half_open)
            loop = asyncio.get_running_loop()
            loop.call_later(self.rng.uniform(0.5, 20.0), life.client.heal)

    def _rest(self) -> None:
        """Let entries rest so far from the market that nothing but a cancellation ends them."""
        for name in NAMES:
            limit = D(int(self.prices[name] * 50)) / 100
            signal = Signal(f"rest {name}", self.wall.now_ns() + self.wall.offset_ns, name, "buy",
                            0.7, "sim", order="limit", limit=limit, stop_loss_pct=D(1))  # fmt: skip
            if self.life is not None:
                self.life.signal(signal)

    def _cut_off(self) -> None:
        """Ask for the end of every entry while the line is broken: nobody hears it."""
        if self.life is not None and self.life.alive:
            self.life.client.partition(False)
            self._operate("cancel_all")

    def _gap(self) -> None:
        now = asyncio.get_running_loop().time()
        self.silent_until = now + self.rng.uniform(1.0, 40.0)

    def _halt(self) -> None:
        self._operate("halt")
        loop = asyncio.get_running_loop()
        loop.call_later(self.rng.uniform(1.0, 20.0), self._operate, "resume")

    def _operate(self, command: str, target: str = "") -> None:
        if self.life is not None:
            self.life.operate(command, target=target)

    def _command(self) -> None:
        """Pause or stop a strategy, and mostly resume it later."""
        rng = self.commands
        name, command = rng.choice(self.heads), rng.choice(("pause_strategy", "stop_strategy"))
        pause, forgotten = rng.uniform(1.0, 20.0), rng.random() < 0.2
        if self.life is not None:
            self.life.operate(command, target=name)
        if not forgotten:
            loop = asyncio.get_running_loop()
            loop.call_later(pause, self._operate, "resume_strategy", name)

    def _reload(self) -> None:
        """Put another configuration in force while the engine runs."""
        self.config = self._configure()
        if self.life is not None:
            self.life.reload(self.config)

    def _rearm(self) -> None:
        life = self.life
        if life is not None and life.alive and life.state.trips:
            life.operate("reset_breaker", authorised=True)

    def _modify(self, rng: Random | None = None) -> None:
        """Ask for another price and quantity of an entry; by a stream of its own of one at work."""
        life = self.life
        if life is None or not life.alive:
            return
        resting = [o for o in life.state.orders.values() if o.kind == "limit" and o.price]
        if rng is not None:
            resting = [o for o in resting if o.status is Status.ACCEPTED]
        if resting:
            order = (rng or self.rng).choice(resting)
            life.change(order.id, *changes.draw(self.moves, order))

    def _step_clock(self) -> None:
        self.wall.offset_ns = int(self.rng.uniform(-5.0, 5.0) * 1e9)

    def _fund(self) -> None:
        self.venue.fund(self.rng.choice(NAMES), D(self.rng.randint(-10, 10)) / 10_000)

    def _human(self) -> None:
        side = self.rng.choice((1, -1))
        self.venue.trade_by_hand(self.rng.choice(NAMES), side, D(self.rng.randint(1, 50)) / 10)
        self._move_stops()

    def _move_stops(self) -> None:
        for name in self.venue.positions if self.faults.human_per_minute else ():
            self.venue.move_stop(name, D(self.takes.randint(-10, 10)) / 1_000)

    def _deleverage(self) -> None:
        for name in NAMES:
            self.venue.deleverage(name, D(self.takes.randint(1, 10)) / 10)

    def _drop_leg(self) -> None:
        """Let a protective order end at the venue, mostly with a word of it, or shrink."""
        names = list(self.venue.positions)
        if names and self.drops:
            name, leg, how = self.takes.choice(names), self.takes.choice("sst"), self.takes.random()
            if leg == "s" and how > 0.8:
                self.venue.cut_stop(name, D(str(how * 5 - 4)))
            else:
                self.venue.drop_leg(name, leg, told=how < 0.7)

    def _transfer(self) -> None:
        """Let the account's owner put money in, or take out up to a third."""
        share = D(self.transfers.randint(-33, 50)) / 100
        self.venue.transfer((self.venue.balance * share).quantize(D("0.01")))

    # -- the market and its heads ----------------------------------------------------------

    async def _market(self) -> None:
        while True:
            await asyncio.sleep(STEP_S)
            self._move_prices()
            bare.note(self.venue, self.bare)
            if self.life is None or not self.life.alive or not self.life.client.can_speak:
                self.breaks.append(asyncio.get_running_loop().time())

    def _move_prices(self) -> None:
        self.troubles.move_price()
        for name in NAMES:
            move = self.rng.gauss(0.0, 0.0015)
            if self.rng.random() < self.faults.price_jump:
                move += self.rng.choice((-1, 1)) * self.rng.uniform(0.01, 0.06)
            self.prices[name] *= 1.0 + move
            bid = D(int(self.prices[name] * 100)) / 100
            ask = bid + D("0.02")
            self.venue.price(name, bid, ask)
            silent = asyncio.get_running_loop().time() < self.silent_until
            if self.life is not None and not silent:
                self.life.price(name, bid, ask, self.wall.now_ns())
                self.given.setdefault(name, []).append(self.wall.now_ns())

    def _signal(self) -> None:
        """Send a signal; after a restart it is another one. Some come twice.

        To an engine whose history was lost, old ones come again, as from a head that has it.
        """
        rng = self.rng
        if self.life is None:
            return
        again, back = (0.3, 60) if self.disk.lost else (0.1, 3)
        repeated = self.signals and rng.random() < again
        if not repeated:
            self.signals += 1
        number = (
            rng.randint(max(1, self.signals - back), self.signals) if repeated else self.signals
        )
        source = self.heads[number % len(self.heads)]  # a signal that comes again is its head's
        name = rng.choice(NAMES)
        side = rng.choice(("buy", "sell", "close"))
        now = self.wall.now_ns() + self.wall.offset_ns
        limit = None
        if side != "close" and rng.random() < 0.3:
            sign = 1 if side == "buy" else -1
            away = sign * rng.choice((0.2, 0.5, 5.0)) * rng.random()
            limit = D(int(self.prices[name] * (100 - away))) / 100
        opening = side != "close"
        kind: Any = rng.choice(("limit", "limit", "fok")) if limit is not None else "market"
        if rng.random() < self.faults.halts_per_minute / 5:
            asyncio.get_running_loop().call_later(rng.uniform(0.0, 0.1), self._halt)
        signal = Signal(
            f"s{number}", now, name, side, 0.7, source,  # type: ignore[arg-type]
            order=kind, limit=limit,
            expires_ms=rng.choice((0, 3_000, 20_000)) if opening else 0,
            stop_loss_pct=D(rng.choice(("0.3", "1", "2"))) if opening else None,
            take_profit_pct=D("0.5") if opening and rng.random() < 0.5 else None,
        )  # fmt: skip
        self.life.signal(wider(signal, self.widths) if self.varied else signal)


def simulate(seed: int, *, minutes: float = 2.0, faults: Faults | None = None) -> Result:
    """Run one seed; the same seed, faults and minutes give the same result."""
    chosen = faults if faults is not None else draw(seed)
    world = World(seed, chosen, minutes)
    result: Result = virtual.run(world.run(), Random(f"loop {seed}"))
    return msgspec.structs.replace(result, faults=drawn(chosen))
