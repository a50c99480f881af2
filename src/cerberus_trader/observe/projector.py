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
from cerberus_trader.domain.events import (
    ConfigEvent,
    Event,
    FillReport,
    FundingReport,
    SignalEvent,
    TransferReport,
    marks_of,
)
from cerberus_trader.domain.instrument import BARE, Instrument, Tier
from cerberus_trader.domain.money import ZERO, plain
from cerberus_trader.domain.order import TERMINAL, Order
from cerberus_trader.domain.position import Position, Trade, protective_ids, protective_orders
from cerberus_trader.domain.row import decode_row
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State, key_of
from cerberus_trader.journal import view_rows as rows
from cerberus_trader.journal.rows import Row
from cerberus_trader.journal.views import Batch, ViewsWriter

BATCH_ROWS = 1_024
ADDED = (
    rows.SignalRow, rows.DecisionLogRow, rows.DecisionRow, rows.ExecutionRow, rows.TradeRow,
    rows.LedgerRow, rows.EquityRow, rows.BreakerRow, rows.MetricRow, rows.DeploymentRow,
    rows.OrderTermsRow,
)  # fmt: skip
STATUS, FILLED, UPDATED = map(rows.OrderRow._fields.index, ("status", "filled", "updated_ns"))
PRICE, QUANTITY = map(rows.OrderRow._fields.index, ("price", "quantity"))
Held = tuple[Position, Decimal | None, tuple[Tier, ...], Trade | None]
_encode = msgspec.json.Encoder().encode


