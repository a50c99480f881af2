"""A signal line is read exactly, or refused naming field and fix."""

import json
from decimal import Decimal
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Level
from cerberus_trader.heads.lines import parse_signal

LINE: dict[str, Any] = {
    "id": "s1", "ts_ns": 1_700_000_000_123_456_789, "instrument": "DOGEUSDT", "side": "buy",
    "confidence": 0.7, "source": "desk",
}  # fmt: skip
NOON = 1_738_324_800 * 10**9  # 2025-01-31 12:00 UTC


def line(**changes: Any) -> bytes:
    fields = {**LINE, **changes}
    return json.dumps({key: value for key, value in fields.items() if value is not None}).encode()


def refusal(raw: bytes | str, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        parse_signal(raw, place="file.jsonl:7", **options)
    assert caught.value.code == "SIGNAL_REFUSED"
    assert caught.value.place.startswith("file.jsonl:7")
    assert caught.value.fix
    return caught.value


def test_signals_that_wait_share_the_words_that_come_again() -> None:
    one, other = (parse_signal(line(id=name), place="x") for name in ("s1", "s2"))
    assert one.instrument is other.instrument and one.source is other.source
    assert one.side is other.side


@pytest.mark.req("D-04.2", "C-03.1", "D-03.1")
def test_every_field_arrives() -> None:
    raw = (
        b'{"id":"s1","ts":"2025-01-31T12:00:00.000000001Z","token":"DOGEUSDT","side":"sell",'
        b'"confidence":"High","source":"desk","price":0.10,"volume":1e6,"quantity":"12.50",'
        b'"leverage":5,"stop_loss_pct":2.5,"take_profit":0.05,"trailing":0.001,"order":"limit",'
        b'"limit":0.1001,"expires_ms":60000,"metadata":{"b":1.50,"a":[1e-400,true,null]}}'
    )
    signal = parse_signal(raw, place="x")
    assert (signal.id, signal.ts_ns, signal.instrument) == ("s1", NOON + 1, "DOGEUSDT")
    assert (signal.side, signal.confidence, signal.level) == ("sell", 0.7, Level.HIGH)
    assert (signal.price, str(signal.price)) == (Decimal("0.10"), "0.10")
    assert (signal.volume, signal.quantity) == (Decimal(1_000_000), Decimal("12.5"))
    assert (signal.leverage, signal.stop_loss_pct) == (Decimal(5), Decimal("2.5"))
    assert (signal.take_profit, signal.trailing) == (Decimal("0.05"), Decimal("0.001"))
    assert (signal.order, signal.limit, signal.expires_ms) == ("limit", Decimal("0.1001"), 60_000)
    assert signal.metadata == '{"a":[1E-400,true,null],"b":1.50}'


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ts", "2025-01-31T12:00:00Z"), ("ts", "2025-01-31 12:00:00"),
        ("ts", "2025-01-31T14:00:00+02:00"), ("ts_s", 1_738_324_800), ("ts_s", 1_738_324_800.0),
        ("ts_ms", 1_738_324_800_000), ("ts_us", 1_738_324_800_000_000), ("ts_ns", NOON),
    ],
)  # fmt: skip
def test_every_form_of_time_is_the_same_instant(field: str, value: Any) -> None:
    assert parse_signal(line(**{"ts_ns": None, field: value}), place="x").ts_ns == NOON


@pytest.mark.req("C-03.3", "D-04.3")
@pytest.mark.parametrize(
    ("word", "number", "level"),
    [
        ("low", 0.2, Level.LOW), ("Medium", 0.5, Level.MEDIUM), ("HIGH", 0.7, Level.HIGH),
        ("extreme", 0.9, Level.EXTREME), (0.33, 0.33, None), (1, 1.0, None), (0, 0.0, None),
    ],
)  # fmt: skip
def test_confidence_is_a_word_or_a_number(word: Any, number: float, level: Level | None) -> None:
    signal = parse_signal(line(confidence=word), place="x")
    assert (signal.confidence, signal.level) == (number, level)


