"""What is heard of a venue: contradictions, what happened elsewhere, numbers that never come."""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from cerberus_trader.domain.errors import VenueGarbage
from cerberus_trader.domain.events import Anomaly, FillReport
from cerberus_trader.engine.state import State
from cerberus_trader.venues.base import AccountView, Booking

CONFLICTS_MAX = 10_000
GAP_S = 30.0
"""How long a list may take to have what was told behind it."""


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


class Gaps:
    """Notice numbers that never come: whole lists, some time apart, do not have them."""

    def __init__(self) -> None:
        self._since: dict[int, float] = {}

    def listed(self, waiting: Iterable[int], now_s: float) -> None:
        """Note after a whole list which numbers wait for others before them."""
        self._since = {number: self._since.get(number, now_s) for number in waiting}

    def over(self, number: int, now_s: float) -> bool:
        """Tell whether a number has waited long enough for those before it."""
        return now_s - self._since[number] >= GAP_S


def check_once(view: AccountView) -> None:
    """Refuse a list that has a place twice, as in hedge mode: nobody could tell what is held."""
    for names in ([x.instrument for x in view.positions], [x.order_id for x in view.orders]):
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise VenueGarbage(f"{twice[:64]} is listed twice.", code="VENUE_GARBAGE")


def name_of(booking: Booking) -> str:
    """Return the id under which a fill, payment or transfer is booked once."""
    return booking.trade_id if isinstance(booking, FillReport) else booking.name
