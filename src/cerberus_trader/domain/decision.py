"""Decisions: one document for every signal, complete enough to judge again from it.

Values are stored by position; the names and limits behind them come from the tables of the
engine and the configuration that `config` names, and `explain` joins them.
"""

from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain.money import ZERO

# Decimal, float, int, text or None; a decimal is text once it was stored.
Value = Any


class LeverageRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Record how leverage came about.

    `inputs`: sigma, success lower bound, day P&L fraction, drawdown, stop fraction, maintenance
    rate; `factors`: volatility, success, day, drawdown; `caps` by the names of `CAPS`;
    `binding` is the index of the smallest cap, -1 where `raw` itself was the least.
    """

    base: Decimal
    inputs: tuple[float, ...]
    factors: tuple[float, ...]
    raw: float
    caps: tuple[float, ...]
    binding: int
    granted: Decimal


class SizingRecord(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Record how the size came about: notional bounds by the names of `BOUNDS` (None is unused).

    `binding` is the index of the smallest bound; `notional` and `quantity` what was granted.
    """

    price: Decimal
    loss_per_unit: Decimal
    bounds: tuple[Decimal | None, ...]
    binding: int
    notional: Decimal
    quantity: Decimal


class Decision(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold the document of one decision.

    `verdict` is approved or denied; `code` the CATEGORY_CONDITION of a denial; `action` what was
    approved (entry, add, close, reverse); `values` one value per check of the table for `stage`
    (0 intake, 1 all), `failed` the indexes of the checks that failed; `interval_ns` the interval
    of the price's bar, and `free_margin` the margin that was free: limits are made of them.
    """

    id: str
    ts_ns: int
    signal_id: str
    strategy: str
    instrument: str
    side: str
    config: str
    verdict: str
    code: str
    action: str
    stage: int
    values: tuple[Value, ...]
    failed: tuple[int, ...]
    equity: Decimal
    risk_version: int = 0
    cache_key: str = ""
    cache_hit: bool = False
    leverage: LeverageRecord | None = None
    sizing: SizingRecord | None = None
    order_id: str = ""
    interval_ns: int = 0
    free_margin: Decimal = ZERO


class RiskAssessment(msgspec.Struct, frozen=True):
    """Show a decision with the fields of the design document (D-04.5)."""

    approved: bool
    max_leverage: int
    position_size: Decimal
    reasoning: str
