"""The tables of checks: every reason for which a signal may be denied, one row each.

To add a check, write a measuring function and a row. `kind` says how value and limit compare:
`max` value <= limit, `min` value >= limit, `none` the value must be empty (it names the fault).
A check that raises counts as failed. `exits` checks also judge closes; `rule` checks are the
market's, the others are limits, which the research profile lifts.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import msgspec

from cerberus_trader.domain.instrument import Instrument, reached
from cerberus_trader.domain.money import ONE, ZERO
from cerberus_trader.domain.order import Status
from cerberus_trader.domain.sessions import in_session
from cerberus_trader.engine.intake import Case

MS = 1_000_000
TWICE_BPS = Decimal(20000)
LEAST_FRACTION = Decimal("0.000001")


class Check(msgspec.Struct, frozen=True):
    """Hold one row: the denial code, what is measured against which limit, in plain words."""

    code: str
    words: str
    measure: Callable[[Case], Any]
    limit: Callable[[Case], Any] | None
    kind: Literal["max", "min", "none"]
    exits: bool = False
    rule: bool = False


def _instrument(case: Case) -> Instrument:
    if case.instrument is None:
        raise LookupError("no instrument")
    return case.instrument


def signal_faults(case: Case) -> str:
    """Name what is wrong with the signal by itself; a close has no levels of its own."""
    if case.action == "close":
        quantity = case.signal.quantity
        if quantity is not None and not quantity > ZERO:
            return "quantity must be above 0"
        return "" if case.signal.id else "id is missing"
    faults = case.signal.faults()
    return "; ".join(faults) if faults else ""


def data_age(case: Case) -> int:
    """Return the age of the price in ms; the age of a bar counts from its close."""
    if case.market is None:
        raise LookupError("no price")
    return (case.now - case.market.ts_ns) // MS


def data_age_max(case: Case) -> int:
    """Return the age limit in ms: bars add their interval."""
    limit = case.settings.intake.data_age_ms_max
    if case.market is None or not case.market.interval_ns:
        return limit
    return limit + case.market.interval_ns // MS


def spread_bps(case: Case) -> Decimal:
    """Return the spread in basis points of the mid; 0 where the quote is crossed."""
    if case.market is None:
        raise LookupError("no price")
    bid, ask = case.market.bid, case.market.ask
    return (ask - bid) * TWICE_BPS / (ask + bid) if ask > bid else ZERO


def volume(case: Case) -> Decimal:
    """Return the volume the signal reports; unreported is enough where nothing is asked."""
    reported = case.signal.volume
    if reported is not None:
        return reported
    minimum = case.settings.intake.volume_min
    return minimum - ONE if minimum else ZERO


def sigma(case: Case) -> float:
    """Return the daily volatility, 0 where no limit asks for it."""
    if not case.settings.risk.volatility_halt:
        return 0.0
    if case.market is None:
        raise LookupError("no price")
    return case.market.sigma


def sigma_minute(case: Case) -> float:
    """Return the one-minute volatility as a daily fraction, 0 where no limit asks for it."""
    if not case.settings.risk.minute_volatility_halt:
        return 0.0
    if case.market is None:
        raise LookupError("no price")
    return case.market.sigma_minute


def market_closed(case: Case) -> str:
    """Say that the market is closed by its hours, or that its feed has fallen silent."""
    if case.state.silent and case.signal.instrument in case.state.silent:
        return "the feed is silent"
    sessions = case.instrument.sessions if case.instrument is not None else ()
    return "closed" if sessions and not in_session(sessions, case.now) else ""


def halted(case: Case) -> str:
    """Name the operator's state unless it is active."""
    return "" if case.state.trading == "active" else case.state.trading


def tripped(case: Case) -> str:
    """Name the tripped conditions that bind this strategy."""
    if not case.state.trips:
        return ""
    names = [
        name for name, trip in case.state.trips.items() if not trip.scope or trip.scope == case.name
    ]
    return ", ".join(names)


def unreconciled(case: Case) -> str:
    """Say why the account's venue may know more than we do."""
    return case.state.unreconciled.get(case.strategy.account, "")


