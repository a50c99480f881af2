"""The circuit breaker: conditions with limits, latched when hit, released by a person.

A trip blocks every order that adds exposure and never one that reduces it. Equity conditions are
also levels that the market watches between events: `floors` says where they lie.
"""

from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import ConfigEvent, FillReport, OperatorEvent
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ONE, ZERO, plain
from cerberus_trader.domain.order import FORCED
from cerberus_trader.domain.settings import Breaker, Settings
from cerberus_trader.engine import orders
from cerberus_trader.engine.risk import flatten
from cerberus_trader.engine.state import (
    State,
    equity,
    strategy_from,
    strategy_of,
    strategy_pnl,
)

MS = 1_000_000


class Floor(NamedTuple):
    """Hold an equity floor: it is hit when constant + sum(weight x price) <= limit."""

    scope: str
    constant: Decimal
    weights: tuple[tuple[str, Decimal], ...]
    limit: Decimal


def account_floors(state: State, limits: Breaker) -> list[tuple[str, Decimal, str]]:
    """Return the equity conditions of the account that are not off: name, floor, action."""
    found: list[tuple[str, Decimal, str]] = []
    if limits.day_loss_action != "off":
        floor = state.day_equity * (ONE - limits.day_loss)
        found.append(("day_loss", floor, limits.day_loss_action))
    if limits.drawdown_action != "off":
        floor = state.peak * (ONE - limits.drawdown_hard)
        found.append(("drawdown", floor, limits.drawdown_action))
    return found


def account_limits(state: State, limits: Breaker | None = None) -> list[tuple[str, Decimal, str]]:
    """Return the untripped equity conditions of the account, at other limits where given."""
    found = account_floors(state, limits or state.settings.breaker)
    return [limit for limit in found if limit[0] not in state.trips] if state.trips else found


def strategy_floor(
    state: State, name: str, settings: Settings | None = None
) -> tuple[Decimal, str] | None:
    """Return a strategy's day-loss floor on its own P&L, with its action; None where off."""
    strategy = strategy_from(settings or state.settings, name)
    if strategy.day_loss_action == "off":
        return None
    record = state.strategies.get(name)
    base = record.day_base if record is not None else ZERO
    return base - strategy.day_loss * strategy.budget * state.day_equity, strategy.day_loss_action


def strategy_limit(
    state: State, name: str, settings: Settings | None = None
) -> tuple[Decimal, str] | None:
    """Return a strategy's floor, with its action; None where off or tripped."""
    if state.trips and f"strategy_day_loss:{name}" in state.trips:
        return None
    return strategy_floor(state, name, settings)


def floors(state: State) -> list[Floor]:
    """Return the highest untripped floor of the account and of each strategy with positions."""
    found = []
    limits = account_limits(state)
    if limits and state.exposures:
        constant, weights = state.balance, []
        for name, open_ in state.exposures.items():
            constant -= open_.cost
            weights.append((name, open_.long - open_.short))
        found.append(Floor("", constant, tuple(weights), max(floor for _, floor, _ in limits)))
    configured = state.settings.strategies
    for name, record in state.strategies.items():
        strategy = configured.get(name)
        if strategy is not None and strategy.day_loss_action == "off":
            continue
        if not record.books:
            continue
        limit = strategy_limit(state, name)
        if limit is not None:
            constant = record.booked - sum((cost for _, cost in record.books.values()), ZERO)
            weights = [(item, net) for item, (net, _) in record.books.items()]
            found.append(Floor(name, constant, tuple(weights), limit[0]))
    return found


def equity_trips(
    state: State, now_ns: int, equity: Decimal, limits: Breaker | None = None
) -> list[f.BreakerTripped]:
    """Trip every account condition that this equity reaches, at other limits where given."""
    trips = []
    for name, floor, action in account_limits(state, limits):
        if equity <= floor:
            trips.append(f.BreakerTripped(now_ns, name, "", plain(equity), plain(floor), action))
    return trips


def strategy_trips(state: State, now_ns: int, name: str, pnl: Decimal) -> list[f.BreakerTripped]:
    """Trip the strategy's day loss if this P&L reaches it."""
    limit = strategy_limit(state, name)
    return [] if limit is None else floor_trips(now_ns, name, pnl, limit)


def floor_trips(
    now_ns: int, name: str, pnl: Decimal, limit: tuple[Decimal, str]
) -> list[f.BreakerTripped]:
    """Trip a strategy's day loss if this P&L reaches its floor."""
    floor, action = limit
    if pnl > floor:
        return []
    return [f.BreakerTripped(now_ns, "strategy_day_loss", name, plain(pnl), plain(floor), action)]


