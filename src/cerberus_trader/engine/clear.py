"""The usual case: a signal that passes every check of a table, measured in one go.

The tables of `checks.py` say what is judged, and judge everything that is out of the ordinary.
These two functions measure the same, in the same order, of a case that nothing speaks against:
one function costs a third of a call per value and limit. Whatever they cannot tell at a glance
they leave to the table, by returning None. Tests hold both to the same values.
"""

from typing import Any

from cerberus_trader.domain.instrument import reached
from cerberus_trader.domain.money import ONE, ZERO, brief
from cerberus_trader.engine.checks import LEAST_FRACTION, MS, places, spread_bps, strategy_places
from cerberus_trader.engine.intake import Case


def clear_intake(case: Case) -> list[Any] | None:
    """Return the values of `INTAKE` for an entry into a free place that passes all; else None."""
    state, signal, market, instrument = case.state, case.signal, case.market, case.instrument
    strategy = case.strategy
    if (
        market is None
        or instrument is None
        or not case.name
        or case.action != "entry"
        or case.owner
        or instrument.sessions
        or state.silent
        or state.trips
        or state.unreconciled
        or state.trading != "active"
        or (case.record.status or strategy.status) != "active"
        or (strategy.instruments and signal.instrument not in strategy.instruments)
        or case.key in state.closings
        or signal.faults()
    ):
        return None
    limits, risk, now = case.settings.intake, case.settings.risk, case.now
    age, ahead = (now - signal.ts_ns) // MS, (signal.ts_ns - now) // MS
    data_age = (now - market.ts_ns) // MS
    spread, volume = brief(spread_bps(case)), signal.volume
    if volume is None:
        volume = limits.volume_min - ONE if limits.volume_min else ZERO
    volume, metadata = brief(volume), len(signal.metadata)
    sigma = market.sigma if risk.volatility_halt else 0.0
    minute = market.sigma_minute if risk.minute_volatility_halt else 0.0
    if not (
        age <= limits.signal_age_ms_max
        and ahead <= limits.signal_ahead_ms_max
        and data_age <= limits.data_age_ms_max + market.interval_ns // MS
        and spread <= limits.spread_bps_max
        and signal.confidence >= limits.confidence_min
        and volume >= limits.volume_min
        and metadata <= limits.metadata_bytes_max
        and sigma <= risk.volatility_halt
        and minute <= risk.minute_volatility_halt
    ):
        return None
    return [
        "", "", "", "", "", age, ahead, data_age, spread, signal.confidence, volume, metadata,
        "", "", "", "", "", "", "", "", "", sigma, minute, "",
    ]  # fmt: skip


def clear_risk(case: Case) -> list[Any] | None:
    """Return the values of `RISK` for a planned case that passes all of it; else None."""
    held, limits, instrument = case.held, case.limits, case.instrument
    level, full, most = case.liquidation, case.notional, case.settings.risk
    taken, own = places(case), strategy_places(case)
    if (
        instrument is None
        or case.fault
        or taken > most.positions_max
        or own > case.strategy.positions_max
        or case.action == "add"
        or (
            case.stop is not None
            and level is not None
            and reached(case.sign, case.stop, level.numerator, level.denominator)
        )
    ):
        return None
    granted, quantity, notional = brief(case.granted), brief(case.quantity), brief(full)
    position = brief(ZERO + held.place + full)
    group, gross = brief(held.group + full), brief(held.gross + full)
    of_strategy = brief(case.record.gross + held.strategy + full)
    at_risk, margin = brief(held.group_risk + case.risk), brief(case.margin)
    if not (
        granted >= (LEAST_FRACTION if case.settings.leverage.fractional else ONE)
        and quantity >= instrument.quantity_min
        and quantity >= instrument.lot
        and notional >= instrument.notional_min
        and position <= limits.position
        and group <= limits.group
        and gross <= limits.gross
        and of_strategy <= limits.strategy
        and at_risk <= limits.group_risk
        and notional <= (most.order_notional_max or full)
        and margin <= held.free_margin
    ):
        return None
    return [
        "", "", granted, quantity, notional, taken, own, position, group, gross, of_strategy,
        at_risk, notional, margin,
    ]  # fmt: skip
