"""The work behind `scripts.reliability`: each goal's jobs, small enough to show progress.

A job runs in a process of its own and returns a `Part`: how much was done, and what broke, one
sentence each with what repeats it.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import msgspec

from cerberus_trader.domain.row import decode_row, encode_row
from cerberus_trader.engine.engine import Engine
from cerberus_trader.engine.state import state_hash
from cerberus_trader.simulation import loop as virtual
from cerberus_trader.simulation.faults import draw
from cerberus_trader.simulation.swarm import parse_faults
from cerberus_trader.simulation.world import World, simulate
from tests.fuzz import damage
from tests.fuzz.codecs import attack, workspace
from tests.fuzz.parsers import all_codecs
from tests.properties import fills, streams

LOSSY = "answer_lost=0.15,request_lost=0.10"
JOURNAL_MINUTES = 0.5
HASHES_EVERY = 1_000
SHOWN_MAX = 20


class Part(NamedTuple):
    """Hold what a job came to: its share of the size, other counts by name, and violations."""

    size: int
    counts: dict[str, int]
    violations: list[str]
    answer: Any = None


def swarm(first: int, runs: int) -> Part:
    """R1: chaos with crashes; the size is the crashes."""
    crashes, orders, found = 0, 0, []
    for seed in range(first, first + runs):
        result = simulate(seed)
        crashes += result.crashes
        orders += result.orders
        found += [f"{words} (cerberus sim --seed {seed})" for words in result.violations]
    return Part(crashes, {"runs": runs, "orders": orders}, found[:SHOWN_MAX])


def lossy(first: int, runs: int) -> Part:
    """R5: acknowledgements and requests lost; the size is the submits."""
    submits, arrived, found = 0, 0, []
    for seed in range(first, first + runs):
        result = simulate(seed, faults=parse_faults(LOSSY))
        submits += result.submits
        arrived += result.orders
        again = f"cerberus sim --seed {seed} --faults {LOSSY}"
        found += [f"{words} ({again})" for words in result.violations]
    return Part(submits, {"runs": runs, "arrived": arrived}, found[:SHOWN_MAX])


def traces(first: int, runs: int) -> Part:
    """R4: run seeds; what came of each is compared between two processes."""
    answer = [msgspec.json.encode(simulate(seed)) for seed in range(first, first + runs)]
    return Part(runs, {}, [], answer)


def record(first: int, runs: int, folder: Path) -> Part:
    """R3: simulate, and keep each journal with the hashes and commands that deciding gives."""
    rows, found = 0, []
    for seed in range(first, first + runs):
        world = World(seed, draw(seed), JOURNAL_MINUTES)
        result = virtual.run(world.run(), Random(f"loop {seed}"))
        found += [f"{words} (seed {seed})" for words in result.violations]
        bodies = [row.body for row in world.disk.rows]
        rows += len(bodies)
        kept = msgspec.msgpack.encode((bodies, decided(bodies)))
        (folder / f"{seed}.journal").write_bytes(kept)
    return Part(runs, {"rows": rows}, found[:SHOWN_MAX])


def decided(bodies: Iterable[bytes]) -> list[str]:
    """Decide a journal again: hash the state at every so many rows, and everything that left."""
    engine, left, found = Engine(), hashlib.sha256(), []
    for number, body in enumerate(bodies, 1):
        row = decode_row(body)
        step = engine.step(row.event)
        left.update(msgspec.json.encode(step.commands))
        if encode_row(row.event, step.facts) != body:
            found.append(f"row {number} is decided otherwise")
        if number % HASHES_EVERY == 0:
            found.append(state_hash(engine.state))
    return [*found, state_hash(engine.state), left.hexdigest()]


def decide_again(first: int, runs: int, folder: Path) -> Part:
    """R3: decide the kept journals again, under another hash seed."""
    found = []
    for seed in range(first, first + runs):
        kept = (folder / f"{seed}.journal").read_bytes()
        bodies, before = msgspec.msgpack.decode(kept, type=tuple[list[bytes], list[str]])
        if decided(bodies) != before or any(words.startswith("row") for words in before):
            found.append(f"the journal of seed {seed} is decided otherwise a second time")
    return Part(0, {"decided again": runs}, found[:SHOWN_MAX])


def sequences(first: int, count: int) -> Part:
    """R6: fills against an independent ledger."""
    found = []
    for seed in range(first, first + count):
        try:
            fills.hold(*fills.draw(Random(f"fills {seed}")))
        except AssertionError as error:
            found.append(f"sequence {seed}: {str(error)[:200]}")
    return Part(count, {}, found[:SHOWN_MAX])


def fuzz(name: str, seed: int, inputs: int) -> Part:
    """R7: hostile bytes into one parser."""
    with workspace() as folder:
        taken, broken = attack(all_codecs(folder)[name], seed, inputs)
    return Part(inputs, {"let through": taken}, [f"{name}: {x}" for x in broken[:SHOWN_MAX]])


def codec_names() -> list[str]:
    """Name every parser."""
    with workspace() as folder:
        return list(all_codecs(folder))


def damages(source: Path, first: int, last: int, share: float) -> Part:
    """R8: try a stretch of all damages, or a random share of each stretch."""
    rng, found = Random(f"damage {first}"), []
    with workspace() as folder:
        shutil.copytree(source, folder / "crashed")
        victim, tried = damage.Victim(folder / "crashed"), 0
        for number, (name, at, cut) in enumerate(damage.every_damage(victim)):
            if not first <= number < last or rng.random() >= share:
                continue
            tried += 1
            data = victim.whole[name]
            try:
                victim.try_damage(name, data[:at] if cut else damage.flipped(data, at))
            except Exception as error:
                what = f"cut at byte {at}" if cut else f"flip of bit {at}"
                found.append(f"{name}, {what}: {type(error).__name__}: {str(error)[:200]}")
                (folder / "crashed" / name).write_bytes(data)
    counts = {"reported": victim.reported, "unchanged": victim.unchanged}
    return Part(tried, counts, found[:SHOWN_MAX])


def random_streams(first: int, count: int) -> Part:
    """R13: random order streams against every limit."""
    entries, found = 0, []
    for seed in range(first, first + count):
        broken, left = streams.run(seed)
        entries += left
        found += [f"stream {seed}: {words}" for words in broken]
    return Part(count, {"entries": entries}, found[:SHOWN_MAX])
