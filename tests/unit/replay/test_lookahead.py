"""The look-ahead proof catches heads that peek, names them, and clears those that do not."""

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cerberus_trader.domain.signal import Signal
from cerberus_trader.heads.base import HeadRun, HeadSpec, View, on_bar
from cerberus_trader.heads.base.registry import Config
from cerberus_trader.market.columns import Bars, Funding, MarkPoints
from cerberus_trader.replay.heads import HeadSignals, drain
from cerberus_trader.replay.lookahead import check_lookahead, cut
from cerberus_trader.replay.tape import Tape
from tests.unit.heads.worlds import ITEM, bars, quotes, tape


def stack_peek(view: View) -> float:
    """Climb the stack to the replay's columns, and read the close that comes next."""
    frame = inspect.currentframe()
    while frame is not None and not isinstance(frame.f_locals.get("self"), HeadSignals):
        frame = frame.f_back
    assert frame is not None
    closes = frame.f_locals["self"].bars.close
    return float(closes[min(view.bar_count, len(closes) - 1)]) / 10_000


def honest(view: View) -> float:
    return view.bar.open


def runner(guess: Callable[[View], float]) -> Any:
    """Make a run of a head that buys when its guess lies above the price."""

    class Guesser:
        def __init__(self, config: Any) -> None:
            self.config = config

        def signals(self, view: View) -> Iterator[Signal]:
            if guess(view) > view.price * 1.005:
                yield view.buy(0.5)

    spec = HeadSpec("guesser", Guesser, Config, lambda _: on_bar(), lambda _: 5)

    def run(tapes: list[Tape]) -> list[Signal]:
        runs = [HeadSignals(HeadRun(spec, Config(), "guesser", t.name), t) for t in tapes]
        return [signal for one in runs for signal in drain(one)]

    return run


@pytest.mark.req("P-07.2")
def test_a_head_that_peeks_is_caught_and_named() -> None:
    report = check_lookahead(runner(stack_peek), [tape(bars(400))], runs_max=20)
    assert report.signals > 20
    assert report.checked == 20
    assert report.faults
    assert report.faults[0].startswith("head guesser on XUSDT looks ahead at ")
    assert "nothing without them" in report.faults[0]


@pytest.mark.req("P-07.2")
def test_a_head_that_normalises_over_the_whole_file_is_caught() -> None:
    def run(tapes: list[Tape]) -> list[Signal]:
        """Buy below the mean of all closes, later ones included: the classic mistake."""
        columns = tapes[0].prices
        assert isinstance(columns, Bars)
        rows = np.flatnonzero(columns.close < columns.close.mean())
        times = columns.ts_open[rows] + columns.interval_ns
        return [Signal(str(t), t, "XUSDT", "buy", 0.5, "mean") for t in times.tolist()]

    report = check_lookahead(run, [tape(bars(300))], runs_max=10)
    assert any(fault.startswith("head mean on XUSDT") for fault in report.faults)


def test_an_honest_head_is_cleared_at_every_signal() -> None:
    seen: list[tuple[int, int]] = []
    report = check_lookahead(
        runner(honest), [tape(bars(400))], runs_max=10**6,
        progress=lambda done, all_: seen.append((done, all_)),
    )  # fmt: skip
    assert report.faults == ()
    assert report.checked == report.signals == len(seen) > 20


def test_a_cut_keeps_what_was_known() -> None:
    series = bars(60, gaps=False)
    marks = MarkPoints(series.ts_open + 5, series.close, 4)
    funding = Funding(series.ts_open[10::20].copy(), np.arange(3, dtype=np.int64), 4)
    whole = Tape(ITEM, series, marks, funding)
    t = int(series.ts_open[40]) + series.interval_ns
    part = cut(whole, t)
    assert part.rows == 41
    assert part.marks is not None and int(part.marks.ts[-1]) <= t  # type: ignore[union-attr]
    assert part.funding is not None and int(part.funding.ts[-1]) <= t
    assert cut(whole, t - 1).rows == 40
    points = tape(quotes(100))
    middle = int(points.ts[50])
    assert int(cut(points, middle).ts[-1]) == middle
    assert cut(points, middle + 10**6).end_ns == min(points.end_ns, middle + 10**6)