class Projector:
    """Turn journalled events and facts into view rows.

    Starts empty, or, to go on where views stopped, from the engine's state at that journal row.
    Rows gather as bare tuples, by kind, in the order of the columns of `journal/view_rows.py`. Of
    orders and positions, which change, only the last state in a batch is kept.
    """

    def __init__(self, writer: ViewsWriter, state: State | None = None, version: str = "") -> None:
        self.writer = writer
        self.version = version
        self.added: dict[type, list[tuple[Any, ...]]] = {kind: [] for kind in ADDED}
        self.orders: dict[str, list[Any]] = {}
        self.statuses: dict[str, tuple[Any, ...]] = {}
        self.held: dict[str, Held] = {}
        self.seq = self.written = writer.applied_seq()
        self.taken: list[tuple[int, Event, Iterable[f.Fact]]] = []
        self.fills: dict[str, Decimal] = {
            order.id: order.filled
            for order in (state.orders.values() if state is not None else ())
            if order.filled
        }
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
        self.taken.append((seq, event, facts))
        if seq - self.written >= BATCH_ROWS:
            self.flush()

    def _project(self) -> None:
        """Turn what was taken into rows: many in a row cost half of one now and then."""
        taken, self.taken = self.taken, []
        for self.seq, event, facts in taken:
            if type(event) is SignalEvent:
                self.added[rows.SignalRow].append(signal_row(self.seq, event.signal))
            for leg, fact in enumerate(facts):
                project = PROJECT.get(type(fact))
                if project is not None:
                    project(self, event, fact, leg)

    def flush(self) -> None:
        """Write what has gathered, in one transaction with the progress."""
        if self.seq <= self.written:
            return
        self._project()
        positions = [position_row(*one) for one in self.held.values()]
        tables: list[Batch] = [
            *self.added.items(),
            # a change of status is older than an order that stands whole in the same batch
            (rows.OrderStatusRow, self.statuses.values()),
            (rows.OrderRow, self.orders.values()),
            (rows.PositionRow, positions),
        ]
        self.writer.write(tables, through_seq=self.seq)
        self.written = self.seq
        self.added = {kind: [] for kind in ADDED}
        self.orders, self.statuses, self.held = {}, {}, {}

    # -- rows ----------------------------------------------------------------------------

    def _status(self, status: str, filled: str, ts_ns: int, order_id: str) -> None:
        """Change an order's status: in this batch's own row where it has one."""
        order = self.orders.get(order_id)
        if order is None:
            self.statuses[order_id] = (status, filled, ts_ns, order_id)
        else:
            order[STATUS], order[FILLED], order[UPDATED] = status, filled, ts_ns

    def configured(self, event: Event, fact: f.ConfigApplied, leg: int) -> None:
        """Record a deployment per strategy, and the opening balance."""
        first = not self.config
        self.config = fact.digest
        self.instruments = {item.name: item for item in fact.instruments}
        self.currency = fact.settings.account.currency
        self.cache_ns = fact.settings.cache.ttl_ms * 1_000_000
        actor = event.actor if type(event) is ConfigEvent else "start"
        for number, (name, one) in enumerate(fact.settings.strategies.items()):
            self.added[rows.DeploymentRow].append((
                self.seq * 1_000 + number, name, one.head, fact.digest, self.version,
                one.status, plain(one.budget), fact.ts_ns, None, actor,
            ))  # fmt: skip
        if first:
            self.balance = self.peak = fact.settings.account.balance
            self._book(fact.ts_ns, leg, "main", (("capital", self.balance),))
            self._equity(fact.ts_ns)

    def judged(self, event: Event, fact: f.SignalJudged, leg: int) -> None:
        """Record a decision, and the cache entry it made; its document stays in the journal row."""
        decision = fact.decision
        self._note(event)
        self.added[rows.DecisionLogRow].append((
            self.seq, decision.id, decision.ts_ns, decision.signal_id, decision.strategy,
            decision.instrument, decision.verdict, decision.code, sentence(decision), b"",
        ))  # fmt: skip
        if decision.cache_key and not decision.cache_hit and decision.leverage is not None:
            record = decision.leverage
            analysis = _encode((record.inputs, record.factors, record.raw)).decode()
            self.added[rows.DecisionRow].append((
                self.seq, decision.cache_key, analysis,
                decision.ts_ns, decision.ts_ns + self.cache_ns,
            ))  # fmt: skip

    def submitted(self, event: Event, fact: f.OrderSubmitted, leg: int) -> None:
        """Record a new order."""
        self._order(fact.order, f"d{self.seq}" if fact.order.signal_id else None)

    def _order(self, order: Order, decision: str | None) -> None:
        self.orders[order.id] = [
            order.id, order.account, order.strategy, order.instrument,
            "buy" if order.side > 0 else "sell", order.kind, order.reason,
            plain(order.quantity), plain(order.filled),
            None if order.price is None else plain(order.price), plain(order.leverage),
            int(order.reduce_only), order.closes or None, order.signal_id or None, decision,
            order.status.value, order.created_ns, order.created_ns,
        ]  # fmt: skip

    def status(self, event: Event, fact: f.OrderChanged, leg: int) -> None:
        """Record an order's new status."""
        ended = fact.status in TERMINAL
        filled = (self.fills.pop if ended else self.fills.get)(fact.order_id, ZERO)
        self._status(fact.status.value, plain(filled), event.ts_ns, fact.order_id)

    def cancelling(self, event: Event, fact: f.CancelRequested, leg: int) -> None:
        """Record that a cancellation was asked for."""
        filled = plain(self.fills.get(fact.order_id, ZERO))
        self._status("pending_cancel", filled, event.ts_ns, fact.order_id)

    def replaced(self, event: Event, fact: f.OrderReplaced, leg: int) -> None:
        """Record an entry's new price and quantity."""
        price, quantity = plain(fact.price), plain(fact.quantity)
        order = self.orders.get(fact.order_id)
        if order is None:
            row = (price, quantity, event.ts_ns, fact.order_id)
            self.added[rows.OrderTermsRow].append(row)
        else:
            order[PRICE], order[QUANTITY], order[UPDATED] = price, quantity, event.ts_ns

    def corrected(self, event: Event, fact: f.PositionCorrected, leg: int) -> None:
        """Record a position as the venue has it; one that is gone there makes no trade."""
        self._note(event)
        key = key_of(fact.account, fact.instrument)
        before = self.positions.pop(key, None)
        after = fact.after
        if after is not None:
            self.positions[key] = after
            self._hold(after, None)
        if before is not None and (after is None or after.id != before.id):
            self._hold(before, gone(before, self.marks.get(fact.instrument), event.ts_ns))
        self._protect(before, after, event.ts_ns)
        self._equity(event.ts_ns)

    def _protect(self, before: Position | None, after: Position | None, ts_ns: int) -> None:
        """Record the protective orders of a position, and the end of those that are no more."""
        orders = protective_orders(after) if after is not None else []
        for order in orders:
            self._order(order, None)
        kept = [order.id for order in orders]
        for order_id in protective_ids(before.id) if before is not None else ():
            if order_id not in kept:
                self._status("canceled", "0", ts_ns, order_id)

    def rebalanced(self, event: Event, fact: f.BalanceCorrected, leg: int) -> None:
        """Record what our balance was corrected by."""
        self._book(event.ts_ns, leg * 10, fact.account, (("correction", fact.amount),))
        self.balance += fact.amount
        self._equity(event.ts_ns)

    def filled(self, event: FillReport, fact: f.Filled, leg: int) -> None:
        """Record a fill: execution, order, position, trade, ledger, equity."""
        side = "buy" if event.side > 0 else "sell"
        quantity = plain(event.quantity)
        self._note(event)
        self.added[rows.ExecutionRow].append((
            self.seq * 1_000 + leg, "paper", event.trade_id, event.ts_ns, event.order_id,
            fact.position_id, event.account, fact.strategy, event.instrument, side, quantity,
            plain(event.price), plain(event.fee), self.currency, plain(fact.realised),
            event.liquidity, event.reason,
        ))  # fmt: skip
        total = self.fills.pop(event.order_id, ZERO) + event.quantity
        if fact.status not in TERMINAL:
            self.fills[event.order_id] = total
        self._status(fact.status.value, plain(total), event.ts_ns, event.order_id)
        key = key_of(event.account, event.instrument)
        held = self.positions.get(key)
        if fact.position is not None:
            self.positions[key] = fact.position
            for order in protective_orders(fact.position):
                self._order(order, None)
            self._hold(fact.position, None)
        elif held is not None:
            del self.positions[key]
            self._hold(held, fact.trade)
            for order_id in protective_ids(fact.position_id):
                if order_id != event.order_id:
                    self._status("canceled", "0", event.ts_ns, order_id)
        if fact.trade is not None:
            self._trade(fact.trade)
        legs = (("realised", fact.realised), ("fee", -event.fee))
        self._book(event.ts_ns, leg * 10, event.account, legs)
        self.balance += fact.realised - event.fee
        self._equity(event.ts_ns)

    def _hold(self, position: Position, closed: Trade | None) -> None:
        """Keep what a position's row says of it; a batch makes only its last row."""
        tiers = self.instruments.get(position.instrument, BARE).tiers
        self.held[position.id] = (position, self.marks.get(position.instrument), tiers, closed)

    def _trade(self, trade: Trade) -> None:
        self.added[rows.TradeRow].append((
            trade.position_id, trade.account, trade.strategy, trade.instrument,
            "long" if trade.sign > 0 else "short", plain(trade.quantity),
            plain(trade.entry_price), plain(trade.exit_price), plain(trade.leverage),
            trade.opened_ns, trade.closed_ns, trade.reason, plain(trade.pnl),
            plain(trade.fees), plain(trade.funding), trade.r, trade.signal_id or None,
            None, None,
        ))  # fmt: skip

    def funded(self, event: FundingReport, fact: f.FundingBooked, leg: int) -> None:
        """Record a funding payment."""
        position = fact.position
        self._note(event)
        if position is not None:
            self.positions[key_of(position.account, position.instrument)] = position
            self._hold(position, None)
        legs = (("funding", -fact.amount),)
        reference = position.id if position is not None else fact.payment_id
        self._book(fact.ts_ns, leg * 10, event.account, legs, reference)
        self.balance -= fact.amount
        self._equity(fact.ts_ns)

    def moved(self, event: Event, fact: f.CashMoved, leg: int) -> None:
        """Record a deposit or withdrawal; one at the venue carries its name there."""
        account, reference = "main", None
        if type(event) is TransferReport:
            account, reference = event.account, event.transfer_id
        self._book(event.ts_ns, leg * 10, account, (("capital", fact.amount),), reference)
        self.balance += fact.amount
        self.peak += fact.amount
        self._equity(event.ts_ns)

    def tripped(self, event: Event, fact: f.BreakerTripped, leg: int) -> None:
        """Record a trip."""
        self.added[rows.BreakerRow].append((
            self.seq, leg, fact.ts_ns, "trip", fact.condition, fact.scope, fact.value,
            fact.limit, fact.action, None, None,
        ))  # fmt: skip

    def reset(self, event: Event, fact: f.BreakerReset, leg: int) -> None:
        """Record a release, one row per condition."""
        for number, name in enumerate(fact.conditions):
            condition, _, scope = name.partition(":")
            self.added[rows.BreakerRow].append((
                self.seq, leg * 100 + number, fact.ts_ns, "reset", condition, scope, "", "",
                "", fact.actor, fact.reason,
            ))  # fmt: skip

    def new_day(self, event: Event, fact: f.DayStarted, leg: int) -> None:
        """Record the equity that a day starts with, and expire what the cache no longer holds."""
        self._note(event)
        self._equity(event.ts_ns)
        self.added[rows.MetricRow].append(
            (self.seq, event.ts_ns, "day_start_equity", float(fact.equity), None)
        )

    # -- sums ----------------------------------------------------------------------------

    def _note(self, event: Event) -> None:
        for name, price in marks_of(event):
            self.marks[name] = price

    def _book(
        self, ts_ns: int, leg: int, account: str, parts: tuple[tuple[str, Decimal], ...],
        reference: str | None = None,
    ) -> None:  # fmt: skip
        """Book amounts into cash and out of where they come from: the legs sum to zero."""
        cash, legs = ZERO, [("cash", ZERO)]
        for kind, amount in parts:
            if amount:
                cash += amount
                legs.append((kind, -amount))
        if len(legs) == 1:
            return
        legs[0] = ("cash", cash)
        ledger, seq, currency = self.added[rows.LedgerRow], self.seq, self.currency
        for kind, amount in legs:
            ledger.append(
                (account, ts_ns, seq, leg, currency, plain(amount), kind, None, None, reference)
            )
            leg += 1

    def _equity(self, ts_ns: int) -> None:
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
        self.added[rows.EquityRow].append((
            "all", ts_ns, self.seq, plain(equity), plain(self.balance), plain(unrealised),
            plain(exposure), fall,
        ))  # fmt: skip


