"""Intake: turn a signal event into a case, which holds all that its judging needs to know."""

from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain.decision import LeverageRecord, SizingRecord
from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.settings import Settings, Strategy
from cerberus_trader.domain.signal import Level, Signal
from cerberus_trader.engine.leverage import confidence_level
from cerberus_trader.engine.state import (
    State,
    StrategyState,
    equity,
    key_of,
    strategy_of,
    strategy_state,
)


class Case:
    """Gather state, signal and market; later stages add leverage, size and levels.

    `action` is entry, add, close or reverse; `sign` is +1 buy, -1 sell, 0 close; `reference` is
    the price that levels are held against; `reserve_*` count open, working and unknown orders.
    """

    __slots__ = (
        "action", "cache_hit", "cache_key", "entry", "equity", "event", "held", "instrument",
        "key", "level", "levels", "leverage", "market", "marks", "name", "now", "position",
        "record", "reference", "settings", "sign", "signal", "sizing", "state", "stop_fraction",
        "strategy", "unit",
    )  # fmt: skip

    def __init__(self, state: State, event: SignalEvent) -> None:
        signal = event.signal
        self.state: State = state
        self.event: SignalEvent = event
        self.signal: Signal = signal
        self.market: Snapshot | None = event.market
        self.now: int = event.ts_ns
        self.settings: Settings = state.settings
        self.marks: Marks = event.market.marks if event.market else ()
        self.name: str = strategy_name(state.settings, signal.source)
        self.strategy: Strategy = strategy_of(state, self.name)
        self.record: StrategyState = strategy_state(state, self.name)
        self.instrument: Instrument | None = state.instruments.get(signal.instrument)
        self.equity: Decimal = equity(state, self.marks)
        self.key: str = key_of(self.strategy.account, signal.instrument)
        self.position: Position | None = state.positions.get(self.key)
        entries = state.entries.get(self.key)
        self.entry: Order | None = state.orders.get(entries[0]) if entries else None
        self.sign: int = 1 if signal.side == "buy" else -1 if signal.side == "sell" else 0
        self.action: str = action_of(self)
        self.level: Level = signal.level or confidence_level(
            signal.confidence, state.settings.intake.confidence_levels
        )
        self.reference: Decimal = ZERO
        self.stop_fraction: Decimal = ZERO
        self.levels: Levels | None = None
        self.held: Held = NOTHING
        self.unit: Decimal = ZERO
        self.cache_key: str = ""
        self.cache_hit: bool = False
        self.leverage: LeverageRecord | None = None
        self.sizing: SizingRecord | None = None

    @property
    def held_sign(self) -> int:
        """Return the side of the open position, else of the working entry, else 0."""
        if self.position is not None:
            return self.position.sign
        return self.entry.side if self.entry is not None else 0

    @property
    def owner(self) -> str:
        """Return the strategy that owns the place, empty where it is free."""
        if self.position is not None:
            return self.position.strategy
        return self.entry.strategy if self.entry is not None else ""


class Held(NamedTuple):
    """Hold what is open, working or unknown before this order, in account currency.

    `place` and `strategy` are the entries on their way to the order's place, and the strategy's.
    """

    gross: Decimal
    group: Decimal
    group_risk: Decimal
    free_margin: Decimal
    place: Decimal = ZERO
    strategy: Decimal = ZERO


NOTHING = Held(ZERO, ZERO, ZERO, ZERO)


def on_the_way(case: Case) -> tuple[Decimal, Decimal]:
    """Sum what entries may still fill: at the case's place, and of its strategy."""
    orders, place, strategy = case.state.orders, ZERO, ZERO
    for key, order_ids in case.state.entries.items():
        for order_id in order_ids:
            order = orders[order_id]
            left = order.notional
            if order.filled:
                left = left * (order.quantity - order.filled) / order.quantity
            if key == case.key:
                place += left
            if order.strategy == case.name:
                strategy += left
    return place, strategy


def held_of(case: Case, instrument: Instrument) -> Held:
    """Sum exposure at the last marks, over all and over the instrument's group, in one pass.

    Working and unknown orders count in full, so that no two signals share the same room.
    """
    state, instruments = case.state, case.state.instruments
    prices = dict(case.marks)
    gross = grouped = risk = ZERO
    margin = state.margin
    for name, open_ in state.exposures.items():
        mark = prices.get(name) or state.marks.get(name, ZERO)
        notional = (open_.long + open_.short) * mark
        gross += notional
        if instruments[name].group == instrument.group:
            grouped += notional
            risk += open_.risk
    for name, (notional, planned, locked) in state.reserved.items():
        gross += notional
        margin += locked
        if instruments[name].group == instrument.group:
            grouped += notional
            risk += planned
    place, strategy = on_the_way(case) if state.entries else (ZERO, ZERO)
    return Held(gross, grouped, risk, case.equity - margin, place, strategy)


class Levels:
    """Hold the planned protective levels, rounded: stop and take-profit prices at the reference."""

    __slots__ = ("fault", "liquidation", "stop", "take_profit", "trailing")

    def __init__(self) -> None:
        self.stop: Decimal | None = None
        self.take_profit: Decimal | None = None
        self.trailing: Decimal | None = None
        self.liquidation: Decimal | None = None
        self.fault: str = ""


def strategy_name(settings: Settings, source: str) -> str:
    """Return the strategy that accepts a source: its own name, a named source, or any."""
    strategies = settings.strategies
    if source in strategies:
        return source
    anyone = ""
    for name, strategy in strategies.items():
        if source in strategy.sources:
            return name
        if "*" in strategy.sources and not anyone:
            anyone = name
    return anyone


def action_of(case: Case) -> str:
    """Tell what the signal asks for, given what its strategy holds there."""
    held = case.held_sign
    if case.sign == 0:
        return "close"
    if not held or case.owner != case.name:
        return "entry"
    if case.sign == held:
        return "add" if case.strategy.add else "entry"
    return "reverse" if case.strategy.reverse else "close"
