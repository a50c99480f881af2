"""One look at an account: what is seen once is suspected, what stands is acted upon."""

from decimal import Decimal
from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import Order, is_own
from cerberus_trader.domain.position import Position, protective_ids
from cerberus_trader.engine import orders
from cerberus_trader.engine.state import State, key_of

MS = 1_000_000
LOOKS = 3
"""How often what fills may explain is seen before the next look acts on it, if they go on."""


class Look:
    """Hold one look at an account, or at one order: when, and which differences it touched.

    `waiting` tells of the difference that was suspected last whether it still has to be seen
    again, or for longer; `settled` of the whole look that none has. `listed` is what the venue
    lists, by id: nothing where it was asked about one order.
    """

    __slots__ = ("account", "corrected", "listed", "now_ns", "order", "order_id", "positions",
                 "settled", "state", "theirs", "touched", "venue_ns", "waiting")  # fmt: skip

    def __init__(self, state: State, account: str, now_ns: int, venue_ns: int) -> None:
        self.state = state
        self.account = account
        self.now_ns = now_ns
        self.venue_ns = venue_ns
        self.touched: list[str] = []
        self.corrected: dict[str, Position | None] = {}
        self.waiting, self.settled = False, True
        self.listed: dict[str, VenueOrder] = {}
        self.positions: dict[str, VenuePosition] | None = None
        self.order: Order | None = None
        self.order_id = ""
        self.theirs: VenueOrder | None = None

    def held(self, name: str) -> Position | None:
        """Return our position in an instrument, with what this look has corrected of it."""
        if name in self.corrected:
            return self.corrected[name]
        return self.state.positions.get(key_of(self.account, name))

    def before(self, position: Position) -> bool:
        """Tell whether the venue may have looked before a position opened."""
        skew_ns = self.state.settings.reconcile.skew_ms_max * MS
        return self.venue_ns <= position.opened_ns + skew_ns

    def booked_ns(self, name: str) -> int:
        """Return until when, by the venue's clock, it may not have known our last fill there."""
        filled_ns = self.state.filled_ns.get(key_of(self.account, name)) if name else None
        skew_ns = self.state.settings.reconcile.skew_ms_max * MS
        return -1 if filled_ns is None else filled_ns + skew_ns

    def late(self, sent_ns: int) -> bool:
        """Tell whether what was sent by then would have arrived, or never will."""
        limits = self.state.settings.reconcile
        latest = max(sent_ns + limits.submit_window_ms * MS, self.state.window_end_ns)
        return self.venue_ns > latest + limits.skew_ms_max * MS

    def agrees(self, name: str) -> bool:
        """Tell whether the venue was seen to hold the same position in an instrument as we do."""
        if self.positions is None:
            return False
        return signed(self.held(name)) == signed(self.positions.get(name))

    def misnamed(self, position: Position) -> bool:
        """Tell whether the venue holds a position of ours under another name.

        One of its own making says nothing where it lists our protective orders of the position.
        """
        there = (self.positions or {}).get(position.instrument)
        if there is None or there.position_id in ("", position.id):
            return False
        if is_own(self.state.engine_id, there.position_id):
            return True
        return not any(leg in self.listed for leg in protective_ids(position.id))

    def known(self, place: str) -> tuple[str, bool]:
        """Return what is suspected of a place of the account, and whether it was acted on."""
        return self.state.suspects.get(key_of(self.account, place), ("", False))

    def suspect(
        self, kind: str, place: str, ours: str, theirs: str, action: str, name: str = ""
    ) -> list[f.Fact]:
        """Act on a difference that is seen again unchanged, and has stood long enough, once.

        How long it has stood is counted by the venue's clock. A look may lag behind a fill, or know
        of one that is not told yet: where something was booked in the instrument `name` since a
        difference was seen, it may be another one, and must be seen more often.
        """
        self.touched.append(place)
        key, limits = key_of(self.account, place), self.state.settings.reconcile
        detail, acted = self.known(place)
        first = self.mismatch(kind, place, ours, theirs, "suspected")
        since_ns, booked_ns = self.state.suspected_ns.get(key, 0), self.booked_ns(name)
        stood_ns = self.venue_ns - since_ns  # less than nothing where its clock was set back
        seen = detail == first.detail() and (acted or stood_ns >= 0)
        shaken = not acted and since_ns <= booked_ns
        least_ms = max(limits.suspect_ms_min, limits.skew_ms_max * shaken)
        brief = not acted and stood_ns < least_ms * MS
        seldom = shaken and self.state.sightings.get(key, 1) < LOOKS
        self.waiting = not seen or brief or seldom
        self.settled = self.settled and not self.waiting
        if not seen or (seldom and (self.venue_ns > booked_ns or not brief)):
            return [first]
        if acted or self.waiting:
            return []
        found: list[f.Fact] = [self.mismatch(kind, place, ours, theirs, action)]
        return found + (freeze_facts(self.state, kind) if action == "frozen" else [])

    def mismatch(
        self, kind: str, place: str, ours: str, theirs: str, action: Any
    ) -> f.MismatchFound:
        return f.MismatchFound(self.now_ns, self.account, kind, place, ours, theirs, action)


def signed(position: Position | VenuePosition | None) -> Decimal:
    """Return a position's quantity, negative for a short one."""
    return ZERO if position is None else position.sign * position.quantity


def acted(facts: list[f.Fact], action: str) -> bool:
    """Tell whether a suspicion has just become an action."""
    return any(type(fact) is f.MismatchFound and fact.action == action for fact in facts)


def correction(
    look: Look, name: str, before: Position | None, after: Position | None, reason: str
) -> f.PositionCorrected:
    """Make the fact that our books follow the venue's; a second one builds upon it."""
    look.corrected[name] = after
    return f.PositionCorrected(look.now_ns, look.account, name, before, after, reason)


def freeze(state: State) -> str:
    """Name what an unexplained difference leads to."""
    return "frozen" if state.settings.reconcile.unexplained == "freeze" else "noted"


def freeze_facts(state: State, reason: str) -> list[f.Fact]:
    """Freeze trading, unless configured to accept what is not ours."""
    if freeze(state) == "noted" or state.trading == "frozen":
        return []
    facts: list[f.Fact] = [f.TradingStateChanged("frozen", "reconciliation", reason)]
    return facts + orders.cancel_entries(state, "frozen")
