"""Rebuild the paper venue's book from what the engine knows: after a restart both hold the same.

The paper venue keeps no file of its own. Positions carry the levels that rest for them, working
orders their status: a submitted one is still on its way, an accepted one rests.
"""

from collections.abc import Mapping
from decimal import Decimal

from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.settings import Paper
from cerberus_trader.venues.paper.book import Book, Holding, Waiting

MS = 1_000_000
RESTING = (Status.ACCEPTED, Status.PARTIALLY_FILLED)


def restore(
    positions: Mapping[str, Position],
    orders: Mapping[str, Order],
    instruments: Mapping[str, Instrument],
    settings: Paper,
    bests: Mapping[str, Decimal] | None = None,
) -> Book:
    """Return the book that belongs to these positions and orders, in their order.

    `bests` holds the best price of each trailing stop by position id, as kept beside the journal;
    without one the trailing distance counts from the entry price. Orders whose cancellation was
    asked for are kept; the caller asks again (`canceling`), and their end is reported then.
    """
    book = Book()
    for position in positions.values():
        book.put(
            holding_of(position, instruments[position.instrument], settings, book, bests or {})
        )
    for order in orders.values():
        if order.kind not in ("market", "limit") or not order.working:
            continue
        waiting = Waiting(
            order, order.created_ns + settings.latency_ms * MS, order.created_ns, book.number()
        )
        waiting.left = order.quantity - order.filled
        rests = order.status in RESTING or (
            order.status is Status.PENDING_CANCEL and order.kind == "limit"
        )
        (book.resting if rests else book.arriving)[order.id] = waiting
    return book


def canceling(orders: Mapping[str, Order]) -> list[Order]:
    """List the orders whose cancellation was asked for and not yet reported."""
    return [order for order in orders.values() if order.status is Status.PENDING_CANCEL]


def holding_of(
    position: Position,
    instrument: Instrument,
    settings: Paper,
    book: Book,
    bests: Mapping[str, Decimal],
) -> Holding:
    """Return what the venue holds for a position, its liquidation level solved anew."""
    entry = Order(
        position.id, position.account, position.strategy, position.instrument, position.sign,
        "market", "entry", position.quantity, leverage=position.leverage,
    )  # fmt: skip
    best = bests.get(position.id, position.entry_price)
    held = Holding(book.number(), entry, instrument, position.opened_ns, best)
    held.quantity, held.cost, held.margin = position.quantity, position.cost, position.margin
    held.stop, held.take_profit = position.stop, position.take_profit
    held.trailing = position.trailing
    held.take_profit_limit = settings.take_profit_order == "limit"
    held.solve()
    return held
