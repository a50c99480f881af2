"""What was heard of bookings: contradictions, and what happened elsewhere, are told of once."""

from collections.abc import Callable
from typing import Any

import msgspec

from cerberus_trader.domain.events import Anomaly, FillReport, TransferReport
from cerberus_trader.engine.state import State
from cerberus_trader.venues.base import Booking

CONFLICTS_MAX = 10_000


class Heard:
    """Remember the latest bookings by name, and which were told of; used by the link alone."""

    def __init__(self, account: str, state: State, put: Callable[[Anomaly], None]) -> None:
        self.account = account
        self.state = state
        self.put = put
        self.contents: dict[str, Booking] = {}
        self.conflicts: dict[tuple[str, int], None] = {}

    def forget(self) -> None:
        """Drop everything: memory is short."""
        self.contents.clear()
        self.conflicts.clear()

    def ours(self, booking: Booking) -> bool:
        """Pass over what happened in another account, or in an instrument that is not configured.

        What is held there is seen in the look.
        """
        instrument = getattr(booking, "instrument", "")
        detail = f"{booking.account} {instrument}"[:100].strip()
        if booking.account == self.account and (
            not instrument or instrument in self.state.instruments
        ):
            return True
        self._say_once(booking, "not_ours", detail)
        return False

    def _say_once(self, booking: Booking, kind: Any, detail: str) -> None:
        """Tell of a booking that is not taken; of the same one only once."""
        place = (name_of(booking), booking.sequence)
        if place in self.conflicts:
            return
        self.conflicts[place] = None
        if len(self.conflicts) > CONFLICTS_MAX:
            del self.conflicts[next(iter(self.conflicts))]
        self.put(Anomaly(0, self.account, kind, place[0], detail))

    def consistent(self, booking: Booking) -> bool:
        """Refuse a booking whose id came before with another content: the first one stands."""
        name = name_of(booking)
        plain: Booking = msgspec.structs.replace(booking, ts_ns=0, marks=())
        before = self.contents.setdefault(name, plain)
        if len(self.contents) > CONFLICTS_MAX:
            del self.contents[next(iter(self.contents))]
        if before == plain:
            return True
        self._say_once(booking, "trade_conflict", "an id came again with another content")
        return False


def name_of(booking: Booking) -> str:
    """Return the id under which a fill, payment or transfer is booked once."""
    if isinstance(booking, TransferReport):
        return booking.name
    return booking.trade_id if isinstance(booking, FillReport) else booking.payment_id
