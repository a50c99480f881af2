"""The kill switch: what the shell measures around the engine, held against its limits.

The shell sends a measurement when acting on it would change something: `acts` says when. What
trips is latched and released as the breaker's conditions are; it blocks what adds exposure, never
what reduces it.
"""

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Condition, Measured
from cerberus_trader.engine import breaker
from cerberus_trader.engine.state import State

FLAGS = {"Latency": ("latency",), "Consecutive_Losses": ("losses",)}
"""The names of the source documents, and the conditions they stand for."""


def limit_of(state: State, condition: Condition) -> tuple[float, str]:
    """Return a condition's limit (0: off) and what it leads to.

    What was not answered in time is slow, however slow answers may be.
    """
    limits = state.settings.killswitch
    unit = "_mb" if condition.startswith("memory") else "_ms"
    unit = "" if condition == "volatility" else unit
    action = "block" if condition == "feed" else getattr(limits, f"{condition}_action")
    limit = float(getattr(limits, f"{condition}{unit}_max"))
    if condition == "latency":
        limit = min(limit, float(state.settings.reconcile.answer_ms_max))
    return limit, action


def over(state: State, condition: Condition, value: float) -> bool:
    """Tell whether a value is beyond its limit."""
    limit, action = limit_of(state, condition)
    return limit > 0.0 and action != "off" and value > limit


def acts(state: State, condition: Condition, value: float, scope: str = "") -> bool:
    """Tell whether a measurement changes anything: it trips, or a feed falls silent or speaks."""
    beyond = over(state, condition, value)
    if condition == "feed":
        return beyond != (scope in state.silent)
    return beyond and condition not in state.trips


def on_measured(state: State, event: Measured) -> list[f.Fact]:
    """Trip what a measurement reaches; a feed is silent until it speaks again."""
    if not acts(state, event.condition, event.value, event.scope):
        return []
    if event.condition == "feed":
        beyond = over(state, event.condition, event.value)
        return [f.FeedChanged(event.ts_ns, event.scope, beyond)]
    limit, action = limit_of(state, event.condition)
    trip = f.BreakerTripped(
        event.ts_ns, event.condition, "", f"{event.value:g}", f"{limit:g}", action
    )
    return breaker.consequences(state, [trip], event.ts_ns)


def flags(state: State) -> dict[str, bool]:
    """Return the kill switch's global flags, under the names of the source documents."""
    found = {name: any(c in state.trips for c in held) for name, held in FLAGS.items()}
    found["HALT"] = state.trading != "active" or any(not t.scope for t in state.trips.values())
    return found
