"""What a signal is judged on: one snapshot of the market at one moment."""

from decimal import Decimal

import msgspec

Marks = tuple[tuple[str, Decimal], ...]


class Snapshot(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold the market as known at a signal; nothing in it is later than the signal.

    `ts_ns` is when the price was known (for bars, the close's time), `interval_ns` the bar's
    interval or 0; `sigma` and `sigma_minute` are daily fractions, -1 where unknown; `marks`
    price every instrument that has exposure.
    """

    ts_ns: int
    bid: Decimal
    ask: Decimal
    interval_ns: int = 0
    sigma: float = -1.0
    sigma_minute: float = -1.0
    marks: Marks = ()
