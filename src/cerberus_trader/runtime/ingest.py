"""Ingest: lines from outside become ticks and signals, or are refused with place and reason.

A line with `side` is a signal; else it is a price: `instrument` with `bid` and `ask`, or `price`,
and optionally `mark`, `funding_rate` and one time (`ts_ns`, `ts_us`, `ts_ms`, `ts_s`, or ISO-8601
text in `ts`). What is refused is counted and written to refused.jsonl; the rest goes on.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import NoReturn

import msgspec

from cerberus_trader.domain.errors import UNREADABLE, DataError
from cerberus_trader.domain.money import ZERO, check_amount
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State
from cerberus_trader.heads.lines.parse import UNITS, YEAR_2000_NS, YEAR_2100_NS, parse_signal
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from cerberus_trader.runtime.prices import POINT, Tick

REFUSED_NAME = "refused.jsonl"
REFUSED_BYTES_MAX = 10 * 2**20
PRICE_BYTES_MAX = 4_096
SOURCES_MAX = 1_000
SECOND_NS = 1_000_000_000
PRICE_FIX = 'write {"instrument": "DOGEUSDT", "bid": "0.1234", "ask": "0.1235"}.'


class PriceLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Hold a price line as it stands."""

    instrument: str
    bid: Decimal | None = None
    ask: Decimal | None = None
    price: Decimal | None = None
    mark: Decimal | None = None
    funding_rate: Decimal | None = None
    ts_ns: int | None = None
    ts_us: int | None = None
    ts_ms: int | None = None
    ts_s: Decimal | None = None
    ts: str | None = None


_decoder = msgspec.json.Decoder(PriceLine)
_encode = msgspec.json.Encoder().encode


def is_signal(raw: bytes) -> bool:
    """Tell a signal's line from a price's."""
    return b'"side"' in raw


def refuse(place: str, message: str, fix: str = PRICE_FIX) -> NoReturn:
    """Raise the error of a refused price line."""
    raise DataError(message, code="PRICE_REFUSED", place=place, fix=fix)


def parse_price(raw: bytes, place: str, now_ns: int, known: State) -> Tick:
    """Read a price line; raise `DataError` naming place, field and fix.

    Without a time of its own the price is known now.
    """
    if len(raw) > PRICE_BYTES_MAX:
        refuse(place, f"the line has more than {PRICE_BYTES_MAX} bytes.")
    try:
        line = _decoder.decode(raw)
    except UNREADABLE as error:
        refuse(place, f"the line is no price: {error}.")
    if line.instrument not in known.instruments:
        raise DataError(
            f"{line.instrument[:40]!r} names no known instrument.", code="INSTRUMENT_UNKNOWN",
            place=place, fix="list a file of your own under `instruments` in the configuration.",
        )  # fmt: skip
    if (line.price is None) == (line.bid is None) or (line.bid is None) != (line.ask is None):
        refuse(place, "there must be bid and ask, or price.")
    bid = line.price if line.price is not None else line.bid
    ask = line.price if line.price is not None else line.ask
    assert bid is not None and ask is not None
    for name, value in (("bid", bid), ("ask", ask), ("mark", line.mark)):
        if value is not None:
            check_amount(value, place=f"{place}: {name}")
            if value <= ZERO:
                refuse(f"{place}: {name}", "the price is not positive.")
    if line.funding_rate is not None:
        check_amount(line.funding_rate, place=f"{place}: funding_rate")
        if abs(line.funding_rate) >= 1:
            refuse(f"{place}: funding_rate", "the rate is a fraction of 1.")
    known_ns = _time(line, place)
    return Tick(
        line.instrument, POINT, bid, ask, now_ns if known_ns is None else min(known_ns, now_ns),
        None, line.mark, line.funding_rate,
    )  # fmt: skip


def _time(line: PriceLine, place: str) -> int | None:
    """Return the line's own time in ns, None where it gives none; refuse one of another century."""
    found = _given_time(line, place)
    if found is not None and not YEAR_2000_NS <= found <= YEAR_2100_NS:
        refuse(f"{place}: ts", "the time lies outside 2000 to 2100.", "check its unit.")
    return found