def strategy_status(case: Case) -> str:
    """Name the strategy's status unless it is active."""
    status = case.record.status or case.strategy.status
    return "" if status == "active" else status


def strategy_instrument(case: Case) -> str:
    """Name the instrument if the strategy may not trade it."""
    allowed = case.strategy.instruments
    name = case.signal.instrument
    return "" if not allowed or name in allowed else name


def owned_elsewhere(case: Case) -> str:
    """Name another strategy that owns the place."""
    owner = case.owner
    return "" if not owner or owner == case.name else owner


def same_side(case: Case) -> str:
    """Name what is already held on the same side, unless the strategy adds."""
    if case.action != "entry" or not case.sign or case.held_sign != case.sign:
        return ""
    held = case.position.id if case.position else case.entry.id if case.entry else ""
    return held if case.owner == case.name else ""


def closing(case: Case) -> str:
    """Name the close on its way to what is held; one that lost its position holds nothing up.

    Nor does one of a part hold up the close of the rest; on paper, where none waits for a line, a
    signal's does, as in a replay. What is to be closed is not added to, though its close failed.
    """
    state, position, found = case.state, case.position, ""
    if case.action != "close" and position is not None and case.key in state.targets:
        return position.id
    left = position.quantity if position is not None and case.action == "close" else ZERO
    for order_id in state.closings.get(case.key, ()):
        order = state.orders[order_id]
        held = position is not None and order.closes == position.id
        held = held or order.closes in state.entries.get(case.key, ())
        if held and order.status is not Status.UNKNOWN:
            found = order_id
            alone = order.signal_id and order.account not in state.agreed
            left = ZERO if alone else left - order.quantity + order.filled
    return found if left <= ZERO else ""


def nothing_to_close(case: Case) -> str:
    """Tell that a close has nothing of its strategy's to close."""
    if case.action != "close" or (case.held_sign and case.owner == case.name):
        return ""
    return "flat"


def close_size(case: Case) -> str:
    """Name a part to close that is less than the venue takes; closing everything never is."""
    asked, held = case.signal.quantity, case.position or case.entry
    if case.action != "close" or case.sign or asked is None or held is None:
        return ""
    least = quantity_min(case)
    if asked >= held.quantity or _instrument(case).quantity_down(asked) >= least:
        return ""
    return f"{asked:f} of {held.quantity:f}, at least {least:f}"


def quantity_min(case: Case) -> Decimal:
    """Return the smallest quantity the venue takes: at least one lot."""
    instrument = _instrument(case)
    return max(instrument.quantity_min, instrument.lot)


def forgotten(case: Case) -> str:
    """Say that the signal may have been judged already, as its id would be forgotten by now.

    One that was made after the newest forgotten one was judged cannot be among them.
    """
    until_ns = case.state.forgotten_ns
    return "judged already, perhaps" if until_ns and case.signal.ts_ns <= until_ns else ""


