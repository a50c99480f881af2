"""The contract of heads: what every registered head keeps, whatever it trades on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import HeadRun
from cerberus_trader.heads.base.registry import built_in, find_head
from cerberus_trader.heads.lines import format_signal, parse_signal
from cerberus_trader.replay.driver import NEVER
from cerberus_trader.replay.heads import HeadSignals, drain, heads_on
from cerberus_trader.replay.lookahead import check_lookahead
from cerberus_trader.replay.tape import Tape
from tests.unit.heads.worlds import ITEM, bars, quotes, tape

Params = dict[str, dict[str, Any]]


@pytest.fixture
def params(tmp_path: Path) -> Params:
    """Give every head parameters under which it speaks on the test's market."""
    path = tmp_path / "signals.jsonl"
    times = bars().ts_open[100:2900:50] + 7
    lines = [
        b'{"id":"s%d","ts_ns":%d,"instrument":"XUSDT","side":"buy","confidence":0.5,"source":"a"}'
        % (i, ts)
        for i, ts in enumerate(times.tolist())
    ]
    path.write_bytes(b"\n".join(lines))
    return {"file": {"path": str(path)}}


def heads(name: str, params: Params, tapes: list[Tape]) -> list[HeadSignals]:
    return heads_on(find_head(name), params.get(name, {}), name, tapes)


def speak(name: str, params: Params, tapes: list[Tape]) -> list[Signal]:
    return [signal for run in heads(name, params, tapes) for signal in drain(run)]


every_head = pytest.mark.parametrize("name", built_in())
every_market = pytest.mark.parametrize(
    "market",
    [lambda: tape(bars()), lambda: tape(bars(gaps=False, minutes=5)), lambda: tape(quotes())],
    ids=["bars with gaps", "finer bars", "quotes"],
)


@pytest.mark.req("C-03.5", "P-07.2")
@every_head
@every_market
def test_the_same_prices_give_the_same_signals(
    name: str, market: Callable[[], Tape], params: Params
) -> None:
    first, again = (speak(name, params, [market()]) for _ in range(2))
    assert first == again


@pytest.mark.req("C-03.1", "P-07.2")
@every_head
@every_market
def test_signals_are_valid_stamped_with_the_wake_and_unique(
    name: str, market: Callable[[], Tape], params: Params
) -> None:
    [run] = heads(name, params, [market()])
    ids, last, count = set(), -1, 0
    while (now := run.next_ns()) != NEVER:
        assert now > last  # every wake is later than the last
        last = now
        for signal in run.take():
            count += 1
            ids.add(signal.id)
            assert signal.ts_ns == now
            assert signal.instrument == ITEM.name
            assert signal.faults() == []
            assert 0.0 <= signal.confidence <= 1.0
            assert parse_signal(format_signal(signal), place="x") == signal
    assert len(ids) == count
    assert count > 0 or not isinstance(run.tape.bars, type(bars()))


@every_head
def test_ids_are_derived_from_source_and_place(name: str, params: Params) -> None:
    tapes = [tape(bars(seed=3))]
    spec = find_head(name)
    first = drain(heads_on(spec, params.get(name, {}), "one", tapes)[0])
    other = drain(heads_on(spec, params.get(name, {}), "two", tapes)[0])
    assert len(first) == len(other) > 0
    if name != "file":  # a file's lines bring their own
        assert not {signal.id for signal in first} & {signal.id for signal in other}


@every_head
@every_market
def test_no_signal_before_the_warm_up(
    name: str, market: Callable[[], Tape], params: Params
) -> None:
    [run] = heads(name, params, [market()])
    warm_up = run.run.warm_up
    while run.next_ns() != NEVER:
        found = run.take()
        assert not found or run.run.desk.history.count >= warm_up


@every_head
def test_a_saved_head_goes_on_as_if_nothing_had_happened(name: str, params: Params) -> None:
    [whole] = heads(name, params, [tape()])
    expected = drain(whole)
    for share in (0.1, 0.5, 0.8):
        [first] = heads(name, params, [tape()])
        stop = int(np.quantile([signal.ts_ns for signal in expected], share))
        found = []
        while first.next_ns() <= stop:
            found += first.take()
        blob = first.run.save()
        assert len(blob) <= 65_536
        first.run = reborn(first.run, params.get(name, {}))
        first.run.load(blob)
        assert found + drain(first) == expected


def reborn(old: HeadRun, params: dict[str, Any]) -> HeadRun:
    """Start the head again with the bars it would be shown again."""
    made = HeadRun(old.spec, old.spec.configure(params), old.source, old.desk.instrument)
    for bar in old.desk.history.bars:
        made.add(bar)
    return made


@pytest.mark.req("P-07.2")
@every_head
@every_market
def test_no_head_looks_ahead(name: str, market: Callable[[], Tape], params: Params) -> None:
    def run(tapes: list[Tape]) -> list[Signal]:
        return speak(name, params, tapes)

    report = check_lookahead(run, [market()], runs_max=12)
    assert report.faults == ()
    assert report.checked == min(report.signals, 12)
