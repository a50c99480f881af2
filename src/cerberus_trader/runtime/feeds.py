"""Feeds: played price files, standard input, and a watched folder of signal lines."""

import asyncio
import heapq
import os
import threading
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.lines.source import FileSource
from cerberus_trader.replay.inputs import Sigmas
from cerberus_trader.replay.tape import Tape
from cerberus_trader.runtime.inbox import Due, Inbox, Instant, Timed
from cerberus_trader.runtime.ingest import REFUSED_NAME, Ingest, is_signal
from cerberus_trader.runtime.prices import CLOSE, INSIDE, POINT, Line, LiveMarket, Tick

ROWS = 4_096
PACE_S = 0.25
FOLDER_POLL_S = 0.2
CROWDED_S = 0.02
BLOCKS_MAX = 4
READ_BYTES = 1 << 16
LINE_BYTES_MAX = 1 << 20

Step = tuple[int, int, int, int, Tick]


def steps_of(tape: Tape, number: int, after_ns: int) -> Iterator[Step]:
    """Yield a tape's ticks later than a time: (time, tape, kind, row, tick), in that order."""
    first = max(tape.row_at(after_ns), 0)
    for start in range(first, tape.rows, ROWS):
        stop = min(start + ROWS, tape.rows)
        rows = _bar_steps if tape.bars is not None else _point_steps
        for step in rows(tape, number, start, stop):
            if step[0] > after_ns:
                yield step


def _point_steps(tape: Tape, number: int, start: int, stop: int) -> Iterator[Step]:
    points = tape.points
    assert points is not None
    same = points.bid is points.ask
    times, bids = points.ts[start:stop].tolist(), points.bid[start:stop].tolist()
    asks = bids if same else points.ask[start:stop].tolist()
    for row, (ts, bid, ask) in enumerate(zip(times, bids, asks, strict=True), start):
        low = tape.decimal(bid)
        high = low if bid == ask else tape.decimal(ask)
        yield ts, number, POINT, row, Tick(tape.name, POINT, low, high, ts, row=row)


def _bar_steps(tape: Tape, number: int, start: int, stop: int) -> Iterator[Step]:
    bars, name, interval = tape.bars, tape.name, tape.interval_ns
    assert bars is not None
    columns = (bars.ts_open, bars.open, bars.high, bars.low, bars.close)
    rows = zip(*(c[start:stop].tolist() for c in columns), strict=True)
    for row, values in enumerate(rows, start):
        ts = values[0]
        first, high, low, last = (tape.decimal(value) for value in values[1:])
        end = ts + interval
        yield ts, number, POINT, row, Tick(name, POINT, first, first, ts, row=row)
        inside = Tick(name, INSIDE, first, first, end - 1, (first, high, low), row=row)
        yield end - 1, number, INSIDE, row, inside
        yield end, number, CLOSE, row, Tick(name, CLOSE, last, last, end, row=row)


def instants(tapes: list[Tape], after_ns: int) -> Iterator[Instant]:
    """Yield all ticks of all tapes by moment, instruments in the order of their names."""
    merged = heapq.merge(*(steps_of(tape, n, after_ns) for n, tape in enumerate(tapes)))
    for ts, group in groupby(merged, key=lambda step: step[0]):
        yield Instant(ts, tuple(step[4] for step in group))


class FileFeed:
    """Play price files: `speed` seconds of the file in a second, 0 as fast as it goes.

    Signals wait here for their moment of the file; one that is late is judged at once.
    """

    def __init__(self, tapes: list[Tape], inbox: Inbox, after_ns: int, speed: float) -> None:
        self.tapes = sorted(tapes, key=lambda tape: tape.name)
        self.inbox = inbox
        self.after_ns = after_ns
        self.speed = speed
        self._signals: list[tuple[int, int, Signal]] = []
        self._count = 0

    def prime(self, market: LiveMarket) -> None:
        """Let the market know intervals, volatility, and what was known when we left off."""
        for number, tape in enumerate(self.tapes):
            market.add(tape.name, Line(tape.interval_ns, Sigmas(tape.prices), tape.size))
            row = tape.row_at(self.after_ns)
            if row < 0:
                continue
            rows = _bar_steps if tape.bars is not None else _point_steps
            known = sorted(rows(tape, number, max(row - 1, 0), row + 1))
            for step in known:
                if step[0] <= self.after_ns:
                    market.take(step[4], step[0])

    def add_signal(self, signal: Signal) -> None:
        """Take a signal to be judged at its time."""
        self._count += 1
        heapq.heappush(self._signals, (signal.ts_ns, self._count, signal))

    def crowded(self) -> bool:
        """Tell whether so many signals wait that whoever reads them should wait too."""
        return len(self._signals) >= self.inbox.limits["signals"]

    async def run(self) -> None:
        """Play to the end, then give what signals are left."""
        begun, first, now = time.monotonic(), 0, self.after_ns
        for instant in instants(self.tapes, self.after_ns):
            first = first or instant.ts_ns
            await self._signals_before(instant.ts_ns, now)
            if self.speed:
                await self._pace(begun, first, instant.ts_ns)
                await self._signals_before(instant.ts_ns, now)
            now = instant.ts_ns
            await self.inbox.put_price(instant)
        await self._signals_before(2**63 - 1, now)
        barrier = asyncio.Event()
        await self.inbox.put_price(Due(now, barrier))
        await barrier.wait()

    async def after_end(self) -> None:
        """Go on giving signals that arrive after the prices have ended; the clock stands."""
        while True:
            await self._signals_before(2**63 - 1, 0)
            await asyncio.sleep(PACE_S)

    async def _signals_before(self, ts_ns: int, now_ns: int) -> None:
        while self._signals and self._signals[0][0] < ts_ns:
            at, _, signal = heapq.heappop(self._signals)
            await self.inbox.put_price(Timed(max(at, now_ns), signal))

    async def _pace(self, begun: float, first_ns: int, ts_ns: int) -> None:
        """Wait for a moment of the file; let time pass for timers meanwhile."""
        while True:
            passed = int((time.monotonic() - begun) * self.speed * 1e9)
            wait = (ts_ns - first_ns - passed) / (self.speed * 1e9)
            if wait <= 0.0005:
                return
            await asyncio.sleep(min(wait, PACE_S))
            if wait > PACE_S:
                moment = first_ns + int((time.monotonic() - begun) * self.speed * 1e9)
                if moment < ts_ns:
                    await self._signals_before(moment, 0)
                    await self.inbox.put_price(Due(moment))


