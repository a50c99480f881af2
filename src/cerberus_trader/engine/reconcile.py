"""Reconciliation: our books against the venue's, by one table of local state x venue state.

What the venue says is always booked; what we cannot explain freezes trading unless configured
otherwise. Absence proves nothing by itself: an order that a venue does not know may still be on
its way, or be left out of a list. Only when the venue has denied it twice, at times at which it
could no longer have become live, and with every fill taken, is it over.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import (
    AccountReport,
    Anomaly,
    FillReport,
    LinkEvent,
    OrderModified,
    OrderStatus,
)
from cerberus_trader.domain.execution import VenueOrder
from cerberus_trader.domain.money import ZERO, plain
from cerberus_trader.domain.order import FORCED, Status, emergency_id, is_own
from cerberus_trader.domain.position import protective_ids
from cerberus_trader.domain.settings import Settings
from cerberus_trader.engine import breaker, orders
from cerberus_trader.engine.holdings import compare_balance, compare_positions
from cerberus_trader.engine.look import Look, acted, freeze, freeze_facts
from cerberus_trader.engine.protection import attached, never_protected, stand, unprotected
from cerberus_trader.engine.state import State, key_of

MS = 1_000_000
EMERGENCIES = 16
"""So many closes of one position past the engine are known for what they are."""
ABSENCES = 2
"""How often a venue must deny an order before it is over."""

Action = Callable[[Look], list[f.Fact]]


# -- what a row of the table does --------------------------------------------------------------


def keep(look: Look) -> list[f.Fact]:
    """Change nothing: both sides agree, or a report that is on its way will tell."""
    return []


def accept(look: Look) -> list[f.Fact]:
    """Take it that the venue has the order and works it."""
    assert look.order is not None
    status = Status.PARTIALLY_FILLED if look.order.filled else Status.ACCEPTED
    found: list[f.Fact] = [f.OrderChanged(look.order_id, status, "found at the venue")]
    return found + orders.killed(look.state, look.order, Status.ACCEPTED, look.now_ns)


def end(look: Look) -> list[f.Fact]:
    """Take the venue's end of an order, once all of its fills are booked.

    Fills that a venue never tells, because its history is gone, do not hold an order for ever:
    when that was acted upon, and the position agrees again, the order is over.
    """
    order, theirs = look.order, look.theirs
    assert order is not None and theirs is not None
    if theirs.filled > order.filled:
        facts = look.suspect(
            "fills_missing", look.order_id, plain(order.filled), plain(theirs.filled),
            freeze(look.state),
        )  # fmt: skip
        if facts or not look.known(look.order_id)[1] or not look.agrees(order.instrument):
            return facts
    status = Status.CANCELED if theirs.state == "filled" else orders.REPORTED[theirs.state]
    if theirs.state == "filled" and order.filled >= order.quantity:
        status = Status.FILLED
    reason = theirs.reason or "ended at the venue"
    found: list[f.Fact] = [f.OrderChanged(look.order_id, status, reason)]
    return found + orders.killed(look.state, order, status, look.now_ns)


def follow(look: Look) -> list[f.Fact]:
    """Take the price and quantity that a working entry has at the venue.

    At once where they were asked for; others may be those of before a change that was told.
    """
    order, theirs = look.order, look.theirs
    assert order is not None and theirs is not None
    before, price, quantity = order.price, theirs.price, theirs.quantity
    if order.reduce_only or before is None or price is None:
        return []
    if (price, quantity) == (before, order.quantity):
        return []
    told = orders.on_modified(look.state, OrderModified(look.now_ns, order.id, price, quantity))
    if told:
        return told
    ours = f"{plain(order.quantity)} at {plain(before)}"
    there = f"{plain(quantity)} at {plain(price)}"
    facts = look.suspect("terms", order.id, ours, there, "noted")
    return facts if look.waiting else facts + orders.replaced(order, price, quantity)


def doubt(look: Look) -> list[f.Fact]:
    """Count an absence; the second one after the order could still have arrived ends it.

    An order that the venue knows to have filled is not absent from its list for never having come.
    """
    order = look.order
    assert order is not None
    kind, seen_twice = look.known(look.order_id)
    if kind.startswith("fills_missing"):
        look.touched.append(look.order_id)
        if not seen_twice or not look.agrees(order.instrument):
            return []
        told = f.OrderChanged(look.order_id, Status.CANCELED, "its fills are not told")
        return [told, *orders.killed(look.state, order, Status.CANCELED, look.now_ns)]
    limits = look.state.settings.reconcile
    known = look.state.doubts.get(look.order_id)
    since = known[0] if known is not None else look.now_ns
    absent = known[1] if known is not None else 0
    latest = max(since + limits.submit_window_ms * MS, look.state.window_end_ns)
    if look.venue_ns > latest + limits.skew_ms_max * MS:
        absent += 1
    if absent < ABSENCES:
        if known == (since, absent):
            return []
        return [f.OrderDoubted(look.order_id, since, absent)]
    status = Status.CANCELED if order.filled else Status.EXPIRED
    found: list[f.Fact] = [f.OrderChanged(look.order_id, status, "the venue denied it twice")]
    return found + orders.killed(look.state, order, status, look.now_ns)


def question(look: Look) -> list[f.Fact]:
    """Take back that an order is on its way or works: nobody knows, and the venue is asked."""
    order = look.order
    assert order is not None
    limit = look.state.settings.reconcile.answer_ms_max * MS
    if max(order.created_ns, order.send_after_ns) + limit >= look.now_ns:
        return []
    return [f.OrderChanged(look.order_id, Status.UNKNOWN, "the venue does not list it")]


def ask_again(look: Look) -> list[f.Fact]:
    """Ask again for a cancellation that has not happened."""
    return [f.CancelRequested(look.order_id, "still working at the venue")]


def cancel_orphan(look: Look) -> list[f.Fact]:
    """Cancel an order that we hold for ended and that the venue works: ours, and unwanted.

    One that we do not know any more was sent by a history that a restored backup has lost.
    """
    assert look.theirs is not None
    known = look.state.ended.get(look.order_id)
    ended = known.status.value if known is not None else "forgotten"
    facts = look.suspect("orphan_order", look.order_id, ended, look.theirs.state, "canceled")
    if look.waiting:
        return facts  # it may have ended since the venue looked
    reason = f"working at the venue, {'ended' if known is not None else 'not known'} with us"
    cancel = f.CancelRequested(look.order_id, reason, look.account, look.theirs.instrument)
    return [*facts, cancel, *(freeze_facts(look.state, "orphan_order") if facts else [])]


def foreign(look: Look) -> list[f.Fact]:
    """Note a working order that is not ours."""
    assert look.theirs is not None
    if is_own(look.state.engine_id, look.order_id):
        # a reducing one left past a stalled disk, or is a leg whose entry is not booked yet
        return attached(look) if look.theirs.reduce_only else cancel_orphan(look)
    theirs = f"{look.theirs.instrument} {plain(look.theirs.quantity)}"
    return look.suspect("foreign_order", look.order_id, "", theirs, freeze(look.state))


LOCAL = ("none", "submitted", "unknown", "working", "canceling", "protective", "ended")
VENUE = ("absent", "working", "filled", "canceled", "expired", "rejected")

TABLE: dict[tuple[str, str], Action] = {
    ("none", "absent"): keep,
    ("none", "working"): foreign,
    ("none", "filled"): keep,  # its fills were booked, and were a mismatch by themselves
    ("none", "canceled"): keep,
    ("none", "expired"): keep,
    ("none", "rejected"): keep,
    ("submitted", "absent"): question,
    ("submitted", "working"): accept,
    ("submitted", "filled"): end,
    ("submitted", "canceled"): end,
    ("submitted", "expired"): end,
    ("submitted", "rejected"): end,
    ("unknown", "absent"): doubt,
    ("unknown", "working"): accept,
    ("unknown", "filled"): end,
    ("unknown", "canceled"): end,
    ("unknown", "expired"): end,
    ("unknown", "rejected"): end,
    ("working", "absent"): question,
    ("working", "working"): follow,
    ("working", "filled"): end,
    ("working", "canceled"): end,
    ("working", "expired"): end,
    ("working", "rejected"): end,
    ("canceling", "absent"): doubt,
    ("canceling", "working"): ask_again,
    ("canceling", "filled"): end,
    ("canceling", "canceled"): end,
    ("canceling", "expired"): end,
    ("canceling", "rejected"): end,
    ("protective", "absent"): unprotected,
    ("protective", "working"): stand,
    ("protective", "filled"): keep,  # its fill closes the position
    ("protective", "canceled"): unprotected,
    ("protective", "expired"): unprotected,
    ("protective", "rejected"): unprotected,
    ("ended", "absent"): keep,
    ("ended", "working"): cancel_orphan,
    ("ended", "filled"): keep,
    ("ended", "canceled"): keep,
    ("ended", "expired"): keep,
    ("ended", "rejected"): keep,
}


def at(look: Look, order_id: str, theirs: VenueOrder | None) -> list[f.Fact]:
    """Do what the table says for one order."""
    look.order_id, look.theirs = order_id, theirs
    look.order = look.state.orders.get(order_id)
    word = "absent" if theirs is None else theirs.state
    return TABLE[local_state(look.state, order_id), word](look)


def local_state(state: State, order_id: str) -> str:
    """Name an order's row of the table."""
    order = state.orders.get(order_id)
    if order is None:
        return "ended" if order_id in state.ended else "none"
    if order.protective:
        return "protective"
    if order.status is Status.SUBMITTED:
        return "submitted"
    if order.status is Status.UNKNOWN:
        return "unknown"
    return "canceling" if order.status is Status.PENDING_CANCEL else "working"


