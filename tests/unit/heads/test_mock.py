"""The mock head speaks as often as it is told, and depends on its seed and the time only."""

import pytest

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base.registry import find_head
from cerberus_trader.replay.heads import drain, heads_on
from tests.unit.heads.worlds import bars, tape


def speak(**params: object) -> list[Signal]:
    return drain(heads_on(find_head("mock"), params, "m", [tape(bars(2_000))])[0])


@pytest.mark.req("C-03.5")
def test_the_seed_decides() -> None:
    assert speak(seed=1) == speak(seed=1)
    first, other = (
        {(s.ts_ns, s.side) for s in speak(seed=seed, close_chance=0.0)} for seed in (1, 2)
    )
    assert len(first & other) < len(first) / 2


@pytest.mark.req("C-03.5")
def test_it_speaks_as_often_as_told_on_both_sides() -> None:
    signals = speak(chance=0.3, close_chance=0.0)
    assert 500 < len(signals) < 700
    assert 0.4 < sum(s.side == "buy" for s in signals) / len(signals) < 0.6
    assert {s.level.value for s in signals if s.level} == {"low", "medium", "high", "extreme"}
    assert speak(chance=0.0, close_chance=0.0) == []
    assert {s.side for s in speak(chance=0.0, close_chance=0.5)} == {"close"}


def test_numbers_instead_of_words_and_no_take_profit() -> None:
    signals = speak(words=False, take_profit_pct=0.0, close_chance=0.0)
    assert all(s.level is None and s.take_profit_pct is None for s in signals)
    assert len({s.confidence for s in signals}) > 50