@pytest.mark.req("E-7.1.2", "C-03.2")
@pytest.mark.parametrize(
    ("changes", "place", "fix"),
    [
        ({"sied": "buy"}, "sied", "write side."),
        ({"zzz": 1}, "zzz", "others go in metadata"),
        ({"side": "long"}, "side", "write buy."),
        ({"side": "SELL"}, "side", "write sell."),
        ({"side": None}, "side", "buy, sell or close"),
        ({"side": "hold"}, "side", "buy, sell or close"),
        ({"confidence": 1.01}, "confidence", "0 to 1"),
        ({"confidence": -0.1}, "confidence", "0 to 1"),
        ({"confidence": "sure"}, "confidence", "low, medium"),
        ({"confidence": None}, "confidence", "low, medium"),
        ({"confidence": True}, "confidence", "correct the value"),
        ({"source": None}, "source", "give source"),
        ({"source": ""}, "source", "printable"),
        ({"source": " a"}, "source", "printable"),
        ({"id": "a\nb"}, "id", "printable"),
        ({"id": "x" * 129}, "id", "128"),
        ({"instrument": None}, "instrument", "give instrument"),
        ({"token": "DOGEUSDT"}, "token", "give one"),
        ({"ts_ns": None}, "ts", "give one of"),
        ({"ts_s": 1_738_324_800}, "ts", "give one of"),
        ({"ts_ns": None, "ts": 1_738_324_800}, "ts", "ts_s"),
        ({"ts_ns": None, "ts": "yesterday"}, "ts", "2025-01-31"),
        ({"ts_ns": None, "ts": "2025-02-30T00:00:00Z"}, "ts", "2025-01-31"),
        ({"ts_ns": None, "ts": "1999-12-31T23:59:59Z"}, "ts", "check the time"),
        ({"ts_ns": 1_738_324_800}, "ts_ns", "looks like ts_s"),
        ({"ts_ns": None, "ts_ms": 1_738_324_800}, "ts_ms", "looks like ts_s"),
        ({"ts_ns": None, "ts_s": 1_738_324_800_000}, "ts_s", "looks like ts_ms"),
        ({"ts_ns": None, "ts_s": NOON}, "ts_s", "looks like ts_ns"),
        ({"ts_ns": -5}, "ts_ns", "check the time"),
        ({"price": "NaN"}, "price", "finite"),
        ({"price": "Infinity"}, "price", "finite"),
        ({"price": 0}, "", "correct the fields"),
        ({"quantity": -1}, "", "correct the fields"),
        ({"volume": -1}, "volume", "0 or more"),
        ({"quantity": [1]}, "quantity", "correct the value"),
        ({"leverage": True}, "leverage", "correct the value"),
        ({"stop_loss": 1, "stop_loss_pct": 1}, "", "correct the fields"),
        ({"take_profit": 1, "take_profit_pct": 1}, "", "correct the fields"),
        ({"trailing": 1, "trailing_pct": 1}, "", "correct the fields"),
        ({"stop_loss_pct": 100}, "", "correct the fields"),
        ({"order": "stop"}, "order", "market, limit or fok"),
        ({"order": "market", "limit": "0.1"}, "limit", "leave out order"),
        ({"order": "limit"}, "", "correct the fields"),
        ({"expires_ms": -1}, "expires_ms", "milliseconds"),
        ({"expires_ms": 10**12}, "expires_ms", "milliseconds"),
        ({"metadata": {"x": "y" * 20_000}}, "metadata", "16384"),
    ],
)  # fmt: skip
def test_a_bad_field_is_refused_by_name(changes: dict[str, Any], place: str, fix: str) -> None:
    error = refusal(line(**changes))
    assert error.place == "file.jsonl:7" + (f": {place}" if place else "")
    if fix:
        assert fix in error.fix


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"[]", b"null", b"7", b'{"id":}', b"\xff\xfe", b'{"id":"\\ud800"}', "\ud800",
        b'{"metadata":' + b"[" * 30_000, b'{"id":1}', line() + b" x", b"[" * 60_000,
    ],
)  # fmt: skip
def test_what_is_no_object_is_refused(raw: bytes | str) -> None:
    refusal(raw)


def test_numbers_beyond_all_bounds_are_refused() -> None:
    for text in ("1e999", "1e-999", "1" * 40, "1e19", "-1e999"):
        raw = line()[:-1] + b',"price":' + text.encode() + b"}"
        assert refusal(raw).place.startswith("file.jsonl:7")
    for text in ("1e999", "-1e400", "NaN", "Infinity"):
        refusal(line()[:-1] + b',"metadata":{"x":[' + text.encode() + b"]}}")


def test_a_field_that_stands_twice_is_refused() -> None:
    twice = line()[:-1] + b',"side":"sell"}'
    assert refusal(twice).place == "file.jsonl:7: side"
    spaced = line()[:-1] + b',"side"   :  "sell"}'
    assert refusal(spaced).place == "file.jsonl:7: side"
    inside = line()[:-1] + b',"metadata":{"a":1,"a":2},"ts_ns":1}'
    assert "twice" in refusal(inside).message


def test_colons_in_texts_are_no_fields() -> None:
    signal = parse_signal(line(id="a:b:c", source="x:y", metadata={"k": "v:w"}), place="x")
    assert (signal.id, signal.source, signal.metadata) == ("a:b:c", "x:y", '{"k":"v:w"}')


def test_a_line_of_one_megabyte_is_refused() -> None:
    assert "65536" in refusal(line(metadata="x" * 1_000_000)).message
    assert parse_signal(line(), place="x", line_bytes_max=len(line())).id == "s1"
    refusal(line(), line_bytes_max=len(line()) - 1)


def test_a_time_far_ahead_of_the_clock_is_refused() -> None:
    now = LINE["ts_ns"]
    assert parse_signal(line(), place="x", now_ns=now).ts_ns == now
    assert "2 day(s) ahead" in refusal(line(), now_ns=now - 2 * 86_400 * 10**9 - 5).message


def test_a_fraction_of_a_nanosecond_is_refused() -> None:
    raw = line(ts_ns=None)[:-1] + b',"ts_s":1738324800.0000000001}'
    assert "finer than a nanosecond" in refusal(raw).message


def test_a_line_without_id_gets_the_same_one_every_time() -> None:
    first = parse_signal(line(id=None), place="x")
    again = parse_signal(line(id=None), place="y")
    other = parse_signal(line(id=None, stop_loss_pct=2), place="x")
    assert first.id == again.id
    assert len(first.id) == 24
    assert other.id != first.id
