"""Commands: what the engine asks of the outside. Only these leave the process."""

from decimal import Decimal

import msgspec

from cerberus_trader.domain.order import Order


class SubmitOrder(msgspec.Struct, frozen=True, array_like=True, tag="submit", gc=False):
    """Send an order, with its bracket; made of an approval only (`engine/risk.py`)."""

    order: Order


class CancelOrder(msgspec.Struct, frozen=True, array_like=True, tag="cancel", gc=False):
    """Ask for the cancellation of an order; only the venue's word ends it."""

    order_id: str
    account: str
    instrument: str


class ModifyOrder(msgspec.Struct, frozen=True, array_like=True, tag="modify", gc=False):
    """Ask for another limit price and quantity of a resting entry; the venue's word makes it so."""

    order_id: str
    account: str
    instrument: str
    price: Decimal
    quantity: Decimal


Command = SubmitOrder | CancelOrder | ModifyOrder
