"""Engine levels in a replay: equity floors, margin warnings, silent prices.

Each is tested once per instant, after the instant's prices. The column search asks `FloorWatch`;
the reference walks every instant.
"""

from bisect import bisect_left
from decimal import Decimal
from typing import Literal

import numpy as np

from cerberus_trader.domain.money import ONE, ZERO
from cerberus_trader.domain.position import Position
from cerberus_trader.engine import breaker, portfolio
from cerberus_trader.engine.state import State
from cerberus_trader.market.floors import FloorWatch
from cerberus_trader.replay.tape import Tape

MS = 1_000_000


class Level:
    """Hold one armed level: hit when constant + sum(weight x price) <= limit."""

    __slots__ = ("constant", "kind", "limit", "scope", "weights")

    def __init__(
        self,
        kind: Literal["equity", "margin", "silence"],
        scope: str,
        constant: Decimal,
        weights: tuple[tuple[str, Decimal], ...],
        limit: Decimal,
    ) -> None:
        self.kind: Literal["equity", "margin", "silence"] = kind
        self.scope = scope
        self.constant = constant
        self.weights = weights
        self.limit = limit


class Armed:
    """Keep the engine's armed levels: a margin warning is a floor of one price."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.warnings: dict[str, tuple[Position, Level | None]] = {}

    def levels(self) -> list[Level]:
        """Return what is armed now; a position that did not change keeps its level."""
        state = self.state
        levels = [
            Level("equity", floor.scope, floor.constant, floor.weights, floor.limit)
            for floor in breaker.floors(state)
        ]
        limits = state.settings.health
        if limits.watch >= ONE and limits.danger >= ONE and limits.critical >= ONE:
            return levels
        for key in [key for key in self.warnings if key not in state.positions]:
            del self.warnings[key]
        for key, position in state.positions.items():
            known = self.warnings.get(key)
            if known is None or known[0] is not position:
                known = self.warnings[key] = (position, self._warning(key, position))
            if known[1] is not None and key not in state.closings:
                levels.append(known[1])
        return levels

    def _warning(self, key: str, position: Position) -> Level | None:
        warning = portfolio.next_warning(self.state, position)
        if warning is None:
            return None
        weight = warning.denominator * position.sign
        limit = warning.numerator * position.sign
        return Level("margin", key, ZERO, ((position.instrument, weight),), limit)


def silences(tape: Tape, limit_ms: int) -> tuple[list[int], list[int]]:
    """List the silences of a tape longer than the limit: when each is noticed, when it ends."""
    limit = limit_ms * MS + 2 * tape.interval_ns
    noticed, ends = [], []
    step = 1_000_000
    for start in range(0, tape.rows, step):
        ts = tape.ts[start : start + step + 1]
        for row in np.flatnonzero(np.diff(ts) > limit).tolist():
            noticed.append(int(ts[row]) + limit)
            ends.append(int(ts[row + 1]))
    return noticed, ends


class Silence:
    """Find the next silence of a held instrument; a position is told once."""

    def __init__(self, tapes: list[Tape], state: State) -> None:
        self.state = state
        self.tapes = {tape.name: tape for tape in tapes}
        self.found: dict[str, list[int]] = {}

    def next(self, now_ns: int) -> tuple[int, Level] | None:
        """Return when a held instrument's silence is next noticed, with the level."""
        limit = self.state.settings.health.silence_ms_max
        if not limit:
            return None
        best: tuple[int, Level] | None = None
        for key, position in self.state.positions.items():
            if position.stale:
                continue
            name = position.instrument
            if name not in self.found:
                self.found[name] = silences(self.tapes[name], limit)[0]
            times = self.found[name]
            at = bisect_left(times, max(now_ns, position.opened_ns + 1))
            if at < len(times) and (best is None or times[at] < best[0]):
                best = times[at], Level("silence", key, ZERO, (), ZERO)
        return best


