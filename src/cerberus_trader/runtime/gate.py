"""The gate: the last word before an order leaves.

Between decision and sending the journal was synced, and much may have happened. The gate drops an
order that adds exposure when trading has stopped meanwhile, when it is late, or when it is above
a hard cap; and a change of an entry, which may bring its fill nearer, when trading has stopped or
the entry is no longer what was judged. It never holds back a cancel or an order that reduces.
"""

from collections import deque
from collections.abc import Callable

from cerberus_trader.domain.commands import ModifyOrder
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine import orders
from cerberus_trader.engine.risk import outgrown
from cerberus_trader.engine.state import State, strategy_of, strategy_state

MS = 1_000_000
SECOND_NS = 1_000_000_000
ENTRIES_PER_SECOND_MAX = 100


class Gate:
    """Judge submits at the moment of sending; `poisoned` closes it for good.

    `marked` tells whether a second process has set the halt marker.
    """

    def __init__(self, state: State) -> None:
        self.state = state
        self.poisoned = False
        self.marked: Callable[[], bool] = lambda: False
        self._sent: deque[int] = deque()

    def send_before(self, order: Order) -> int:
        """Return until when an entry may be sent: its approval ages as its signal did before."""
        latest = order.created_ns + self.state.settings.intake.signal_age_ms_max * MS
        return min(latest, order.expires_ns) if order.expires_ns else latest

    def refusal(self, order: Order, now_ns: int) -> str:
        """Say why an order is not sent, empty if it goes out (and is counted)."""
        if order.reduce_only:
            return ""
        reason = self.stopped(order) or self._capped(order, now_ns)
        if not reason and now_ns > self.send_before(order):
            reason = "late: the time to send it has passed"
        if not reason:
            self._sent.append(now_ns)
        return reason

    def stopped(self, order: Order) -> str:
        """Say why nothing that adds exposure may leave, empty if it may."""
        state = self.state
        now = state.orders.get(order.id)
        if now is None:  # denied by the venue, or cancelled, while its row waited for the disk
            return "the order has ended meanwhile"
        if order.reduce_only:
            return ""
        if now.status is not Status.SUBMITTED:
            return f"the order is {now.status.value} meanwhile"
        # a first attempt was judged just now; limits may have changed before another one
        return self._closed(order) or (outgrown(self.state, order) if order.attempt else "")

    def unchanging(self, change: ModifyOrder) -> str:
        """Say why a change of an entry may not leave, empty if it may.

        It was judged by the order as it was then: it is judged again by the order as it is now.
        """
        state = self.state
        order = state.orders.get(change.order_id)
        if order is None:
            return "the order has ended meanwhile"
        found = orders.modify(state, order.id, change.price, change.quantity, again=True)
        if isinstance(found, str):
            return found
        status = strategy_state(state, order.strategy).status
        status = status or strategy_of(state, order.strategy).status
        own = "" if status == "active" else f"the strategy {order.strategy} is {status}"
        asked = state.changes.get(order.id, ())[1:] == (change.price, change.quantity)
        return self._closed(order) or own or ("" if asked else "it is waited for no more")

    def _closed(self, order: Order) -> str:
        """Say why nothing of an entry's strategy and account may add exposure now."""
        state = self.state
        if self.poisoned:
            return "the journal failed"
        if self.marked():
            return "the halt marker is set"
        if state.trading != "active":
            return f"trading is {state.trading}"
        if order.account in state.unreconciled:
            return f"the venue is not reconciled: {state.unreconciled[order.account]}"
        for name, trip in state.trips.items():
            if trip.scope in ("", order.strategy):
                return f"the breaker has tripped: {name}"
        return ""

    def _capped(self, order: Order, now_ns: int) -> str:
        cap = self.state.settings.risk.order_notional_max
        if cap > ZERO and order.notional > cap:
            return f"its notional {order.notional} is above the hard cap {cap}"
        while self._sent and self._sent[0] <= now_ns - SECOND_NS:
            self._sent.popleft()
        if len(self._sent) >= ENTRIES_PER_SECOND_MAX:
            return f"{ENTRIES_PER_SECOND_MAX} entries were sent within a second"
        return ""
