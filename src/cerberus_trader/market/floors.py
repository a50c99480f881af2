"""Find the first instant at which a weighted sum of prices falls to a floor.

An equity floor is ``constant + sum(weight * price) <= floor`` over all open positions, tested
once per instant, after all prices of that instant. Walking every instant would cost more than
everything else; so time is cut into buckets, each with the lowest and highest value of every
instrument. Over any run of buckets the sum of each weight times its worse extreme bounds the
equity from below. While that bound stays above the floor nothing can hit, and after a change of
one weight the bound is mended in constant time. Buckets whose bound fails are looked at instant
by instant in floats, with a margin for their rounding, and what they suspect is decided in
exact decimals.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from cerberus_trader.domain.money import ZERO
from cerberus_trader.market.columns import MarkBars, MarkPoints, Prices
from cerberus_trader.market.pyramid import Int64Array
from cerberus_trader.market.valuation import INT64_MAX, FloatArray, Valuation

# Sums of floats are off by some 1e-16 of their terms each; far more than all changes between
# two refreshes of the window can add up to, and far less than what matters for speed.
SLACK = 1e-10
CHANGES_MAX = 4096
SEARCH_BUCKETS = 256


@dataclass(frozen=True, slots=True)
class FloorHit:
    """Tell when a floor was reached, the exact sum then, and the price of each weighted key."""

    ts: int
    value: Decimal
    prices: dict[str, Decimal]


class FloorWatch:
    """Watch a weighted sum of instruments' values for floors, over whole histories.

    `prices` and `marks` are keyed by instrument. Values follow `Valuation`: the mark, else mid,
    price, open or close. Every time at which a price or mark of any of the instruments arrives is
    an instant and is tested; instants at which a weighted instrument has no value yet are not.
    """

    def __init__(
        self,
        prices: Mapping[str, Prices],
        marks: Mapping[str, MarkPoints | MarkBars] | None = None,
    ) -> None:
        marks = marks or {}
        self.keys = tuple(sorted(prices))
        self._index = {key: at for at, key in enumerate(self.keys)}
        self._values = [Valuation(prices[key], marks.get(key)) for key in self.keys]
        self._edges: Int64Array = np.unique(
            np.concatenate([e for v in self._values for e in v.edges()])
        )
        extremes = [v.extremes(self._edges) for v in self._values]
        self._low = np.stack([low for low, _ in extremes])
        self._high = np.stack([high for _, high in extremes])
        count = len(self.keys)
        self._weights: list[Decimal] = [ZERO] * count
        self._constants: list[Decimal] = [ZERO] * (count + 1)  # the last one is the account's
        # The window: a stretch of time, each instrument's extremes in it, and the bound.
        self._from = self._until = 0
        self._window_low: list[float] = [0.0] * count
        self._window_high: list[float] = [0.0] * count
        self._terms: list[float] = [0.0] * count
        self._bound = self._gross = 0.0
        self._changes = 0
        self._span = SEARCH_BUCKETS

    def sibling(self) -> "FloorWatch":
        """Return a watch of its own over the same histories, sharing what was computed."""
        other = copy.copy(self)
        count = len(self.keys)
        other._weights, other._constants = [ZERO] * count, [ZERO] * (count + 1)
        other._from = other._until = 0
        other._window_low, other._window_high = [0.0] * count, [0.0] * count
        other._terms, other._bound, other._gross = [0.0] * count, 0.0, 0.0
        other._changes, other._span = 0, SEARCH_BUCKETS
        return other

    def set_term(self, key: str, weight: Decimal, entry_constant: Decimal = ZERO) -> None:
        """Let an instrument count ``weight * price + entry_constant`` (signed; 0 removes it).

        A long position of quantity q, entered at e, is ``set_term(key, q, -q * e)``; a short one
        ``set_term(key, -q, q * e)``.
        """
        at = self._index[key]
        self._weights[at] = weight
        slope = float(weight)
        term = 0.0
        if slope:
            term = slope * (self._window_low[at] if slope > 0 else self._window_high[at])
            self._gross += abs(slope) * self._window_high[at]
        self._bound += term - self._terms[at]
        self._terms[at] = term
        self._set(at, entry_constant)

    def set_constant(self, constant: Decimal) -> None:
        """Let the sum start from a constant: the account's balance."""
        self._set(len(self.keys), constant)

    def _set(self, at: int, constant: Decimal) -> None:
        if constant != self._constants[at]:
            new, old = float(constant), float(self._constants[at])
            self._bound += new - old
            self._gross += abs(new) + abs(old)
            self._constants[at] = constant
        self._changes += 1

    def value_at(self, t: int) -> Decimal | None:
        """Give the exact sum after all prices of time t; None while a weighted one is unknown."""
        hit = self._exact(t)
        return None if hit is None else hit.value

    def next_hit(self, floor: Decimal, t0: int, t_end: int | None = None) -> FloorHit | None:
        """Find the first instant t0 <= t < t_end with the sum <= floor, or None.

        Times are nanoseconds UTC; without `t_end` the search goes on to the end of the data. A
        caller that knows its next event passes it: most calls then cost a few comparisons. That
        the sum has fallen between instants (a fee, a fill) is seen at the next instant; ask
        `value_at` to test the present.
        """
        end = INT64_MAX if t_end is None else t_end
        limit = float(floor)
        if (
            self._from <= t0
            and end <= self._until
            and self._changes < CHANGES_MAX
            and self._bound > limit + SLACK * (self._gross + abs(limit))
        ):
            return None
        if end <= t0:
            return None
        hit = self._search(floor, t0, end)
        if hit is None:
            self._open_window(limit, t0, end)
        return hit

    def _search(self, floor: Decimal, t0: int, end: int) -> FloorHit | None:
        """Bound all buckets of the time, some hundred at once; walk those that may hit."""
        weights = np.array([float(w) for w in self._weights])
        longs, shorts = np.flatnonzero(weights > 0), np.flatnonzero(weights < 0)
        constant = float(sum(self._constants, ZERO))
        at = max(int(self._edges.searchsorted(t0, "right")) - 1, 0)
        last = int(self._edges.searchsorted(end))
        step = SEARCH_BUCKETS
        while at < last:
            stop = min(at + step, last)
            low = weights[longs] @ self._low[longs, at:stop]
            low += weights[shorts] @ self._high[shorts, at:stop]
            gross = np.abs(weights[longs]) @ self._high[longs, at:stop]
            gross -= weights[shorts] @ self._high[shorts, at:stop]
            slack = SLACK * (gross + abs(constant) + abs(float(floor)))
            for bucket in np.flatnonzero(low + constant <= float(floor) + slack).tolist():
                hit = self._walk(floor, at + bucket, t0, end, weights)
                if hit is not None:
                    return hit
            at, step = stop, min(step * 2, 8192)
        return None

    def _walk(
        self, floor: Decimal, bucket: int, t0: int, end: int, weights: FloatArray
    ) -> FloorHit | None:
        """Test each instant of one bucket."""
        start = max(t0, int(self._edges[bucket]))
        if bucket + 1 < len(self._edges):
            end = min(end, int(self._edges[bucket + 1]))
        times = np.unique(np.concatenate([i for v in self._values for i in v.instants(start, end)]))
        total = np.full(len(times), float(sum(self._constants, ZERO)))
        gross = np.abs(total) + abs(float(floor))
        for at in np.flatnonzero(weights).tolist():
            term = weights[at] * self._values[at].floats_at(times)
            total += term
            gross += np.abs(term)
        for t in times[total <= float(floor) + SLACK * gross].tolist():
            hit = self._exact(t)
            if hit is not None and hit.value <= floor:
                return hit
        return None

    def _exact(self, t: int) -> FloorHit | None:
        total, prices = sum(self._constants, ZERO), {}
        for at, key in enumerate(self.keys):
            if self._weights[at]:
                price = self._values[at].exact_at(t)
                if price is None:
                    return None
                prices[key] = price
                total += self._weights[at] * price
        return FloorHit(t, total, prices)

    def _open_window(self, limit: float, t0: int, end: int) -> None:
        """Take the longest stretch from t0 on, by doubling and halving, whose bound holds."""
        at = max(int(self._edges.searchsorted(t0, "right")) - 1, 0)
        need = max(int(self._edges.searchsorted(end)) - at, 1)
        span = max(self._span, 1)
        while True:
            stop = min(at + span, len(self._edges))
            low = np.fmin.reduce(self._low[:, at:stop], axis=1).tolist()
            high = np.fmax.reduce(self._high[:, at:stop], axis=1).tolist()
            self._set_window(low, high)
            holds = self._bound > limit + SLACK * (self._gross + abs(limit))
            if holds or span <= need:
                break
            span //= 2
        self._from = min(t0, int(self._edges[at]))
        self._until = int(self._edges[stop]) if stop < len(self._edges) else INT64_MAX
        self._span = min(span * 2, len(self._edges)) if holds else max(span, 1)

    def _set_window(self, low: Sequence[float], high: Sequence[float]) -> None:
        self._window_low, self._window_high = list(low), list(high)
        self._terms = [
            float(w) * (lo if w > 0 else hi) if w else 0.0
            for w, lo, hi in zip(self._weights, low, high, strict=True)
        ]
        self._bound = sum(self._terms) + float(sum(self._constants, ZERO))
        self._gross = sum(abs(t) for t in self._terms)
        self._gross += sum(
            abs(float(w)) * hi for w, hi in zip(self._weights, high, strict=True) if w
        ) + sum(abs(float(c)) for c in self._constants)
        self._changes = 0
