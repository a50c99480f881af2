"""Events: everything that comes into the engine, numbered and stamped by the inbox.

An event carries all that deciding on it needs; nothing is looked up outside.
"""

from decimal import Decimal
from typing import Literal

import msgspec

from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.domain.order import Reason
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.signal import Signal


class ConfigEvent(msgspec.Struct, frozen=True, array_like=True, tag="config", gc=False):
    """Carry a whole validated configuration and the instruments it knows."""

    ts_ns: int
    settings: Settings
    digest: str
    instruments: tuple[Instrument, ...]
    engine_id: str = ""
    actor: str = "start"
    marks: Marks = ()


class SignalEvent(msgspec.Struct, frozen=True, array_like=True, tag="signal", gc=False):
    """Carry a signal and the market it is judged on (None: no price is known yet)."""

    ts_ns: int
    signal: Signal
    market: Snapshot | None


class FillReport(msgspec.Struct, frozen=True, array_like=True, tag="fill", gc=False):
    """Carry the venue's word of a fill.

    `reason` is the leg that filled; `margin` is the isolated wallet after it, and `stop`,
    `take_profit`, `trailing` what rests for the position after it; `marks` price the exposure.
    `sequence` numbers an account's bookings, where the venue does (0: it does not): they are
    then taken in that order, however they arrive.
    """

    ts_ns: int
    order_id: str
    trade_id: str
    account: str
    instrument: str
    side: int
    quantity: Decimal
    price: Decimal
    fee: Decimal
    liquidity: Literal["maker", "taker"]
    reason: Reason
    margin: Decimal
    leaves: Decimal
    stop: Decimal | None = None
    take_profit: Decimal | None = None
    trailing: Decimal | None = None
    marks: Marks = ()
    sequence: int = 0


class OrderReport(msgspec.Struct, frozen=True, array_like=True, tag="report", gc=False):
    """Carry the venue's (or the gate's) word of an order's state, other than a fill.

    `retry` says of a proven rejection that the cause will pass (a rate limit, a busy venue);
    `filled` is all that the venue has filled of the order, where it tells.
    """

    ts_ns: int
    order_id: str
    state: Literal["accepted", "rejected", "canceled", "expired", "not_sent", "unknown"]
    reason: str = ""
    retry: bool = False
    filled: Decimal | None = None


class OrderModified(msgspec.Struct, frozen=True, array_like=True, tag="modified", gc=False):
    """Carry the venue's word that a resting entry now has this limit price and whole quantity."""

    ts_ns: int
    order_id: str
    price: Decimal
    quantity: Decimal


class ModifyNotSent(msgspec.Struct, frozen=True, array_like=True, tag="modify_not_sent", gc=False):
    """Carry the gate's word that a change never left: the order is at the venue what it was.

    `price` and `quantity` are what was asked for.
    """

    ts_ns: int
    order_id: str
    reason: str
    price: Decimal | None = None
    quantity: Decimal | None = None


class FundingReport(msgspec.Struct, frozen=True, array_like=True, tag="funding", gc=False):
    """Carry a funding payment: `amount` is what the position paid (negative: received).

    A `payment_id`, where the venue gives one, keeps it from being booked twice.
    """

    ts_ns: int
    account: str
    instrument: str
    rate: Decimal
    price: Decimal
    amount: Decimal
    margin: Decimal
    marks: Marks = ()
    payment_id: str = ""
    sequence: int = 0

    @property
    def name(self) -> str:
        """Return the name that it is booked once by: venues number trades and payments apart."""
        return f"funding {self.payment_id}" if self.payment_id else ""


class TransferReport(msgspec.Struct, frozen=True, array_like=True, tag="transfer", gc=False):
    """Carry money that was moved into an account at its venue (negative: out of it)."""

    ts_ns: int
    account: str
    amount: Decimal
    transfer_id: str
    marks: Marks = ()
    sequence: int = 0

    @property
    def name(self) -> str:
        """Return the name that it is booked once by: venues number trades and transfers apart."""
        return f"transfer {self.transfer_id}"


class LevelHit(msgspec.Struct, frozen=True, array_like=True, tag="level", gc=False):
    """Carry the hit of an engine level: `kind` equity, margin or silence, `scope` whose.

    Scope is a strategy or empty (all) for equity, account/instrument for margin and silence.
    """

    ts_ns: int
    kind: Literal["equity", "margin", "silence"]
    scope: str
    marks: Marks = ()


class TimerEvent(msgspec.Struct, frozen=True, array_like=True, tag="timer", gc=False):
    """Carry a point in time: `day` starts a UTC day, `health` is the position check."""

    ts_ns: int
    kind: Literal["day", "health"]
    marks: Marks = ()


