"""Folding what the comparison with a venue found; `apply.py` holds the table of all folds."""

from collections.abc import Callable
from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event
from cerberus_trader.domain.order import is_own
from cerberus_trader.domain.position import LEVELS, Position, protective_ids
from cerberus_trader.engine import targets
from cerberus_trader.engine.books import end_suspicion, forget, hold, protect
from cerberus_trader.engine.look import signed
from cerberus_trader.engine.state import ENDED_MAX, State, key_of


def link_changed(state: State, event: Event, fact: f.LinkChanged) -> None:
    """Open nothing new on an account until it is reconciled."""
    state.unreconciled[fact.account] = fact.reason or fact.state
    state.risk_version += 1


def order_doubted(state: State, event: Event, fact: f.OrderDoubted) -> None:
    """Keep how often a venue did not know an order."""
    if fact.order_id in state.orders:
        state.doubts[fact.order_id] = (fact.since_ns, fact.absent)


def mismatch_found(state: State, event: Event, fact: f.MismatchFound) -> None:
    """Keep a difference: acted on once, then known."""
    if fact.kind not in ("foreign_fill", "overfill", "lost_order"):
        place = key_of(fact.account, fact.place)
        before, detail = state.suspects.get(place), fact.detail()
        state.suspects[place] = (detail, fact.action != "suspected")
        if fact.action == "suspected":
            again = before == (detail, False)
            state.sightings[place] = state.sightings.get(place, 1) + 1 if again else 1
            # by the venue's clock: a step of ours would make a list old that lags
            state.suspected_ns[place] = getattr(event, "venue_ns", fact.ts_ns)
    if fact.kind in ("foreign_fill", "orphan_order") and is_lost_entry(state, fact.place):
        state.lost[fact.place] = fact.ts_ns
        if len(state.lost) > ENDED_MAX:
            forget(state.lost)


def is_lost_entry(state: State, name: str) -> bool:
    """Tell whether an order is an entry of ours that no memory holds."""
    known = name in state.orders or name in state.ended
    return not known and name[-1:] == "e" and is_own(state.engine_id, name)


def suspicion_ended(state: State, event: Event, fact: f.SuspicionEnded) -> None:
    """Forget a difference that is gone."""
    if fact.account:
        end_suspicion(state, key_of(fact.account, fact.place))
        return
    for place in [x for x in state.suspects if x.endswith(f"/{fact.place}")]:  # of an older engine
        end_suspicion(state, place)


def position_corrected(state: State, event: Event, fact: f.PositionCorrected) -> None:
    """Hold a position as the venue has it; a stop in doubt stays so unless it is what was told."""
    key = key_of(fact.account, fact.instrument)
    before, after = fact.before, fact.after
    name = before.id if before is not None else ""
    doubted = any(leg in state.unsure for leg in protective_ids(name))
    same = before is not None and after is not None and after.stop == before.stop
    hold(state, key, after)
    settled = [key] if signed(before) != signed(after) else []
    settled += [key_of(fact.account, leg) for leg in corrected_legs(before, after)]
    for place in settled:
        if place in state.suspects:
            state.suspects[place] = ("", False)  # the same difference again would be a new one
    if key in state.targets:
        targets.follow_venue(state, key, fact)
    protect(state, name, after, told=not (doubted and same))
    state.risk_version += 1


def corrected_legs(before: Position | None, after: Position | None) -> list[str]:
    """Return the ids of the protective orders whose level a correction has changed."""
    if before is None or after is None:
        return []
    legs = zip(protective_ids(before.id), LEVELS, strict=True)
    return [leg for leg, level in legs if getattr(before, level) != getattr(after, level)]


def balance_corrected(state: State, event: Event, fact: f.BalanceCorrected) -> None:
    """Take the venue's balance; what it differs by is a loss or gain of the account."""
    state.balance += fact.amount
    state.counters.corrections += fact.amount
    place = key_of(fact.account, f"balance {fact.account}")
    if place in state.suspects:  # the same difference again would be a new one
        state.suspects[place] = ("", False)
    state.risk_version += 1


def reconciled(state: State, event: Event, fact: f.Reconciled) -> None:
    """Let new exposure be opened on an account again."""
    state.agreed[fact.account] = fact.venue_ns
    if state.unreconciled.pop(fact.account, None) is not None:
        state.risk_version += 1


def venue_left(state: State, event: Event, fact: f.VenueLeft) -> None:
    """Wait for no venue's word on an account any more."""
    state.agreed.pop(fact.account, None)
    state.unreconciled.pop(fact.account, None)
    state.risk_version += 1


def anomaly_noted(state: State, event: Event, fact: f.AnomalyNoted) -> None:
    """Count what cannot be right."""
    state.counters.anomalies += 1


def feed_changed(state: State, event: Event, fact: f.FeedChanged) -> None:
    """Keep which feeds are silent."""
    state.silent.pop(fact.instrument, None)
    state.silent |= {fact.instrument: fact.ts_ns} if fact.silent else {}


VENUE_FOLDS: dict[type, Callable[[State, Any, Any], None]] = {
    f.LinkChanged: link_changed,
    f.OrderDoubted: order_doubted,
    f.MismatchFound: mismatch_found,
    f.SuspicionEnded: suspicion_ended,
    f.PositionCorrected: position_corrected,
    f.BalanceCorrected: balance_corrected,
    f.Reconciled: reconciled,
    f.VenueLeft: venue_left,
    f.AnomalyNoted: anomaly_noted,
    f.FeedChanged: feed_changed,
}