INTAKE: tuple[Check, ...] = (
    Check("SIGNAL_INVALID", "faults of the signal", signal_faults, None, "none", True, True),
    Check("SOURCE_UNKNOWN", "source without a strategy",
          lambda c: "" if c.name else c.signal.source or "?", None, "none", True, True),
    Check("INSTRUMENT_UNKNOWN", "instrument not configured",
          lambda c: "" if c.instrument else c.signal.instrument, None, "none", True, True),
    Check("PRICE_UNKNOWN", "no price known",
          lambda c: "" if c.market else "no price", None, "none", False, True),
    Check("MARKET_CLOSED", "market hours, or a silent feed", market_closed, None, "none"),
    Check("SIGNAL_STALE", "age of the signal, ms", lambda c: (c.now - c.signal.ts_ns) // MS,
          lambda c: c.settings.intake.signal_age_ms_max, "max"),
    Check("SIGNAL_FUTURE", "signal ahead of the clock, ms",
          lambda c: (c.signal.ts_ns - c.now) // MS,
          lambda c: c.settings.intake.signal_ahead_ms_max, "max"),
    Check("PRICE_STALE", "age of the price, ms", data_age, data_age_max, "max"),
    Check("SPREAD_WIDE", "spread, bps", spread_bps,
          lambda c: c.settings.intake.spread_bps_max, "max"),
    Check("CONFIDENCE_LOW", "confidence", lambda c: c.signal.confidence,
          lambda c: c.settings.intake.confidence_min, "min"),
    Check("VOLUME_LOW", "reported volume", volume,
          lambda c: c.settings.intake.volume_min, "min"),
    Check("METADATA_LONG", "metadata, characters", lambda c: len(c.signal.metadata),
          lambda c: c.settings.intake.metadata_bytes_max, "max", False, True),
    Check("TRADING_HALTED", "state of trading", halted, None, "none"),
    Check("BREAKER_OPEN", "tripped conditions", tripped, None, "none"),
    Check("VENUE_UNRECONCILED", "account not yet reconciled with its venue", unreconciled, None,
          "none"),
    Check("STRATEGY_INACTIVE", "status of the strategy", strategy_status, None, "none"),
    Check("STRATEGY_INSTRUMENT", "instrument outside of the strategy's list",
          strategy_instrument, None, "none"),
    Check("POSITION_OWNED_ELSEWHERE", "owner of the place", owned_elsewhere, None, "none", True,
          True),
    Check("POSITION_SAME_SIDE", "already held on this side", same_side, None, "none", False,
          True),
    Check("POSITION_CLOSING", "close on its way", closing, None, "none", True, True),
    Check("POSITION_NONE", "nothing to close", nothing_to_close, None, "none", True, True),
    Check("VOLATILITY_HIGH", "volatility, daily fraction",
          sigma, lambda c: c.settings.risk.volatility_halt, "max"),
    Check("VOLATILITY_MINUTE_HIGH", "one-minute volatility, daily fraction",
          sigma_minute, lambda c: c.settings.risk.minute_volatility_halt, "max"),
    Check("SIZE_BELOW_MINIMUM", "part to close", close_size, None, "none", True, True),
    Check("SIGNAL_FORGOTTEN", "older than what is remembered of signals", forgotten, None, "none",
          True, True),
)  # fmt: skip


def leverage_min(case: Case) -> Decimal:
    """Return the least leverage that may trade: 1, or anything above 0 where fractions are."""
    return LEAST_FRACTION if case.settings.leverage.fractional else ONE


def stop_beyond_liquidation(case: Case) -> str:
    """Name a stop that liquidation would come before."""
    stop, level = case.stop, case.liquidation
    if stop is None or level is None:
        return ""
    beyond = reached(case.sign, stop, level.numerator, level.denominator)
    return f"stop {stop} beyond {level.price:.8g}" if beyond else ""


def places(case: Case) -> int:
    """Count the places taken after this order: open positions and working entries."""
    taken = len(case.state.positions)
    for key in case.state.entries:
        taken += key not in case.state.positions
    return taken + (not case.held_sign)


def strategy_places(case: Case) -> int:
    """Count the same for the strategy alone."""
    taken = case.record.positions
    for key, order_ids in case.state.entries.items():
        order = case.state.orders[order_ids[0]]
        taken += order.strategy == case.name and key not in case.state.positions
    return taken + (not case.held_sign)


def position_exposure(case: Case) -> Decimal:
    """Return the notional of the position after this order."""
    position = case.position
    held = position.cost if position is not None and case.action == "add" else ZERO
    return held + case.held.place + case.notional


def gross_exposure(case: Case) -> Decimal:
    """Return the notional of everything after this order, working orders included."""
    return case.held.gross + case.notional


def group_exposure(case: Case) -> Decimal:
    """Return the same for the instrument's group."""
    return case.held.group + case.notional


def group_risk(case: Case) -> Decimal:
    """Return what the group loses if every stop is hit, this order's included."""
    return case.held.group_risk + case.risk


def order_notional_max(case: Case) -> Decimal:
    """Return the largest order; without a limit, this order's own notional."""
    return case.settings.risk.order_notional_max or case.notional


