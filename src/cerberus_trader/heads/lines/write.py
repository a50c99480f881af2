"""Write signals as canonical lines, and derive ids from them."""

import hashlib
from typing import Any

import msgspec

from cerberus_trader.domain.money import plain
from cerberus_trader.domain.signal import Signal

AMOUNTS = (
    "price", "volume", "quantity", "leverage", "stop_loss", "stop_loss_pct", "take_profit",
    "take_profit_pct", "trailing", "trailing_pct", "limit",
)  # fmt: skip


def format_signal(signal: Signal) -> bytes:
    """Write a signal as one canonical line without its line break; `parse_signal` reads it back.

    A level is written as its word, which stands for its number. Metadata that is no JSON is
    written as a JSON text.
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


def derived_id(signal: Signal) -> str:
    """Return the id of a signal that has none: 24 hex digits of a hash of all it says."""
    said = format_signal(msgspec.structs.replace(signal, id=""))
    return hashlib.blake2b(said, digest_size=12).hexdigest()


def _as_json(text: str) -> msgspec.Raw | str:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return text
    return msgspec.Raw(text.encode())