def gone(position: Position, mark: Decimal | None, ts_ns: int) -> Trade:
    """Return how a position ended that the venue no longer has: at its last known price."""
    pnl = position.realised - position.fees - position.funding
    return Trade(
        position.id, position.account, position.strategy, position.instrument, position.sign,
        position.quantity, position.entry_price, mark or position.entry_price,
        position.leverage, position.opened_ns, ts_ns, "corrected", pnl, position.fees,
        position.funding,
    )  # fmt: skip


def position_row(
    position: Position, mark: Decimal | None, tiers: tuple[Tier, ...], closed: Trade | None
) -> tuple[Any, ...]:
    """Return the row of a position, open at a mark or closed by a fill."""
    level = position.liquidation(tiers) if closed is None else None
    entry = position.entry_price
    if closed is not None:
        pnl, mark = closed.pnl, closed.exit_price
    else:
        mark = entry if mark is None else mark
        pnl = position.unrealised(mark)
    return (
        position.id, position.instrument, "long" if position.sign > 0 else "short",
        float(position.quantity), float(position.leverage), float(entry), float(mark), float(pnl),
        float(level.price) if level is not None else 0.0,
        "open" if closed is None else "closed", position.opened_ns,
        None if closed is None else closed.closed_ns,
    )  # fmt: skip