def consequences(
    state: State, trips: list[f.BreakerTripped], now_ns: int, *, gone: str = ""
) -> list[f.Fact]:
    """Return the trips with what they do: cancel entries, and flatten where the limit says so.

    `gone` is the key of a position that this very event closes.
    """
    found: list[f.Fact] = list(trips)
    for trip in trips:
        found += orders.cancel_entries(state, f"breaker {trip.condition}", trip.scope)
        if trip.action == "flatten":
            for ticket in flatten(state, "breaker", trip.scope):
                if f"{ticket.account}/{ticket.instrument}" != gone:
                    found.append(orders.submit_reduction(ticket, now_ns))
    return once(found)


def once(found: list[f.Fact]) -> list[f.Fact]:
    """Drop the second of two facts about the same order (two trips in one event).

    Each fill-or-kill order that is killed has a part of its own to close.
    """
    seen: dict[tuple[type, str], None] = {}
    kept: list[f.Fact] = []
    for fact in found:
        mark: tuple[type, str] | None = None
        if type(fact) is f.OrderSubmitted:
            order = fact.order
            mark = (f.OrderSubmitted, order.id if order.reason == "signal" else order.closes)
        elif type(fact) is f.CancelRequested:
            mark = (f.CancelRequested, fact.order_id)
        if mark is None or mark not in seen:
            kept.append(fact)
        if mark is not None:
            seen[mark] = None
    return kept


def booking_trips(
    state: State, now_ns: int, equity: Decimal, strategy: str, marks: Marks, change: Decimal
) -> list[f.BreakerTripped]:
    """Trip what a booking reaches, for the account and for the strategy it belongs to.

    `equity` is the account's after the booking, `change` what the booking did to it.
    """
    trips, limit = equity_trips(state, now_ns, equity), strategy_limit(state, strategy)
    if limit is not None:
        trips += floor_trips(now_ns, strategy, strategy_pnl(state, strategy, marks) + change, limit)
    return trips


def trade_trips(
    state: State, now_ns: int, streak: int, limits: Breaker | None = None
) -> list[f.BreakerTripped]:
    """Trip on consecutive losing trades, at other limits where given."""
    limit = (limits or state.settings.breaker).losses_max
    if not limit or streak < limit or "losses" in state.trips:
        return []
    return [f.BreakerTripped(now_ns, "losses", "", str(streak), str(limit), "block")]


def forced_trip(state: State, now_ns: int, event: FillReport) -> list[f.BreakerTripped]:
    """Trip on a liquidation or an automatic deleveraging."""
    off = not state.settings.breaker.liquidation_trips
    if event.reason not in FORCED or event.reason in state.trips or off:
        return []
    return [f.BreakerTripped(now_ns, event.reason, "", event.instrument, "none", "block")]


def failure_facts(state: State, now_ns: int, order_id: str = "") -> list[f.Fact]:
    """Count consecutive order failures within their window, and trip at the limit.

    Without the id of an order that failed, the row of failures ends.
    """
    limits = state.settings.breaker
    if not order_id:
        return [f.FailureCounted(0, now_ns)] if state.failures else []
    if order_id in state.failed:
        return []  # it counted when nobody knew its outcome
    order = state.orders.get(order_id)
    if order is not None and order.reason == "signal" and order.attempt and not order.signal_id:
        return []  # what is closed again counted when it failed first
    inside = now_ns - state.failures_since_ns <= limits.failures_window_ms * MS
    count = state.failures + 1 if state.failures and inside else 1
    since = state.failures_since_ns if count > 1 else now_ns
    found: list[f.Fact] = [f.FailureCounted(count, since, order_id)]
    trips = failure_trips(state, now_ns, count, limits)
    return found + (consequences(state, trips, now_ns) if trips else [])


def failure_trips(state: State, now_ns: int, count: int, limits: Breaker) -> list[f.BreakerTripped]:
    """Trip on consecutive order failures."""
    limit = limits.failures_max
    if not limit or count < limit or "failures" in state.trips:
        return []
    return [f.BreakerTripped(now_ns, "failures", "", str(count), str(limit), "block")]


def day_release(state: State) -> tuple[str, ...]:
    """Return the day-loss trips that end with the day, where configured when they tripped too."""
    if not state.settings.breaker.day_release:
        return ()
    return tuple(
        name
        for name, trip in state.trips.items()
        if (name == "day_loss" or name.startswith("strategy_day_loss")) and not trip.lasting
    )


