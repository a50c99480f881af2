"""What a replay keeps of its events: facts to count, draw and write, one row in the journal."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, NamedTuple

from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.events import Event, FillReport, FundingReport, SignalEvent
from cerberus_trader.domain.facts import (
    BreakerReset,
    BreakerTripped,
    CashMoved,
    Fact,
    Faulted,
    Filled,
    FundingBooked,
    OrderChanged,
    SignalJudged,
)
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.position import Position
from cerberus_trader.domain.row import encode_row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import key_of
from cerberus_trader.journal.rows import Journal

Project = Callable[[int, Event, tuple[Fact, ...]], None]


class Step:
    """Hold what one booking changed: cash, and net quantity and cost of an instrument."""

    __slots__ = ("cash", "cost", "instrument", "net", "ts_ns")

    def __init__(
        self, ts_ns: int, instrument: str, cash: Decimal, net: Decimal, cost: Decimal
    ) -> None:
        self.ts_ns, self.instrument, self.cash = ts_ns, instrument, cash
        self.net, self.cost = net, cost


class Fill(NamedTuple):
    """Hold a fill: the venue's report, and what booking it came to."""

    report: FillReport
    booked: Filled


class Collector:
    """Record each event with its facts: in the journal, the views where given, and in lists."""

    def __init__(self, journal: Journal, project: Project | None = None) -> None:
        self.journal = journal
        self.project = project
        self.signals: dict[str, Signal] = {}
        self.decisions: list[Decision] = []
        self.fills: list[Fill] = []
        self.entries: dict[str, Position] = {}
        self.trips: list[BreakerTripped] = []
        self.resets: list[BreakerReset] = []
        self.faults: list[Faulted] = []
        self.orders_ended: dict[str, str] = {}
        self.steps: list[Step] = []
        self._held: dict[str, tuple[Decimal, Decimal]] = {}

    def record(self, event: Event, facts: tuple[Fact, ...]) -> None:
        """Append the journal's row and keep what the results need."""
        kind = type(event).__struct_config__.tag
        seq = self.journal.append(event.ts_ns, str(kind), encode_row(event, facts))
        if self.project is not None:
            self.project(seq, event, facts)
        if type(event) is SignalEvent:
            self.signals.setdefault(event.signal.id, event.signal)
        for fact in facts:
            keep = KEEP.get(type(fact))
            if keep is not None:
                keep(self, event, fact)

    def on_judged(self, event: Event, fact: SignalJudged) -> None:
        """Keep the decision."""
        self.decisions.append(fact.decision)

    def on_filled(self, event: FillReport, fact: Filled) -> None:
        """Keep the fill, the position as its entry left it, and what it moved."""
        self.fills.append(Fill(event, fact))
        position = fact.position
        if position is not None and event.reason in ("entry", "add"):
            self.entries[fact.position_id] = position
        net = cost = ZERO
        if position is not None:
            net, cost = position.quantity * position.sign, position.cost * position.sign
        key = key_of(event.account, event.instrument)
        before = self._held.pop(key, (ZERO, ZERO))
        if net:
            self._held[key] = (net, cost)
        self.steps.append(
            Step(event.ts_ns, event.instrument, fact.realised - event.fee, net - before[0],
                 cost - before[1])
        )  # fmt: skip

    def on_funded(self, event: FundingReport, fact: FundingBooked) -> None:
        """Keep the payment."""
        self.steps.append(Step(fact.ts_ns, event.instrument, -fact.amount, ZERO, ZERO))

    def on_cash(self, event: Event, fact: CashMoved) -> None:
        """Keep a deposit or withdrawal."""
        last = self.steps[-1].ts_ns if self.steps else 0
        self.steps.append(Step(last, "", fact.amount, ZERO, ZERO))

    def on_order(self, event: Event, fact: OrderChanged) -> None:
        """Keep why an order ended without a fill."""
        self.orders_ended[fact.order_id] = f"{fact.status.value}: {fact.reason}".rstrip(": ")


KEEP: dict[type, Callable[[Collector, Any, Any], None]] = {
    SignalJudged: Collector.on_judged,
    Filled: Collector.on_filled,
    FundingBooked: Collector.on_funded,
    CashMoved: Collector.on_cash,
    OrderChanged: Collector.on_order,
    BreakerTripped: lambda self, _, fact: self.trips.append(fact),
    BreakerReset: lambda self, _, fact: self.resets.append(fact),
    Faulted: lambda self, _, fact: self.faults.append(fact),
}
