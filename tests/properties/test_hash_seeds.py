"""Simulated journals are the same under every hash seed: their hashes, rows, and commands."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
from cerberus_trader.simulation.world import simulate
for seed in range(6):
    result = simulate(seed, minutes=0.5)
    assert result.violations == (), result.violations  # deciding again is one of the checks
    print(seed, result.rows, result.orders, result.fills, result.trace)
"""


@pytest.mark.process
def test_a_run_does_not_depend_on_the_hash_seed() -> None:
    found = []
    for hash_seed in ("0", "1", "random"):
        environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=environ, capture_output=True, text=True,
            timeout=100, check=True,
        )  # fmt: skip
        found.append(done.stdout)
    assert found[0].count("\n") == 6
    assert found[0] == found[1] == found[2]
