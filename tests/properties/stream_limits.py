"""What an entry may not exceed, added up from what a stream itself knows: never asks the engine.

Open positions count at the mark or at cost as each limit says; entries in flight, working, unknown
count with all that may still fill. Of a reversal the position that it closes does not count.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING

from tests.kit import ITEMS

if TYPE_CHECKING:
    from tests.properties.streams import Live, Stream

ZERO = Decimal(0)
SLACK = 1 + Decimal("1e-9")
"""What is measured is rounded to twelve digits before it is judged."""
GROUPS = {item.name: item.group for item in ITEMS}
TIERS = {item.name: item.tiers for item in ITEMS}


class Sums:
    """Hold the worst case of everything, the new entry included."""

    def __init__(self, stream: "Stream", new: "Live") -> None:
        order = new.order
        self.place = (order.account, order.instrument)
        self.equity = stream.cash
        self.gross = self.group = self.risk = self.margin = self.strategy = self.position = ZERO
        for place, held in stream.held.items():
            mark = stream.prices[place[1]]
            self.equity += held.quantity * mark
            if place == self.place:
                self.position += max(held.cost * order.side, ZERO)
                if held.quantity * order.side < 0:
                    continue
            value = abs(held.quantity) * mark
            self.gross += value
            self.margin += held.margin
            if held.strategy == order.strategy:
                self.strategy += abs(held.cost)
            if GROUPS[place[1]] == GROUPS[order.instrument]:
                self.group += value
                # the venue of the streams holds no stops: what is isolated may be lost
                self.risk += max(held.risk, min(held.margin, abs(held.cost)))
        for live in stream.waiting():
            rest = live.rest()
            self.gross += rest
            self.margin += rest / live.order.leverage
            if live.order.strategy == order.strategy:
                self.strategy += rest
            if (live.order.account, live.order.instrument) == self.place:
                self.position += rest if live.order.side == order.side else ZERO
            if GROUPS[live.order.instrument] == GROUPS[order.instrument]:
                self.group += rest
                self.risk += rest * live.stop_fraction


def breaches(stream: "Stream", new: "Live") -> list[str]:
    """Hold an entry that leaves against every limit; a retry was approved with its first try."""
    order, risk = new.order, stream.settings.risk
    found = [words for words in stopped(stream, new) if words]
    if order.attempt:
        return found
    strategy, sums = stream.settings.strategies[order.strategy], Sums(stream, new)
    limits = {
        "position": (sums.position, risk.position_exposure_max * sums.equity),
        "group": (sums.group, risk.group_exposure_max * sums.equity),
        "gross": (sums.gross, risk.gross_exposure_max * sums.equity),
        "strategy": (sums.strategy, risk.gross_exposure_max * sums.equity * strategy.budget),
        "group risk": (sums.risk, risk.group_risk_max * sums.equity),
        "margin": (sums.margin, sums.equity),
        "order": (order.notional, risk.order_notional_max or order.notional),
        "leverage": (order.leverage, leverage_max(stream, new)),
        "places": (Decimal(len(stream.places())), Decimal(risk.positions_max)),
        "strategy's places": (
            Decimal(len(stream.places(order.strategy))), Decimal(strategy.positions_max)
        ),
    }  # fmt: skip
    for name, (value, limit) in limits.items():
        if value > limit * SLACK:
            found.append(f"{name}: {value} with {order.id}, {limit} are allowed")
    if stream.asked is None or order.signal_id != stream.asked.id:
        found.append(f"{order.id} left without its signal")
    return found


def stopped(stream: "Stream", new: "Live") -> Iterator[str]:
    """Say what forbids any entry at all."""
    order = new.order
    if stream.trading != "active":
        yield f"{order.id} left while trading was {stream.trading}"
    for name, trip in stream.engine.state.trips.items():
        if trip.scope in ("", order.strategy):
            yield f"{order.id} left past {name}"
    if order.account in stream.down:
        yield f"{order.id} left while {order.account} was not reconciled"
    if order.strategy in stream.paused:
        yield f"{order.id} left while {order.strategy} was paused"
    if order.attempt:
        return
    entries = [x for x in stream.lives.values() if x.order.signal_id == order.signal_id]
    if sum(not x.order.reduce_only for x in entries) > 1:
        yield f"signal {order.signal_id} was traded twice"


def leverage_max(stream: "Stream", new: "Live") -> Decimal:
    """Return the least of the caps on an entry's leverage."""
    order, settings = new.order, stream.settings
    if settings.sizing.obey_quantity:  # research: the signal's own
        return order.leverage
    strategy = settings.strategies[order.strategy]
    tiers = TIERS[order.instrument]
    tier = next((t for t in tiers if order.notional <= t.cap), tiers[-1])
    caps = [tier.leverage_max, settings.leverage.cap, strategy.leverage_max]
    if stream.asked is not None and stream.asked.leverage is not None:
        caps.append(stream.asked.leverage)
    return min(caps)
