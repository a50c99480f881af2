"""Set the fills of two engines side by side and give every difference its class.

Fills are paired into round trips; trips are matched by the time and side of their entries. A
difference is explained only if the columns show it: what cannot be shown stays "unexplained".
"""

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.market.columns import Quotes

SAME = "same"
JUMPED = "the stop filled at its trigger though the quote had jumped past it"
TOUCH = "an exact touch of the level was missed"
FOLLOWS = "follows from an exit that differed before"
OPEN = "still open at the end of the data"
UNEXPLAINED = "unexplained"


class Fill(NamedTuple):
    """Hold one fill: side is buy or sell."""

    ts_ns: int
    side: str
    price: Decimal


class Trip(NamedTuple):
    """Hold an entry with its exit; None where it stays open. `level` is the resting exit's."""

    entry: Fill
    exit: Fill | None
    reason: str = ""


class Difference(NamedTuple):
    """Hold two trips that belong together, either may be missing, and the class they fall in."""

    ours: Trip | None
    theirs: Trip | None
    kind: str


def trips_of(fills: Sequence[Fill], reasons: Sequence[str] = ()) -> list[Trip]:
    """Pair fills of a one-way account of constant size: an entry, then its exit."""
    found = []
    for at in range(0, len(fills), 2):
        out = fills[at + 1] if at + 1 < len(fills) else None
        reason = reasons[at + 1] if out is not None and reasons else ""
        found.append(Trip(fills[at], out, reason))
    return found


def compare(
    ours: Sequence[Trip], theirs: Sequence[Trip], quotes: Quotes
) -> tuple[list[Difference], Counter[str]]:
    """Match the trips of two engines; return all in order of time, and how many of each class."""
    left = {(trip.entry.ts_ns, trip.entry.side): trip for trip in ours}
    right = {(trip.entry.ts_ns, trip.entry.side): trip for trip in theirs}
    found: list[Difference] = []
    until = -1  # the later end of the last exits that differed
    for key in sorted(left.keys() | right.keys()):
        mine, other = left.get(key), right.get(key)
        if mine is not None and other is not None:
            kind = kind_of(mine, other, quotes)
        else:
            kind = FOLLOWS if key[0] <= until else UNEXPLAINED
        if (
            mine is None
            or other is None
            or (mine.exit and mine.exit[0]) != (other.exit and other.exit[0])
        ):
            ends = [trip.exit.ts_ns if trip.exit else quotes.ts[-1]
                    for trip in (mine, other) if trip is not None]  # fmt: skip
            until = max(until, *(int(end) for end in ends))
        found.append(Difference(mine, other, kind))
    return found, Counter(one.kind for one in found)


def kind_of(mine: Trip, other: Trip, quotes: Quotes) -> str:
    """Class two trips of the same entry."""
    if mine.entry.price != other.entry.price:
        return UNEXPLAINED
    if mine.exit is None or other.exit is None:
        return OPEN if mine.exit is other.exit else UNEXPLAINED
    if mine.exit == other.exit:
        return SAME
    row = int(quotes.ts.searchsorted(mine.exit.ts_ns))
    column = quotes.bid if mine.exit.side == "sell" else quotes.ask
    seen = Decimal(int(column[row])).scaleb(-quotes.digits)
    if mine.exit.ts_ns == other.exit.ts_ns:
        worse = (other.exit.price - seen) * (1 if mine.exit.side == "sell" else -1) > 0
        jumped = mine.reason == "stop_loss" and mine.exit.price == seen and worse
        return JUMPED if jumped else UNEXPLAINED
    resting = mine.reason in ("stop_loss", "take_profit")
    touched = resting and mine.exit.ts_ns < other.exit.ts_ns and seen == mine.exit.price
    return TOUCH if touched else UNEXPLAINED
