"""Rebuild the paper venue's book from what the engine knows: after a restart both hold the same.

The paper venue keeps no file of its own. Positions carry the levels that rest for them, working
orders their status: a submitted one is still on its way, an accepted one rests.
"""

from collections.abc import Iterable, Mapping

from cerberus_trader.domain.instrument import BARE, Instrument
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.settings import Paper
from cerberus_trader.venues.paper.book import Book, Holding, Waiting

MS = 1_000_000
LEGS = {"s": "stop_loss", "r": "trailing_stop", "t": "take_profit"}
RESTING = (Status.ACCEPTED, Status.PARTIALLY_FILLED)


def restore(
    positions: Mapping[str, Position],
    orders: Mapping[str, Order],
    instruments: Mapping[str, Instrument],
    settings: Paper,
    trade_ids: Iterable[str] = (),
) -> Book:
    """Return the book that belongs to these positions and orders, in their order.

    The best price of a trailing stop starts at the entry price; the market layer keeps the later
    ones. `trade_ids` (account/id) are those booked already: parts are numbered on behind them, and
    a level that has filled in part goes on filling. Orders whose cancellation was
    asked for are kept; the caller asks again (`canceling`), and their end is reported then.
    """
    book, booked = Book(), _parts_of(trade_ids)
    for position in positions.values():
        rule = instruments.get(position.instrument, BARE)
        book.put(holding_of(position, rule, settings, book.number(), booked))
    for order in orders.values():
        if order.kind not in ("market", "limit") or not order.working:
            continue
        waiting = Waiting(
            order, order.created_ns + settings.latency_ms * MS, order.created_ns, book.number()
        )
        waiting.left = order.quantity - order.filled
        waiting.parts = booked.get(f"{order.account}/{order.id}", 0)
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
    number: int,
    booked: Mapping[str, int],
) -> Holding:
    """Return what the venue holds for a position, its liquidation level solved anew."""
    entry = Order(
        position.id, position.account, position.strategy, position.instrument, position.sign,
        "market", "entry", position.quantity, leverage=position.leverage,
    )  # fmt: skip
    held = Holding(number, entry, instrument, position.opened_ns, position.entry_price)
    held.quantity, held.cost, held.margin = position.quantity, position.cost, position.margin
    held.stop, held.take_profit = position.stop, position.take_profit
    held.trailing = position.trailing
    held.take_profit_limit = settings.take_profit_order == "limit"
    if settings.participation_max:
        # more than this position's own parts: all that matters is that no number comes twice
        held.parts = sum(booked.values())
    for leg, reason in LEGS.items():
        resting = leg == "t" and held.take_profit_limit
        if f"{position.account}/{held.child}{leg}" in booked and not resting:
            held.exiting = reason
    held.solve()
    return held


def _parts_of(trade_ids: Iterable[str]) -> dict[str, int]:
    """Count the booked parts by account/order id; a part's id is the order's, then .2, .3, …"""
    counts: dict[str, int] = {}
    for trade_id in trade_ids:
        order = trade_id.rsplit(".", 1)[0] if "." in trade_id.rsplit("/", 1)[-1] else trade_id
        counts[order] = counts.get(order, 0) + 1
    return counts