def spot_short(case: Case) -> str:
    """Say that a spot instrument would be sold without being held: nobody lends it."""
    short = case.sign < 0 and _instrument(case).kind == "spot"
    return "a spot instrument cannot be sold short" if short else ""


def expired(case: Case) -> str:
    """Say that the time which the signal gave its order has passed already."""
    lives_ms = case.signal.expires_ms
    late = lives_ms and case.now >= case.signal.ts_ns + lives_ms * MS
    return f"{lives_ms} ms have passed" if late else ""


def unpriced(case: Case) -> str:
    """Name what is held without a price since the start, in its market's hours.

    What it lost is not known, so neither is what the limits over the account leave.
    """
    state = case.state
    if not state.exposures or {name for name, _ in case.marks}.issuperset(state.exposures):
        return ""
    priced = dict(case.marks)
    for name in state.exposures:
        item = state.instruments.get(name)
        open_ = item is not None and (not item.sessions or in_session(item.sessions, case.now))
        if open_ and name not in priced:
            return name
    return ""


RISK: tuple[Check, ...] = (
    Check("LEVEL_WRONG_SIDE", "levels against the reference price",
          lambda c: c.fault, None, "none", False, True),
    Check("STOP_BEYOND_LIQUIDATION", "stop beyond the liquidation price",
          stop_beyond_liquidation, None, "none"),
    Check("LEVERAGE_NONE", "leverage granted", lambda c: c.granted, leverage_min, "min"),
    Check("SIZE_BELOW_MINIMUM", "quantity granted", lambda c: c.quantity, quantity_min, "min",
          False, True),
    Check("NOTIONAL_BELOW_MINIMUM", "notional granted", lambda c: c.notional,
          lambda c: _instrument(c).notional_min, "min", False, True),
    Check("POSITIONS_MAX", "places taken", places,
          lambda c: c.settings.risk.positions_max, "max"),
    Check("STRATEGY_POSITIONS_MAX", "places the strategy takes", strategy_places,
          lambda c: c.strategy.positions_max, "max"),
    Check("POSITION_EXPOSURE", "notional of the position", position_exposure,
          lambda c: c.limits.position, "max"),
    Check("GROUP_EXPOSURE", "notional of the group", group_exposure,
          lambda c: c.limits.group, "max"),
    Check("GROSS_EXPOSURE", "notional of everything", gross_exposure,
          lambda c: c.limits.gross, "max"),
    Check("STRATEGY_EXPOSURE", "notional of the strategy",
          lambda c: c.record.gross + c.held.strategy + c.notional,
          lambda c: c.limits.strategy, "max"),
    Check("GROUP_RISK", "loss if every stop of the group is hit", group_risk,
          lambda c: c.limits.group_risk, "max"),
    Check("ORDER_NOTIONAL", "notional of the order", lambda c: c.notional, order_notional_max,
          "max"),
    Check("MARGIN_INSUFFICIENT", "margin needed", lambda c: c.margin,
          lambda c: c.held.free_margin, "max"),
    Check("SPOT_SHORT", "sale of what is not held", spot_short, None, "none", False, True),
    Check("SIGNAL_EXPIRED", "time that the signal gave", expired, None, "none"),
    Check("EQUITY_UNKNOWN", "held without a price since the start", unpriced, None, "none"),
)  # fmt: skip


LATER = (
    "INSTRUMENT_UNKNOWN", "STRATEGY_INACTIVE", "STRATEGY_INSTRUMENT", "POSITIONS_MAX",
    "STRATEGY_POSITIONS_MAX", "POSITION_EXPOSURE", "GROUP_EXPOSURE", "GROSS_EXPOSURE",
    "STRATEGY_EXPOSURE", "GROUP_RISK", "MARGIN_INSUFFICIENT",
)  # fmt: skip
RETRY: tuple[Check, ...] = tuple(check for check in INTAKE + RISK if check.code in LATER)
"""What is asked again of an entry that was approved, once, and is tried again after a pause."""
