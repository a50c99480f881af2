"""Strategies: their score after each closed trade, and their status."""

from decimal import Decimal

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.money import ZERO, from_belief
from cerberus_trader.domain.position import Position, Trade
from cerberus_trader.engine.leverage import wilson_low
from cerberus_trader.engine.state import State, strategy_of, strategy_state


def score(state: State, trade: Trade, position: Position) -> f.StrategyScored:
    """Count a closed trade: wins, losses, streaks, and the success rate's lower bound.

    A result within the scratch share of the risk taken neither continues nor ends a streak.
    """
    record = strategy_state(state, trade.strategy)
    limits = state.settings
    won = trade.pnl > ZERO
    wins, losses = record.wins + won, record.losses + (not won)
    scratch = position.risk * from_belief(limits.breaker.scratch_r)
    if abs(trade.pnl) <= scratch and position.risk:
        streak, total = record.streak, state.streak
    else:
        streak = 0 if won else record.streak + 1
        total = 0 if won else state.streak + 1
    left = (
        state.probation_left - 1
        if position.probation and state.probation_left
        else (state.probation_left)
    )
    low = wilson_low(wins, wins + losses, limits.leverage.wilson_z)
    return f.StrategyScored(
        trade.strategy, wins, losses, streak, total, float(from_belief(low)), left
    )


def success_rate(state: State) -> float:
    """Return the share of winning trades over all strategies, 0 without trades."""
    counters = state.counters
    return counters.wins / counters.trades if counters.trades else 0.0


def gross_budget(state: State, name: str) -> Decimal:
    """Return the equity that a strategy may use."""
    return state.day_equity * strategy_of(state, name).budget
