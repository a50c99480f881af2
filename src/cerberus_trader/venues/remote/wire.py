"""What goes over the line to a venue in another process, and what of it may be believed.

Requests carry a number, and their answers the same one, in any order. Words and prices come by
themselves. A message that decodes is still held against sense: amounts are finite and not
negative, prices positive, sides +1 or -1, ids short. What fails is `VenueGarbage`.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from cerberus_trader.domain.errors import DataError, VenueGarbage
from cerberus_trader.domain.events import (
    FillReport,
    FundingReport,
    OrderModified,
    OrderReport,
    TransferReport,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.money import ZERO, check_amount
from cerberus_trader.domain.order import Order

HEARTBEAT_S = 2.0
BOOKINGS_MAX = 500
ID_LENGTH_MAX = 64
TEXT_LENGTH_MAX = 500
TIME_NS_MAX = 2**62


class Hello(msgspec.Struct, frozen=True, tag="hello", array_like=True):
    """Open a line for an account; `words` asks for reports and prices by themselves."""

    number: int
    account: str
    words: bool = True


class Submit(msgspec.Struct, frozen=True, tag="submit", array_like=True):
    """Send an order that the venue refuses to take after a time of its own clock."""

    number: int
    order: Order
    send_before_ns: int


class Cancel(msgspec.Struct, frozen=True, tag="cancel", array_like=True):
    """Ask for an order's cancellation."""

    number: int
    order_id: str


class Modify(msgspec.Struct, frozen=True, tag="modify", array_like=True):
    """Ask for another limit price and quantity of a resting entry; not after a time."""

    number: int
    order_id: str
    price: Decimal
    quantity: Decimal
    send_before_ns: int


class Query(msgspec.Struct, frozen=True, tag="query", array_like=True):
    """Ask for one order."""

    number: int
    order_id: str


class Account(msgspec.Struct, frozen=True, tag="account", array_like=True):
    """Ask for everything that is held."""

    number: int


class Bookings(msgspec.Struct, frozen=True, tag="bookings", array_like=True):
    """Ask for bookings since a time, after a sequence number, at most so many."""

    number: int
    since_ns: int
    after: int = 0


class Transfer(msgspec.Struct, frozen=True, tag="move", array_like=True):
    """Move money into the account (negative: out of it), as its owner and never as the engine."""

    number: int
    amount: Decimal


class Ledger(msgspec.Struct, frozen=True, tag="ledger", array_like=True):
    """Ask for the venue's ledger, and how often it accepted each order: for tests and audits."""

    number: int
    after: str = ""


class Ping(msgspec.Struct, frozen=True, tag="ping", array_like=True):
    """Ask whether anybody is there."""

    number: int


Request = Hello | Submit | Cancel | Modify | Query | Account | Bookings | Transfer | Ledger | Ping
Booking = FillReport | FundingReport | TransferReport


class Acked(msgspec.Struct, frozen=True, tag="acked", array_like=True):
    """Answer a submission."""

    number: int
    accepted: bool
    reason: str = ""
    retry: bool = False


class Done(msgspec.Struct, frozen=True, tag="done", array_like=True):
    """Answer what needs no more: a hello, a cancellation, a ping."""

    number: int
    venue_ns: int


class Told(msgspec.Struct, frozen=True, tag="told", array_like=True):
    """Answer a query; None where the order is not known."""

    number: int
    venue_ns: int
    order: VenueOrder | None


class Holds(msgspec.Struct, frozen=True, tag="holds", array_like=True):
    """Answer what is held."""

    number: int
    venue_ns: int
    orders: tuple[VenueOrder, ...]
    positions: tuple[VenuePosition, ...]
    balance: Decimal | None


class Booked(msgspec.Struct, frozen=True, tag="booked", array_like=True):
    """Answer with bookings in the venue's order; `more` says that the list was cut."""

    number: int
    bookings: tuple[Booking, ...]
    more: bool = False


class Sums(msgspec.Struct, frozen=True, tag="sums", array_like=True):
    """Answer with the ledger's accounts, which sum to zero, and the orders accepted."""

    number: int
    accounts: dict[str, Decimal]
    accepted: dict[str, int]
    more: bool = False


class Refused(msgspec.Struct, frozen=True, tag="refused", array_like=True):
    """Say that a request was not carried out."""

    number: int
    reason: str


class Spoken(msgspec.Struct, frozen=True, tag="word", array_like=True):
    """Carry a report that comes by itself."""

    word: Booking | OrderReport | OrderModified


