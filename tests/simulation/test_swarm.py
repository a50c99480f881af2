"""The swarm: the whole engine in virtual time, crashed and misled, and nothing lost or doubled."""

from pathlib import Path

import pytest

from cerberus_trader.simulation.swarm import faults_of
from cerberus_trader.simulation.world import Result, simulate

CHUNKS, RUNS = 12, 34  # some 2,000 crashes; `make sim` runs 500
CORPUS = Path(__file__).with_name("corpus.txt")


@pytest.mark.req("C-17.4", "D-09.15", "P-21.3", "D-08.4")
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_invariant_breaks_at_any_crash(chunk: int) -> None:
    crashes = 0
    for seed in range(chunk * RUNS, (chunk + 1) * RUNS):
        result = simulate(seed)
        assert result.violations == (), f"cerberus sim --seed {seed}"
        crashes += result.crashes
    assert crashes > RUNS, "a swarm that does not crash shows nothing"


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = simulate(11), simulate(11)
    assert first == second
    assert simulate(12).trace != first.trace


def corpus() -> list[tuple[int, float, str]]:
    """Read the runs that once failed: seed, minutes, faults."""
    found = []
    for line in CORPUS.read_text().splitlines():
        text = line.partition("#")[0].split()
        if text:
            found.append((int(text[0]), float(text[1]), text[2]))
    return found


@pytest.mark.parametrize(("seed", "minutes", "faults"), corpus())
def test_what_once_failed_holds(seed: int, minutes: float, faults: str) -> None:
    chosen = faults_of(seed, None if faults == "drawn" else faults)
    result: Result = simulate(seed, minutes=minutes, faults=chosen)
    assert result.violations == ()
