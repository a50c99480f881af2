"""A balance that differs from the venue's: what stands of the difference is taken over."""

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, FundingReport
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


def test_a_look_that_cannot_tell_leaves_what_was_suspected_and_agrees() -> None:
    """A busy account would agree upon nothing any more, and keep the ids of all bookings."""
    bench = Bench()
    look(bench, "10000")
    look(bench, "9995")
    for _ in range(3):
        assert of(look(bench, None), f.Reconciled)
    assert of(look(bench, "9995"), f.BalanceCorrected)


def test_two_passing_differences_are_not_one() -> None:
    """Of fees that are told late each look shows another one, and all have one sign."""
    bench = Bench()
    look(bench, "10000")
    look(bench, "9990")
    bench.open()
    cash = bench.state.balance
    assert not of(look(bench, str(cash - 20)), f.BalanceCorrected)
    assert not of(look(bench, str(cash)), f.BalanceCorrected)


def test_a_busy_account_that_is_charged_at_every_look_is_followed_too() -> None:
    """With something booked between any two looks nothing was agreed upon any more."""
    bench = Bench()
    look(bench, "10000")
    agreed, charged = 0, 0
    for number in range(20):
        charged += 1
        bench.take(
            FundingReport(bench.now, "main", "COIN", D("0.1"), D(100), D(1), D(0), (), f"p{number}")
        )  # fmt: skip
        agreed += bool(of(look(bench, str(9_999 - number - charged)), f.Reconciled))
    assert agreed >= 4 and abs(bench.state.balance - (9_999 - 19 - charged)) <= 5
