"""Ingest: price lines and signal lines, and every refusal with place and reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.ingest import Ingest, Refusals, parse_price
from cerberus_trader.runtime.log import Log
from cerberus_trader.runtime.metrics import Metrics
from tests.kit import COIN, NOON, SECOND, D, settings

KNOWN = State(instruments={"COIN": COIN})
SIGNAL: dict[str, Any] = {"id": "a", "ts_ns": NOON, "instrument": "COIN", "side": "buy",
                          "confidence": 0.5, "source": "head"}  # fmt: skip


def price(**fields: Any) -> Any:
    raw = json.dumps({"instrument": "COIN", **fields}).encode()
    return parse_price(raw, "stdin:3", NOON, KNOWN)


def test_quotes_and_prices_become_points() -> None:
    tick = price(bid="1.10", ask=1.2, mark="1.15", funding_rate="-0.0001")
    assert (tick.bid, tick.ask, tick.mark, tick.funding) == (
        D("1.10"), D("1.2"), D("1.15"), D("-0.0001"),
    )  # fmt: skip
    assert tick.known_ns == NOON
    assert price(price=5).bid == price(price=5).ask == D(5)


@pytest.mark.parametrize(
    ("given", "known"),
    [
        ({"ts_ns": NOON - 5}, NOON - 5),
        ({"ts_ms": (NOON - SECOND) // 10**6}, NOON - SECOND),
        ({"ts_s": (NOON - SECOND) / 10**9}, NOON - SECOND),
        ({"ts": "2023-11-14T11:59:59Z"}, NOON - SECOND),
        ({"ts": "2023-11-14T11:59:59"}, NOON - SECOND),
        ({"ts": "2023-11-14T12:59:59+01:00"}, NOON - SECOND),
        ({"ts_ns": NOON + SECOND}, NOON),
    ],
)
def test_a_price_may_say_when_it_was_known_never_later_than_now(given: Any, known: int) -> None:
    assert price(price=1, **given).known_ns == known


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"bid": 1}, {"ask": 1}, {"price": 1, "bid": 1}, {"price": 0}, {"price": "-1"},
        {"price": "NaN"}, {"bid": 1, "ask": "Infinity"}, {"price": 1, "mark": 0},
        {"price": 1, "funding_rate": 2}, {"price": 1, "ts": "yesterday"},
        {"price": 1, "ts_ns": 1, "ts_ms": 1}, {"price": 1, "prize": 2}, {"price": "1e99"},
        {"price": 1, "instrument": "NONE"}, {"price": 1, "ts": "x" * 5000},
    ],
)  # fmt: skip
def test_bad_prices_are_refused_with_their_place(fields: dict[str, Any]) -> None:
    with pytest.raises(DataError) as refused:
        price(**fields)
    assert refused.value.place.startswith("stdin:3")
    assert refused.value.message


def ingest(tmp_path: Path, live: bool = True, **intake: Any) -> tuple[Ingest, list[Signal]]:
    state = State(instruments={"COIN": COIN}, settings=settings(intake=intake))
    taken: list[Signal] = []
    refusals = Refusals(tmp_path, Metrics(), Log("error"))
    return Ingest(state, lambda: NOON, taken.append, refusals, live=live), taken


def test_a_broken_line_in_the_middle_is_refused_and_the_rest_runs(tmp_path: Path) -> None:
    ing, taken = ingest(tmp_path)
    for number, line in enumerate([json.dumps(SIGNAL), "{", "", json.dumps({**SIGNAL, "id": "b"})]):
        assert ing.line(line.encode(), f"f:{number}") is None
    tick = ing.line(b'{"instrument": "COIN", "price": 2}', "f:9")
    assert [signal.id for signal in taken] == ["a", "b"]
    assert tick is not None and tick.bid == D(2)
    lines = [json.loads(x) for x in (tmp_path / "refused.jsonl").read_text().splitlines()]
    assert [line["place"] for line in lines] == ["f:1"]
    assert sum(ing.refusals.metrics.refused.values()) == 1


def test_a_source_above_its_rate_is_refused_until_the_next_second(tmp_path: Path) -> None:
    ing, taken = ingest(tmp_path, signals_per_second_max=2)
    now = [NOON]
    ing.now_ns = lambda: now[0]
    for number in range(4):
        ing.line(json.dumps({**SIGNAL, "id": str(number)}).encode(), "f")
    ing.line(json.dumps({**SIGNAL, "id": "o", "source": "other"}).encode(), "f")
    now[0] += SECOND
    ing.line(json.dumps({**SIGNAL, "id": "n"}).encode(), "f")
    assert [signal.id for signal in taken] == ["0", "1", "o", "n"]
    assert ing.refusals.metrics.refused == {"SIGNAL_RATE": 2}


def test_beside_a_played_file_prices_are_refused_and_a_stopping_engine_takes_no_signal(
    tmp_path: Path,
) -> None:
    ing, taken = ingest(tmp_path, live=False)
    assert ing.line(b'{"instrument": "COIN", "price": 2}', "f:1") is None
    ing.closed = True
    ing.line(json.dumps(SIGNAL).encode(), "f:2")
    assert taken == []
    assert ing.refusals.metrics.refused == {"PRICE_REFUSED": 1, "STOPPING": 1}


def test_a_refusal_that_cannot_be_written_still_counts(tmp_path: Path) -> None:
    ing, _ = ingest(tmp_path / "gone")
    ing.line(b"{", "f:1")
    assert sum(ing.refusals.metrics.refused.values()) == 1
