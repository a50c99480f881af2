"""Read one signal line.

A line has `id`, one time (`ts_ns`, `ts_us`, `ts_ms`, `ts_s`, or ISO-8601 text in `ts`, UTC),
`instrument` (or `token`), `side`, `confidence`, `source`, and optionally what a `Signal` may ask
for. Numbers go straight to `Decimal`. A line without an id gets one derived from all it says,
so that the same line sent twice is one signal. Whatever is wrong is refused with `DataError`
naming the place, the field and the fix; nothing is guessed.
"""

import json
import math
import re
from datetime import UTC, datetime
from decimal import Decimal
from difflib import get_close_matches
from sys import intern
from typing import Any, NoReturn

import msgspec

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.money import ONE, ZERO, check_amount
from cerberus_trader.domain.signal import LEVEL_CONFIDENCE, Level, Signal
from cerberus_trader.heads.lines.write import AMOUNTS, derived_id

LINE_BYTES_MAX = 65_536
METADATA_BYTES_MAX = 16_384
TEXT_MAX = 128
EXPIRES_MS_MAX = 31_536_000_000
DAY_NS = 86_400_000_000_000
YEAR_2000_NS = 946_684_800_000_000_000
YEAR_2100_NS = 4_102_444_800_000_000_000

UNITS = {"ts_ns": 1, "ts_us": 1_000, "ts_ms": 1_000_000, "ts_s": 1_000_000_000}
TIMES = (*UNITS, "ts")
SPANS = {
    name: (Decimal(unit), Decimal(YEAR_2000_NS) / unit, Decimal(YEAR_2100_NS) / unit)
    for name, unit in UNITS.items()
}
SIDES = ("buy", "sell", "close")
OTHER_SIDES = {"long": "buy", "short": "sell", "exit": "close", "flat": "close"}
ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?", re.ASCII)
ISO_FIX = "write 2025-01-31T12:00:00Z, or a number in ts_ns, ts_us, ts_ms or ts_s."
NUMBER_FIX = "give a finite number of sane size."


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
    limit: Decimal | None = None
    order: str | None = None
    expires_ms: int | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"")


FIELDS = _Line.__struct_fields__
TIME_PART = slice(FIELDS.index(TIMES[0]), FIELDS.index(TIMES[-1]) + 1)
AMOUNT_PART = slice(FIELDS.index(AMOUNTS[0]), FIELDS.index(AMOUNTS[-1]) + 1)


def _finite(text: str) -> Decimal:
    value = Decimal(text)
    if not math.isfinite(float(value)):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


_DECODER = msgspec.json.Decoder(_Line)
_METADATA = msgspec.json.Decoder(float_hook=_finite)
_CANONICAL = msgspec.json.Encoder(order="deterministic", decimal_format="number")
_SIGNAL: Any = Signal  # fields go in by position; what they hold is checked before


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
            long = f"the line has more than {line_bytes_max} bytes."
            refuse(place, long, "shorten the metadata.")
        row = _DECODER.decode(raw)
    except msgspec.ValidationError as error:
        _explain(str(error), place)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        refuse(place, f"the line is no JSON object: {error}.", "write one object per line.")
    values = msgspec.structs.astuple(row)
    _refuse_repeated_keys(raw, row, values, place)
    confidence, level = _confidence(row.confidence, place)
    amounts = values[AMOUNT_PART]
    _check_amounts(amounts, place)
    order, expires_ms = _order(row, place)
    signal: Signal = _SIGNAL(
        "?" if row.id is None else _text(row.id, "id", place),
        _time(values[TIME_PART], place, now_ns),
        intern(_instrument(row, place)),  # words that come again, once for all that wait
        intern(_side(row.side, place)),
        confidence,
        intern(_text(row.source, "source", place)),
        level,
        *amounts[:-1],
        order,
        row.limit,
        expires_ms,
        _metadata(row.metadata, place, metadata_bytes_max),
    )
    faults = signal.faults()
    if faults:
        refuse(place, "; ".join(faults) + ".", "correct the fields named.")
    return signal if row.id is not None else msgspec.structs.replace(signal, id=derived_id(signal))


