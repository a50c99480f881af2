"""The positions and the cash of an account against the venue's: where they differ, it is right."""

from decimal import Decimal

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.instrument import BARE
from cerberus_trader.domain.money import ZERO, brief, plain, share_of
from cerberus_trader.domain.order import Order, order_id
from cerberus_trader.domain.position import Position
from cerberus_trader.engine.look import MS, Look, acted, correction, freeze, signed
from cerberus_trader.engine.sizing import loss_per_unit
from cerberus_trader.engine.state import ADOPTED, key_of
from cerberus_trader.engine.stops import lost_at

replace = msgspec.structs.replace
LOOKS = 3
"""How long a balance that differs by more each time stands, where bookings come in between."""


def compare_positions(look: Look, event: AccountReport) -> list[f.Fact]:
    """Hold the positions of an account against the venue's, instrument by instrument."""
    state = look.state
    theirs = look.positions or {}
    ours = [p.instrument for p in state.positions.values() if p.account == event.account]
    facts: list[f.Fact] = []
    for name in dict.fromkeys([*ours, *theirs]):
        if name in state.instruments:
            facts += compare_position(look, name, look.held(name), theirs.get(name))
        else:
            facts += look.suspect("position", name, "", "unknown instrument", freeze(state))
    return facts


def compare_position(
    look: Look, name: str, ours: Position | None, theirs: VenuePosition | None
) -> list[f.Fact]:
    """Correct a position where the difference stands: the venue's word counts.

    A look from before ours opened only suspects: what differs may be the one before it.
    """
    early = ours is not None and look.before(ours)
    held, there = signed(ours), signed(theirs)
    if held == there:
        if ours is None or theirs is None or early:
            return []
        return compare_terms(look, ours, theirs)
    action = "suspected" if early else freeze(look.state)
    facts = look.suspect("position", name, plain(held), plain(there), action, name)
    if early or not acted(facts, action):
        return facts
    after: Position | None = None
    if theirs is not None:
        after = followed(look, ours, theirs) if ours is not None else adopted(look, theirs)
    return [*facts, correction(look, name, ours, after, "the venue's position")]


def compare_terms(look: Look, ours: Position, theirs: VenuePosition) -> list[f.Fact]:
    """Take over the name and the margin of a position of the same quantity.

    Its protective orders are known by its name. The cost follows from our fills.
    """
    if look.misnamed(ours):
        place, said = ours.instrument, theirs.position_id
        facts = look.suspect("position_name", place, ours.id, said, "noted")
        if not acted(facts, "noted"):
            return facts
        renamed = replace(ours, id=said, margin=theirs.margin)
        return [*facts, correction(look, place, ours, renamed, "the venue's name of it")]
    if theirs.margin == ours.margin:
        return []
    held = replace(ours, margin=theirs.margin)
    return [correction(look, ours.instrument, ours, held, "the venue's margin")]


def moved_level(
    look: Look, position: Position, order: Order, price: Decimal | None
) -> list[f.Fact]:
    """Take over a level that somebody moved at the venue for good: what it risks moves along.

    Of a trailing stop, which began nobody knows where, the level is its distance.
    """
    if price is None or price == order.price or order.price is None or look.before(position):
        return []
    ours, there = plain(order.price), plain(price)
    facts = look.suspect(f"{order.kind}_moved", order.id, ours, there, "noted", order.instrument)
    if not acted(facts, "noted"):
        return facts
    if order.kind == "take_profit":
        after = replace(position, take_profit=price)
    else:
        after = replace(position, stop_ns=look.state.now_ns)
        if order.kind == "trailing":
            risk = max(position.risk + (price - order.price) * position.quantity, ZERO)
            after = replace(after, trailing=price, risk=risk)
        else:
            after = replace(after, stop=price, risk=risk_at(look, position, price))
    return [*facts, correction(look, position.instrument, position, after, "moved at the venue")]


def risk_at(look: Look, position: Position, stop: Decimal) -> Decimal:
    """Return what a position risks with a stop, fees and slippage included, as entries are judged.

    So it is the same however often a fill undoes the level and it is taken again.
    """
    item = look.state.instruments.get(position.instrument, BARE)
    costs = position.cost * loss_per_unit(look.state.settings.sizing, item, ZERO)
    lost = lost_at(stop, position.sign, position.quantity, position.cost)
    return brief(max(lost + costs, ZERO))


def followed(look: Look, ours: Position, theirs: VenuePosition) -> Position:
    """Return our position with the venue's quantities, and its name where that is another one.

    Its levels hold for the same side only, and the risk planned for them grows with it.
    """
    same = ours.sign == theirs.sign
    planned = share_of(ours.risk, theirs.quantity, ours.quantity) if same else ZERO
    name = theirs.position_id if look.misnamed(ours) else ours.id
    return replace(
        ours, id=name, sign=theirs.sign, quantity=theirs.quantity,
        cost=theirs.cost, margin=theirs.margin,
        stop=ours.stop if same else None, take_profit=ours.take_profit if same else None,
        trailing=ours.trailing if same else None, risk=planned, guarded=ours.guarded and same,
    )  # fmt: skip


def adopted(look: Look, theirs: VenuePosition) -> Position:
    """Return a position of ours for one that was found in the account."""
    name = order_id(look.state.engine_id, look.account, ADOPTED, theirs.instrument, look.state.seq)
    return Position(
        theirs.position_id or name + "a", look.account, ADOPTED, theirs.instrument, theirs.sign,
        theirs.quantity, theirs.cost, theirs.leverage, theirs.margin, look.now_ns,
    )  # fmt: skip


def compare_balance(look: Look, event: AccountReport) -> list[f.Fact]:
    """Correct our balance by what it goes on differing by.

    The first look finds what the account holds to begin with: neither a gain nor a loss. A look
    that cannot tell, because something was booked meanwhile, leaves what was suspected.
    """
    ours, theirs = look.state.balance, event.balance
    place = f"balance {look.account}"
    if theirs is None:
        look.touched.append(place)
        return []
    tolerance = look.state.settings.reconcile.balance_tolerance
    if abs(theirs - ours) <= tolerance:
        return []
    if look.account not in look.state.agreed:
        return [f.CashMoved(theirs - ours, "the venue's opening balance")]
    stands = standing(look.known(place)[0], theirs - ours)
    if stands != theirs - ours and passing(look, place):
        look.touched.append(place)
        look.settled = False
        return []
    facts = look.suspect("balance", place, plain(ours), plain(ours + stands), "noted")
    if acted(facts, "noted"):
        facts.append(f.BalanceCorrected(look.now_ns, look.account, stands, "the venue's balance"))
    return facts


def standing(known: str, now: Decimal) -> Decimal:
    """Return what of a difference of balances stood before: one that grows would never be the same.

    It grows where a venue charges what it never books.
    """
    kind, _, amount = known.partition(" ")
    if kind != "balance":
        return now
    before = Decimal(amount)
    return before if before * now > ZERO and abs(before) < abs(now) else now


def passing(look: Look, place: str) -> bool:
    """Tell whether a difference that grew may be another one than before.

    It may where something was booked meanwhile, until it has stood for some looks.
    """
    since_ns = look.state.suspected_ns.get(key_of(look.account, place), 0)
    booked = next(reversed(look.state.trade_ids.values()), 0) >= since_ns
    long_ns = LOOKS * look.state.settings.reconcile.interval_ms * MS
    return booked and look.venue_ns - since_ns < long_ns
