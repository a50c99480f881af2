"""The operator: commands of people, each with the role it takes and what it does.

Stopping is easy, re-arming is hard: halt, flatten and cancel need no token, and resume undoes no
more than these; releasing a breaker, thawing and moving money need an authorised event. A halt and
a flatten hold until trading is resumed, under a freeze too. While a flatten holds what still fills
is closed, and a close that failed is sent again.
"""

from decimal import Decimal

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.domain.facts import TradingState
from cerberus_trader.domain.money import ZERO
from cerberus_trader.engine import breaker, orders
from cerberus_trader.engine.portfolio import free_balance, move_cash
from cerberus_trader.engine.risk import flatten
from cerberus_trader.engine.state import State

STATES = ("halt", "resume", "freeze", "thaw")
MOVES = ("deposit", "withdraw")
NEEDS_TOKEN = ("thaw", *MOVES)


def on_operator(state: State, event: OperatorEvent) -> list[f.Fact]:
    """Carry out a command, or say why not."""
    refusal = refuse(state, event)
    if refusal:
        return [f.CommandRefused(event.command, event.actor, refusal)]
    command, now = event.command, event.ts_ns
    if command in MOVES and event.command_id in state.commands:
        moved_ns = state.commands[event.command_id][0]
        return [f.CommandRepeated(command, event.actor, event.command_id, moved_ns)]
    if command == "reset_breaker":
        return breaker.reset_facts(state, event)
    if command in STATES:
        after = state_after(state, command)
        facts: list[f.Fact] = [f.TradingStateChanged(after, event.actor, event.reason)]
        if command in ("halt", "freeze"):
            facts += orders.cancel_entries(state, command)
        return facts
    if command == "cancel_all":
        return orders.cancel_entries(state, "operator")
    if command == "flatten":
        reducing: TradingState = "reducing" if state.trading == "active" else state.trading
        latch = f.TradingStateChanged(reducing, event.actor, event.reason, flatten=True)
        return [latch, *flatten_all(state, now)]
    if command == "shutdown":
        return shut_down(state, event)
    if command in MOVES:
        return move_cash(state, event.marks, moved_by(event), event.actor)
    if command == "modify":
        found = orders.modify(state, event.target, event.price, event.amount)
        return [f.CommandRefused(command, event.actor, found)] if isinstance(found, str) else found
    return strategy_facts(state, event)


def state_after(state: State, command: str) -> TradingState:
    """Return the state of trading after a command: a freeze and a halt end with their own word."""
    if command == "freeze" or (command == "halt" and state.trading == "frozen"):
        return "frozen"
    if command == "halt" or (command == "thaw" and state.halted):
        return "halted"
    return "reducing" if command == "thaw" and state.flattening else "active"


def refuse(state: State, event: OperatorEvent) -> str:
    """Say why a command may not be carried out, empty if it may."""
    command = event.command
    if command in NEEDS_TOKEN and not event.authorised:
        return f"{command} needs a valid admin token"
    if command == "resume" and state.trading == "frozen":
        return "trading is frozen: thaw it with an admin token"
    if command == "thaw" and state.trading != "frozen":
        return "trading is not frozen: a thaw ends nothing else"
    if command in MOVES:
        return refuse_move(state, event)
    known = event.target in state.settings.strategies or event.target in state.strategies
    if command.endswith("_strategy") and not known:
        return f"no strategy {event.target!r} is configured"
    return ""


def refuse_move(state: State, event: OperatorEvent) -> str:
    """Say why money may not be moved; what was moved before is no question of what is free now."""
    if event.amount is None or event.amount <= ZERO:
        return "the amount must be above 0"
    before = state.commands.get(event.command_id)
    if before is not None:
        same = before[1] == moved_by(event)
        return "" if same else f"{event.command_id} is the id of another command: {before[1]:+f}"
    if state.agreed or state.unreconciled:
        return "the venue keeps this account's money: move it there, it is booked by itself"
    if event.command == "deposit":
        return ""
    free = free_balance(state, event.marks)
    if event.amount > free:
        return f"the free balance is only {free:f}"
    reached = breaker.reached_without(state, event.marks, event.amount)
    return f"what is left would reach the limit of {reached}: take less" if reached else ""


def moved_by(event: OperatorEvent) -> Decimal:
    """Return what a command moves: in, or (negative) out."""
    assert event.amount is not None
    return event.amount if event.command == "deposit" else -event.amount


def flatten_all(state: State, now_ns: int, strategy: str = "") -> list[f.Fact]:
    """Cancel entries, then close every position at market; stops stay until it is flat."""
    facts = orders.cancel_entries(state, "operator", strategy)
    for ticket in flatten(state, "operator", strategy):
        facts.append(orders.submit_reduction(ticket, now_ns))
    return facts


def shut_down(state: State, event: OperatorEvent) -> list[f.Fact]:
    """Follow the configured policy of a stop (K-02); the choice is in the journal."""
    policy = state.settings.shutdown
    facts: list[f.Fact] = [
        f.TradingStateChanged(state.trading, event.actor, f"shutdown, policy {policy}")
    ]
    if policy == "close":
        facts += flatten_all(state, event.ts_ns)
    elif policy == "cancel_orders_only":
        facts += orders.cancel_entries(state, "shutdown")
    return facts


def strategy_facts(state: State, event: OperatorEvent) -> list[f.Fact]:
    """Pause, resume or stop a strategy; stopping closes what it holds."""
    name = event.target
    if event.command == "pause_strategy":
        return [f.StrategyChanged(name, "paused", event.actor)]
    if event.command == "resume_strategy":
        return [f.StrategyChanged(name, "active", event.actor)]
    return [
        f.StrategyChanged(name, "stopped", event.actor),
        *flatten_all(state, event.ts_ns, name),
    ]
