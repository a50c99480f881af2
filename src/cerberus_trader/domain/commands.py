"""Commands: what the engine asks of the outside. Only these leave the process."""

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


Command = SubmitOrder | CancelOrder
