"""The port to a venue: what it can do (a table), and the few methods the gate calls."""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

import msgspec

from cerberus_trader.domain.commands import CancelOrder, SubmitOrder
from cerberus_trader.domain.errors import DataError


class Capabilities(msgspec.Struct, frozen=True):
    """Say what a venue can do; the engine and the contract suite read it."""

    order_types: tuple[str, ...]
    holds_stops: bool
    brackets: bool
    client_id: Literal["text36", "hex32", "any"] = "any"
    idempotent: bool = True
    query_by_client_id: bool = True
    cancel_on_disconnect: bool = False
    liquidates: bool = True
    submits_per_second_max: int = 0


class Venue(Protocol):
    """Take commands; answer later with reports."""

    capabilities: Capabilities

    def submit(self, command: SubmitOrder, now_ns: int) -> None:
        """Take an order; its outcome comes as a report."""
        ...

    def cancel(self, command: CancelOrder, now_ns: int) -> None:
        """Take a request to cancel; its outcome comes as a report."""
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
