"""Signal lines: one JSON object per line, read strictly, written canonically.

A line has `id`, one time (`ts_ns`, `ts_us`, `ts_ms`, `ts_s`, or ISO-8601 text in `ts`, UTC),
`instrument` (or `token`), `side`, `confidence`, `source`, and optionally what a `Signal` may ask
for. Numbers go straight to `Decimal`. A line without an id gets one derived from everything it
says, so that the same line sent twice is one signal. Whatever is wrong is refused with
`DataError` naming the place, the field and the fix; nothing is guessed.
"""

import gzip
import hashlib
import math
import re
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from pathlib import Path
from typing import IO, Any, NoReturn

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import ONE, ZERO, check_amount, plain
from cerberus_trader.domain.signal import LEVEL_CONFIDENCE, Level, Signal

LINE_BYTES_MAX = 65_536
METADATA_BYTES_MAX = 16_384
TEXT_MAX = 128
EXPIRES_MS_MAX = 31_536_000_000
REFUSALS_MAX = 1_000
DAY_NS = 86_400_000_000_000
YEAR_2000_NS = 946_684_800_000_000_000
YEAR_2100_NS = 4_102_444_800_000_000_000

UNITS = {"ts_ns": 0, "ts_us": 3, "ts_ms": 6, "ts_s": 9}  # decimal places to nanoseconds
SIDES = ("buy", "sell", "close")
OTHER_SIDES = {"long": "buy", "short": "sell", "exit": "close", "flat": "close"}
ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
ISO_FIX = "write 2025-01-31T12:00:00Z, or a number in ts_ns, ts_us, ts_ms or ts_s."


