"""Heads in a replay: woken over recorded prices, in order, seeing only what was known then.

A head is woken at its own times (closed bars, timers, quotes, levels); what it yields is judged
in the same instant, after that instant's prices. Its history grows bar by bar, so that nothing
later than the wake is within its reach; `lookahead.py` proves it for any head.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import nan
from typing import Any

import numpy as np

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.events import ConfigEvent, Event
from cerberus_trader.domain.facts import Fact, SignalJudged
from cerberus_trader.domain.money import from_belief
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.intake import strategy_name
from cerberus_trader.engine.state import State, key_of, strategy_of
from cerberus_trader.engine.strategies import gross_budget
from cerberus_trader.heads.base import Account, Bar, HeadRun, HeadSpec
from cerberus_trader.market.bars import bars_of_points, resample
from cerberus_trader.market.columns import Bars, quanta_at_least, quanta_at_most
from cerberus_trader.replay.driver import NEVER, Driver, Record, Signals
from cerberus_trader.replay.tape import Tape

POINT_BARS_NS = 300_000_000_000  # bars of points, where the head names no interval
CHUNK = 8_192
CODES_MAX = 8
NOBODY = Account()


class ListSignals:
    """Bring signals of a list (of a file, say) in order of time; equal times keep their order."""

    def __init__(self, signals: Sequence[Signal]) -> None:
        self.signals = sorted(signals, key=lambda signal: signal.ts_ns)
        self.at = 0
        self.next = self.signals[0].ts_ns if self.signals else NEVER

    def next_ns(self) -> int:
        """Return the time of the next signal, `NEVER` when there is none."""
        return self.next

    def take(self) -> list[Signal]:
        """Return the signals of that time, and go on."""
        signals, start, now = self.signals, self.at, self.next
        at, count = start, len(signals)
        while at < count and signals[at].ts_ns == now:
            at += 1
        self.at, self.next = at, signals[at].ts_ns if at < count else NEVER
        return signals[start:at]


class Own:
    """Look up what is a head's own in the engine's committed state; read-only."""

    def __init__(self, source: str, instrument: str) -> None:
        self.source, self.instrument = source, instrument
        self.state: State | None = None
        self.codes: tuple[str, ...] = ()
        self.name = ""
        self.settings: Any = None
        self.seen: tuple[Any, ...] = ()
        self.account = NOBODY

    def learn(self, fact: SignalJudged) -> None:
        """Remember the verdict on one of the head's signals."""
        decision = fact.decision
        if decision.instrument == self.instrument and decision.strategy == self.name:
            self.codes = (*self.codes, decision.code or decision.verdict)[-CODES_MAX:]

    def look(self) -> Account:
        """Return the account as it stands; the same object while nothing changed."""
        state = self.state
        if state is None:
            return NOBODY
        if self.settings is not state.settings:
            self.settings = state.settings
            self.name = strategy_name(state.settings, self.source)
        key = key_of(strategy_of(state, self.name).account, self.instrument)
        position, entries = state.positions.get(key), state.entries.get(key)
        order = state.orders.get(entries[0]) if entries else None
        seen = (position, order, state.day_equity, self.codes)
        if len(self.seen) != len(seen) or any(
            a is not b for a, b in zip(seen, self.seen, strict=True)
        ):
            self.seen = seen
            self.account = Account(
                position if position is not None and position.strategy == self.name else None,
                order if order is not None and order.strategy == self.name else None,
                gross_budget(state, self.name),
                self.codes,
            )
        return self.account


class HeadSignals:
    """Wake one head on one tape; to the driver it looks like a file of signals.

    `next_ns` is the next wake, at which `take` may find nothing to ask for.
    """

    def __init__(self, run: HeadRun, tape: Tape) -> None:
        self.run, self.tape = run, tape
        self.own = Own(run.source, tape.name)
        self.bars = known_bars(tape, run.wake.bars_ns)
        self.feed = stream(self.bars)
        self.pending = next(self.feed, None)
        self.first_ns = tape.start_ns + tape.interval_ns
        self.times = instants(tape) if run.wake.kind == "quote" else None
        self.following = FOLLOWING[run.wake.kind]
        # a head that names its own times may name one before the first price
        self.next = self.following(self, -1 if run.wake.kind == "times" else self.first_ns - 1)

    def next_ns(self) -> int:
        """Return the time of the next wake, `NEVER` after the last."""
        return self.next

    def take(self) -> list[Signal]:
        """Wake the head: hand it the bars that have closed, return what it asks for."""
        now, run, bar = self.next, self.run, self.pending
        while bar is not None and bar.ts_ns <= now:
            run.add(bar)
            bar = next(self.feed, None)
        self.pending = bar
        if self.tape.bars is not None and run.wake.kind == "bar":
            bid = ask = run.desk.history.bars[-1].close
        else:
            bid, ask = price_at(self.tape, now)
        found = run.signals(now, bid, ask, self.own.look())
        self.next = self.following(self, now)
        return found


def after_bar(signals: HeadSignals, now_ns: int) -> int:
    """Return the close of the next bar."""
    bar = signals.pending
    return bar.ts_ns if bar is not None and bar.ts_ns <= signals.tape.end_ns else NEVER


