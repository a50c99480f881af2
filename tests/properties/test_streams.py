"""Limits hold in random order streams, with open, in flight and unknown counted at their worst.

`CERBERUS_STREAMS` sets how many streams run; `scripts/reliability.py` runs a million.
"""

import os
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.order import Status
from cerberus_trader.engine import apply as folds
from cerberus_trader.engine.checks import RISK
from tests.properties import streams

STREAMS = int(os.environ.get("CERBERUS_STREAMS", "1500"))
TO_BITE = 500


@pytest.mark.req("C-17.4", "P-13.2")
def test_no_stream_breaches_a_limit() -> None:
    entries = 0
    for seed in range(STREAMS):
        found, left = streams.run(seed)
        assert found == [], f"stream {seed}"
        entries += left
    assert entries > STREAMS, "streams without entries show nothing"


def no_reservation(state: Any, order: Any, sign: int) -> None:
    """Forget what is in flight."""


def unknown_ends(state: Any, event: Any, fact: Any) -> None:
    """Take an unknown outcome for the end of an order."""
    ends = fact.status is Status.UNKNOWN
    folds.order_changed(
        state, event, f.OrderChanged(fact.order_id, Status.EXPIRED) if ends else fact
    )


def breaches() -> list[str]:
    return [words for seed in range(TO_BITE) for words in streams.run(seed)[0]]


def test_the_checker_notices_what_is_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cerberus_trader.engine.apply.reserve", no_reservation)
    monkeypatch.setattr("cerberus_trader.engine.books.reserve", no_reservation)
    assert any(words.startswith(("gross", "group", "margin")) for words in breaches())


def test_the_checker_notices_an_unknown_order_that_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(folds.FOLDS, f.OrderChanged, unknown_ends)
    assert breaches()


@pytest.mark.parametrize("code", sorted({c.code for c in RISK if c.kind == "max"}))
def test_the_checker_notices_a_limit_that_is_not_checked(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(check for check in RISK if check.code != code)
    monkeypatch.setattr("cerberus_trader.engine.risk.RISK", left)
    assert breaches(), code
