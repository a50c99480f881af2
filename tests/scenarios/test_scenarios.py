"""Every scenario plays as written, and together they cover both tables of the order's life."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cerberus_trader.domain.order import TRANSITIONS
from cerberus_trader.engine import orders, reconcile
from cerberus_trader.engine.look import Look
from tests.scenarios.script import Case, Desk, read

FOLDER = Path(__file__).parent
CASES = [case for path in sorted(FOLDER.glob("*.txt")) for case in read(path)]


def play(case: Case) -> Desk:
    desk = Desk(case)
    for line, expected in case.steps:
        assert desk.play(line) == list(expected), f"{case.file}: {case.name}: I {line}"
    return desk


@pytest.mark.req("C-17.4", "D-08.4", "E-2.3.3", "D-09.13")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file}: {case.name}")
def test_scenario(case: Case) -> None:
    play(case)


def test_there_are_enough_and_each_has_its_own_name() -> None:
    names = [(case.file, case.name) for case in CASES]
    assert len(set(names)) == len(names) >= 60
    assert all(any(out for _, out in case.steps) for case in CASES)


@pytest.fixture(scope="module")
def played() -> Iterator[tuple[list[Desk], set[tuple[str, str]]]]:
    """Play everything once, noting which rows of the table of reconciliation were used."""
    used: set[tuple[str, str]] = set()
    table = dict(reconcile.TABLE)

    def noting(row: tuple[str, str]) -> reconcile.Action:
        def act(look: Look) -> list[object]:
            used.add(row)
            return table[row](look)

        return act  # type: ignore[return-value]

    with pytest.MonkeyPatch.context() as patch:
        for row in table:
            patch.setitem(reconcile.TABLE, row, noting(row))
        yield [play(case) for case in CASES], used


def test_every_row_of_the_reconciliation_table_has_a_scenario(
    played: tuple[list[Desk], set[tuple[str, str]]],
) -> None:
    assert set(reconcile.TABLE) == {(a, b) for a in reconcile.LOCAL for b in reconcile.VENUE}
    # an order that neither side holds is never looked at: these two close the table
    assert sorted(set(reconcile.TABLE) - played[1]) == [("ended", "absent"), ("none", "absent")]


def test_every_transition_has_a_scenario_and_no_other_happens(
    played: tuple[list[Desk], set[tuple[str, str]]],
) -> None:
    moves = {move for desk in played[0] for move in desk.moves}
    lawful = {(before, after) for before, row in TRANSITIONS.items() for after in row}
    assert sorted(f"{a.value} {b.value}" for a, b in lawful - moves) == []
    assert sorted(f"{a.value} {b.value}" for a, b in moves - lawful) == []


def test_every_forbidden_report_has_a_scenario_in_which_it_changes_nothing(
    played: tuple[list[Desk], set[tuple[str, str]]],
) -> None:
    refused = {pair for desk in played[0] for pair in desk.refused}
    forbidden = {
        (status, word)
        for status, row in TRANSITIONS.items()
        for word, following in orders.REPORTED.items()
        if following not in row
    }
    assert sorted(f"{a.value} {b}" for a, b in forbidden - refused) == []