def moved_trips(state: State, now_ns: int, marks: Marks, amount: Decimal) -> list[f.BreakerTripped]:
    """Trip what is reached when an amount of money comes in, or (negative) goes out.

    It moves the equity and what the limits are shares of: a loss weighs more in what is left.
    Where nothing is left, nothing is to be held back.
    """
    after, limits = equity(state, marks) + amount, state.settings.breaker
    if not after:
        return []
    shares = {"day_loss": limits.day_loss, "drawdown": limits.drawdown_hard}
    trips = []
    for name, floor, action in account_limits(state):
        moved = floor + amount * (ONE - shares[name])
        if after <= moved:
            trips.append(f.BreakerTripped(now_ns, name, "", plain(after), plain(moved), action))
    for name in state.strategies:
        limit, strategy = strategy_limit(state, name), strategy_of(state, name)
        if limit is not None:
            moved = limit[0] - amount * strategy.day_loss * strategy.budget
            trips += floor_trips(now_ns, name, strategy_pnl(state, name, marks), (moved, limit[1]))
    return trips


def reload_trips(state: State, event: ConfigEvent) -> list[f.BreakerTripped]:
    """Trip what is reached at the limits of a new configuration.

    Of losses before a price is known of everything that is held, the levels in the market say so.
    """
    if not state.config:
        return []
    now, marks, settings = event.ts_ns, event.marks, event.settings
    limits = settings.breaker
    trips = trade_trips(state, now, state.streak, limits)
    if now - state.failures_since_ns <= limits.failures_window_ms * MS:
        trips += failure_trips(state, now, state.failures, limits)
    if not {name for name, _ in marks}.issuperset(state.exposures):
        return trips
    trips += equity_trips(state, now, equity(state, marks), limits)
    for name in state.strategies:
        limit = strategy_limit(state, name, settings)
        if limit is not None:
            trips += floor_trips(now, name, strategy_pnl(state, name, marks), limit)
    return trips


def reached_without(state: State, marks: Marks, amount: Decimal) -> str:
    """Name the condition that taking out an amount of money would reach, empty where none."""
    for trip in moved_trips(state, state.now_ns, marks, -amount):
        return f"day loss of {trip.scope}" if trip.scope else trip.condition
    return ""


def standing(state: State, marks: Marks) -> tuple[str, ...]:
    """Name the tripped losses of the day that are still at their limits."""
    found, now = [], equity(state, marks)
    for name, floor, _ in account_floors(state, state.settings.breaker):
        if name == "day_loss" and now <= floor:
            found.append(name)
    for name in state.strategies:
        limit = strategy_floor(state, name)
        if limit is not None and strategy_pnl(state, name, marks) <= limit[0]:
            found.append(f"strategy_day_loss:{name}")
    return tuple(name for name in found if name in state.trips)


def reset_facts(state: State, event: OperatorEvent) -> list[f.Fact]:
    """Release what is tripped onto probation: authorised, with a reason, after the cool-down.

    A drawdown is counted from now on: from the old peak it would trip again at the next price, and
    leave no leverage. A day's loss that is still at its limit stays tripped: released, it would let
    an entry through, and trip at its fill.
    """
    limits, now_ns = state.settings.breaker, event.ts_ns
    kept = standing(state, event.marks) if state.trips else ()
    refusal = ""
    if not state.trips:
        refusal = "nothing is tripped"
    elif not event.authorised:
        refusal = "a reset needs a valid admin token"
    elif not event.reason.strip():
        refusal = "a reset needs a reason"
    else:
        # one that runs is made longer by a reload, never shorter
        cooldown_ms = max(limits.cooldown_ms, state.cooldown_ms)
        ready = max(trip.ts_ns for trip in state.trips.values()) + cooldown_ms * MS
        if now_ns < ready:
            refusal = f"cool-down: {(ready - now_ns + MS - 1) // MS} ms left"
        elif len(kept) == len(state.trips):
            refusal = (
                f"{', '.join(kept)}: the loss is still at its limit; wait for the new UTC day, or "
                "raise the limit in the configuration first"
            )
    if refusal:
        return [f.CommandRefused("reset_breaker", event.actor, refusal)]
    released = tuple(name for name in state.trips if name not in kept)
    trades = limits.half_open_trades
    facts: list[f.Fact] = [f.BreakerReset(now_ns, released, event.actor, event.reason, trades)]
    if "drawdown" in released:
        facts.append(f.PeakRaised(equity(state, event.marks)))
    return facts
