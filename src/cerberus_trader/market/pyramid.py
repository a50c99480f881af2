"""Stored minima and maxima over int64 columns, and searches for the first row that hits.

Each level of a pyramid keeps one extreme per `RADIX` entries of the level below it. A search
looks at what is left of a block of the column, then of a block of each level above, and comes
down again: a few NumPy calls, whatever the distance. A block that its own extreme rules out is
skipped, which takes one comparison of two integers. The radix is measured: up to some 500 values
one comparison costs little more than the call itself, so few, wide levels win.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

RADIX = 256


def _fold(values: Int64Array, ufunc: np.ufunc) -> Int64Array:
    """Reduce each run of `RADIX` values (the last run may be shorter) to one."""
    whole = len(values) // RADIX
    body = ufunc.reduce(values[: whole * RADIX].reshape(whole, RADIX), axis=1)
    if whole * RADIX == len(values):
        return np.asarray(body, dtype=np.int64)
    return np.append(body, ufunc.reduce(values[whole * RADIX :])).astype(np.int64, copy=False)


class Pyramid:
    """Keep the minima (or maxima) of a column, level above level, and search with them.

    `values` is one-dimensional int64 and must not change afterwards. `kind` is "min" for
    searches of low values (`first_le`) or "max" for high ones (`first_ge`).
    """

    __slots__ = ("_above", "_hit", "kind", "levels", "ufunc", "values")

    def __init__(self, values: Int64Array, kind: Literal["min", "max"]) -> None:
        self.values = values
        self.kind = kind
        self.ufunc = np.minimum if kind == "min" else np.maximum
        self._hit = np.less_equal if kind == "min" else np.greater_equal
        self.levels = [values]
        while len(self.levels[-1]) > RADIX:
            self.levels.append(_fold(self.levels[-1], self.ufunc))
        tip = _fold(self.levels[-1], self.ufunc)
        # single values come quicker out of memory views than out of NumPy
        self._above = [level.data for level in (*self.levels[1:], tip)]

    def first_le(self, start: int, x: int, stop: int | None = None) -> int:
        """Find the first row >= start with value <= x, else `stop` (default: the length).

        Needs a "min" pyramid. Rows are 0-based; `stop` is exclusive.
        """
        if self.kind != "min":
            raise ValueError("first_le needs a pyramid of minima")
        return self._first(start, x, stop)

    def first_ge(self, start: int, x: int, stop: int | None = None) -> int:
        """Find the first row >= start with value >= x, else `stop` (default: the length).

        Needs a "max" pyramid. Rows are 0-based; `stop` is exclusive.
        """
        if self.kind != "max":
            raise ValueError("first_ge needs a pyramid of maxima")
        return self._first(start, x, stop)

    def _first(self, start: int, x: int, stop: int | None) -> int:
        end = len(self.values) if stop is None else min(stop, len(self.values))
        hit, low = self._hit, self.kind == "min"
        pos, reach = start, 1
        for depth, level in enumerate(self.levels):
            if pos * reach >= end:
                return end
            block = pos // RADIX
            extreme = self._above[depth][block]
            if extreme <= x if low else extreme >= x:
                flags = hit(level[pos : (block + 1) * RADIX], x)
                offset = int(flags.argmax())
                if flags[offset]:
                    return self._descend(depth, pos + offset, x, end)
            pos = block + 1
            reach *= RADIX
        return end

    def _descend(self, depth: int, pos: int, x: int, end: int) -> int:
        for level in reversed(self.levels[:depth]):
            pos *= RADIX
            if pos >= end:
                return end
            pos += int(self._hit(level[pos : pos + RADIX], x).argmax())
        return min(pos, end)

    def extreme(self, start: int, stop: int) -> int:
        """Take the minimum (or maximum) of rows start <= i < stop; the range must hold a row."""
        if not 0 <= start < stop <= len(self.values):
            raise ValueError(f"empty or outside range [{start}, {stop})")
        found: list[int] = []
        for level in self.levels:
            first, last = -(-start // RADIX), stop // RADIX
            if first >= last or level is self.levels[-1]:
                found.append(int(self.ufunc.reduce(level[start:stop])))
                break
            if start < first * RADIX:
                found.append(int(self.ufunc.reduce(level[start : first * RADIX])))
            if last * RADIX < stop:
                found.append(int(self.ufunc.reduce(level[last * RADIX : stop])))
            start, stop = first, last
        return min(found) if self.kind == "min" else max(found)


class Trail:
    """Find the first row at which a trailing stop is reached.

    A long's stop follows the best bid at a fixed distance: row j hits when
    ``low[j] <= max(best, own[j], high[start..j-1]) - distance``. For points high, low and own are
    the row's value (whose own value never makes it hit); for bars they are the bar's high, low
    and open, as a bar's own open counts for the best but its high counts for later bars only.
    A short is the same on negated values.

    Each block stores its highest high, lowest low and deepest internal drop: with the best that
    enters a block these three decide exactly whether the block holds a hit.
    """

    __slots__ = ("_own", "_sign", "_top", "highs", "levels", "lows")

    def __init__(self, high: Pyramid, low: Pyramid, own: Int64Array | None, short: bool) -> None:
        self._sign = -1 if short else 1
        self._own = own
        # For a short, what is best is the lowest low, and what hits is the highest high.
        self.highs, self.lows = (low.levels, high.levels) if short else (high.levels, low.levels)
        self.levels = self._drops()
        self._top = RADIX ** (len(self.highs) - 1)

    def _drops(self) -> list[Int64Array]:
        """Store the deepest drop inside each whole block, for every level above the rows."""
        levels: list[Int64Array] = []
        whole = len(self.highs[0])
        for depth in range(len(self.highs) - 1):
            whole //= RADIX  # a search enters no block that is not whole
            parts = [
                self._block_drops(depth, at * RADIX, min(at + 256, whole) * RADIX, levels)
                for at in range(0, whole, 256)  # bounds the temporary arrays
            ]
            levels.append(np.concatenate(parts))
        return levels

    def _block_drops(
        self, depth: int, start: int, stop: int, levels: list[Int64Array]
    ) -> Int64Array:
        high, low, inner = self._slices(depth, start, stop, levels)
        shape = (-1, RADIX)
        best = np.maximum.accumulate(high.reshape(shape), axis=1)[:, :-1]
        across = (best - low.reshape(shape)[:, 1:]).max(axis=1)
        deepest: Int64Array = np.maximum(across, inner.reshape(shape).max(axis=1))
        return deepest

    def _slices(
        self, depth: int, start: int, stop: int, levels: list[Int64Array]
    ) -> tuple[Int64Array, Int64Array, Int64Array]:
        """Give signed highs, lows and inner drops of entries start..stop of one level."""
        high, low = self.highs[depth][start:stop], self.lows[depth][start:stop]
        if self._sign < 0:
            high, low = -high, -low
        if depth:
            return high, low, levels[depth - 1][start:stop]
        if self._own is None:
            return high, low, np.zeros(len(high), dtype=np.int64)
        return high, low, self._own[start:stop] * self._sign - low

    def first(
        self, start: int, best: int, distance: int, stop: int | None = None
    ) -> tuple[int, int]:
        """Find the first row >= start that hits, and the best before it.

        `best` is the best known before row `start`; `distance` is positive, in quanta. Returns
        (row, best of all rows before it); without a hit the row is `stop` (default: the length)
        and the best includes every row in front of it. For bars the best before a row leaves out
        that row's own open.
        """
        if distance < 1:
            raise ValueError("a trailing distance is at least one quantum")
        count = len(self.highs[0])
        end = count if stop is None else min(stop, count)
        if start >= end:
            return end, best
        row, signed = self._climb(start, best * self._sign, distance, end)
        return row, signed * self._sign

    def _climb(self, start: int, best: int, distance: int, end: int) -> tuple[int, int]:
        """Scan to the end of each level's block, going up; come down into the block that hits."""
        depth, pos, size = 0, start, 1
        while True:
            last = min(-(-(pos + 1) // RADIX) * RADIX, end // size)
            if last > pos:
                offset, best = self._scan(depth, pos, last, best, distance)
                pos += offset
                if pos < last:  # a hit
                    if depth == 0:
                        return pos, best
                    depth, pos, size = depth - 1, pos * RADIX, size // RADIX
                    continue
            if pos * size >= end:
                return end, best
            if (pos + 1) * size > end:  # the rest is shorter than one entry: go down
                depth, pos, size = depth - 1, pos * RADIX, size // RADIX
            elif pos % RADIX == 0 and (pos + RADIX) * size <= end and size * RADIX <= self._top:
                depth, pos, size = depth + 1, pos // RADIX, size * RADIX

    def _scan(self, depth: int, start: int, stop: int, best: int, distance: int) -> tuple[int, int]:
        """Find the first entry of one level that hits: (offset, best before it)."""
        high, low, inner = self._slices(depth, start, stop, self.levels)
        before = np.empty_like(high)
        before[0] = best
        before[1:] = high[:-1]
        np.maximum.accumulate(before, out=before)
        flags = (before - low >= distance) | (inner >= distance)
        offset = int(flags.argmax())
        if flags[offset]:
            return offset, int(before[offset])
        return stop - start, max(int(before[-1]), int(high[-1]))