def refuse(place: str, message: str, fix: str) -> NoReturn:
    """Raise the `DataError` of a refused line or file."""
    raise DataError(message, code="SIGNAL_REFUSED", place=place, fix=fix)


def _explain(text: str, place: str) -> NoReturn:
    """Say in our words which field the decoder did not take, and why."""
    unknown = re.search(r"unknown field `(.*)`", text, re.DOTALL)
    if unknown:
        name = unknown[1][:40]
        near = get_close_matches(name, FIELDS, 1, 0.5)
        fix = f"write {near[0]}." if near else f"use {', '.join(FIELDS)}; others go in metadata."
        refuse(f"{place}: {name}", "the field is unknown.", fix)
    at = re.search(r" - at `\$\.(\w+)", text)
    what = text.split(" - at")[0].replace(" | null", "").replace("`", "")
    if not at:
        refuse(place, f"{what}.", "write one object per line.")
    if at[1] == "ts":
        refuse(f"{place}: ts", "a time without a unit must be text.", ISO_FIX)
    refuse(f"{place}: {at[1]}", f"{what}.", "correct the value.")


def _refuse_repeated_keys(raw: bytes, row: _Line, values: tuple[Any, ...], place: str) -> None:
    # Every key has a colon: as few colons as fields leave no room for a repeated key.
    data = bytes(row.metadata)
    colons = len(values) - values.count(None) + (data.count(b":") if data else -1)
    if row.ts is not None:
        colons += row.ts.count(":")
    if raw.count(b":") <= colons:
        return

    def once(pairs: list[tuple[str, Any]]) -> None:
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                refuse(f"{place}: {key[:40]}", "the field stands twice.", "keep one of them.")
            seen.add(key)

    try:
        json.loads(raw, object_pairs_hook=once, parse_int=str, parse_float=str)
    except (ValueError, RecursionError) as error:
        refuse(place, f"the line is no JSON object: {error}.", "write one object per line.")


def _text(value: str | None, name: str, place: str) -> str:
    """Check a name: 1 to 128 printable characters, none of them a space at an end."""
    if value is None:
        refuse(f"{place}: {name}", "the field is missing.", f"give {name}.")
    if not 0 < len(value) <= TEXT_MAX or not value.isprintable() or " " in (value[0], value[-1]):
        refuse(
            f"{place}: {name}",
            "it is empty, too long or not plain text.",
            f"give 1 to {TEXT_MAX} printable characters.",
        )
    return value


def _instrument(row: _Line, place: str) -> str:
    if row.token is None:
        return _text(row.instrument, "instrument", place)
    if row.instrument is not None:
        refuse(f"{place}: token", "instrument and token say the same.", "give one of them.")
    return _text(row.token, "token", place)


def _side(value: str | None, place: str) -> str:
    if value in SIDES:
        return value
    given = "the field is missing" if value is None else f"{value[:40]!r} is no side"
    meant = OTHER_SIDES.get((value or "").lower(), (value or "").lower())
    fix = f"write {meant}." if meant in SIDES else "write buy, sell or close."
    refuse(f"{place}: side", f"{given}.", fix)


def _order(row: _Line, place: str) -> tuple[str, int]:
    limited = row.limit is not None and row.side != "close"
    order, expires_ms = row.order or ("limit" if limited else "market"), row.expires_ms or 0
    if order not in ("market", "limit", "fok"):
        refuse(f"{place}: order", f"{order[:40]!r} is no order.", "write market, limit or fok.")
    if limited and order == "market":
        refuse(f"{place}: limit", "a market order has no limit.", "leave out order, or limit.")
    if not 0 <= expires_ms <= EXPIRES_MS_MAX:
        refuse(f"{place}: expires_ms", "it lies outside 0 to a year.", "give milliseconds.")
    return order, expires_ms


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
    refuse(f"{place}: confidence", f"{given}.", "write low, medium, high, extreme or 0 to 1.")


