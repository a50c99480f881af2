"""A head sees what has closed and what is its own, and nothing else."""

from decimal import Decimal

import pytest

from cerberus_trader.domain.errors import DataError
from cerberus_trader.domain.signal import Level
from cerberus_trader.heads.base.view import NOBODY, Bar, Desk, View, signal_id


def desk(bars: int = 5, keep: int = 10) -> Desk:
    made = Desk("me", "XUSDT", keep)
    for i in range(bars):
        made.history.append(bar(i))
    return made


def bar(i: int) -> Bar:
    return Bar(100 * (i + 1), 1.0 + i, 2.0 + i, 0.5 + i, 1.5 + i, 10.0)


def view(made: Desk, now_ns: int = 510) -> View:
    return View(now_ns, 1.0, 1.5, made.history.count, NOBODY, made)


@pytest.mark.req("P-07.2")
def test_columns_are_copies_of_closed_bars() -> None:
    made = desk()
    seen = view(made)
    assert seen.closes(3).tolist() == [3.5, 4.5, 5.5]
    assert seen.highs(2).tolist() == [5.0, 6.0]
    assert (seen.lows(1)[0], seen.opens(1)[0], seen.volumes(1)[0]) == (4.5, 5.0, 10.0)
    assert len(seen.closes(10)) == 5  # fewer than asked for where fewer have closed
    seen.closes(3)[0] = 99.0
    seen.bars(5).clear()
    assert seen.closes(3).tolist() == [3.5, 4.5, 5.5]
    assert (seen.bar, seen.price, seen.instrument, seen.source) == (bar(4), 1.25, "XUSDT", "me")


@pytest.mark.req("P-07.2")
def test_nothing_beyond_now_is_shown() -> None:
    seen = view(desk())
    assert seen.bar_at(250) == bar(1)
    assert seen.bar_at(50) is None
    for ask in (lambda: seen.bar_at(511), lambda: seen.closes(0), lambda: seen.closes(-2),
                lambda: seen.closes(11), lambda: view(desk(0)).bar):  # fmt: skip
        with pytest.raises(DataError) as caught:
            ask()
        assert caught.value.code == "HEAD_BEYOND_VIEW"


def test_a_view_cannot_be_written_and_does_not_move_on() -> None:
    made = desk()
    seen = view(made)
    with pytest.raises(AttributeError):
        seen.now_ns = 10**9  # type: ignore[misc]
    with pytest.raises(AttributeError):
        seen.account.budget = Decimal(1)  # type: ignore[misc]
    for i in range(5, 40):
        made.history.append(bar(i))
    assert seen.bar_count == 5
    assert bar(39) not in seen.bars(10)


def test_the_history_is_bounded() -> None:
    made = desk(1_000, 10)
    assert len(made.history.bars) < 20
    assert made.history.count == 1_000
    assert view(made).closes(10).tolist() == [990.5 + i for i in range(1, 11)]


def test_signals_are_stamped_named_and_exact() -> None:
    seen = view(desk())
    signal = seen.buy("high", stop_loss_pct=2.5, take_profit=Decimal("1.70"), metadata={"b": 1})
    assert (signal.ts_ns, signal.source, signal.instrument) == (510, "me", "XUSDT")
    assert (signal.confidence, signal.level) == (0.7, Level.HIGH)
    assert (signal.stop_loss_pct, signal.take_profit) == (Decimal("2.5"), Decimal("1.70"))
    assert (signal.price, signal.metadata) == (Decimal("1.25"), '{"b":1}')
    limit = seen.sell(0.3, limit=1.1, expires_ms=500)
    assert (limit.order, limit.limit, limit.expires_ms) == ("limit", Decimal("1.1"), 500)
    assert limit.id == signal_id("me", "XUSDT", 510, "sell", 2)
    assert seen.close().side == "close"
    assert len({signal.id, limit.id, seen.buy("high").id}) == 3


def test_a_wrong_ask_is_refused() -> None:
    with pytest.raises(DataError, match="stop"):
        view(desk()).buy(0.5, stop=2)
    with pytest.raises(DataError, match="finite"):
        view(desk()).buy(0.5, stop_loss_pct=float("nan"))
