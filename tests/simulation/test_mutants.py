"""The mistakes that the simulation must notice still fit the code, and some are tried each time."""

from pathlib import Path

import pytest

from scripts.mutants import MUTANTS, Mutant, hunt, mutate


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mistake_fits_one_place_of_the_code(mutant: Mutant, tmp_path: Path) -> None:
    mutate(tmp_path, mutant)
    changed = (tmp_path / "cerberus_trader" / mutant.file).read_text()
    assert mutant.after in changed


def test_there_are_enough_of_them() -> None:
    assert len({mutant.name for mutant in MUTANTS}) >= 15


@pytest.mark.parametrize("name", ["no fill dedupe", "send before durable", "fees are not booked"])
def test_a_mistake_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # copies of the code go away
    (mutant,) = [m for m in MUTANTS if m.name == name]
    killed, words = hunt(mutant)
    assert killed, words