def sentence(decision: Decision) -> str:
    """Say a decision in a few words, without its configuration (`explain` says it whole)."""
    what = f"{decision.side} {decision.instrument}"
    if decision.verdict == "denied":
        return f"Denied to {what}: {decision.code}."
    if decision.sizing is None or decision.action == "close":
        return f"Approved to close {decision.instrument}."
    return f"Approved to {what}: {decision.sizing.quantity:f}."


def signal_row(seq: int, signal: Signal) -> tuple[Any, ...]:
    """Return the row of a judged signal."""
    data = {"id": signal.id, "side": signal.side}
    if signal.metadata:
        data["metadata"] = signal.metadata
    level = signal.level.value if signal.level is not None else f"{signal.confidence:g}"
    return (
        seq, signal.ts_ns, signal.source, signal.instrument, level,
        float(signal.price) if signal.price is not None else 0.0,
        float(signal.volume) if signal.volume is not None else 0.0,
        _encode(data).decode(),
    )  # fmt: skip


PROJECT: dict[type, Callable[[Projector, Any, Any, int], None]] = {
    f.ConfigApplied: Projector.configured,
    f.SignalJudged: Projector.judged,
    f.OrderSubmitted: Projector.submitted,
    f.OrderChanged: Projector.status,
    f.CancelRequested: Projector.cancelling,
    f.Filled: Projector.filled,
    f.FundingBooked: Projector.funded,
    f.CashMoved: Projector.moved,
    f.OrderReplaced: Projector.replaced,
    f.PositionCorrected: Projector.corrected,
    f.BalanceCorrected: Projector.rebalanced,
    f.BreakerTripped: Projector.tripped,
    f.BreakerReset: Projector.reset,
    f.DayStarted: Projector.new_day,
}


def rebuild(
    source: Iterable[Row], writer: ViewsWriter, version: str = "", state: State | None = None
) -> int:
    """Empty the views and build them again from journal rows; return how many rows were read.

    `state` is the engine's before the first of the rows, where older ones are deleted.
    """
    writer.reset()
    projector = Projector(writer, state, version)
    count = 0
    for row in source:
        body = decode_row(row.body, place=f"journal row {row.seq}")
        projector.take(row.seq, body.event, body.facts)
        count += 1
    projector.flush()
    return count
