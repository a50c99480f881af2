"""The engine's state: everything that was decided and booked, and nothing that ticks.

Only `engine/apply.py` changes it, by folding facts. It holds no price but those that events
brought, so that it is the same however the prices were searched.
"""

import hashlib
from collections import OrderedDict
from decimal import Decimal

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, JournalError
from cerberus_trader.domain.facts import TradingState
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.settings import Settings, Strategy

DAY_NS = 86_400_000_000_000
ADOPTED = "adopted"
"""The strategy that owns what was found in an account and is nobody's."""
ENDED_MAX = 1_000
ENDED_LATE_MAX = 5_000
"""So many at most, where the venue may still tell of fills of theirs."""
TRADES_MAX = 20_000
COMMANDS_MAX = 1_000


class Exposure(msgspec.Struct, array_like=True):
    """Sum the open positions of one instrument: `cost` is signed (long minus short)."""

    long: Decimal = ZERO
    short: Decimal = ZERO
    cost: Decimal = ZERO
    risk: Decimal = ZERO


class StrategyState(msgspec.Struct, array_like=True):
    """Hold a strategy's record: `booked` is its P&L so far, fees and funding included.

    `day_base` is its P&L when the day began; `books` its net quantity and net cost by
    instrument; `streak` its consecutive losing trades.
    """

    status: str = ""
    booked: Decimal = ZERO
    day_base: Decimal = ZERO
    books: dict[str, tuple[Decimal, Decimal]] = {}
    gross: Decimal = ZERO
    positions: int = 0
    wins: int = 0
    losses: int = 0
    streak: int = 0
    success_low: float = 0.0


class Trip(msgspec.Struct, array_like=True, frozen=True):
    """Hold a latched breaker condition; a `lasting` one does not end with the day."""

    ts_ns: int
    scope: str
    value: str
    limit: str
    action: str
    lasting: bool = False


class Ended(msgspec.Struct, array_like=True, frozen=True):
    """Remember an order that ended, how, and what of it has filled: late fills may still come."""

    order: Order
    status: Status
    filled: Decimal = ZERO
    ended_ns: int = 0


class Target(msgspec.Struct, array_like=True, frozen=True):
    """Hold how much of a place is `owed`: signals have closed it, and it is open or on its way.

    `entry` is the one that was closed. What they were about is `of`: what was held, and what may
    yet fill of `entries`. A close that came to nothing is sent again after `after_ns`; `tries` of
    them were.
    """

    entry: str
    owed: Decimal
    of: Decimal
    entries: tuple[str, ...] = ()
    tries: int = 0
    after_ns: int = 0


class CacheEntry(msgspec.Struct, array_like=True, frozen=True):
    """Hold an analysis: leverage factors and raw leverage, until `expires_ns`."""

    expires_ns: int
    inputs: tuple[float, ...]
    factors: tuple[float, ...]
    raw: float


class Counters(msgspec.Struct):
    """Count what happened, from the journal's beginning."""

    signals: int = 0
    approved: int = 0
    denied: dict[str, int] = {}
    repeated: int = 0
    orders: int = 0
    fills: int = 0
    trades: int = 0
    wins: int = 0
    losses: int = 0
    liquidations: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    faults: int = 0
    anomalies: int = 0
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    realised: Decimal = ZERO
    corrections: Decimal = ZERO


