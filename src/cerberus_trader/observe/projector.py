"""The projector: facts become rows of the views, in batches, each journal row once.

Views may always be thrown away and built again from the journal (`rebuild`). Ledger rows are
double entry: the legs of a booking sum to zero per currency.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.decision import Decision
from cerberus_trader.domain.events import ConfigEvent, Event, SignalEvent
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ZERO, plain
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.position import Position, protective_ids, protective_orders
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State, key_of
from cerberus_trader.journal import view_rows as rows
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.views import Change, ViewsWriter

BATCH = 1_000
_encode = msgspec.json.Encoder().encode


class Projector:
    """Turn journalled events and facts into view rows.

    Starts empty, or, to go on where views stopped, from the engine's state at that journal row.
    """

    def __init__(self, writer: ViewsWriter, state: State | None = None, version: str = "") -> None:
        self.writer = writer
        self.version = version
        self.changes: list[Change] = []
        self.pending: dict[tuple[type, str], int] = {}  # where a row of this batch stands
        self.seq = writer.applied_seq()
        self.balance = state.balance if state is not None else ZERO
        self.peak = state.peak if state is not None else ZERO
        self.positions: dict[str, Position] = dict(state.positions) if state is not None else {}
        self.marks: dict[str, Decimal] = dict(state.marks) if state is not None else {}
        self.instruments: dict[str, Instrument] = (
            dict(state.instruments) if state is not None else {}
        )
        self.currency = state.settings.account.currency if state is not None else "USDT"
        self.cache_ns = 60_000_000_000
        self.config = state.config if state is not None else ""

    def take(self, seq: int, event: Event, facts: Iterable[f.Fact]) -> None:
        """Take one journal row; rows that the views already hold are skipped."""
        if seq <= self.seq:
            return
        self.seq = seq
        if type(event) is SignalEvent:
            self._add(signal_row(seq, event.signal))
        for leg, fact in enumerate(facts):
            project = PROJECT.get(type(fact))
            if project is not None:
                project(self, event, fact, leg)
        if len(self.changes) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Write what has gathered, in one transaction with the progress."""
        if self.seq > self.writer.applied_seq():
            self.writer.apply(self.changes, through_seq=self.seq)
            self.changes = []
            self.pending.clear()

    # -- rows ----------------------------------------------------------------------------

    def _add(self, row: Any) -> None:
        self.changes.append((self.seq, row))

    def _latest(self, row: rows.OrderRow | rows.PositionRow) -> None:
        """Add a row of which only the last state in a batch is written."""
        key = (type(row), row.id)
        at = self.pending.get(key)
        if at is None:
            self.pending[key] = len(self.changes)
            self.changes.append((self.seq, row))
        else:
            self.changes[at] = (self.seq, row)

    def _status(self, status: str, filled: str, ts_ns: int, order_id: str) -> None:
        """Change an order's status: in this batch's own row where it has one."""
        at = self.pending.get((rows.OrderRow, order_id))
        if at is None:
            self._add(rows.OrderStatusRow(status, filled, ts_ns, order_id))
            return
        row: Any = self.changes[at][1]
        changed = row._replace(status=status, filled=filled, updated_ns=ts_ns)
        self.changes[at] = (self.seq, changed)

    def configured(self, event: Event, fact: f.ConfigApplied, leg: int) -> None:
        """Record a deployment per strategy, and the opening balance."""
        first = not self.config
        self.config = fact.digest
        self.instruments = {item.name: item for item in fact.instruments}
        self.currency = fact.settings.account.currency
        self.cache_ns = fact.settings.cache.ttl_ms * 1_000_000
        actor = event.actor if type(event) is ConfigEvent else "start"
        for number, (name, one) in enumerate(fact.settings.strategies.items()):
            self._add(
                rows.DeploymentRow(
                    self.seq * 1_000 + number, name, one.head, fact.digest, self.version,
                    one.status, plain(one.budget), fact.ts_ns, None, actor,
                )
            )  # fmt: skip
        if first:
            self.balance = self.peak = fact.settings.account.balance
            self._book(fact.ts_ns, leg, "main", (("capital", self.balance),))
            self._equity(fact.ts_ns, ())

    def judged(self, event: Event, fact: f.SignalJudged, leg: int) -> None:
        """Record a decision, and the cache entry it made; its document stays in the journal row."""
        decision = fact.decision
        self._note(fact.marks)
        self._add(
            rows.DecisionLogRow(
                decision.id, self.seq, decision.ts_ns, decision.signal_id, decision.strategy,
                decision.instrument, decision.verdict, decision.code, sentence(decision), b"",
            )
        )  # fmt: skip
        if decision.cache_key and not decision.cache_hit and decision.leverage is not None:
            record = decision.leverage
            analysis = _encode((record.inputs, record.factors, record.raw)).decode()
            self._add(
                rows.DecisionRow(
                    self.seq, decision.cache_key, analysis,
                    decision.ts_ns, decision.ts_ns + self.cache_ns,
                )
            )  # fmt: skip

    def submitted(self, event: Event, fact: f.OrderSubmitted, leg: int) -> None:
        """Record a new order."""
        self._order(fact.order, f"d{self.seq}" if fact.order.signal_id else None)

    def _order(self, order: Order, decision: str | None) -> None:
        self._latest(
            rows.OrderRow(
                order.id, order.account, order.strategy, order.instrument,
                "buy" if order.side > 0 else "sell", order.kind, order.reason,
                plain(order.quantity), plain(order.filled),
                None if order.price is None else plain(order.price), plain(order.leverage),
                int(order.reduce_only), order.closes or None, order.signal_id or None, decision,
                order.status.value, order.created_ns, order.created_ns,
            )
        )  # fmt: skip

    def status(self, event: Event, fact: f.OrderChanged, leg: int) -> None:
        """Record an order's new status."""
        self._status(fact.status.value, "0", event.ts_ns, fact.order_id)

    def cancelling(self, event: Event, fact: f.CancelRequested, leg: int) -> None:
        """Record that a cancellation was asked for."""
        self._status("pending_cancel", "0", event.ts_ns, fact.order_id)

    def filled(self, event: Event, fact: f.Filled, leg: int) -> None:
        """Record a fill: execution, order, position, trade, ledger, equity."""
        side = "buy" if fact.side > 0 else "sell"
        quantity = plain(fact.quantity)
        self._note(fact.marks)
        self._add(
            rows.ExecutionRow(
                "paper", fact.trade_id, fact.ts_ns, fact.order_id, fact.position_id,
                fact.account, fact.strategy, fact.instrument, side, quantity, plain(fact.price),
                plain(fact.fee), self.currency, plain(fact.realised), fact.liquidity, fact.reason,
            )
        )  # fmt: skip
        self._status(fact.status.value, quantity, fact.ts_ns, fact.order_id)
        key = key_of(fact.account, fact.instrument)
        held = self.positions.get(key)
        if fact.position is not None:
            self.positions[key] = fact.position
            for order in protective_orders(fact.position):
                self._order(order, None)
            self._position(fact.position, "open", None)
        elif held is not None:
            del self.positions[key]
            self._position(held, "closed", fact)
            for order_id in protective_ids(fact.position_id):
                if order_id != fact.order_id:
                    self._status("canceled", "0", fact.ts_ns, order_id)
        if fact.trade is not None:
            self._trade(fact)
        legs = (("realised", fact.realised), ("fee", -fact.fee))
        self._book(fact.ts_ns, leg * 10, fact.account, legs, fact)
        self.balance += fact.realised - fact.fee
        self._equity(fact.ts_ns, fact.marks)

    def _position(self, position: Position, status: str, closed: f.Filled | None) -> None:
        mark = self.marks.get(position.instrument, position.entry_price)
        level = None
        if closed is None:
            level = position.liquidation(self.instruments[position.instrument].tiers)
        pnl = position.unrealised(mark)
        if closed is not None and closed.trade is not None:
            pnl, mark = closed.trade.pnl, closed.price
        self._latest(
            rows.PositionRow(
                position.id, position.instrument, "long" if position.sign > 0 else "short",
                float(position.quantity), float(position.leverage), float(position.entry_price),
                float(mark), float(pnl), float(level.price) if level is not None else 0.0,
                status, position.opened_ns, closed.ts_ns if closed is not None else None,
            )
        )  # fmt: skip

    def _trade(self, fact: f.Filled) -> None:
        trade = fact.trade
        assert trade is not None
        self._add(
            rows.TradeRow(
                trade.position_id, trade.account, trade.strategy, trade.instrument,
                "long" if trade.sign > 0 else "short", plain(trade.quantity),
                plain(trade.entry_price), plain(trade.exit_price), plain(trade.leverage),
                trade.opened_ns, trade.closed_ns, trade.reason, plain(trade.pnl),
                plain(trade.fees), plain(trade.funding), trade.r, trade.signal_id or None,
            )
        )  # fmt: skip

    def funded(self, event: Event, fact: f.FundingBooked, leg: int) -> None:
        """Record a funding payment."""
        position = fact.position
        self._note(fact.marks)
        self.positions[key_of(position.account, position.instrument)] = position
        self._position(position, "open", None)
        legs = (("funding", -fact.amount),)
        self._book(fact.ts_ns, leg * 10, position.account, legs, position)
        self.balance -= fact.amount
        self._equity(fact.ts_ns, fact.marks)

    def moved(self, event: Event, fact: f.CashMoved, leg: int) -> None:
        """Record a deposit or withdrawal."""
        self._book(event.ts_ns, leg * 10, "main", (("capital", fact.amount),))
        self.balance += fact.amount
        self.peak += fact.amount
        self._equity(event.ts_ns, ())

    def tripped(self, event: Event, fact: f.BreakerTripped, leg: int) -> None:
        """Record a trip."""
        self._add(
            rows.BreakerRow(
                self.seq, leg, fact.ts_ns, "trip", fact.condition, fact.scope, fact.value,
                fact.limit, fact.action,
            )
        )  # fmt: skip

    def reset(self, event: Event, fact: f.BreakerReset, leg: int) -> None:
        """Record a release, one row per condition."""
        for number, name in enumerate(fact.conditions):
            condition, _, scope = name.partition(":")
            self._add(
                rows.BreakerRow(
                    self.seq, leg * 100 + number, fact.ts_ns, "reset", condition, scope, "", "",
                    "", fact.actor, fact.reason,
                )
            )  # fmt: skip

    def new_day(self, event: Event, fact: f.DayStarted, leg: int) -> None:
        """Record the equity that a day starts with, and expire what the cache no longer holds."""
        self._note(fact.marks)
        self._equity(event.ts_ns, fact.marks)
        self._add(
            rows.MetricRow(self.seq, event.ts_ns, "day_start_equity", float(fact.equity), None)
        )

    # -- sums ----------------------------------------------------------------------------

    def _note(self, marks: Marks) -> None:
        for name, price in marks:
            self.marks[name] = price

    def _book(
        self, ts_ns: int, leg: int, account: str, parts: tuple[tuple[str, Decimal], ...],
        of: Any = None,
    ) -> None:  # fmt: skip
        """Book amounts into cash and out of where they come from: the legs sum to zero."""
        legs = [(kind, -amount) for kind, amount in parts if amount]
        if not legs:
            return
        legs.insert(0, ("cash", -sum((amount for _, amount in legs), ZERO)))
        # a fill's legs are joined through its execution; a payment names its position
        reference = getattr(of, "trade_id", None) or getattr(of, "id", None)
        for number, (name, value) in enumerate(legs):
            self._add(
                rows.LedgerRow(
                    self.seq, leg + number, ts_ns, account, self.currency, plain(value), name,
                    None, None, reference,
                )
            )  # fmt: skip

    def _equity(self, ts_ns: int, marks: Marks) -> None:
        """Record equity at the last known marks."""
        unrealised = exposure = ZERO
        for position in self.positions.values():
            mark = self.marks.get(position.instrument)
            if mark is not None:
                unrealised += position.unrealised(mark)
                exposure += position.quantity * mark
        equity = self.balance + unrealised
        self.peak = max(self.peak, equity)
        fall = float((self.peak - equity) / self.peak) if self.peak > ZERO else 0.0
        self._add(
            rows.EquityRow(
                "all", self.seq, ts_ns, plain(equity), plain(self.balance), plain(unrealised),
                plain(exposure), fall,
            )
        )  # fmt: skip