class Quote(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold a price of an instrument, and a funding rate that is due with it."""

    instrument: str
    bid: Decimal
    ask: Decimal
    ts_ns: int


class Prices(msgspec.Struct, frozen=True, tag="prices", array_like=True):
    """Carry prices that have moved."""

    quotes: tuple[Quote, ...]


Answer = Acked | Done | Told | Holds | Booked | Sums | Refused
Push = Spoken | Prices
Message = Acked | Done | Told | Holds | Booked | Sums | Refused | Spoken | Prices

Known = Callable[[str], bool]


def garbage(message: str) -> VenueGarbage:
    """Make the error of an answer that cannot be right."""
    return VenueGarbage(message, code="VENUE_GARBAGE")


def checked(message: Message) -> Message:
    """Return a message that makes sense; raise `VenueGarbage` for any other."""
    try:
        _check(message)
    except DataError as error:
        raise garbage(f"{error.place}: {error.message}") from None
    return message


def _check(message: Message) -> None:
    if isinstance(message, Spoken):
        _word(message.word)
    elif isinstance(message, Prices):
        for quote in message.quotes:
            _positive(quote.bid, "bid")
            _positive(quote.ask, "ask")
            _time(quote.ts_ns)
    elif isinstance(message, Booked):
        for booking in message.bookings:
            _word(booking)
    elif isinstance(message, Told):
        _time(message.venue_ns)
        if message.order is not None:
            _order(message.order)
    elif isinstance(message, Holds):
        _time(message.venue_ns)
        for order in message.orders:
            _order(order)
        for position in message.positions:
            _position(position)
        if message.balance is not None:
            check_amount(message.balance, place="balance")
    elif isinstance(message, Done):
        _time(message.venue_ns)
    elif isinstance(message, Sums):
        for name, amount in message.accounts.items():
            check_amount(amount, place=name[:ID_LENGTH_MAX])
    else:
        _text(message.reason)


def _word(word: Booking | OrderReport | OrderModified) -> None:
    """Check a report; its time is stamped by us, and must be empty."""
    if word.ts_ns:
        _fail("ts_ns", "is not the venue's to give")
    if isinstance(word, OrderModified):
        _name(word.order_id, "order_id")
        _positive(word.price, "price")
        return _positive(word.quantity, "quantity")
    if isinstance(word, OrderReport):
        _name(word.order_id, "order_id")
        _text(word.reason)
        if word.filled is not None:
            _amount(word.filled, "filled")
        return
    if word.marks:
        _fail("marks", "are not the venue's to give")
    _name(word.account, "account")
    if not 0 <= word.sequence < TIME_NS_MAX:
        _fail("sequence", "is out of range")
    if isinstance(word, TransferReport):
        _name(word.transfer_id, "transfer_id")
        return check_amount(word.amount, place="amount")
    _name(word.instrument, "instrument")
    _positive(word.price, "price")
    _amount(word.margin, "margin")
    if isinstance(word, FundingReport):
        _name(word.payment_id, "payment_id")
        check_amount(word.amount, place="amount")
        check_amount(word.rate, place="rate")
        return
    _name(word.order_id, "order_id")
    _name(word.trade_id, "trade_id")
    _side(word.side)
    _positive(word.quantity, "quantity")
    _amount(word.leaves, "leaves")
    check_amount(word.fee, place="fee")
    for name in ("stop", "take_profit", "trailing"):
        value: Decimal | None = getattr(word, name)
        if value is not None:
            _positive(value, name)


def _order(order: VenueOrder) -> None:
    _name(order.order_id, "order_id")
    _name(order.instrument, "instrument")
    _side(order.side)
    whole = order.reduce_only and not order.quantity  # closes whatever is open: 0 is no size
    (_amount if order.reduce_only else _positive)(order.quantity, "quantity")
    _amount(order.filled, "filled")
    _text(order.reason)
    if order.filled > order.quantity and not whole:
        _fail("filled", "is more than was ordered")
    if order.price is not None:
        _positive(order.price, "price")


def _position(position: VenuePosition) -> None:
    _name(position.instrument, "instrument")
    _side(position.sign)
    _positive(position.quantity, "quantity")
    _positive(position.cost, "cost")
    _amount(position.margin, "margin")
    _positive(position.leverage, "leverage")
    if len(position.position_id) > ID_LENGTH_MAX:
        _fail("position_id", "is too long")


def _amount(value: Decimal, place: str) -> None:
    check_amount(value, place=place)
    if value < ZERO:
        _fail(place, f"{value} is negative")


def _positive(value: Decimal, place: str) -> None:
    check_amount(value, place=place)
    if value <= ZERO:
        _fail(place, f"{value} is not positive")


def _side(value: int) -> None:
    if value not in (1, -1):
        _fail("side", f"{value} is neither 1 nor -1")


def _time(value: int) -> None:
    if not 0 < value < TIME_NS_MAX:
        _fail("time", "is out of range")


def _name(value: str, place: str) -> None:
    if not value or len(value) > ID_LENGTH_MAX:
        _fail(place, f"must have 1 to {ID_LENGTH_MAX} letters")


def _text(value: str) -> None:
    if len(value) > TEXT_LENGTH_MAX:
        _fail("reason", "is too long")


def _fail(place: str, message: str) -> None:
    raise DataError(f"{message}.", code="VENUE_GARBAGE", place=place)
