"""An entry leaves with the stop that was asked for, and each further attempt as the first one."""

from typing import Any

import pytest

from cerberus_trader.domain.order import Bracket
from cerberus_trader.simulation.attempts import attempts_alike
from tests.unit.simulation.history import D, asked, entry, leave, said, submitted


def again(**fields: Any) -> Any:
    order = entry("3e", attempt=1, signal_id="s1", **fields)
    return said("resume", "", submitted(order))


def test_an_attempt_like_the_first_one_is_none_to_speak_of() -> None:
    first = asked("buy", submitted(entry()), stop_loss_pct=D(1))
    assert list(attempts_alike([first, again()])) == []
    assert list(attempts_alike([again(bracket=None)])) == [], "the first one is not known"


@pytest.mark.parametrize(
    ("field", "value"),
    [("bracket", None), ("bracket", Bracket(stop_pct=D(2))), ("leverage", D(5)), ("price", D(7))],
)
def test_an_attempt_with_other_terms(field: str, value: Any) -> None:
    rows = [asked("buy", submitted(entry())), again(**{field: value})]
    assert list(attempts_alike(rows)) == [f"attempt 1 of 3e differs: {field}"]


@pytest.mark.parametrize("stop", ["stop_loss", "stop_loss_pct", "trailing", "trailing_pct"])
@pytest.mark.parametrize("bracket", [None, Bracket(take_profit_pct=D(1))])
def test_an_entry_without_the_stop_that_its_signal_names(stop: str, bracket: Any) -> None:
    bare = submitted(entry(bracket=bracket))
    assert list(attempts_alike([asked("buy", bare, **{stop: D(1)})])) == [
        "entry 1e has no stop, signal s1 names one"
    ]
    assert list(attempts_alike([asked("buy", bare)])) == []
    assert list(attempts_alike([asked("buy", submitted(leave()), **{stop: D(1)})])) == []