class State(msgspec.Struct):
    """Hold the whole state; `risk_version` moves with all that risk depends on.

    `entries` and `closings` list the working orders of a place (see `key_of`), oldest first.
    `unreconciled` names accounts on which nothing new may be opened, and why; `agreed` until when,
    by the venue's clock, our books and the venue's were last seen to agree; `doubts` since when
    and how often a venue denied an order; `suspects` the differences seen, by account and place,
    and whether acted on, `suspected_ns` since when by the venue's clock, `sightings` in how many
    looks; `filled_ns` when the last fill of a place was booked;
    `silent` since when an instrument's feed says nothing; `flattening` that an operator wants
    nothing open; `failed` the orders of unknown outcome that were counted as failures;
    `cooldown_ms` the longest cool-down that was configured since something tripped; `lost` the
    entries of ours that only the venue remembers, and when it told of them; `window_end_ns` until
    when an order may arrive that was sent under a longer `submit_window_ms`; `unsure` the stops
    of which nobody knows whether they rest at their venue; `forgotten_ns` when the newest signal
    was judged that is no longer in `seen`; `changes` the price and quantity that were asked for an
    entry, and when, until the venue tells them; `targets` how much of a place signals have
    closed and is open; `commands` when money was moved by a command's id, and how much; `halted`
    that trading was halted, also where a freeze covers it.
    """

    engine_id: str = ""
    settings: Settings = Settings()
    config: str = ""
    instruments: dict[str, Instrument] = {}
    now_ns: int = 0
    seq: int = 0
    balance: Decimal = ZERO
    flows: Decimal = ZERO
    peak: Decimal = ZERO
    day: int = -1
    day_equity: Decimal = ZERO
    margin: Decimal = ZERO
    trading: TradingState = "active"
    flattening: bool = False
    trips: dict[str, Trip] = {}
    probation_left: int = 0
    streak: int = 0
    failures: int = 0
    failures_since_ns: int = 0
    risk_version: int = 0
    positions: dict[str, Position] = {}
    exposures: dict[str, Exposure] = {}
    orders: dict[str, Order] = {}
    entries: dict[str, tuple[str, ...]] = {}
    closings: dict[str, tuple[str, ...]] = {}
    reserved: dict[str, tuple[Decimal, Decimal, Decimal]] = {}
    ended: dict[str, Ended] = msgspec.field(default_factory=OrderedDict)
    unreconciled: dict[str, str] = {}
    agreed: dict[str, int] = {}
    doubts: dict[str, tuple[int, int]] = {}
    suspects: dict[str, tuple[str, bool]] = {}
    silent: dict[str, int] = {}
    trade_ids: dict[str, int] = msgspec.field(default_factory=OrderedDict)
    marks: dict[str, Decimal] = {}
    seen: dict[str, int] = msgspec.field(default_factory=OrderedDict)
    cache: dict[str, CacheEntry] = msgspec.field(default_factory=OrderedDict)
    strategies: dict[str, StrategyState] = {}
    counters: Counters = msgspec.field(default_factory=Counters)
    failed: dict[str, int] = {}
    cooldown_ms: int = 0
    lost: dict[str, int] = msgspec.field(default_factory=OrderedDict)
    window_end_ns: int = 0
    unsure: dict[str, None] = {}
    suspected_ns: dict[str, int] = {}
    sightings: dict[str, int] = {}
    filled_ns: dict[str, int] = {}
    forgotten_ns: int = 0
    changes: dict[str, tuple[int, Decimal, Decimal]] = {}
    targets: dict[str, Target] = {}
    commands: dict[str, tuple[int, Decimal]] = msgspec.field(default_factory=OrderedDict)
    halted: bool = False

    def __post_init__(self) -> None:
        self.halted |= self.trading == "halted"  # a snapshot of before may not say so
        # what forgets its oldest entry: a plain dict takes longer to find it the more it forgot
        self.ended, self.trade_ids = OrderedDict(self.ended), OrderedDict(self.trade_ids)
        self.seen, self.cache = OrderedDict(self.seen), OrderedDict(self.cache)
        self.lost, self.commands = OrderedDict(self.lost), OrderedDict(self.commands)


def key_of(account: str, instrument: str) -> str:
    """Name a position's place: one per account and instrument (one-way)."""
    return f"{account}/{instrument}"


def equity(state: State, marks: Marks = ()) -> Decimal:
    """Return balance plus unrealised P&L at the given marks, else at the last known ones."""
    total = state.balance
    exposures = state.exposures
    if not exposures:
        return total
    priced = 0
    for name, price in marks:
        open_ = exposures.get(name)
        if open_ is not None:
            total += (open_.long - open_.short) * price - open_.cost
            priced += 1
    if priced < len(exposures):
        given = {name for name, _ in marks}
        for name, open_ in exposures.items():
            if name not in given and name in state.marks:
                total += (open_.long - open_.short) * state.marks[name] - open_.cost
    return total


def strategy_pnl(state: State, name: str, marks: Marks = ()) -> Decimal:
    """Return a strategy's P&L so far: booked plus unrealised at the marks."""
    record = state.strategies.get(name)
    if record is None:
        return ZERO
    total = record.booked
    if record.books:
        prices = dict(marks)
        for instrument, (net, cost) in record.books.items():
            price = prices.get(instrument) or state.marks.get(instrument)
            if price is not None:
                total += net * price - cost
    return total


def strategy_from(settings: Settings, name: str) -> Strategy:
    """Return a strategy's configuration; one that left the configuration keeps defaults."""
    return settings.strategies.get(name) or Strategy()


def strategy_of(state: State, name: str) -> Strategy:
    """Return the configuration in force of a strategy."""
    return state.settings.strategies.get(name) or Strategy()


def strategy_state(state: State, name: str) -> StrategyState:
    """Return a strategy's record, empty where it has none yet (the state is not changed)."""
    return state.strategies.get(name) or StrategyState()


def drawdown(state: State, now: Decimal) -> Decimal:
    """Return the fall from the equity peak as a fraction of the peak, at least 0."""
    if state.peak <= ZERO or now >= state.peak:
        return ZERO
    return (state.peak - now) / state.peak


def day_fraction(state: State, now: Decimal) -> Decimal:
    """Return the day's P&L, open positions included, as a fraction of day-start equity."""
    if state.day_equity <= ZERO:
        return ZERO
    return (now - state.day_equity) / state.day_equity


def state_bytes(state: State) -> bytes:
    """Encode the state, for snapshots and for the hash.

    Names stay in the order in which they came: it follows from the facts alone, and says which
    entry is forgotten first.
    """
    return msgspec.json.encode(state)


def state_from(data: bytes) -> State:
    """Decode a snapshot's state; raise `JournalError` where it is none."""
    try:
        return msgspec.json.decode(data, type=State)
    except UNREADABLE as error:
        raise JournalError(
            f"the snapshot cannot be read: {error}.", code="JOURNAL_SNAPSHOT",
            fix="start the release that wrote it.",
        ) from None  # fmt: skip


def state_hash(state: State) -> str:
    """Return the SHA-256 of the canonical state."""
    return hashlib.sha256(state_bytes(state)).hexdigest()
