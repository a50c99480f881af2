"""The port to a venue: what it can do (a table), and the few methods that the link calls."""

from collections.abc import AsyncIterator, Callable
from decimal import Decimal
from typing import Literal, NamedTuple, Protocol, TypeVar

import msgspec

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder
from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import (
    FillReport,
    FundingReport,
    OrderModified,
    OrderReport,
    TransferReport,
)
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.order import Order


class Capabilities(msgspec.Struct, frozen=True):
    """Say what a venue can do; a venue that the engine trades on takes brackets and holds stops."""

    order_types: tuple[str, ...]
    holds_stops: bool
    brackets: bool
    client_id: Literal["text36", "hex32", "any"] = "any"
    idempotent: bool = True
    query_by_client_id: bool = True
    cancel_on_disconnect: bool = False
    liquidates: bool = True
    submits_per_second_max: int = 0


class Ack(NamedTuple):
    """Hold a venue's answer to a submission; `retry` says that the cause of a no will pass."""

    accepted: bool
    reason: str = ""
    retry: bool = False


class Answer(NamedTuple):
    """Hold a venue's answer to a query, None for an order it does not know; its own time."""

    venue_ns: int
    order: VenueOrder | None


class AccountView(NamedTuple):
    """Hold what a venue says of an account: its own time, orders, positions, cash."""

    venue_ns: int
    orders: tuple[VenueOrder, ...]
    positions: tuple[VenuePosition, ...]
    balance: Decimal | None


Booking = FillReport | FundingReport | TransferReport
Word = Booking | OrderReport | OrderModified


class VenueClient(Protocol):
    """Talk to a venue. Every method may raise `VenueLost`: then nobody knows what came of it.

    A cancelled or timed-out call says no more than a lost one. Reports that come by themselves go
    to `on_word`; `on_lost` is called when the line breaks.
    """

    capabilities: Capabilities
    on_word: Callable[[Word], None]
    on_lost: Callable[[str], None]

    async def connect(self) -> None:
        """Open the line; reports come from now on."""
        ...

    async def submit(self, order: Order, send_before_ns: int) -> Ack:
        """Send an order that the venue refuses to take after a time."""
        ...

    async def cancel(self, order: CancelOrder) -> None:
        """Ask for an order's cancellation; its end comes as a report."""
        ...

    async def modify(self, order: ModifyOrder, send_before_ns: int) -> None:
        """Ask for another limit price and quantity, of a venue that refuses to after a time.

        That it is so comes as a report.
        """
        ...

    async def query(self, order: Order) -> Answer:
        """Ask for one order by our id."""
        ...

    async def account(self, account: str) -> AccountView:
        """Ask for everything that is held for an account."""
        ...

    def bookings(self, account: str, since_ns: int) -> AsyncIterator[list[Booking]]:
        """Ask for every fill, payment and transfer since a time of the venue's clock, oldest first.

        Each page is an answer of its own, however long the list.
        """
        ...

    async def close(self) -> None:
        """Close the line."""
        ...


V = TypeVar("V", bound=type)
VENUES: dict[str, type] = {}


def venue(name: str) -> Callable[[V], V]:
    """Register a venue class under a name."""

    def register(cls: V) -> V:
        VENUES[name] = cls
        return cls

    return register


def venue_class(name: str) -> type:
    """Return a registered venue class; raise `DataError` naming the known ones."""
    if name not in VENUES:
        raise DataError(
            f"no venue {name!r}.", code="VENUE_UNKNOWN", fix=f"choose one of {sorted(VENUES)}."
        )
    return VENUES[name]
