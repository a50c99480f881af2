"""The trades of a replay as people read them: levels, excursions, the decision behind each."""

from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain.position import Trade
from cerberus_trader.replay.collector import Collector
from cerberus_trader.replay.performance import excursion
from cerberus_trader.replay.tape import Tape


class TradeRecord(NamedTuple):
    """Hold a closed trade with its levels after the entry; excursions as fractions and in R.

    R is what the position planned to lose at its stop; 0 where nothing was planned.
    """

    trade: Trade
    decision_id: str
    stop: Decimal | None
    take_profit: Decimal | None
    liquidation: Decimal | None
    worst: float
    best: float
    worst_r: float
    best_r: float


def trade_records(collector: Collector, tapes: list[Tape]) -> list[TradeRecord]:
    """Return every closed trade in order of its end, measured on the price columns."""
    by_name = {tape.name: tape for tape in tapes}
    decided = {decision.signal_id: decision.id for decision in collector.decisions}
    found = []
    for fill in collector.fills:
        trade = fill.booked.trade
        if trade is None:
            continue
        tape = by_name[trade.instrument]
        worst, best = excursion(
            tape, trade.sign, float(trade.entry_price), float(trade.exit_price),
            trade.opened_ns, trade.closed_ns,
        )  # fmt: skip
        position = collector.entries.get(trade.position_id)
        stop = profit = liquidation = None
        per_risk = 0.0
        if position is not None:
            stop, profit = position.stop, position.take_profit
            level = position.liquidation(tape.instrument.tiers)
            liquidation = level.price if level is not None else None
            per_risk = float(position.cost / position.risk) if position.risk else 0.0
        found.append(
            TradeRecord(
                trade, decided.get(trade.signal_id, ""), stop, profit, liquidation, worst, best,
                worst * per_risk, best * per_risk,
            )
        )  # fmt: skip
    return found
