"""A balance that differs from the venue's: what stands of the difference is taken over."""

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport
from cerberus_trader.engine.engine import Step
from tests.kit import SECOND, Bench, D, of


def look(bench: Bench, balance: str | None, after_s: int = 30) -> Step:
    """Let the venue tell its cash alone; None where the look cannot tell."""
    bench.now += after_s * SECOND
    cash = D(balance) if balance is not None else None
    return bench.take(AccountReport(bench.now, "main", bench.now, "timer", balance=cash))


@pytest.mark.parametrize(
    ("told", "taken"),
    [
        (("9995", "9990", "9985", "9980"), [-5, -10]),  # a venue that charges and never tells
        (("10005", "10010", "10015"), [5]),
        (("9990", "9995", "9995"), [-5]),  # a part of it was explained meanwhile
        (("9995", "10005", "9995", "10005"), []),  # never the same
        (("9995", "10000", "9995"), []),  # gone in between
        (("9995", None, "9995"), [-5]),
        ((None, None, "9995", None), []),
    ],
)
def test_what_stands_of_a_difference_is_taken(
    told: tuple[str | None, ...], taken: list[int]
) -> None:
    bench = Bench()
    look(bench, "10000")
    found = [fact.amount for each in told for fact in of(look(bench, each), f.BalanceCorrected)]
    assert found == [D(amount) for amount in taken]
    assert bench.state.balance == D(10_000) + sum(found)


def test_books_that_are_charged_at_every_look_agree_time_and_again() -> None:
    """Nothing was agreed upon any more, and the ids of bookings were kept for ever."""
    bench = Bench()
    look(bench, "10000")
    steps = [look(bench, str(10_000 - charged)) for charged in range(1, 21)]
    agreed = [step for step in steps if of(step, f.Reconciled)]
    assert len(agreed) == 10 and D(9_980) <= bench.state.balance <= D(9_982)


def test_a_look_that_cannot_tell_leaves_a_suspected_balance_in_question() -> None:
    bench = Bench()
    look(bench, "10000")
    look(bench, "9995")
    assert not of(look(bench, None), f.Reconciled)
    assert of(look(bench, "9995"), f.Reconciled)
    assert of(look(bench, None), f.Reconciled)