def sentence(decision: Decision) -> str:
    """Say a decision in a few words, without its configuration (`explain` says it whole)."""
    what = f"{decision.side} {decision.instrument}"
    if decision.verdict == "denied":
        return f"Denied to {what}: {decision.code}."
    if decision.sizing is None or decision.action == "close":
        return f"Approved to close {decision.instrument}."
    return f"Approved to {what}: {decision.sizing.quantity:f}."


def signal_row(seq: int, signal: Signal) -> rows.SignalRow:
    """Return the row of a judged signal."""
    level = signal.level.value if signal.level is not None else f"{signal.confidence:g}"
    return rows.SignalRow(
        seq, signal.ts_ns, signal.source, signal.instrument, level,
        float(signal.price) if signal.price is not None else 0.0,
        float(signal.volume) if signal.volume is not None else 0.0,
        _encode({"id": signal.id, "side": signal.side, "metadata": signal.metadata}).decode(),
    )  # fmt: skip


PROJECT: dict[type, Callable[[Projector, Event, Any, int], None]] = {
    f.ConfigApplied: Projector.configured,
    f.SignalJudged: Projector.judged,
    f.OrderSubmitted: Projector.submitted,
    f.OrderChanged: Projector.status,
    f.CancelRequested: Projector.cancelling,
    f.Filled: Projector.filled,
    f.FundingBooked: Projector.funded,
    f.CashMoved: Projector.moved,
    f.BreakerTripped: Projector.tripped,
    f.BreakerReset: Projector.reset,
    f.DayStarted: Projector.new_day,
}


def rebuild(source: Iterable[Row], writer: ViewsWriter, version: str = "") -> int:
    """Empty the views and build them again from journal rows; return how many rows were read."""
    writer.reset()
    projector = Projector(writer, version=version)
    count = 0
    for row in source:
        body = decode_row(row.body, place=f"journal row {row.seq}")
        projector.take(row.seq, body.event, body.facts)
        count += 1
    projector.flush()
    return count