# -- events ------------------------------------------------------------------------------------


def on_link(state: State, event: LinkEvent) -> list[f.Fact]:
    """Open nothing new while the line to a venue is down or its account not looked at."""
    if event.state == "connected" and event.account in state.unreconciled:
        return []  # only an account report ends it
    return [f.LinkChanged(event.account, event.state, event.reason)]


def left_venue(state: State, after: Settings) -> list[f.Fact]:
    """Let go of what waits for the word of a venue outside, where trading goes on on paper.

    With anything open it would not be known whose: then nothing is let go.
    """
    moved = is_outside(state.settings) and not is_outside(after)
    if not moved or state.positions or state.orders:
        return []
    places = [place.partition("/") for place in state.suspects]
    accounts = dict.fromkeys([*state.agreed, *state.unreconciled])
    return [
        *(f.SuspicionEnded(place, account) for account, _, place in places),
        *(f.VenueLeft(account) for account in accounts),
    ]


def is_outside(settings: Settings) -> bool:
    """Tell whether the configured venue is one outside of the process."""
    return any(venue.kind == "remote" for venue in settings.venues.values())


def on_status(state: State, event: OrderStatus) -> list[f.Fact]:
    """Take the venue's answer to a query of one order."""
    order = state.orders.get(event.order_id)
    if order is None:
        return []  # it ended while the answer was on its way
    look = Look(state, order.account, event.ts_ns, event.venue_ns)
    return at(look, event.order_id, event.order)


