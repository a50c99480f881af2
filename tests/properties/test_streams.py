"""Limits hold in random order streams, with open, in flight and unknown counted at their worst.

`CERBERUS_STREAMS` sets how many streams run; `scripts/reliability.py` runs a million.
"""

import os
from collections.abc import Iterator
from decimal import Decimal as D
from typing import Any

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import TransferReport
from cerberus_trader.domain.order import Order, Status
from cerberus_trader.engine import apply as folds
from cerberus_trader.engine.checks import INTAKE, RISK
from cerberus_trader.engine.engine import HANDLERS
from cerberus_trader.engine.reconcile import TABLE, keep
from tests.properties import streams

STREAMS = int(os.environ.get("CERBERUS_STREAMS", "1500"))
TO_BITE = 10_000
ONCE = (
    402_100, 3_014_537, 5_025_459, 5_093_751, 5_267_157, 5_364_927, 5_383_732, 5_968_594, 6_082_179,
    6_451_847, 6_644_252, 6_842_883, 6_991_993, 7_489_226, 7_490_864, 8_143_175, 8_438_157,
    9_050_435, 9_182_355, 9_428_971, 9_585_975, 10_747_807, 12_627_662,
    12_741_841, 19_675_642,
)  # fmt: skip
"""The streams that once found something, in the engine or in the checker."""
NEEDED = {"LEVERAGE_NONE", "SIZE_BELOW_MINIMUM"}
"""Without them an order has no margin, or no quantity, to divide by."""
BITES = {
    "GROSS_EXPOSURE": 2161, "SIGNAL_FORGOTTEN": 592, "engine.flat_reason": 477,
    "breaker.reload_trips": 683, "breaker.strategy_limit": 835, "breaker.booking_trips": 1005,
    "intake.stop_missing": 2538,
}  # fmt: skip
"""The first stream in which each is noticed, counted from 0: a search from there is a short one."""
DENIALS = (
    "BREAKER_OPEN", "CONFIDENCE_LOW", "MARKET_CLOSED", "STRATEGY_INACTIVE",
    "STRATEGY_INSTRUMENT", "TRADING_HALTED", "VENUE_UNRECONCILED", "VOLUME_LOW", "SIGNAL_STALE",
    "SIGNAL_FORGOTTEN", "PRICE_STALE", "VOLATILITY_HIGH", "VOLATILITY_MINUTE_HIGH",
)  # fmt: skip


@pytest.mark.req("C-17.4", "P-13.2")
def test_no_stream_breaches_a_limit() -> None:
    entries = 0
    for seed in range(STREAMS):
        found, left = streams.run(seed)
        assert found == [], f"stream {seed}"
        entries += left
    assert entries > STREAMS, "streams without entries show nothing"


@pytest.mark.parametrize("seed", ONCE)
def test_a_stream_that_once_found_something_finds_nothing(seed: int) -> None:
    assert streams.run(seed)[0] == []


def no_reservation(state: Any, order: Any, sign: int) -> None:
    """Forget what is in flight."""


def unknown_ends(state: Any, event: Any, fact: Any) -> None:
    """Take an unknown outcome for the end of an order."""
    ends = fact.status is Status.UNKNOWN
    folds.order_changed(
        state, event, f.OrderChanged(fact.order_id, Status.EXPIRED) if ends else fact
    )


def breaches(what: str = "") -> Iterator[str]:
    first = BITES.get(what, 0)
    return (words for seed in range(first, first + TO_BITE) for words in streams.run(seed)[0])


def test_the_checker_notices_what_is_not_reserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cerberus_trader.engine.apply.reserve", no_reservation)
    monkeypatch.setattr("cerberus_trader.engine.books.reserve", no_reservation)
    assert any(words.startswith(("gross", "group", "margin")) for words in breaches())


def test_the_checker_notices_an_unknown_order_that_is_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(folds.FOLDS, f.OrderChanged, unknown_ends)
    assert any(breaches())


@pytest.mark.parametrize(
    "code", sorted({c.code for c in RISK if c.kind != "none" or c.code == "SPOT_SHORT"} - NEEDED)
)
def test_the_checker_notices_a_limit_that_is_not_checked(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(check for check in RISK if check.code != code)
    monkeypatch.setattr("cerberus_trader.engine.risk.RISK", left)
    assert any(breaches(code)), code


@pytest.mark.parametrize("code", DENIALS)
def test_the_checker_notices_what_intake_lets_through(
    code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = tuple(check for check in INTAKE if check.code != code)
    monkeypatch.setattr("cerberus_trader.engine.risk.INTAKE", left)
    assert any(breaches(code)), code


def test_the_checker_notices_moved_money_that_is_not_booked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(HANDLERS, TransferReport, lambda state, event: [])
    assert any(breaches())


def test_the_checker_notices_a_position_that_is_left_without_its_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(TABLE, ("protective", "absent"), keep)
    assert any("without its stop" in found for found in breaches())


def test_the_checker_notices_a_stop_whose_end_is_taken_at_its_word(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Order, "protective", property(lambda order: False))
    assert any("without its stop" in found for found in breaches())


@pytest.mark.parametrize(
    ("what", "wrong", "words"),
    [
        ("leverage.ABSOLUTE_MAX", 255.0, "leverage"),
        ("sizing.risk_fraction", lambda limits, strategy: limits.risk_fraction, "risk"),
        ("risk.scale_of", lambda case, fall: D(1), ":"),
        ("risk.base_of", lambda case: D(100), "leverage"),
        ("sizing.loss_per_unit", lambda limits, item, stop: stop, "risk"),
        ("engine.flat_reason", lambda state, position, trips=(): None, "was not closed"),
        ("breaker.trade_trips", lambda *given: [], "losses"),
        ("breaker.failure_trips", lambda *given: [], "failures"),
        ("breaker.forced_trip", lambda *given: [], "left past"),
        ("breaker.reload_trips", lambda *given: [], "left after"),
        ("breaker.strategy_limit", lambda *given: None, "'s day"),
        ("breaker.booking_trips", lambda *given: [], " at "),
        ("intake.unstopped", lambda state, group: D(0), "group risk"),
        ("intake.stop_missing", lambda state, position: False, "group risk"),
        ("stops.moved_risk", lambda case, group: D(0), "group risk"),
    ],
)  # fmt: skip
def test_the_checker_notices_a_wrong_rule(
    what: str, wrong: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"cerberus_trader.engine.{what}", wrong)
    assert any(words in found for found in breaches(what)), what
