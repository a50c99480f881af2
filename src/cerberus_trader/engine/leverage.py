"""The leverage calculator: a base by confidence, factors that only lower it, and caps.

    raw = base x m_vol x m_succ x m_day x m_dd
    L   = floor(min(raw, every cap)), and 0, "no trade", below 1

No factor exceeds 1: a base is a ceiling, good luck never raises it. Bad numbers (NaN, infinite,
negative) give 0, never an exception.
"""

from decimal import Decimal
from math import floor, isfinite, sqrt

from cerberus_trader.domain.decision import LeverageRecord
from cerberus_trader.domain.money import ZERO, from_belief
from cerberus_trader.domain.settings import Leverage
from cerberus_trader.domain.signal import Level

CAPS = ("venue", "liquidation", "account", "data", "config", "strategy", "signal")
INPUTS = ("sigma", "success_low", "day", "drawdown")
FACTORS = ("volatility", "success", "day", "drawdown")
ABSOLUTE_MAX = 30.0
UNLIMITED = 255.0
LOW, MEDIUM, HIGH, EXTREME = Level


def wilson_low(wins: int, trades: int, z: float) -> float:
    """Return the one-sided Wilson lower bound of a success rate; 0 without trades.

    (p + z^2/2n - z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n); E. B. Wilson, 1927.
    """
    if trades <= 0:
        return 0.0
    rate, z2 = wins / trades, z * z
    spread = z * sqrt(rate * (1 - rate) / trades + z2 / (4 * trades * trades))
    return max(0.0, (rate + z2 / (2 * trades) - spread) / (1 + z2 / trades))


def confidence_level(confidence: float, bounds: tuple[float, float, float]) -> Level:
    """Map a confidence of 0..1 to its level: the bounds are where medium, high, extreme begin."""
    medium, high, extreme = bounds
    if confidence < high:
        return LOW if confidence < medium else MEDIUM
    return HIGH if confidence < extreme else EXTREME


def base_of(limits: Leverage, level: Level) -> Decimal:
    """Return the base leverage of a level of confidence (D-04.3)."""
    if level is HIGH:
        return limits.high
    if level is MEDIUM:
        return limits.medium
    return limits.low if level is LOW else limits.extreme


def volatility_factor(limits: Leverage, sigma: float) -> float:
    """Return sigma_ref / sigma, within [minimum, 1]; the minimum where sigma is unknown."""
    if not isfinite(sigma) or sigma < 0.0:
        return limits.volatility_factor_min
    if sigma <= limits.sigma_ref:
        return 1.0
    return max(limits.volatility_factor_min, limits.sigma_ref / sigma)


def success_factor(limits: Leverage, low: float) -> float:
    """Compare the success rate's lower bound with the break-even rate: [minimum, 1]."""
    value = 0.5 + 0.5 * (low - (limits.break_even_rate - 0.1)) / 0.2
    return min(1.0, max(limits.success_factor_min, value))


def day_factor(limits: Leverage, day: float, limit: float) -> float:
    """Fall from 1 at no loss to the minimum at the day's limit, and to 0 beyond it."""
    if day >= 0.0:
        return 1.0
    if limit <= 0.0 or day <= -limit or not isfinite(day):
        return 0.0
    return 1.0 - (1.0 - limits.loss_factor_min) * (-day / limit)


def drawdown_factor(limits: Leverage, fall: float) -> float:
    """Fall linearly between the two configured drawdowns, 0 from the second on."""
    if fall <= limits.drawdown_start:
        return 1.0
    if fall >= limits.drawdown_end or not isfinite(fall):
        return 0.0
    span = limits.drawdown_end - limits.drawdown_start
    share = (fall - limits.drawdown_start) / span if span > 0.0 else 1.0
    return 1.0 - (1.0 - limits.loss_factor_min) * share


Analysis = tuple[tuple[float, ...], tuple[float, ...], float]


def analyse(
    limits: Leverage, base: Decimal, inputs: tuple[float, float, float, float], day_limit: float
) -> Analysis:
    """Return (inputs, factors, raw leverage): the part that the decision cache may keep.

    `inputs` in the order of `INPUTS`: daily sigma, success lower bound, day P&L fraction (with
    its sign), drawdown fraction.
    """
    sigma, low, day, fall = inputs
    factors = (
        volatility_factor(limits, sigma),
        success_factor(limits, low),
        day_factor(limits, day, day_limit),
        drawdown_factor(limits, fall),
    )
    raw = float(base) * factors[0] * factors[1] * factors[2] * factors[3]
    return inputs, factors, raw


def liquidation_cap(limits: Leverage, maintenance: float, stop: float, sign: int) -> float:
    """Return the leverage that keeps liquidation beyond the stop, with multiple and buffer.

    1 / (m + (k stop + buffer)(1 - s m)): the liquidation distance at it is k stop + buffer.
    """
    if not isfinite(stop) or stop < 0.0:
        return 0.0
    distance = limits.stop_multiple * stop + limits.liquidation_buffer
    below = maintenance + distance * (1.0 - sign * maintenance)
    return 1.0 / below if below > 0.0 else UNLIMITED


def grant(
    limits: Leverage, base: Decimal, analysis: Analysis, caps: tuple[float, ...]
) -> LeverageRecord:
    """Take the least of raw leverage and caps (in the order of `CAPS`), and record why."""
    inputs, factors, raw = analysis
    least, binding = raw, -1
    for index, cap in enumerate(caps):
        if not cap >= least:  # also true for a NaN cap, which grants nothing
            least, binding = (cap if cap == cap else 0.0), index
    most = min(least, ABSOLUTE_MAX)
    if not isfinite(least) or least < 1.0:
        granted = ZERO
        if limits.fractional and isfinite(least) and least > 0.0:
            granted = from_belief(least)
    else:
        granted = from_belief(most) if limits.fractional else Decimal(floor(most))
    return LeverageRecord(base, inputs, factors, raw, caps, binding, granted)


def sentence(record: LeverageRecord) -> str:
    """Say in one sentence how the leverage came about."""
    if not record.factors:
        return f"{record.granted:f}x, as the signal asks"
    parts = [f"base {record.base:f}x"]
    for name, factor in zip(FACTORS, record.factors, strict=True):
        if factor != 1.0:
            parts.append(f"{name} x{factor:.2f}")
    text = "; ".join(parts) + f" = {record.raw:.1f}x"
    if record.binding >= 0:
        cap = record.caps[record.binding]
        text += f"; {CAPS[record.binding]} cap {cap:.2f}x binding"
    return text + f"; granted {record.granted:f}x"