class OperatorEvent(msgspec.Struct, frozen=True, array_like=True, tag="operator", gc=False):
    """Carry a person's command; `authorised` says that the shell verified role and token.

    A modification names the order as target, and a new limit price, quantity (amount), or both.
    Money that is moved with a `command_id` is moved once, however often it is given.
    """

    ts_ns: int
    command: Literal[
        "halt", "resume", "flatten", "cancel_all", "reset_breaker", "deposit", "withdraw",
        "pause_strategy", "resume_strategy", "stop_strategy", "shutdown", "freeze", "thaw",
        "modify",
    ]  # fmt: skip
    actor: str
    reason: str = ""
    target: str = ""
    amount: Decimal | None = None
    price: Decimal | None = None
    authorised: bool = False
    marks: Marks = ()
    command_id: str = ""


NO_LINE, NO_LOOK = "no connection for", "no look at the account for"
"""How the reasons begin why nothing is known of an account for a while."""


class LinkEvent(msgspec.Struct, frozen=True, array_like=True, tag="link", gc=False):
    """Carry the state of the line to an account's venue: nothing is known while it is down."""

    ts_ns: int
    account: str
    state: Literal["connecting", "connected", "lost"]
    reason: str = ""


class OrderStatus(msgspec.Struct, frozen=True, array_like=True, tag="status", gc=False):
    """Carry the venue's answer to a query of one order, None where it knows no such order.

    `venue_ns` is the venue's own time of the answer. Every fill that the venue had reported by
    then has been taken before.
    """

    ts_ns: int
    order_id: str
    venue_ns: int
    order: VenueOrder | None = None


class AccountReport(msgspec.Struct, frozen=True, array_like=True, tag="account", gc=False):
    """Carry all that a venue holds for an account: working orders, positions, cash.

    As with a query, every earlier fill has been taken before. `balance` is the wallet balance:
    deposits and realised gains less fees and funding; None where the venue does not tell.
    """

    ts_ns: int
    account: str
    venue_ns: int
    cause: Literal["start", "timer", "reconnect", "operator"]
    orders: tuple[VenueOrder, ...] = ()
    positions: tuple[VenuePosition, ...] = ()
    balance: Decimal | None = None
    marks: Marks = ()


class Anomaly(msgspec.Struct, frozen=True, array_like=True, tag="anomaly", gc=False):
    """Carry something that a venue said and that cannot be right; nothing was booked of it.

    A flood is more than can be taken: its line was broken, and all of it is asked for again.
    """

    ts_ns: int
    account: str
    kind: Literal["garbage", "trade_conflict", "out_of_order", "flood", "not_ours", "gap"]
    place: str
    detail: str


Condition = Literal[
    "latency", "clock_drift", "loop_lag", "memory", "memory_hard", "feed", "volatility"
]  # fmt: skip


class Measured(msgspec.Struct, frozen=True, array_like=True, tag="measured", gc=False):
    """Carry a measurement that has crossed its limit: ms, MB, or a daily fraction of volatility.

    `scope` is a feed's instrument.
    """

    ts_ns: int
    condition: Condition
    value: float
    scope: str = ""
    marks: Marks = ()


class EndOfData(msgspec.Struct, frozen=True, array_like=True, tag="end", gc=False):
    """Carry the end of a replay's prices; `close` asks for closing what is open."""

    ts_ns: int
    close: bool
    marks: Marks = ()


class RetentionEvent(msgspec.Struct, frozen=True, array_like=True, tag="retention", gc=False):
    """Carry the deletion of a sealed segment of the journal, journalled before its file goes.

    `what` goes: its rows, of which `audit_rows` are kept in an extract with the SHA-256
    `audit_digest`, or in time that extract. `last_hash` is the last row's hash (both hex).
    """

    ts_ns: int
    what: Literal["rows", "audit"]
    first_seq: int
    last_seq: int
    last_hash: str
    rows: int
    audit_rows: int
    audit_digest: str
    reason: str
    actor: str


Event = (
    ConfigEvent
    | SignalEvent
    | FillReport
    | OrderReport
    | OrderModified
    | ModifyNotSent
    | FundingReport
    | TransferReport
    | LevelHit
    | TimerEvent
    | OperatorEvent
    | LinkEvent
    | OrderStatus
    | AccountReport
    | Anomaly
    | Measured
    | EndOfData
    | RetentionEvent
)


def marks_of(event: Event) -> Marks:
    """Return the prices that an event brings of what is held; empty where it brings none."""
    if type(event) is SignalEvent:
        return event.market.marks if event.market is not None else ()
    marks: Marks = getattr(event, "marks", ())
    return marks
