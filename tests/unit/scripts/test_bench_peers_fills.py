"""Every class of difference between two engines' fills is told by the columns, or not at all."""

from decimal import Decimal

import numpy as np
import pytest

from cerberus_trader.market.columns import Quotes
from scripts.bench_peers_fills import (
    FOLLOWS,
    JUMPED,
    MOVED,
    OPEN,
    SAME,
    TOUCH,
    UNEXPLAINED,
    Fill,
    Trip,
    compare,
    trips_of,
)

BIDS = [1000, 1010, 995, 990, 1000, 1020, 1005, 1000]
QUOTES = Quotes(
    np.arange(len(BIDS), dtype=np.int64) * 10,
    np.array(BIDS, dtype=np.int64),
    np.array(BIDS, dtype=np.int64) + 1,
    1,
)


def fill(ts: int, side: str, price: str) -> Fill:
    return Fill(ts, side, Decimal(price))


def long(exit_: Fill | None, reason: str = "stop_loss", entry: str = "100.1") -> Trip:
    return Trip(fill(0, "buy", entry), exit_, reason)


def classes(ours: list[Trip], theirs: list[Trip]) -> list[str]:
    table, counts = compare(ours, theirs, QUOTES)
    assert sum(counts.values()) == len(table)
    return [one.kind for one in table]


def test_fills_pair_into_trips_and_an_odd_one_stays_open() -> None:
    fills = [fill(0, "buy", "1"), fill(5, "sell", "2"), fill(9, "sell", "3")]
    assert trips_of(fills, ["entry", "stop_loss", "entry"]) == [
        Trip(fills[0], fills[1], "stop_loss"),
        Trip(fills[2], None, ""),
    ]


@pytest.mark.parametrize(
    ("mine", "other", "kind"),
    [
        (long(fill(20, "sell", "99.5")), long(fill(20, "sell", "99.5")), SAME),
        (long(fill(20, "sell", "99.5")), long(fill(20, "sell", "99.8")), JUMPED),
        (long(fill(20, "sell", "99.5")), long(fill(20, "sell", "99.4")), UNEXPLAINED),
        (long(fill(20, "sell", "99.6")), long(fill(20, "sell", "99.8")), UNEXPLAINED),
        (long(fill(20, "sell", "99.5"), "signal"), long(fill(20, "sell", "99.8")), UNEXPLAINED),
        (long(fill(20, "sell", "99.5")), long(fill(30, "sell", "99.0")), TOUCH),
        (long(fill(50, "sell", "102.0"), "take_profit"), long(fill(60, "sell", "1")), TOUCH),
        (long(fill(20, "sell", "99.5"), "signal"), long(fill(30, "sell", "99.0")), UNEXPLAINED),
        (long(fill(30, "sell", "99.0")), long(fill(20, "sell", "99.5")), UNEXPLAINED),
        (long(None), long(None), OPEN),
        (long(None), long(fill(20, "sell", "99.5")), UNEXPLAINED),
        (long(None), long(None, entry="100.2"), UNEXPLAINED),
    ],
)
def test_two_trips_of_one_entry(mine: Trip, other: Trip, kind: str) -> None:
    assert classes([mine], [other]) == [kind]


def test_an_entry_at_the_trigger_of_the_stop_before() -> None:
    after = fill(40, "sell", "100.0")
    ours = [long(fill(20, "sell", "99.5")), Trip(fill(20, "sell", "99.5"), after, "signal")]
    theirs = [long(fill(20, "sell", "99.8")), Trip(fill(20, "sell", "99.8"), after, "signal")]
    assert classes(ours, theirs) == [JUMPED, MOVED]
    alone = [Trip(fill(20, "sell", "99.7"), after)]
    assert classes(ours, [theirs[0], *alone]) == [JUMPED, UNEXPLAINED]


def test_a_trip_of_one_side_only_follows_from_an_exit_that_differed_or_is_unexplained() -> None:
    missed = [long(fill(20, "sell", "99.5")), Trip(fill(25, "sell", "99.5"), None)]
    assert classes(missed, [long(fill(30, "sell", "99.0"))]) == [TOUCH, FOLLOWS]
    same = long(fill(20, "sell", "99.5"))
    assert classes([same, Trip(fill(25, "sell", "99.5"), None)], [same]) == [SAME, UNEXPLAINED]
