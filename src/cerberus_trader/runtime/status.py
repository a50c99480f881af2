"""What `status` says: account, positions, orders, breaker, market and figures as plain values."""

import os
import resource
import sys
from pathlib import Path
from typing import Any

import msgspec

from cerberus_trader import __version__
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import plain, shown
from cerberus_trader.engine import killswitch
from cerberus_trader.engine.state import State, equity, key_of
from cerberus_trader.runtime.runner import Runner
from cerberus_trader.runtime.startup import phase_of
from cerberus_trader.runtime.trading import Trading

ORDERS_MAX = 200


def status_of(trading: Trading) -> dict[str, Any]:
    """Return the state of a running engine at its own time."""
    runner, state = trading.runner, trading.state
    return {
        "version": __version__,
        "pid": os.getpid(),
        "engine_id": state.engine_id,
        "config": state.config,
        "stage": state.settings.stage,
        "time_ns": runner.clock.now_ns(),
        "row": runner.journal.last_seq,
        "phase": phase_of(trading),
        "trading": state.trading,
        "flags": killswitch.flags(state),
        "health": dict(trading.health.values) if trading.health is not None else {},
        "views": trading.views() if trading.views is not None else {},
        "found": trading.found() if trading.found is not None else "",
        "unreconciled": dict(state.unreconciled),
        "breaker": {name: msgspec.structs.asdict(trip) for name, trip in state.trips.items()},
        "probation_left": state.probation_left,
        "account": account_of(trading),
        "positions": positions_of(trading),
        "orders": orders_of(state),
        "strategies": strategies_of(state),
        "prices": prices_of(trading),
        "metrics": metrics_of(runner),
        "memory_mb": memory_mb(),
        "memory_blocks": sys.getallocatedblocks(),  # of Python's: where this grows, things pile up
    }


def account_of(trading: Trading) -> dict[str, Any]:
    """Return the account with the fields of the Portfolio (D-05.1), at the live marks."""
    state = trading.state
    now = equity(state, trading.marks())
    return {
        "balance": plain(state.balance),
        "equity": shown(now),
        "margin_used": plain(state.margin),
        "margin_available": shown(now - state.margin),
        "daily_pnl": shown(now - state.day_equity),
        "currency": state.settings.account.currency,
    }


def positions_of(trading: Trading) -> list[dict[str, Any]]:
    """Return every open position with its levels, at the last marks."""
    state, found = trading.state, []
    for item in state.positions.values():
        mark = trading.market.mark(item.instrument) or state.marks.get(
            item.instrument, item.entry_price
        )
        target = state.targets.get(key_of(item.account, item.instrument))
        level = item.liquidation(state.instruments.get(item.instrument, BARE).tiers)
        found.append({
            "id": item.id, "account": item.account, "strategy": item.strategy,
            "instrument": item.instrument, "side": "long" if item.sign > 0 else "short",
            "quantity": plain(item.quantity), "entry_price": shown(item.entry_price, 12),
            "mark": plain(mark), "unrealised_pnl": shown(item.unrealised(mark)),
            "leverage": plain(item.leverage), "margin": plain(item.margin),
            "stop": _text(item.stop), "take_profit": _text(item.take_profit),
            "trailing": _text(item.trailing),
            "liquidation": shown(level.price, 12) if level is not None else None,
            "health": item.health, "stale": item.stale, "opened_ns": item.opened_ns,
            "to_close": plain(min(target.owed, item.quantity)) if target is not None else None,
            "close_tries": target.tries if target is not None else 0,
        })  # fmt: skip
    return found


def orders_of(state: State) -> list[dict[str, Any]]:
    """Return the working orders, protective ones included (E-2.3.2)."""
    return [
        {
            "id": order.id, "instrument": order.instrument, "strategy": order.strategy,
            "side": "buy" if order.side > 0 else "sell", "kind": order.kind,
            "reason": order.reason, "quantity": plain(order.quantity),
            "price": _text(order.price), "status": order.status.value,
            "reduce_only": order.reduce_only,
        }
        for order in list(state.orders.values())[:ORDERS_MAX]
    ]  # fmt: skip


def strategies_of(state: State) -> dict[str, Any]:
    """Return each strategy's record."""
    return {
        name: {
            "status": record.status or "active", "pnl": plain(record.booked),
            "positions": record.positions, "wins": record.wins, "losses": record.losses,
            "success_low": record.success_low,
        }
        for name, record in state.strategies.items()
    }  # fmt: skip


def prices_of(trading: Trading) -> dict[str, Any]:
    """Return the last price of each instrument and its age in milliseconds."""
    now = trading.runner.clock.now_ns()
    return {
        name: {
            "bid": plain(line.bid), "ask": plain(line.ask),
            "age_ms": (now - line.last_ns) // 1_000_000,
        }
        for name, line in trading.market.lines.items()
        if line.last_ns >= 0
    }  # fmt: skip


def metrics_of(runner: Runner) -> dict[str, Any]:
    """Return every figure that is counted."""
    return runner.metrics.summary(runner.state, runner.inbox.depth())


def memory_mb() -> dict[str, float]:
    """Return the process's memory now and at its highest, in MiB.

    Read from the kernel's own page of the process: the usual call for the highest value counts
    what the process was before it became this program.
    """
    try:
        text = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        highest = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 1)
        return {"now": highest, "highest": highest}
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    now, highest = (int(found[name].split()[0]) / 2**10 for name in ("VmRSS", "VmHWM"))
    return {"now": round(now, 1), "highest": round(highest, 1)}


def _text(value: Any) -> str | None:
    return None if value is None else plain(value)