class _Line(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Hold a line as it stands, before its fields are checked."""

    id: str | None = None
    ts_ns: Decimal | None = None
    ts_us: Decimal | None = None
    ts_ms: Decimal | None = None
    ts_s: Decimal | None = None
    ts: str | None = None
    instrument: str | None = None
    token: str | None = None
    side: str | None = None
    confidence: float | str | None = None
    source: str | None = None
    price: Decimal | None = None
    volume: Decimal | None = None
    quantity: Decimal | None = None
    leverage: Decimal | None = None
    stop_loss: Decimal | None = None
    stop_loss_pct: Decimal | None = None
    take_profit: Decimal | None = None
    take_profit_pct: Decimal | None = None
    trailing: Decimal | None = None
    trailing_pct: Decimal | None = None
    order: str = "market"
    limit: Decimal | None = None
    expires_ms: int = 0
    metadata: msgspec.Raw = msgspec.Raw(b"")


FIELDS = _Line.__struct_fields__
_DECODER = msgspec.json.Decoder(_Line)


def _finite(text: str) -> Decimal:
    value = Decimal(text)
    if not math.isfinite(float(value)):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


_METADATA = msgspec.json.Decoder(float_hook=_finite)
_CANONICAL = msgspec.json.Encoder(order="deterministic", decimal_format="number")


def parse_signal(
    line: bytes | str,
    *,
    place: str,
    now_ns: int | None = None,
    line_bytes_max: int = LINE_BYTES_MAX,
    metadata_bytes_max: int = METADATA_BYTES_MAX,
) -> Signal:
    """Read one signal line, or raise `DataError` naming place (file:line), field and fix.

    With `now_ns` (the clock, UTC) a time more than a day ahead of it is refused too.
    """
    try:
        raw = line.encode() if isinstance(line, str) else line
        if len(raw) > line_bytes_max:
            _refuse(place, f"the line has {len(raw)} bytes.", f"keep to {line_bytes_max} bytes.")
        row = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        _explain(str(error), place)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        _refuse(place, f"the line is no JSON object: {error}.", "write one object per line.")
    _refuse_repeated_keys(raw, row, place)
    instrument = row.instrument
    if row.token is not None:
        if instrument is not None:
            _refuse(f"{place}: token", "instrument and token say the same.", "give one of them.")
        instrument = row.token
    confidence, level = _confidence(row.confidence, place)
    side = _side(row.side, place)
    if row.order != "market" and row.order != "limit":
        _refuse(f"{place}: order", f"{row.order[:40]!r} is no order.", "write market or limit.")
    if not 0 <= row.expires_ms <= EXPIRES_MS_MAX:
        _refuse(f"{place}: expires_ms", "it lies outside 0 to a year.", "give milliseconds.")
    amounts = (
        row.price, row.volume, row.quantity, row.leverage, row.stop_loss, row.stop_loss_pct,
        row.take_profit, row.take_profit_pct, row.trailing, row.trailing_pct,
    )  # fmt: skip
    if any(amount is not None for amount in amounts) or row.limit is not None:
        _check_amounts(row, place)
    signal = Signal(
        "?" if row.id is None else _text(row.id, "id", place),
        _time(row, place, now_ns),
        _text(instrument, "instrument", place),
        side,  # type: ignore[arg-type]
        confidence,
        _text(row.source, "source", place),
        level,
        *amounts,
        row.order,  # type: ignore[arg-type]
        row.limit,
        row.expires_ms,
        _metadata(row.metadata, place, metadata_bytes_max),
    )
    faults = signal.faults()
    if faults:
        _refuse(place, "; ".join(faults) + ".", "correct the fields named.")
    return signal if row.id is not None else msgspec.structs.replace(signal, id=derived_id(signal))


def derived_id(signal: Signal) -> str:
    """Return the id of a signal that has none: 24 hex digits of a hash of all it says."""
    said = format_signal(msgspec.structs.replace(signal, id=""))
    return hashlib.blake2b(said, digest_size=12).hexdigest()


def format_signal(signal: Signal) -> bytes:
    """Write a signal as one canonical line without its line break; `parse_signal` reads it back.

    Metadata that is no JSON is written as a JSON text.
    """
    fields: dict[str, Any] = {
        "id": signal.id,
        "ts_ns": signal.ts_ns,
        "instrument": signal.instrument,
        "side": signal.side,
        "confidence": signal.confidence if signal.level is None else signal.level.value,
        "source": signal.source,
    }
    for name in AMOUNTS:
        value = getattr(signal, name)
        if value is not None:
            fields[name] = msgspec.Raw(plain(value).encode())
    if signal.order != "market":
        fields["order"] = signal.order
    if signal.expires_ms:
        fields["expires_ms"] = signal.expires_ms
    if signal.metadata:
        fields["metadata"] = _as_json(signal.metadata)
    return msgspec.json.encode(fields)


AMOUNTS = (
    "price", "volume", "quantity", "leverage", "stop_loss", "stop_loss_pct", "take_profit",
    "take_profit_pct", "trailing", "trailing_pct", "limit",
)  # fmt: skip


def read_signals(
    path: str | Path, *, line_bytes_max: int = LINE_BYTES_MAX
) -> tuple[list[Signal], list[DataError]]:
    """Read a .jsonl or .jsonl.gz file: the signals in order of time (stable), and the refusals.

    A broken line is refused and the rest is read; at most 1,000 refusals are kept, the last one
    says how many more there were. A file that is missing, unreadable, empty or cut short raises
    `DataError`, and nothing of it is used.
    """
    signals: list[Signal] = []
    refusals: list[DataError] = []
    lines = refused = 0
    for number, line in _lines(Path(path), line_bytes_max):
        lines += 1
        try:
            signals.append(
                parse_signal(line, place=f"{path}:{number}", line_bytes_max=line_bytes_max)
            )
        except DataError as error:
            refused += 1
            if refused <= REFUSALS_MAX:
                refusals.append(error)
    if not lines:
        _refuse(str(path), "the file holds no line.", "give at least one signal.")
    if refused > REFUSALS_MAX:
        more = f"{refused - REFUSALS_MAX} more lines were refused."
        refusals.append(DataError(more, code="SIGNAL_REFUSED", place=str(path)))
    signals.sort(key=lambda signal: signal.ts_ns)
    return signals, refusals


def _lines(path: Path, line_bytes_max: int) -> Iterator[tuple[int, bytes]]:
    """Give the lines that are not blank with their numbers; of a long one only its beginning."""
    try:
        stream: IO[bytes] = gzip.open(path) if path.suffix == ".gz" else path.open("rb")
        with stream:
            number = 0
            while line := stream.readline(line_bytes_max + 2):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                rest = line
                while len(rest) > line_bytes_max and not rest.endswith(b"\n"):
                    rest = stream.readline(line_bytes_max + 2)
                line = line.rstrip(b"\r\n")
                if line.strip():
                    yield number, line
    except FileNotFoundError:
        _refuse(str(path), "there is no such file.", "check the path.")
    except (EOFError, gzip.BadGzipFile, zlib.error):
        _refuse(str(path), "the file is damaged or cut short.", "fetch or write it again.")
    except OSError as error:
        _refuse(str(path), f"the file cannot be read ({error.strerror}).", "check it.")


def _refuse(place: str, message: str, fix: str) -> NoReturn:
    raise DataError(message, code="SIGNAL_REFUSED", place=place, fix=fix)


def _explain(text: str, place: str) -> NoReturn:
    """Say in our words which field the decoder did not take, and why."""
    unknown = re.search(r"unknown field `(.*)`", text, re.DOTALL)
    if unknown:
        name = unknown[1][:40]
        near = get_close_matches(name, FIELDS, 1, 0.5)
        fix = f"write {near[0]}." if near else f"use {', '.join(FIELDS)}; others go in metadata."
        _refuse(f"{place}: {name}", "the field is unknown.", fix)
    at = re.search(r" - at `\$\.(\w+)", text)
    what = text.split(" - at")[0].replace(" | null", "").replace("`", "")
    if not at:
        _refuse(place, f"{what}.", "write one object per line.")
    fix = ISO_FIX if at[1] == "ts" else "correct the value."
    if at[1] == "ts":
        what = "a number in ts has no unit"
    _refuse(f"{place}: {at[1]}", f"{what}.", fix)


def _refuse_repeated_keys(raw: bytes, row: _Line, place: str) -> None:
    # Every key has a colon: as few colons as fields leave no room for a repeated key.
    fields = sum(getattr(row, name) is not None for name in NAMES)
    fields += (row.order != "market") + (row.expires_ms != 0)
    data = bytes(row.metadata)
    if data:
        fields += 1 + data.count(b":")
    if raw.count(b":") <= fields:
        return

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen: list[str] = []
        for key, _ in pairs:
            if key in seen:
                _refuse(f"{place}: {key[:40]}", "the field stands twice.", "keep one of them.")
            seen.append(key)

    import json

    json.loads(raw, object_pairs_hook=once, parse_int=str, parse_float=str)


NAMES = tuple(name for name in FIELDS if name not in ("order", "expires_ms", "metadata"))


def _text(value: str | None, name: str, place: str) -> str:
    """Check a name: 1 to 128 printable characters, none of them a space at an end."""
    if value is None:
        _refuse(f"{place}: {name}", "the field is missing.", f"give {name}.")
    if not 0 < len(value) <= TEXT_MAX or not value.isprintable() or value != value.strip():
        _refuse(
            f"{place}: {name}", "it is empty, too long or not plain text.",
            f"give 1 to {TEXT_MAX} printable characters.",
        )  # fmt: skip
    return value


def _side(value: str | None, place: str) -> str:
    if value in SIDES:
        return value
    given = "the field is missing" if value is None else f"{value[:40]!r} is no side"
    meant = OTHER_SIDES.get((value or "").lower(), (value or "").lower())
    fix = f"write {meant}." if meant in SIDES else "write buy, sell or close."
    _refuse(f"{place}: side", f"{given}.", fix)


def _confidence(value: float | str | None, place: str) -> tuple[float, Level | None]:
    """Map a word to its number, and keep it; check a number."""
    if type(value) is float:
        if 0.0 <= value <= 1.0:
            return value, None
        given = f"{value:g} lies outside 0 to 1"
    elif type(value) is str:
        try:
            level = Level(value.lower())
            return LEVEL_CONFIDENCE[level], level
        except ValueError:
            given = f"{value[:40]!r} is no confidence"
    else:
        given = "the field is missing"
    _refuse(f"{place}: confidence", f"{given}.", "write low, medium, high, extreme or 0 to 1.")


def _check_amounts(row: _Line, place: str) -> None:
    for name in AMOUNTS:
        value = getattr(row, name)
        if value is None:
            continue
        try:
            check_amount(value)
        except DataError as error:
            _refuse(f"{place}: {name}", error.message, "give a finite number of sane size.")
    if row.volume is not None and row.volume < ZERO:
        _refuse(f"{place}: volume", "it is negative.", "give 0 or more.")


def _time(row: _Line, place: str, now_ns: int | None) -> int:
    """Return the line's time in ns UTC; refuse what is no time of this century."""
    ns = row.ts_ns  # the canonical form first: it is the most frequent
    given = [name for name in (*UNITS, "ts") if getattr(row, name) is not None]
    if len(given) != 1:
        what = "there are several times." if given else "there is no time."
        _refuse(f"{place}: ts", what, "give one of ts_ns, ts_us, ts_ms, ts_s, ts.")
    name = given[0]
    if row.ts is not None:
        found = _iso(row.ts, place)
    else:
        ns = getattr(row, name)
        found = _whole(ns, name, place)
    if not YEAR_2000_NS <= found <= YEAR_2100_NS:
        _refuse(
            f"{place}: {name}", "the time lies outside 2000 to 2100.", _unit_fix(ns, name)
        )  # fmt: skip
    if now_ns is not None and found > now_ns + DAY_NS:
        _refuse(
            f"{place}: {name}", f"the time lies {(found - now_ns) // DAY_NS} day(s) ahead.",
            "check the unit and the clock that wrote it.",
        )  # fmt: skip
    return found


def _whole(value: Decimal | None, name: str, place: str) -> int:
    assert value is not None
    try:
        check_amount(value)
        ns = value.scaleb(UNITS[name])
        if ns == ns.to_integral_value():
            return int(ns)
    except DataError as error:
        _refuse(f"{place}: {name}", error.message, "give a finite number of sane size.")
    _refuse(f"{place}: {name}", "it is finer than a nanosecond.", "give whole nanoseconds.")


def _unit_fix(value: Decimal | None, name: str) -> str:
    """Name the unit under which the number would be a time of this century."""
    for other, places in UNITS.items():
        if value is not None and other != name:
            if YEAR_2000_NS <= value.scaleb(places) <= YEAR_2100_NS:
                return f"the number looks like {other}."
    return "check the time."


def _iso(text: str, place: str) -> int:
    """Return ns of an ISO-8601 time; UTC unless it carries an offset."""
    match = ISO.fullmatch(text)
    if match is None:
        _refuse(f"{place}: ts", f"{text[:40]!r} is not an ISO-8601 time.", ISO_FIX)
    try:
        zone = match[3] if match[3] and match[3] != "Z" else "+00:00"
        whole = datetime.fromisoformat(match[1] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        _refuse(f"{place}: ts", f"{text[:40]!r} is no time.", ISO_FIX)
    fraction = int((match[2] or "0").ljust(9, "0"))
    return int(whole.timestamp()) * 10**9 + fraction


def _metadata(raw: msgspec.Raw, place: str, bytes_max: int) -> str:
    """Return the metadata as canonical JSON text: sorted keys, exact numbers, no spaces."""
    data = bytes(raw)
    if not data or data == b"null":
        return ""
    if len(data) > bytes_max:
        _refuse(
            f"{place}: metadata", f"it has {len(data)} bytes.", f"keep to {bytes_max} bytes."
        )  # fmt: skip
    try:
        text = _CANONICAL.encode(_METADATA.decode(data)).decode()
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
        _refuse(f"{place}: metadata", f"it is no sane JSON: {error}.", "correct it.")
    if len(text) > bytes_max:
        _refuse(f"{place}: metadata", "it is too long.", f"keep to {bytes_max} bytes.")
    return text


def _as_json(text: str) -> Any:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text
    return msgspec.Raw(text.encode())
