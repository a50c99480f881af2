"""The summary of a replay: what stands in summary.json. Money is plain decimal text.

`final_equity` = starting balance + `realised_pnl` - `fees` - `funding` + `unrealised_pnl`; the
realised P&L is before fees and funding. Open positions are valued at the last bid (longs) or ask
(shorts), or the last close.
"""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from cerberus_trader import __version__
from cerberus_trader.domain.money import ZERO, plain
from cerberus_trader.engine.state import State, state_hash
from cerberus_trader.replay import performance
from cerberus_trader.replay.tape import Tape

if TYPE_CHECKING:
    from cerberus_trader.replay.session import ReplayResult

FORMAT = "cerberus-run/1"


def summarise(result: "ReplayResult") -> dict[str, Any]:
    """Return the summary, without the seconds it took."""
    state, tapes, trades = result.state, result.tapes, result.trades
    counters = state.counters
    unrealised = last_unrealised(state, tapes)
    equity = state.balance + unrealised
    result.equity[-1] = float(equity)
    returns = performance.daily_returns(result.times, result.equity)
    fall = performance.max_drawdown(result.equity)
    pnls = [float(record.trade.pnl) for record in trades]
    return {
        "format": FORMAT,
        "engine": __version__,
        "config": result.loaded.hash,
        "instruments": [tape.name for tape in tapes],
        "start_ns": min(tape.start_ns for tape in tapes),
        "end_ns": max(tape.end_ns for tape in tapes),
        "ticks": sum(tape.rows for tape in tapes),
        "signals": counters.signals,
        "approved": counters.approved,
        "denied": dict(sorted(counters.denied.items(), key=lambda item: (-item[1], item[0]))),
        "repeated": counters.repeated,
        "refused": len(result.refusals),
        "orders": counters.orders,
        "fills": counters.fills,
        "trades": counters.trades,
        "wins": counters.wins,
        "open_positions": len(state.positions),
        "liquidations": counters.liquidations,
        "faults": counters.faults,
        "fees": plain(counters.fees),
        "funding": plain(counters.funding),
        "realised_pnl": plain(counters.realised),
        "unrealised_pnl": plain(unrealised),
        "final_equity": plain(equity),
        "return": rounded(float(equity / result.loaded.settings.account.balance) - 1.0),
        "buy_and_hold": rounded(float(result.hold[-1] / result.hold[0]) - 1.0),
        "max_drawdown": rounded(fall.fraction),
        "max_drawdown_peak_ns": int(result.times[fall.peak]),
        "max_drawdown_trough_ns": int(result.times[fall.trough]),
        "exposure_time": rounded(exposure_of(result)),
        "sharpe": rounded(performance.sharpe(returns)),
        "sortino": rounded(performance.sortino(returns)),
        "profit_factor": rounded(performance.profit_factor(pnls)),
        "expectancy": rounded(performance.expectancy(pnls)),
        "expectancy_r": rounded(performance.expectancy([record.trade.r for record in trades])),
        "breaker_trips": [
            {
                "ts_ns": trip.ts_ns, "condition": trip.condition, "scope": trip.scope,
                "value": trip.value, "limit": trip.limit, "action": trip.action,
            }
            for trip in result.collector.trips
        ],
        "state_hash": state_hash(state),
    }  # fmt: skip


def rounded(value: float | None) -> float | None:
    """Round a figure for reading to nine significant digits."""
    return None if value is None else float(f"{value:.9g}")


def last_unrealised(state: State, tapes: list[Tape]) -> Decimal:
    """Return what open positions have gained: longs at the last bid, shorts at the last ask."""
    by_name = {tape.name: tape for tape in tapes}
    total = ZERO
    for name, open_ in state.exposures.items():
        bid, ask = by_name[name].last_marks()
        total += open_.long * bid - open_.short * ask - open_.cost
    return total


def exposure_of(result: "ReplayResult") -> float:
    """Return the share of the time in which something was open."""
    start = min(tape.start_ns for tape in result.tapes)
    end = max(tape.end_ns for tape in result.tapes)
    spans = [(r.trade.opened_ns, r.trade.closed_ns) for r in result.trades]
    spans += [(item.opened_ns, end) for item in result.state.positions.values()]
    return performance.exposure(spans, start, end)
