"""Faults: what may go wrong, and the draw of a subset with rates from one seed (a swarm)."""

from random import Random

import msgspec


class Faults(msgspec.Struct, frozen=True, kw_only=True):
    """Hold the rates of faults (of 1 unless the name says otherwise); all 0 is a kind world."""

    request_lost: float = 0.0
    answer_lost: float = 0.0
    garbage: float = 0.0
    word_lost: float = 0.0
    word_twice: float = 0.0
    latency_s: float = 0.02
    latency_tail: float = 0.0
    busy: float = 0.0
    refused: float = 0.0
    partial: float = 0.0
    slow_fill: float = 0.0
    late_list: float = 0.0
    venue_cancels: float = 0.0
    partitions_per_minute: float = 0.0
    half_open: float = 0.0
    crashes_per_minute: float = 0.0
    crash_at_sync: float = 0.0
    sync_s: float = 0.002
    sync_stall: float = 0.0
    disk_fails: float = 0.0
    price_jump: float = 0.0
    feed_gaps_per_minute: float = 0.0
    halts_per_minute: float = 0.0
    flattens_per_minute: float = 0.0
    clock_steps_per_minute: float = 0.0
    funding_per_minute: float = 0.0
    human_per_minute: float = 0.0
    reconfigured: float = 0.0
    reloads_per_minute: float = 0.0
    restored: float = 0.0
    transfers_per_minute: float = 0.0
    cut_off: float = 0.0
    deleverages_per_minute: float = 0.0
    legs_dropped_per_minute: float = 0.0
    strategies: float = 0.0
    strategy_commands_per_minute: float = 0.0
    varied: float = 0.0
    unattached: float = 0.0
    account_silences_per_minute: float = 0.0
    others_per_minute: float = 0.0
    charges_per_minute: float = 0.0
    numbers_skip: float = 0.0
    double_rows: float = 0.0
    hasty_looks: float = 0.0
    entries_closed_per_minute: float = 0.0
    closes_unbound: float = 0.0


HIGH = Faults(
    request_lost=0.15, answer_lost=0.15, garbage=0.05, word_lost=0.2, word_twice=0.3,
    latency_s=0.3, latency_tail=0.1, busy=0.2, refused=0.1, partial=0.6, slow_fill=0.5,
    late_list=0.3, venue_cancels=0.1, partitions_per_minute=2.0, half_open=0.5,
    crashes_per_minute=8.0, crash_at_sync=0.04, sync_s=0.05, sync_stall=0.05, disk_fails=0.002,
    price_jump=0.02, feed_gaps_per_minute=1.0, halts_per_minute=0.5, flattens_per_minute=0.5,
    clock_steps_per_minute=1.0, funding_per_minute=2.0, human_per_minute=0.5,
    reconfigured=0.5, reloads_per_minute=2.0, restored=0.5, transfers_per_minute=3.0,
    cut_off=1.0, deleverages_per_minute=2.0, legs_dropped_per_minute=2.0,
    strategies=1.0, strategy_commands_per_minute=3.0, varied=1.0,
    unattached=0.2, account_silences_per_minute=1.0, others_per_minute=2.0,
    charges_per_minute=2.0, numbers_skip=0.02, double_rows=0.2, hasty_looks=0.6,
    entries_closed_per_minute=6.0, closes_unbound=1.0,
)  # fmt: skip
"""The highest rate that a swarm draws of each."""

SHARE = 0.5
RARE = {
    "restored": 0.1, "account_silences_per_minute": 0.25, "others_per_minute": 0.25,
    "charges_per_minute": 0.25, "numbers_skip": 0.2, "entries_closed_per_minute": 0.25,
}  # fmt: skip
"""Of how many runs: where history is lost, most differences are lawful, and the checkers blunt;
an engine that cannot see its account, or waits for a number, trades little; so does one whose
places entries hold that rest."""


def draw(seed: int, names: tuple[str, ...] = ()) -> Faults:
    """Draw which faults a run has, and how often: the named ones, or each in its share of runs."""
    rng = Random(f"faults {seed}")
    chosen: dict[str, float] = {}
    for name in Faults.__struct_fields__:
        high = getattr(HIGH, name)
        wanted = name in names if names else rng.random() < RARE.get(name, SHARE)
        share = rng.random()
        if wanted and high:
            chosen[name] = round(high * max(share, 0.05), 6)
    return Faults(**chosen)


def drawn(faults: Faults) -> dict[str, float]:
    """Return the faults that differ from a kind world."""
    kind = Faults()
    return {
        name: getattr(faults, name)
        for name in Faults.__struct_fields__
        if getattr(faults, name) != getattr(kind, name)
    }


def without(faults: Faults, name: str) -> Faults:
    """Return the faults with one of them switched off."""
    return msgspec.structs.replace(faults, **{name: getattr(Faults(), name)})
