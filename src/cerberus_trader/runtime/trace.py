"""The trace: durable facts as log lines, one trace id from a signal to its closed trade.

The id is the signal's own; orders, fills and the trade carry it. Trips, liquidations, faults
and money moved at a venue are alerts. Denials are `debug`: a flood of signals must not become a
flood of lines.
"""

from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import NO_LINE, NO_LOOK, Event, FillReport, TransferReport
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import FORCED, Order
from cerberus_trader.runtime.log import Log

RECONCILING = (
    f.LinkChanged, f.MismatchFound, f.PositionCorrected, f.BalanceCorrected, f.Reconciled,
    f.VenueLeft, f.AnomalyNoted,
)  # fmt: skip


class Trace:
    """Log what a person follows of the durable facts; an observer."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def take(self, seq: int, event: Event, facts: tuple[f.Fact, ...]) -> None:
        """Take a durable row."""
        for fact in facts:
            if type(fact) is f.SignalJudged:
                self._judged(seq, fact)
            elif type(fact) is f.OrderSubmitted:
                self._submitted(seq, fact.order)
            elif type(event) is FillReport and type(fact) is f.Filled:
                self._filled(seq, event, fact)
            elif type(fact) is f.OrderChanged:
                self.log.info("order", row=seq, order_id=fact.order_id,
                              status=fact.status.value, reason=fact.reason)  # fmt: skip
            elif type(fact) is f.CashMoved:
                self._moved(seq, event, fact)
            else:
                self._others(seq, fact)

    def _submitted(self, seq: int, order: Order) -> None:
        again = order.reason == "signal" and order.attempt and not order.signal_id
        words = "a close that came to nothing is sent again" if again else "submitted"
        write = self.log.alert if again else self.log.info
        write(words, trace_id=order.signal_id, row=seq, order_id=order.id,
              instrument=order.instrument, side=order.side, reason=order.reason,
              quantity=plain(order.quantity))  # fmt: skip

    def _judged(self, seq: int, fact: f.SignalJudged) -> None:
        decision = fact.decision
        write = self.log.info if decision.verdict == "approved" else self.log.debug
        write("judged", trace_id=decision.signal_id, row=seq, decision=decision.id,
              verdict=decision.verdict, code=decision.code)  # fmt: skip

    def _filled(self, seq: int, event: FillReport, fact: f.Filled) -> None:
        trade, position = fact.trade, fact.position
        signal_id = trade.signal_id if trade is not None else position and position.signal_id
        fields: dict[str, Any] = {
            "trace_id": signal_id or "", "row": seq, "order_id": event.order_id,
            "instrument": event.instrument, "side": event.side, "reason": event.reason,
            "quantity": plain(event.quantity), "price": plain(event.price),
        }  # fmt: skip
        if trade is not None:
            fields["pnl"] = plain(trade.pnl)
        if event.reason in FORCED:
            self.log.alert("closed by the venue", **fields)
        else:
            self.log.info("filled", **fields)

    def _moved(self, seq: int, event: Event, fact: f.CashMoved) -> None:
        """Log money that came or went: at a venue it may be somebody else who takes it."""
        amount = plain(fact.amount)
        if type(event) is TransferReport:
            words = "money was put in at the venue" if fact.amount > 0 else (
                "money was taken out at the venue")  # fmt: skip
            self.log.alert(words, row=seq, account=event.account, amount=amount,
                           transfer=event.transfer_id)  # fmt: skip
        else:
            self.log.warning("balance", row=seq, amount=amount, actor=fact.actor)

    def _others(self, seq: int, fact: f.Fact) -> None:
        if type(fact) is f.BreakerTripped:
            self.log.alert("breaker tripped", row=seq, condition=fact.condition, scope=fact.scope,
                           value=fact.value, limit=fact.limit, action=fact.action)  # fmt: skip
        elif type(fact) is f.BreakerReset:
            self.log.warning("breaker reset", row=seq, conditions=list(fact.conditions),
                             actor=fact.actor, reason=fact.reason)  # fmt: skip
        elif type(fact) is f.TradingStateChanged:
            self.log.warning("trading", row=seq, state=fact.state, actor=fact.actor,
                             reason=fact.reason)  # fmt: skip
        elif type(fact) is f.HealthChanged:
            self.log.warning("health", row=seq, instrument=fact.instrument, state=fact.state,
                             stale=fact.stale, reason=fact.reason)  # fmt: skip
        elif type(fact) in RECONCILING:
            self._reconciling(seq, fact)
        elif type(fact) is f.Faulted:
            self.log.alert("faulted: trading is halted", row=seq, fault=fact.error)
        elif type(fact) is f.CommandRepeated:
            self.log.warning("command repeated", row=seq, command=fact.command, actor=fact.actor,
                             id=fact.command_id)  # fmt: skip
        elif type(fact) is f.CommandRefused:
            self.log.warning("command refused", row=seq, command=fact.command, actor=fact.actor,
                             reason=fact.reason)  # fmt: skip

    def _reconciling(self, seq: int, fact: f.Fact) -> None:
        """Log what the comparison with the venue found; what differs is an alert."""
        if type(fact) is f.LinkChanged:
            blind = fact.reason.startswith((NO_LINE, NO_LOOK))
            write = self.log.alert if blind else self.log.warning
            write("venue", row=seq, account=fact.account, state=fact.state, reason=fact.reason)
        elif type(fact) is f.Reconciled:
            self.log.info("reconciled", row=seq, account=fact.account, cause=fact.cause,
                          orders=fact.orders, positions=fact.positions)  # fmt: skip
        elif type(fact) is f.VenueLeft:
            self.log.info("on paper inside the engine now", row=seq, account=fact.account)
        elif type(fact) is f.MismatchFound:
            write = self.log.warning if fact.action == "suspected" else self.log.alert
            write("mismatch", row=seq, account=fact.account, kind=fact.kind, place=fact.place,
                  ours=fact.ours, theirs=fact.theirs, action=fact.action)  # fmt: skip
        elif type(fact) is f.PositionCorrected:
            self.log.warning("position corrected", row=seq, account=fact.account,
                             instrument=fact.instrument, reason=fact.reason)  # fmt: skip
        elif type(fact) is f.BalanceCorrected:
            self.log.alert("balance corrected", row=seq, account=fact.account,
                           amount=plain(fact.amount), reason=fact.reason)  # fmt: skip
        elif type(fact) is f.AnomalyNoted:
            self.log.alert("the venue said what cannot be right", row=seq, account=fact.account,
                           kind=fact.kind, place=fact.place, detail=fact.detail)  # fmt: skip
