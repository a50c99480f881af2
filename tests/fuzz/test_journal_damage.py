"""Damage to every file of a journal: each flipped bit and each cut is reported, or changes nothing.

`make test` tries a sample; the tests marked slow try every byte of the last 64 KiB of database and
log as a cut, and every bit of them as a flip. `scripts/reliability.py` does the same to a small
journal, in minutes.
"""

import random
from pathlib import Path

import pytest

from tests.fuzz.damage import FILES, TAIL_BYTES, Victim, flipped, make_victim, tail

SAMPLES = 400


@pytest.fixture
def victim(tmp_path: Path) -> Victim:
    """A journal of which each file is larger than what is damaged."""
    found = make_victim(tmp_path, old=260, new=100, body_bytes=250)
    assert all(len(found.whole[name]) >= TAIL_BYTES for name in FILES[:2])
    return found


@pytest.mark.req("D-09.15")
@pytest.mark.parametrize("name", FILES)
def test_sampled_flips_and_cuts_are_reported_or_change_nothing(victim: Victim, name: str) -> None:
    draw, data = random.Random(name), victim.whole[name]
    places = tail(data)
    for _ in range(SAMPLES // 2):
        victim.try_damage(name, flipped(data, draw.choice(places) * 8 + draw.randrange(8)))
        victim.try_damage(name, data[: draw.choice(places)])
    # one slot of the anchor is enough, and much of it is empty
    assert victim.reported > (SAMPLES / 2 if name != "anchor" else 0)


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", FILES[:2])
def test_every_cut_of_the_last_64_kib(victim: Victim, name: str) -> None:
    data = victim.whole[name]
    for at in tail(data):
        victim.try_damage(name, data[:at])
    assert victim.reported + victim.unchanged == TAIL_BYTES


@pytest.mark.slow
@pytest.mark.timeout(14_400)
@pytest.mark.parametrize("name", FILES[:2])
def test_every_flipped_bit_of_the_last_64_kib(victim: Victim, name: str) -> None:
    data = victim.whole[name]
    places = tail(data)
    for bit in range(places.start * 8, places.stop * 8):
        victim.try_damage(name, flipped(data, bit))
    assert victim.reported + victim.unchanged == TAIL_BYTES * 8