class Floors:
    """Find engine levels by bounding whole stretches of time."""

    def __init__(self, tapes: list[Tape], state: State) -> None:
        self.state = state
        self.tapes = {tape.name: tape for tape in tapes}
        self.silence = Silence(tapes, state)
        self.armed = Armed(state)
        self.level: Level | None = None
        self._levels: list[Level] = []
        self._dirty = True
        self._all: FloorWatch | None = None
        self._single: dict[str, FloorWatch] = {}
        self._watches: dict[tuple[str, str], FloorWatch] = {}
        self._terms: dict[tuple[str, str], dict[str, Decimal]] = {}

    def changed(self) -> None:
        """Arm the levels anew before the next search: an event was taken."""
        self._dirty = True

    def next(self, now_ns: int, until_ns: int) -> int | None:
        """Return when the first armed level is hit, up to and including a time; else None."""
        if self._dirty:
            self._arm()
        best: int | None = None
        for level in self._levels:
            watch = self._watches[level.kind, level.scope]
            hit = watch.next_hit(level.limit, now_ns, until_ns + 1)
            if hit is not None and (best is None or hit.ts < best):
                best, self.level = hit.ts, level
        silent = self.silence.next(now_ns)
        if silent is not None and silent[0] <= until_ns and (best is None or silent[0] < best):
            best, self.level = silent
        return best

    def _arm(self) -> None:
        self._dirty = False
        self._levels = self.armed.levels()
        if not self._levels and not self._watches:
            return
        live = {(level.kind, level.scope) for level in self._levels}
        for key in [key for key in self._watches if key not in live]:
            del self._watches[key], self._terms[key]
        for level in self._levels:
            key = level.kind, level.scope
            watch = self._watches.get(key)
            if watch is None:
                watch = self._watches[key] = self._new_watch(level)
                self._terms[key] = {}
            watch.set_constant(level.constant)
            self._set_terms(watch, self._terms[key], dict(level.weights))

    def _new_watch(self, level: Level) -> FloorWatch:
        if level.kind == "margin":
            tape = self.tapes[level.weights[0][0]]
            base = self._single.get(tape.name)
            if base is None:
                marks = {} if tape.marks is None else {tape.name: tape.marks}
                base = self._single[tape.name] = FloorWatch({tape.name: tape.prices}, marks)
            return base.sibling()
        if self._all is None:
            self._all = FloorWatch(
                {tape.name: tape.prices for tape in self.tapes.values()},
                {tape.name: tape.marks for tape in self.tapes.values() if tape.marks is not None},
            )
        return self._all.sibling()

    def _set_terms(
        self, watch: FloorWatch, known: dict[str, Decimal], weights: dict[str, Decimal]
    ) -> None:
        for name in [name for name in known if name not in weights]:
            watch.set_term(name, ZERO)
            del known[name]
        for name, weight in weights.items():
            if known.get(name) != weight:
                watch.set_term(name, weight)
                known[name] = weight


class RowFloors(Floors):
    """Find engine levels by walking every instant: the reference."""

    def next(self, now_ns: int, until_ns: int) -> int | None:
        """Return when the first armed level is hit, testing each instant in turn."""
        if self._dirty:
            self._dirty = False
            self._levels = self.armed.levels()
        silent = self.silence.next(now_ns)
        for ts in self._instants(now_ns, until_ns):
            for level in self._levels:
                if self._hit(level, ts):
                    if silent is not None and silent[0] < ts:
                        self.level = silent[1]
                        return silent[0]
                    self.level = level
                    return ts
        if silent is not None and silent[0] <= until_ns:
            self.level = silent[1]
            return silent[0]
        return None

    def _instants(self, now_ns: int, until_ns: int) -> list[int]:
        if not self._levels:
            return []
        times = [
            part
            for tape in self.tapes.values()
            for part in tape.valuation.instants(now_ns, until_ns + 1)
        ]
        return [int(ts) for ts in np.unique(np.concatenate(times))]

    def _hit(self, level: Level, ts: int) -> bool:
        total = level.constant
        for name, weight in level.weights:
            price = self.tapes[name].mark(ts)
            if price is None:
                return False
            total += weight * price
        return total <= level.limit