def _given_time(line: PriceLine, place: str) -> int | None:
    given = [(name, getattr(line, name)) for name in UNITS if getattr(line, name) is not None]
    if len(given) + (line.ts is not None) > 1:
        refuse(f"{place}: ts", "there are several times.", "give one of them.")
    if given:
        name, value = given[0]
        if isinstance(value, Decimal):
            check_amount(value, place=f"{place}: {name}")
        return int(value * UNITS[name])
    if line.ts is None:
        return None
    try:
        found = datetime.fromisoformat(line.ts)
    except ValueError:
        refuse(f"{place}: ts", f"{line.ts[:40]!r} is not an ISO-8601 time.", "write it in UTC.")
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    delta = aware - datetime(1970, 1, 1, tzinfo=UTC)
    whole = delta.days * 86_400 + delta.seconds
    return whole * SECOND_NS + delta.microseconds * 1_000


class Refusals:
    """Count what is refused, log it, and write it to refused.jsonl (10 MiB at most)."""

    def __init__(self, folder: Path, metrics: Metrics, log: Log) -> None:
        self.path = folder / REFUSED_NAME
        self.metrics = metrics
        self.log = log

    def take(self, error: DataError) -> None:
        """Take one refusal; a disk that fails loses the line, not the count."""
        self.metrics.refuse(error.code)
        self.log.warning(
            "refused", code=error.code, place=error.place, message=error.message, fix=error.fix
        )
        line = {"code": error.code, "place": error.place, "message": error.message,
                "fix": error.fix}  # fmt: skip
        try:
            with self.path.open("ab") as stream:
                if stream.tell() < REFUSED_BYTES_MAX:
                    stream.write(_encode(line) + b"\n")
        except OSError as failed:
            self.log.warning("refusals cannot be written", reason=failed.strerror)


class Ingest:
    """Turn lines into signals and ticks; `signal` takes a signal, and may refuse it too."""

    def __init__(
        self,
        state: State,
        now_ns: Callable[[], int],
        signal: Callable[[Signal], None],
        refusals: Refusals,
        *,
        live: bool = True,
    ) -> None:
        self.state = state
        self.now_ns = now_ns
        self.signal = signal
        self.refusals = refusals
        self.live = live
        self.closed = False
        self._rates: dict[str, tuple[int, int]] = {}

    def line(self, raw: bytes, place: str) -> Tick | None:
        """Take a line; return the tick of a price line, None for all others."""
        raw = raw.strip()
        if not raw:
            return None
        try:
            if is_signal(raw):
                self.take_signal(self.parse(raw, place), place)
                return None
            if not self.live:
                raise DataError(
                    "prices are played from a file already.", code="PRICE_REFUSED", place=place,
                    fix="leave out --prices, or send signals only.",
                )  # fmt: skip
            return parse_price(raw, place, self.now_ns(), self.state)
        except DataError as error:
            self.refusals.take(error)
            return None

    def parse(self, raw: bytes, place: str) -> Signal:
        """Read a signal line with the limits of the configuration in force."""
        intake = self.state.settings.intake
        return parse_signal(
            raw,
            place=place,
            now_ns=self.now_ns() if self.live else None,
            line_bytes_max=intake.line_bytes_max,
            metadata_bytes_max=intake.metadata_bytes_max,
        )

    def take_signal(self, signal: Signal, place: str) -> None:
        """Hand a signal on, unless the engine stops or its source sends too many.

        Raises `DataError` for those."""
        if self.closed:
            raise DataError(
                "the engine is stopping.", code="STOPPING", place=place, fix="send it again later."
            )
        limit = self.state.settings.intake.signals_per_second_max
        if limit:
            second = (self.now_ns() if self.live else signal.ts_ns) // SECOND_NS
            begun, count = self._rates.pop(signal.source, (second, 0))
            count = count + 1 if begun == second else 1
            self._rates[signal.source] = (second, count)
            if len(self._rates) > SOURCES_MAX:
                del self._rates[next(iter(self._rates))]
            if count > limit:
                raise DataError(
                    f"more than {limit} signals in a second.", code="SIGNAL_RATE", place=place,
                    fix="send fewer, or raise intake.signals_per_second_max.",
                )  # fmt: skip
        self.signal(signal)

    def refused(self, error: DataError) -> None:
        """Take a refusal that a reader found by itself."""
        self.refusals.take(error)
