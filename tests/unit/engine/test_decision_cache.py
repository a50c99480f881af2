"""The decision cache: keys, time to live, least recently used, and never a verdict."""

from decimal import Decimal as D

import pytest

from cerberus_trader.domain.events import OperatorEvent
from cerberus_trader.engine.decision_cache import price_bucket
from cerberus_trader.engine.state import state_bytes, state_from
from tests.kit import SECOND, Bench, decision, settings

ROOMY = {"positions_max": 10, "group_risk_max": D(1)}


def two(bench: Bench, **fields: object) -> tuple[bool, bool]:
    """Judge one signal twice; the limit keeps both unfilled, so the risk state stays."""
    hits = []
    for _ in range(2):
        made = decision(bench.signal(quantity=D("0.0001"), **fields))
        assert made.code == "SIZE_BELOW_MINIMUM"
        hits.append(made.cache_hit)
    return hits[0], hits[1]


@pytest.mark.req("C-04.1", "C-04.2", "C-04.3", "D-03.2", "D-10.1")
def test_the_same_question_is_answered_from_the_cache_and_counted() -> None:
    bench = Bench()
    assert two(bench) == (False, True)
    counters = bench.state.counters
    assert (counters.cache_hits, counters.cache_misses) == (1, 1)
    first, second = (facts[0].decision for _, facts in bench.rows[1:3])
    assert first.cache_key == second.cache_key and first.leverage == second.leverage


@pytest.mark.req("C-04.1", "C-04.4", "D-10.1")
def test_an_entry_lives_sixty_seconds_by_default() -> None:
    for wait, hit in ((59_999_999_999, True), (60 * SECOND, False)):
        bench = Bench(settings(intake={"data_age_ms_max": 10**9, "signal_age_ms_max": 10**9}))
        decision(bench.signal(quantity=D("0.0001")))
        bench.now += wait
        assert decision(bench.signal(quantity=D("0.0001"))).cache_hit is hit


@pytest.mark.req("C-04.1", "C-04.4")
def test_the_least_recently_used_leaves_first_and_stale_entries_are_cleared() -> None:
    bench = Bench(settings(cache={"entries_max": 2}))

    def ask(instrument: str) -> bool:
        return bool(decision(bench.signal(instrument=instrument, quantity=D("0.0001"))).cache_hit)

    assert [ask(name) for name in ("COIN", "OTHER", "COIN", "THIRD")] == [
        False, False, True, False,
    ]  # fmt: skip
    assert [ask(name) for name in ("COIN", "OTHER")] == [True, False]
    assert len(bench.state.cache) == 2
    bench.now += 61 * SECOND
    ask("THIRD")
    assert len(bench.state.cache) == 1


def test_no_cache_where_it_is_switched_off() -> None:
    assert two(Bench(settings(cache={"ttl_ms": 0}))) == (False, False)


@pytest.mark.req("C-04.2")
@pytest.mark.parametrize(
    "other", [{"side": "sell"}, {"confidence": 0.1}, {"instrument": "THIRD"}, {"price": "101"}]
)
def test_what_the_analysis_depends_on_is_part_of_the_key(other: dict) -> None:
    bench = Bench()
    one = decision(bench.signal(quantity=D("0.0001"))).cache_key
    assert decision(bench.signal(quantity=D("0.0001"), **other)).cache_key != one


@pytest.mark.req("C-05.5", "C-04.2")
def test_a_changed_portfolio_makes_old_analyses_unreachable_and_verdicts_are_never_kept() -> None:
    bench = Bench(settings(risk=ROOMY))
    decision(bench.signal(quantity=D("0.0001")))
    bench.open(instrument="OTHER")
    assert not decision(bench.signal(quantity=D("0.0001"))).cache_hit
    bench.take(OperatorEvent(bench.now, "halt", "ann"))
    assert decision(bench.signal()).code == "TRADING_HALTED"


@pytest.mark.req("C-04.5")
def test_the_cache_is_restored_after_a_restart() -> None:
    bench = Bench()
    decision(bench.signal(quantity=D("0.0001")))
    restored = Bench()
    restored.engine.state = state_from(state_bytes(bench.state))
    assert decision(restored.signal(quantity=D("0.0001"), id="new")).cache_hit


def test_buckets_are_a_quarter_sigma_or_finer_and_stable() -> None:
    width = 0.25 * 0.001 * 100  # of a price of 100
    same = price_bucket(100.0, 0.001, 0.25)
    assert price_bucket(100.0 + width / 64, 0.001, 0.25) == same
    assert price_bucket(100.0 + width * 1.01, 0.001, 0.25) != same
    assert price_bucket(0.0, 0.001, 0.25) == price_bucket(1.0, -1.0, 0.25) == "0"