class FolderWatch:
    """Read every *.jsonl of a folder, each line once, also those appended later.

    Files are to be appended to; one that has become shorter is another one, read from its
    beginning. A last line without a line break counts once the file has stopped growing. While
    `crowded` says so nothing more is taken.
    """

    def __init__(
        self, folder: Path, ingest: Ingest, crowded: Callable[[], bool] = lambda: False
    ) -> None:
        self.folder = folder
        self.ingest = ingest
        self.crowded = crowded
        self._sources: dict[Path, FileSource] = {}
        self._sizes: dict[Path, int] = {}

    async def run(self) -> None:
        """Look for new lines until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(FOLDER_POLL_S)

    async def look(self, *, final: bool = False) -> None:
        """Take every line that is new; `final` takes unfinished last lines too."""
        # the state folder may be watched too
        paths = [x for x in sorted(self.folder.glob("*.jsonl")) if x.name != REFUSED_NAME]
        for path in self._sources.keys() - set(paths):
            del self._sources[path]
            self._sizes.pop(path, None)
        for path in paths:
            source = self._sources.setdefault(path, FileSource(path, self.ingest.parse))
            try:
                size = path.stat().st_size
                if size < source.offset:
                    source.start_again()
                if size != source.offset:
                    await self._read_more(source)
                    if final or self._sizes.get(path) == size:
                        await self._read_rest(source)
                self._sizes[path] = size
            except OSError as error:
                self.ingest.refused(unreadable(path, error))
            except DataError as error:
                self.ingest.refused(error)

    async def _read_more(self, source: FileSource) -> None:
        """Take the lines that were appended, block by block; hand on what was refused of them."""
        before = -1
        while source.offset != before:
            before = source.offset
            signals = await source.next_signals()
            for error in source.refusals:
                self.ingest.refused(error)
            source.refusals.clear()
            for signal in signals:
                await room(self.crowded)
                try:
                    self.ingest.take_signal(signal, str(source.path))
                except DataError as error:
                    self.ingest.refused(error)

    async def _read_rest(self, source: FileSource) -> None:
        """Take a last line that has no line break."""
        with source.path.open("rb") as stream:
            stream.seek(source.offset)
            rest = stream.read(LINE_BYTES_MAX)
        if not rest or b"\n" in rest:
            return
        source.offset += len(rest)
        await room(self.crowded)
        # its line break, once it comes, counts the line
        self.ingest.line(rest, f"{source.path}:{source.number + 1}")


async def room(crowded: Callable[[], bool]) -> None:
    """Wait while too many signals wait."""
    while crowded():
        await asyncio.sleep(CROWDED_S)


def unreadable(path: Path, error: OSError) -> DataError:
    """Make the error of a file that cannot be read."""
    return DataError(
        f"the file cannot be read ({error.strerror}).", code="SIGNAL_REFUSED", place=str(path),
        fix="check it.",
    )  # fmt: skip


class StandardInput:
    """Read lines of standard input on a thread of its own, as fast as they are taken.

    While `crowded` says so nothing more is read, and the writer waits. Lines are taken in the
    order in which they stand: a signal waits until the prices before it are in.
    """

    def __init__(self, inbox: Inbox, ingest: Ingest, fd: int = 0) -> None:
        self.inbox = inbox
        self.ingest = ingest
        self.crowded = inbox.crowded
        self.fd = fd
        self.number = 0
        self._rest = b""
        self._priced = False

    async def run(self) -> None:
        """Take lines until standard input ends."""
        loop, blocks = asyncio.get_running_loop(), asyncio.Queue[bytes]()
        slots = threading.Semaphore(BLOCKS_MAX)  # the thread waits while the engine is behind

        def read() -> None:
            while True:
                slots.acquire()
                try:
                    block = os.read(self.fd, READ_BYTES)
                    loop.call_soon_threadsafe(blocks.put_nowait, block)
                except (OSError, RuntimeError):
                    return
                if not block:
                    return

        threading.Thread(target=read, name="standard-input", daemon=True).start()
        while block := await blocks.get():
            await self.take(block)
            slots.release()
        await self.take(b"\n")

    async def take(self, block: bytes) -> None:
        """Take the whole lines of a block; keep what is left of the last one."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        for line in lines:
            self.number += 1
            await room(self.crowded)
            if self._priced and is_signal(line):
                await self._prices_taken()
            tick = self.ingest.line(line, f"stdin:{self.number}")
            if tick is not None:
                await self.inbox.put_price(Instant(0, (tick,)))
                self._priced = True
        if len(self._rest) > LINE_BYTES_MAX:
            self.number += 1
            self.ingest.line(self._rest[: LINE_BYTES_MAX + 1], f"stdin:{self.number}")
            self._rest = b""

    async def _prices_taken(self) -> None:
        """Wait until every price that was put is taken: signals would be taken before them."""
        barrier = asyncio.Event()
        await self.inbox.put_price(Due(0, barrier))
        await barrier.wait()
        self._priced = False
