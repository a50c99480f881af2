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
MOVED = "entered at the trigger of the stop before, where the peer's market stayed for that quote"
OPEN = "still open at the end of the data"
UNEXPLAINED = "unexplained"


class Fill(NamedTuple):
    """Hold one fill: side is buy or sell."""

    ts_ns: int
    side: str
    price: Decimal


class Trip(NamedTuple):
    """Hold an entry with its exit (None: it stays open) and why it ended, where that is known."""

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
    until = -1  # the later end of the last trips whose exits differed in time
    for key in sorted(left.keys() | right.keys()):
        mine, other = left.get(key), right.get(key)
        if mine is not None and other is not None:
            kind = kind_of(mine, other, quotes, found[-1] if found else None)
        else:
            kind = FOLLOWS if key[0] <= until else UNEXPLAINED
        ends = [end_of(trip, quotes) for trip in (mine, other) if trip is not None]
        if len(ends) == 1 or ends[0] != ends[1]:
            until = max(until, *ends)
        found.append(Difference(mine, other, kind))
    return found, Counter(one.kind for one in found)


def end_of(trip: Trip, quotes: Quotes) -> int:
    """Return when a trip ended, or the end of the data."""
    return trip.exit.ts_ns if trip.exit is not None else int(quotes.ts[-1])


def seen_at(ts_ns: int, side: str, quotes: Quotes) -> Decimal:
    """Return what a market order of a side trades at: the bid or ask of that time."""
    row = int(quotes.ts.searchsorted(ts_ns))
    column = quotes.bid if side == "sell" else quotes.ask
    return Decimal(int(column[row])).scaleb(-quotes.digits)


def kind_of(mine: Trip, other: Trip, quotes: Quotes, before: Difference | None = None) -> str:
    """Class two trips of the same entry; `before` is the pair that came before them."""
    if mine.entry.price != other.entry.price:
        return MOVED if moved(mine, other, quotes, before) else UNEXPLAINED
    if mine.exit is None or other.exit is None:
        return OPEN if mine.exit is other.exit else UNEXPLAINED
    if mine.exit == other.exit:
        return SAME
    seen = seen_at(mine.exit.ts_ns, mine.exit.side, quotes)
    if mine.exit.ts_ns == other.exit.ts_ns:
        worse = (other.exit.price - seen) * (1 if mine.exit.side == "sell" else -1) > 0
        jumped = mine.reason == "stop_loss" and mine.exit.price == seen and worse
        return JUMPED if jumped else UNEXPLAINED
    resting = mine.reason in ("stop_loss", "take_profit")
    touched = resting and mine.exit.ts_ns < other.exit.ts_ns and seen == mine.exit.price
    return TOUCH if touched else UNEXPLAINED


def moved(mine: Trip, other: Trip, quotes: Quotes, before: Difference | None) -> bool:
    """Tell whether the peer entered at the price at which its stop of the same time filled."""
    if before is None or before.kind != JUMPED or before.theirs is None:
        return False
    left = before.theirs.exit
    return (
        left is not None
        and left.ts_ns == other.entry.ts_ns
        and left.price == other.entry.price
        and mine.entry.price == seen_at(mine.entry.ts_ns, mine.entry.side, quotes)
    )
