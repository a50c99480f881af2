"""Facts: what is so after an event. Folding facts is the only way that state changes.

A fact holds the results, not the reasons to compute them again, so that a fold never decides;
what its own event says already stands in the event of its row, which the fold reads too.
`VERSION` grows when a fact's meaning changes; `journal/` reads old rows through upcasters.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import HealthState, Position, Trade
from cerberus_trader.domain.settings import Settings

VERSION = 1

TradingState = Literal["active", "reducing", "halted", "frozen"]


class ConfigApplied(msgspec.Struct, frozen=True, array_like=True, tag="config_applied", gc=False):
    """Hold the configuration that is in force from now on, with the instruments it knows."""

    ts_ns: int
    digest: str
    engine_id: str
    settings: Settings
    instruments: tuple[Instrument, ...]


class SignalJudged(msgspec.Struct, frozen=True, array_like=True, tag="judged", gc=False):
    """Hold the decision."""

    decision: Decision


class SignalIgnored(msgspec.Struct, frozen=True, array_like=True, tag="ignored", gc=False):
    """Say that a signal with a known id came again."""

    signal_id: str
    source: str


class OrderSubmitted(msgspec.Struct, frozen=True, array_like=True, tag="submitted", gc=False):
    """Hold an order that may now be sent."""

    order: Order


class CancelRequested(msgspec.Struct, frozen=True, array_like=True, tag="cancel", gc=False):
    """Say that an order's cancellation is asked for.

    Account and instrument are named for an order that the state no longer holds.
    """

    order_id: str
    reason: str
    account: str = ""
    instrument: str = ""


class ModifyRequested(msgspec.Struct, frozen=True, array_like=True, tag="modify", gc=False):
    """Say that another limit price and quantity of a resting entry are asked for."""

    order_id: str
    price: Decimal
    quantity: Decimal


class OrderReplaced(msgspec.Struct, frozen=True, array_like=True, tag="replaced", gc=False):
    """Hold an entry's limit price, quantity, notional and risk as they are at the venue now."""

    order_id: str
    price: Decimal
    quantity: Decimal
    notional: Decimal
    risk: Decimal


class OrderChanged(msgspec.Struct, frozen=True, array_like=True, tag="order", gc=False):
    """Hold an order's new status."""

    order_id: str
    status: Status
    reason: str = ""


class Filled(msgspec.Struct, frozen=True, array_like=True, tag="filled", gc=False):
    """Hold what booking a fill came to; what changed hands stands in the row's `FillReport`.

    `position_id` is the position that the fill met, or opened; `position` the one after it (None:
    closed). `realised` is the gain on what was closed, before fees; `trade` a closed trade. The
    protective orders that rest for the position follow from it (`position.protective_orders`).
    """

    strategy: str
    position_id: str
    realised: Decimal
    position: Position | None
    status: Status
    trade: Trade | None = None


class FundingBooked(msgspec.Struct, frozen=True, array_like=True, tag="funded", gc=False):
    """Hold a booked funding payment and the position after it, None where it has closed before."""

    ts_ns: int
    position: Position | None
    amount: Decimal
    payment_id: str = ""


class HealthChanged(msgspec.Struct, frozen=True, array_like=True, tag="health", gc=False):
    """Hold a position's new state of health."""

    account: str
    instrument: str
    state: HealthState
    stale: bool
    reason: str


class StrategyScored(msgspec.Struct, frozen=True, array_like=True, tag="scored", gc=False):
    """Hold a strategy's record after a closed trade; `success_low` is the Wilson lower bound."""

    strategy: str
    wins: int
    losses: int
    streak: int
    total_streak: int
    success_low: float
    probation_left: int


class FailureCounted(msgspec.Struct, frozen=True, array_like=True, tag="failure", gc=False):
    """Hold the count of consecutive order failures and when their window began.

    `order_id` names the order that failed, which counts once however its failure ends.
    """

    count: int
    since_ns: int
    order_id: str = ""


class BreakerTripped(msgspec.Struct, frozen=True, array_like=True, tag="tripped", gc=False):
    """Say that a condition tripped: its value, limit, and what it does. Always an alert (K-01)."""

    ts_ns: int
    condition: str
    scope: str
    value: str
    limit: str
    action: str


class BreakerReset(msgspec.Struct, frozen=True, array_like=True, tag="reset", gc=False):
    """Say that conditions were released: by a person after a trip, or by the new day."""

    ts_ns: int
    conditions: tuple[str, ...]
    actor: str
    reason: str
    probation: int


class TradingStateChanged(msgspec.Struct, frozen=True, array_like=True, tag="state", gc=False):
    """Hold the operator's state of trading; `flatten` keeps closing what opens, until a resume."""

    state: TradingState
    actor: str
    reason: str
    flatten: bool = False


class StrategyChanged(msgspec.Struct, frozen=True, array_like=True, tag="strategy", gc=False):
    """Hold a strategy's status as an operator set it; empty where the configuration's counts."""

    strategy: str
    status: Literal["active", "paused", "stopped", ""]
    actor: str


class CommandRefused(msgspec.Struct, frozen=True, array_like=True, tag="refused", gc=False):
    """Say why an operator's command was not carried out."""

    command: str
    actor: str
    reason: str