def on_account(state: State, event: AccountReport) -> list[f.Fact]:
    """Hold everything of an account against the venue's word."""
    look = Look(state, event.account, event.ts_ns, event.venue_ns)
    facts: list[f.Fact] = []
    look.positions = {position.instrument: position for position in event.positions}
    look.listed = {order.order_id: order for order in event.orders}
    ours = [order.id for order in state.orders.values() if order.account == event.account]
    for name in dict.fromkeys([*ours, *look.listed]):
        facts += at(look, name, look.listed.get(name))
    facts += never_protected(look)
    facts += compare_positions(look, event)
    facts += compare_balance(look, event)
    for suspected in state.suspects:
        account, _, place = suspected.partition("/")
        if account == event.account and place not in look.touched:
            facts.append(f.SuspicionEnded(place, account))
    if settled(look, facts):
        found = event.cause, len(event.orders), len(event.positions)
        facts.append(f.Reconciled(event.ts_ns, event.account, event.venue_ns, *found))
    return breaker.once(facts)


def settled(look: Look, facts: Iterable[f.Fact]) -> bool:
    """Tell whether nothing of an account is in question any more.

    An order that nobody knows the outcome of keeps its exposure reserved, and asks for patience.
    Once trading is open, orders are always on their way: these hold nothing back.
    """
    changed = {fact.order_id: fact.status for fact in facts if type(fact) is f.OrderChanged}
    closed = look.account in look.state.unreconciled
    asked = (Status.UNKNOWN, Status.SUBMITTED) if closed else (Status.UNKNOWN,)
    for order in look.state.orders.values():
        status = changed.get(order.id, order.status)
        if order.account == look.account and status in asked:
            return False
    return look.settled and not acted(list(facts), "suspected")


def on_anomaly(state: State, event: Anomaly) -> list[f.Fact]:
    """Keep what a venue said that cannot be right."""
    return [f.AnomalyNoted(event.ts_ns, event.account, event.kind, event.place, event.detail)]


# -- mismatches --------------------------------------------------------------------------------


def leg_of(state: State, event: FillReport) -> Decimal:
    """Return what a leg of a position may fill, known by its derived id; 0 for anything else."""
    position = state.positions.get(key_of(event.account, event.instrument))
    if position is None or event.order_id not in protective_ids(position.id):
        return ZERO
    return position.quantity


def is_emergency(state: State, event: FillReport) -> bool:
    """Tell whether a fill is of a close that a person had sent past the engine."""
    position = state.positions.get(key_of(event.account, event.instrument))
    names = (event.instrument,) if position is None else (position.id, event.instrument)
    return any(
        event.order_id == emergency_id(state.engine_id, event.account, name, attempt)
        for name in names
        for attempt in range(EMERGENCIES)
    )


def fill_facts(state: State, event: FillReport) -> list[f.Fact]:
    """Find what is wrong with a fill that was booked: not our order, or more than was ordered."""
    if event.reason in FORCED:
        return []
    order = state.orders.get(event.order_id)
    ended = state.ended.get(event.order_id)
    if order is not None:
        ordered, filled = order.quantity, order.filled + event.quantity
    elif ended is not None:
        ordered, filled = ended.order.quantity, ended.filled + event.quantity
    else:
        ordered, filled = leg_of(state, event), event.quantity
    if filled <= ordered:
        return []
    if not ordered and is_emergency(state, event):
        return []
    look = Look(state, event.account, event.ts_ns, event.ts_ns)
    if not ordered and is_own(state.engine_id, event.order_id) and event.order_id[-1] != "e":
        # a reducing order that left past a stalled disk, before its row was lost in a crash
        return [look.mismatch("lost_order", event.order_id, "", plain(filled), "noted")]
    kind = "overfill" if ordered else "foreign_fill"
    found = look.mismatch(kind, event.order_id, plain(ordered), plain(filled), freeze(state))
    return [found, *freeze_facts(state, kind)]
