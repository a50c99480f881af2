"""What a venue says it holds: the values that reconciliation compares with ours."""

from decimal import Decimal
from typing import Literal

import msgspec

from cerberus_trader.domain.money import ZERO

VenueState = Literal["working", "filled", "canceled", "expired", "rejected"]


class VenueOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold an order as the venue sees it; `filled` of `quantity` has traded.

    `price` is its limit or trigger, of a trailing stop its distance. A stop or a take-profit of
    quantity 0 closes whatever is open when it triggers.
    """

    order_id: str
    instrument: str
    side: int
    quantity: Decimal
    state: VenueState
    filled: Decimal = ZERO
    price: Decimal | None = None
    reduce_only: bool = False
    reason: str = ""


class VenuePosition(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold a position as the venue sees it; `cost` is quantity x average entry price."""

    instrument: str
    sign: int
    quantity: Decimal
    cost: Decimal
    margin: Decimal
    leverage: Decimal
    position_id: str = ""