def _check_amounts(amounts: tuple[Decimal | None, ...], place: str) -> None:
    for at, value in enumerate(amounts):
        if value is None:
            continue
        name = AMOUNTS[at]
        try:
            check_amount(value)
        except DataError as error:
            refuse(f"{place}: {name}", error.message, NUMBER_FIX)
        if name == "volume" and value < ZERO:
            refuse(f"{place}: volume", "it is negative.", "give 0 or more.")


def _time(values: tuple[Any, ...], place: str, now_ns: int | None) -> int:
    """Return the line's time in ns UTC; refuse what is no time of this century."""
    if values.count(None) != len(TIMES) - 1:
        several = values.count(None) < len(TIMES) - 1
        what = "there are several times." if several else "there is no time."
        refuse(f"{place}: ts", what, "give one of ts_ns, ts_us, ts_ms, ts_s, ts.")
    text = values[-1]
    name, found = ("ts", _iso(text, place)) if text is not None else _number(values, place)
    if not YEAR_2000_NS <= found <= YEAR_2100_NS:
        refuse(f"{place}: {name}", "the time lies outside 2000 to 2100.", "check the time.")
    if now_ns is not None and found > now_ns + DAY_NS:
        ahead = f"the time lies {(found - now_ns) // DAY_NS} day(s) ahead."
        refuse(f"{place}: {name}", ahead, "check the unit and the clock that wrote it.")
    return found


def _number(values: tuple[Decimal | None, ...], place: str) -> tuple[str, int]:
    """Return the field and its time in ns; a number of another unit is refused by its name."""
    at = 0
    while (value := values[at]) is None:
        at += 1
    name = TIMES[at]
    unit, first, last = SPANS[name]
    if not value.is_finite():
        refuse(f"{place}: {name}", f"{value} is not a finite number.", NUMBER_FIX)
    if not first <= value <= last:
        fix = "check the time."
        for other, (_, begin, end) in SPANS.items():
            if begin <= value <= end:
                fix = f"the number looks like {other}."
        refuse(f"{place}: {name}", "the time lies outside 2000 to 2100.", fix)
    ns = int(value * unit)
    # comparing is exact where the product may have been rounded
    if value != (ns if unit == ONE else ns / unit):
        refuse(f"{place}: {name}", "it is finer than a nanosecond.", "give whole nanoseconds.")
    return name, ns


def _iso(text: str, place: str) -> int:
    """Return ns of an ISO-8601 time; UTC unless it carries an offset."""
    match = ISO.fullmatch(text)
    if match is None:
        refuse(f"{place}: ts", f"{text[:40]!r} is not an ISO-8601 time.", ISO_FIX)
    try:
        zone = match[3] if match[3] and match[3] != "Z" else "+00:00"
        whole = datetime.fromisoformat(match[1] + zone).astimezone(UTC)
    except (ValueError, OverflowError):
        refuse(f"{place}: ts", f"{text[:40]!r} is no time.", ISO_FIX)
    fraction = int((match[2] or "0").ljust(9, "0"))
    return int(whole.timestamp()) * 10**9 + fraction


def _metadata(raw: msgspec.Raw, place: str, bytes_max: int) -> str:
    """Return the metadata as canonical JSON text: sorted keys, exact numbers, no spaces."""
    data = bytes(raw)
    if not data or data == b"null":
        return ""
    if len(data) > bytes_max:
        refuse(f"{place}: metadata", f"it has {len(data)} bytes.", f"keep to {bytes_max} bytes.")
    try:
        text = _CANONICAL.encode(_METADATA.decode(data))
    except (msgspec.MsgspecError, ValueError, ArithmeticError, RecursionError) as error:
        refuse(f"{place}: metadata", f"it is no sane JSON: {error}.", "correct it.")
    if len(text) > bytes_max:
        refuse(f"{place}: metadata", f"it has {len(text)} bytes.", f"keep to {bytes_max} bytes.")
    return text.decode()
