"""Orders: their states, the table of transitions, and the derived ids.

Everything that decides which status may follow which stands in `TRANSITIONS`. A fill is a fact
from any status, terminal ones included (FILL_ALWAYS): what the venue did is always booked.
"""

import hashlib
import zlib
from decimal import Decimal
from enum import Enum
from typing import Literal

import msgspec

from cerberus_trader.domain.money import ONE, ZERO

BUY, SELL = 1, -1


class Status(Enum):
    """Name the states of an order."""

    SUBMITTED = "submitted"
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    PENDING_CANCEL = "pending_cancel"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    NOT_SENT = "not_sent"
    UNKNOWN = "unknown"


_S = Status
_ENDS = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED})
FILL_ALWAYS = (_S.PARTIALLY_FILLED, _S.FILLED)

TRANSITIONS: dict[Status, frozenset[Status]] = {
    _S.SUBMITTED: _ENDS
    | {
        _S.ACCEPTED,
        _S.PARTIALLY_FILLED,
        _S.PENDING_CANCEL,
        _S.REJECTED,
        _S.NOT_SENT,
        _S.UNKNOWN,
    },
    _S.ACCEPTED: _ENDS | {_S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.REJECTED, _S.UNKNOWN},
    _S.PARTIALLY_FILLED: _ENDS | {_S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.UNKNOWN},
    # a cancel is a request: it is asked for again until the order's end, whatever else is said
    _S.PENDING_CANCEL: _ENDS | {_S.PARTIALLY_FILLED, _S.REJECTED, _S.NOT_SENT},
    # nobody knows yet: a report, a query, or proof of absence ends it
    _S.UNKNOWN: _ENDS
    | {_S.ACCEPTED, _S.PARTIALLY_FILLED, _S.PENDING_CANCEL, _S.REJECTED, _S.NOT_SENT},
    # real venues report fills after the end; they are booked, and alerted
    _S.FILLED: frozenset(FILL_ALWAYS),
    _S.CANCELED: frozenset(FILL_ALWAYS),
    _S.EXPIRED: frozenset(FILL_ALWAYS),
    _S.REJECTED: frozenset(FILL_ALWAYS),
    _S.NOT_SENT: frozenset(FILL_ALWAYS),
}
TERMINAL = frozenset({_S.FILLED, _S.CANCELED, _S.EXPIRED, _S.REJECTED, _S.NOT_SENT})
WORKING = frozenset(set(Status) - TERMINAL)

Kind = Literal["market", "limit", "stop", "take_profit", "trailing"]
Reason = Literal[
    "entry",
    "add",
    "signal",
    "stop_loss",
    "take_profit",
    "trailing_stop",
    "liquidation",
    "deleveraging",
    "margin",
    "breaker",
    "operator",
    "end_of_data",
]


FORCED = ("liquidation", "deleveraging")
"""For which reasons a venue closes a position by itself, past every order of ours."""
EMERGENCY = "emergency"
"""Whose orders are those that a person sends past the engine."""
GROUP_DIGITS = 24
"""How long an id of ours is without the letter that names the leg of its group."""


def may_follow(status: Status, following: Status) -> bool:
    """Tell whether an order in one status may come into the other."""
    return following in TRANSITIONS[status]


def order_id(engine_id: str, account: str, strategy: str, signal_id: str, attempt: int = 0) -> str:
    """Derive the id of an order group: 24 hex digits of a hash; legs add a letter.

    The same input gives the same id after a restart, so that an order is never doubled. The last
    four digits check the others with the engine's id: an engine knows its own without a memory.
    """
    text = f"{engine_id}\0{account}\0{strategy}\0{signal_id}\0{attempt}"
    name = hashlib.blake2b(text.encode(), digest_size=10).hexdigest()
    return name + own_mark(engine_id, name)


def own_mark(engine_id: str, name: str) -> str:
    """Return the digits with which an engine marks the ids that it derives."""
    return f"{zlib.crc32(f'{engine_id}{name}'.encode()) & 0xFFFF:04x}"


def emergency_id(engine_id: str, account: str, name: str, attempt: int) -> str:
    """Derive the id of a close past the engine: of the position that the venue calls so."""
    return order_id(engine_id, account, EMERGENCY, name, attempt) + "x"


def is_own(engine_id: str, leg_id: str) -> bool:
    """Tell whether an order's id, its leg's letter included, was derived by this engine."""
    return len(leg_id) == 25 and own_mark(engine_id, leg_id[:20]) == leg_id[20:24]


class Bracket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Say which protective orders an entry brings (OTO), of which one cancels the others (OCO).

    Prices are final; percentages (of 100) count from the entry's fill price.
    """

    stop: Decimal | None = None
    stop_pct: Decimal | None = None
    take_profit: Decimal | None = None
    take_profit_pct: Decimal | None = None
    trailing: Decimal | None = None
    trailing_pct: Decimal | None = None
    take_profit_limit: bool = False

    @property
    def protects(self) -> bool:
        """Tell whether it asks for a stop, fixed or trailing."""
        return not (self.stop is self.stop_pct is self.trailing is self.trailing_pct is None)


class Order(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold one order: ours from its submission on, whatever the venue says of it.

    `side` is +1 buy, -1 sell; `price` is the limit or trigger; `closes` is the entry order that
    a reduce-only order is bound to; `risk` is the loss at the stop in account currency. A retry
    of a rejected order is the next `attempt`, sent after a pause. `fok` is fill or kill.
    """

    id: str
    account: str
    strategy: str
    instrument: str
    side: int
    kind: Kind
    reason: Reason
    quantity: Decimal
    signal_id: str = ""
    price: Decimal | None = None
    leverage: Decimal = ONE
    reduce_only: bool = False
    closes: str = ""
    bracket: Bracket | None = None
    created_ns: int = 0
    expires_ns: int = 0
    notional: Decimal = ZERO
    risk: Decimal = ZERO
    probation: bool = False
    status: Status = Status.SUBMITTED
    filled: Decimal = ZERO
    attempt: int = 0
    send_after_ns: int = 0
    fok: bool = False

    @property
    def working(self) -> bool:
        """Tell whether the order may still fill or be cancelled."""
        return self.status in WORKING

    @property
    def protective(self) -> bool:
        """Tell whether the order rests at its venue for a level of a position."""
        return self.kind in ("stop", "take_profit", "trailing")