class DayStarted(msgspec.Struct, frozen=True, array_like=True, tag="day", gc=False):
    """Hold the equity a UTC day starts with, over all and per strategy (their P&L so far)."""

    day: int
    equity: Decimal
    strategies: tuple[tuple[str, Decimal], ...]


class PeakRaised(msgspec.Struct, frozen=True, array_like=True, tag="peak", gc=False):
    """Hold a new equity peak: a higher one, or the one that a reset begins with."""

    equity: Decimal


class CommandRepeated(msgspec.Struct, frozen=True, array_like=True, tag="repeated", gc=False):
    """Say that a command was carried out before, at `ts_ns`; nothing is done again."""

    command: str
    actor: str
    command_id: str
    ts_ns: int


class CashMoved(msgspec.Struct, frozen=True, array_like=True, tag="cash", gc=False):
    """Hold a deposit (positive) or withdrawal (negative)."""

    amount: Decimal
    actor: str


class LinkChanged(msgspec.Struct, frozen=True, array_like=True, tag="link", gc=False):
    """Say that an account must be reconciled before anything new is opened on it, and why."""

    account: str
    state: str
    reason: str


class OrderDoubted(msgspec.Struct, frozen=True, array_like=True, tag="doubted", gc=False):
    """Hold how often a venue did not know an order, since when; only late absences count."""

    order_id: str
    since_ns: int
    absent: int


class MismatchFound(msgspec.Struct, frozen=True, array_like=True, tag="mismatch", gc=False):
    """Say where our books and the venue's differ, and what is done about it. Always an alert.

    A `suspected` one was seen once: it may be a report that is still on its way.
    """

    ts_ns: int
    account: str
    kind: str
    place: str
    ours: str
    theirs: str
    action: Literal["suspected", "noted", "frozen", "canceled", "closed"]

    def detail(self) -> str:
        """Return what must be there a second time unchanged before anything is done.

        Of balances and positions the difference alone: both move from look to look while trading
        goes on; so does a position that its stop is too small for, and the stop's size does not.
        """
        if self.kind in ("balance", "position") and self.ours:
            return f"{self.kind} {plain(Decimal(self.theirs) - Decimal(self.ours))}"
        if self.kind == "unprotected" and self.theirs != "absent":
            return f"unprotected part {self.theirs}"
        return f"{self.kind} {self.ours} {self.theirs}"


class SuspicionEnded(msgspec.Struct, frozen=True, array_like=True, tag="unsuspected", gc=False):
    """Say that a difference is no longer there (without an account: in any)."""

    place: str
    account: str = ""


class PositionCorrected(msgspec.Struct, frozen=True, array_like=True, tag="corrected", gc=False):
    """Hold a position as the venue has it (None: none), where our books said otherwise."""

    ts_ns: int
    account: str
    instrument: str
    before: Position | None
    after: Position | None
    reason: str


class BalanceCorrected(msgspec.Struct, frozen=True, array_like=True, tag="balance", gc=False):
    """Hold what must be added to our balance to agree with the venue's."""

    ts_ns: int
    account: str
    amount: Decimal
    reason: str


class Reconciled(msgspec.Struct, frozen=True, array_like=True, tag="reconciled", gc=False):
    """Say that our books and the venue's agreed at the venue's time; exposure may be opened.

    Bookings older than `venue_ns` need not be asked for again.
    """

    ts_ns: int
    account: str
    venue_ns: int
    cause: str
    orders: int
    positions: int


class VenueLeft(msgspec.Struct, frozen=True, array_like=True, tag="venue_left", gc=False):
    """Say that an account is traded on paper inside the engine now: no venue has a word on it."""

    account: str


class AnomalyNoted(msgspec.Struct, frozen=True, array_like=True, tag="anomaly", gc=False):
    """Say that a venue said something that cannot be right. Always an alert."""

    ts_ns: int
    account: str
    kind: str
    place: str
    detail: str


class RetentionApplied(msgspec.Struct, frozen=True, array_like=True, tag="retention", gc=False):
    """Say that a segment's rows, or what the audit kept of them, may be deleted now, and why."""

    what: Literal["rows", "audit"]
    first_seq: int
    last_seq: int
    reason: str
    actor: str


class FeedChanged(msgspec.Struct, frozen=True, array_like=True, tag="feed", gc=False):
    """Say that an instrument's feed fell silent in its market hours, or speaks again."""

    ts_ns: int
    instrument: str
    silent: bool


class Faulted(msgspec.Struct, frozen=True, array_like=True, tag="faulted", gc=False):
    """Say that deciding raised; the state did not change, and trading halts."""

    error: str
    event: str


Fact = (
    ConfigApplied
    | SignalJudged
    | SignalIgnored
    | OrderSubmitted
    | CancelRequested
    | ModifyRequested
    | OrderReplaced
    | OrderChanged
    | Filled
    | FundingBooked
    | HealthChanged
    | StrategyScored
    | FailureCounted
    | BreakerTripped
    | BreakerReset
    | TradingStateChanged
    | StrategyChanged
    | CommandRefused
    | CommandRepeated
    | DayStarted
    | PeakRaised
    | CashMoved
    | LinkChanged
    | OrderDoubted
    | MismatchFound
    | SuspicionEnded
    | PositionCorrected
    | BalanceCorrected
    | Reconciled
    | VenueLeft
    | AnomalyNoted
    | FeedChanged
    | Faulted
    | RetentionApplied
)
