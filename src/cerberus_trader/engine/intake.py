"""Intake: turn a signal event into a case, which holds all that its judging needs to know."""

from decimal import Decimal

import msgspec

from cerberus_trader.domain.decision import LeverageRecord, SizingRecord
from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.instrument import BARE, Instrument, MarginLevel
from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position, protective_ids
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
    """Gather state, signal and market; later stages add levels, leverage and size.

    `action` is entry, add, close or reverse; `sign` is +1 buy, -1 sell, 0 close; `owner` and
    `held_sign` say whose the place is and on which side, empty and 0 where it is free;
    `reference` is the price that levels are held against; `raw_stop` the stop before rounding;
    `unit` the loss per notional at the stop, `planned` that of the whole order; `away` how far the
    stop may lie that comes to hold for it, as a share of the price, `risk` what may be lost then;
    `margin` what the order locks.
    """

    __slots__ = (
        "action", "away", "cache_hit", "cache_key", "entry", "equity", "event", "fault",
        "granted", "held", "held_sign", "instrument", "key", "level", "leverage", "limits",
        "liquidation", "margin", "market", "marks", "name", "notional", "now", "owner", "planned",
        "position", "quantity", "raw_stop", "record", "reference", "risk", "settings", "sign",
        "signal", "sizing", "state", "stop", "stop_fraction", "strategy", "take_profit",
        "trailing", "unit",
    )  # fmt: skip

    def __init__(self, state: State, event: SignalEvent) -> None:
        signal, settings, market = event.signal, state.settings, event.market
        self.state: State = state
        self.event: SignalEvent = event
        self.signal: Signal = signal
        self.market: Snapshot | None = market
        self.now: int = event.ts_ns
        self.settings: Settings = settings
        self.marks: Marks = market.marks if market is not None else ()
        self.name: str = strategy_name(settings, signal.source)
        self.strategy: Strategy = strategy_of(state, self.name)
        self.record: StrategyState = strategy_state(state, self.name)
        self.instrument: Instrument | None = state.instruments.get(signal.instrument)
        self.equity: Decimal = equity(state, self.marks)
        self.key: str = key_of(self.strategy.account, signal.instrument)
        self.position: Position | None = state.positions.get(self.key)
        entries = state.entries.get(self.key)
        self.entry: Order | None = state.orders.get(entries[0]) if entries else None
        self.sign: int = 1 if signal.side == "buy" else -1 if signal.side == "sell" else 0
        self.owner: str = ""
        self.held_sign: int = 0
        if self.position is not None:
            self.owner, self.held_sign = self.position.strategy, self.position.sign
        elif self.entry is not None:
            self.owner, self.held_sign = self.entry.strategy, self.entry.side
        self.action: str = action_of(self)
        self.level: Level = signal.level or confidence_level(
            signal.confidence, settings.intake.confidence_levels
        )
        self.limits: Limits = NO_LIMITS
        self.reference: Decimal = ZERO
        self.stop: Decimal | None = None
        self.raw_stop: Decimal | None = None
        self.take_profit: Decimal | None = None
        self.trailing: Decimal | None = None
        self.stop_fraction: Decimal = ZERO
        self.away: Decimal = ZERO
        self.fault: str = ""
        self.liquidation: MarginLevel | None = None
        self.held: Held = NOTHING
        self.cache_key: str = ""
        self.cache_hit: bool = False
        self.leverage: LeverageRecord | None = None
        self.sizing: SizingRecord | None = None
        self.granted: Decimal = ZERO
        self.quantity: Decimal = ZERO
        self.notional: Decimal = ZERO
        self.unit: Decimal = ZERO
        self.risk: Decimal = ZERO
        self.planned: Decimal = ZERO
        self.margin: Decimal = ZERO


class Limits(msgspec.Struct, frozen=True, gc=False):
    """Hold the limits that scale with equity, as notional in account currency."""

    position: Decimal
    group: Decimal
    gross: Decimal
    strategy: Decimal
    group_risk: Decimal


NO_LIMITS = Limits(ZERO, ZERO, ZERO, ZERO, ZERO)


def limits_of(settings: Settings, strategy: Strategy, equity: Decimal) -> Limits:
    """Return the limits that scale with equity."""
    risk = settings.risk
    gross = risk.gross_exposure_max * equity
    return Limits(
        risk.position_exposure_max * equity, risk.group_exposure_max * equity, gross,
        gross * strategy.budget, risk.group_risk_max * equity,
    )  # fmt: skip


class Held(msgspec.Struct, frozen=True, gc=False):
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
        mark = prices.get(name) or state.marks.get(name)
        # what was found in an account may have no price yet: it counts at what it cost
        notional = (open_.long + open_.short) * mark if mark else abs(open_.cost)
        gross += notional
        if instruments.get(name, BARE).group == instrument.group:
            grouped += notional
            risk += open_.risk
    for name, (notional, planned, locked) in state.reserved.items():
        gross += notional
        margin += locked
        if instruments.get(name, BARE).group == instrument.group:
            grouped += notional
            risk += planned
    risk += unstopped(state, instrument.group)
    place, strategy = on_the_way(case) if state.entries else (ZERO, ZERO)
    return Held(gross, grouped, risk, case.equity - margin, place, strategy)


def unstopped(state: State, group: str) -> Decimal:
    """Return what a group's positions without a stop may lose beyond what was planned."""
    beyond = ZERO
    if state.unsure or state.suspects:
        doubtful = list(state.positions.values())
    else:
        doubtful = [held for held in state.positions.values() if held.stop is None]
    for position in doubtful:
        missing = stop_missing(state, position)
        if missing or (position.stop is None and position.trailing is None):
            item = state.instruments.get(position.instrument, BARE)
            if item.group == group:
                beyond += position.open_risk(item.tiers, missing=missing) - position.stop_risk
    return beyond


def stop_missing(state: State, position: Position) -> bool:
    """Tell whether nobody knows that a stop still rests at the venue, or it is known not to.

    It was missed twice, and the close of its position may yet fail.
    """
    for name in protective_ids(position.id):
        leg = state.orders.get(name)
        if leg is None or leg.kind == "take_profit":
            continue
        if leg.status is Status.UNKNOWN:
            return True
        detail, acted = state.suspects.get(key_of(position.account, name), ("", False))
        if acted and detail.startswith("unprotected"):
            return True
    return False


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