def after_timer(signals: HeadSignals, now_ns: int) -> int:
    """Return the next multiple of the timer's interval."""
    every = signals.run.wake.every_ns
    found = (now_ns // every + 1) * every
    return found if found <= signals.tape.end_ns else NEVER


def after_instant(signals: HeadSignals, now_ns: int) -> int:
    """Return the next instant of the prices."""
    assert signals.times is not None
    at = int(signals.times.searchsorted(now_ns, "right"))
    return int(signals.times[at]) if at < len(signals.times) else NEVER


def after_level(signals: HeadSignals, now_ns: int) -> int:
    """Return when a watched level is reached: a row's time, or the close of the bar it lies in."""
    desk, tape = signals.run.desk, signals.tape
    if now_ns < signals.first_ns:
        return signals.first_ns
    low, high, times = (
        (tape.bars.low_min, tape.bars.high_max, tape.bars.ts_open)
        if tape.bars is not None
        else (tape.points.bid_min, tape.points.ask_max, tape.points.ts)  # type: ignore[union-attr]
    )
    start = int(times.searchsorted(now_ns - tape.interval_ns, "right"))
    row = tape.rows
    if desk.below is not None:
        row = low.first_le(start, quanta_at_most(from_belief(desk.below), tape.digits), row)
    if desk.above is not None:
        row = high.first_ge(start, quanta_at_least(from_belief(desk.above), tape.digits), row)
    return int(times[row]) + tape.interval_ns if row < tape.rows else NEVER


def after_own(signals: HeadSignals, now_ns: int) -> int:
    """Return the time that the head names."""
    found = signals.run.head.next_ns(now_ns)
    if found is not None and found <= now_ns:
        raise DataError(
            f"after {now_ns} it names the time {found}.", code="HEAD_TIMES",
            place=f"head {signals.run.source}", fix="let next_ns give a later time, or None.",
        )  # fmt: skip
    return NEVER if found is None else int(found)


FOLLOWING: dict[str, Callable[[HeadSignals, int], int]] = {
    "bar": after_bar,
    "timer": after_timer,
    "quote": after_instant,
    "level": after_level,
    "times": after_own,
}


class MergedSignals:
    """Join heads and files: in order of time, at equal times in the order given."""

    def __init__(self, sources: Sequence[Signals]) -> None:
        self.sources = list(sources)
        self.heads = [source for source in self.sources if isinstance(source, HeadSignals)]
        self.next = min((source.next_ns() for source in self.sources), default=NEVER)

    def next_ns(self) -> int:
        """Return the next time at which a source may have signals."""
        return self.next

    def take(self) -> list[Signal]:
        """Return the signals of that time, and go on."""
        found: list[Signal] = []
        now, least = self.next, NEVER
        for source in self.sources:
            if source.next_ns() == now:
                found += source.take()
            least = min(least, source.next_ns())
        self.next = least
        return found

    def attach(self, state: State) -> None:
        """Let the heads see what is their own in the engine's state."""
        for head in self.heads:
            head.own.state = state

    def learn(self, facts: tuple[Fact, ...]) -> None:
        """Tell the heads how their signals were judged."""
        for fact in facts:
            if type(fact) is SignalJudged:
                for head in self.heads:
                    head.own.learn(fact)


def heads_on(
    spec: HeadSpec, params: Mapping[str, Any], source: str, tapes: Sequence[Tape]
) -> list[HeadSignals]:
    """Make one run of a head for every tape; its signals carry the source's name."""
    config = spec.configure(params)
    return [HeadSignals(HeadRun(spec, config, source, tape.name), tape) for tape in tapes]


def drive(
    config: ConfigEvent, tapes: list[Tape], signals: MergedSignals, record: Record, **options: Any
) -> Driver:
    """Make a driver whose heads see the engine's committed state; options are the driver's."""

    def recorded(event: Event, facts: tuple[Fact, ...]) -> None:
        signals.learn(facts)
        record(event, facts)

    driver = Driver(config, tapes, signals, recorded, **options)
    signals.attach(driver.engine.state)
    return driver


def drain(signals: Signals) -> list[Signal]:
    """Take all signals, without an engine."""
    found: list[Signal] = []
    while signals.next_ns() != NEVER:
        found += signals.take()
    return found


# -- prices for heads -------------------------------------------------------------------------


def known_bars(tape: Tape, interval_ns: int) -> Bars:
    """Return the tape's bars of an interval, never finer than the tape's own, as columns."""
    if tape.bars is None:
        assert tape.points is not None
        return bars_of_points(tape.points, interval_ns or POINT_BARS_NS)
    own = tape.interval_ns
    wanted = -(-interval_ns // own) * own
    return tape.bars if wanted <= own else resample(tape.bars, wanted)


def stream(bars: Bars) -> Iterator[Bar]:
    """Give bars one by one, some converted at a time."""
    price, size = 10.0**bars.digits, 10.0**bars.volume_digits
    for start in range(0, len(bars), CHUNK):
        part = slice(start, start + CHUNK)
        yield from map(
            Bar._make,
            zip(
                (bars.ts_open[part] + bars.interval_ns).tolist(),
                (bars.open[part] / price).tolist(),
                (bars.high[part] / price).tolist(),
                (bars.low[part] / price).tolist(),
                (bars.close[part] / price).tolist(),
                (bars.volume[part] / size).tolist(),
                strict=True,
            ),
        )


def instants(tape: Tape) -> Any:
    """Return the times at which a price becomes known, each once."""
    return np.unique(tape.ts + tape.interval_ns)


def price_at(tape: Tape, t: int) -> tuple[float, float]:
    """Return the bid and ask known at a time (a bar's close twice); NaN before the first."""
    row, scale = tape.row_at(t - tape.interval_ns), 10.0**tape.digits
    if row < 0:
        return nan, nan
    if tape.bars is not None:
        close = float(tape.bars.close[row] / scale)
        return close, close
    assert tape.points is not None
    return float(tape.points.bid[row] / scale), float(tape.points.ask[row] / scale)
