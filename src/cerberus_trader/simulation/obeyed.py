"""The checkers of a person's words: what each asks for, told from the commands in the journal.

A command counts unless its row says that it was refused. What the engine made of it is not asked:
an engine that misunderstands a word holds itself for right.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, OperatorEvent
from cerberus_trader.domain.order import TERMINAL, Order
from cerberus_trader.domain.row import Row

if TYPE_CHECKING:
    from cerberus_trader.simulation.world import World

CLOSES = ("flatten", "stop_strategy")
ENDS = {
    "halt": ("resume",), "flatten": ("resume",), "freeze": ("thaw",),
    "stop_strategy": ("resume_strategy", "pause_strategy"),
}  # fmt: skip
"""What ends a stop, of all or of its target; a strategy that is paused may keep what it holds."""
STOPS = tuple(ENDS)
Span = tuple[str, float, float]


def word_of(row: Row) -> OperatorEvent | None:
    """Return the command that a row carries out, None where there is none, or it was refused."""
    if type(row.event) is not OperatorEvent:
        return None
    refused = any(type(fact) is f.CommandRefused for fact in row.facts)
    return None if refused else row.event


def told_to_cancel(row: Row) -> str | None:
    """Return whose entries a person wants canceled: a strategy's, empty for all, None for none."""
    word = word_of(row)
    return word.target if word is not None and word.command in ("cancel_all", *STOPS) else None


def spans(rows: list[Row], times: list[float], begins: tuple[str, ...]) -> Iterator[Span]:
    """Every time for which a person has stopped something: whose (empty for all), from, until."""
    since: dict[tuple[str, str], float] = {}
    for row, when in zip(rows, times, strict=True):
        word = word_of(row)
        if word is None:
            continue
        if word.command in begins:
            since.setdefault((word.command, word.target), when)
        for stop, scope in list(since):
            if scope == word.target and word.command in ENDS[stop]:
                yield scope, since.pop((stop, scope)), when
    for (_, scope), begun in since.items():
        yield scope, begun, math.inf


def stops_hold(world: "World", rows: list[Row]) -> Iterator[str]:
    """From the row of a stop to that of its end no entry leaves, and no change of one.

    Where a history was lost, the word that had ended the stop may have been in it.
    """
    if world.disk.lost:
        return
    stopped = list(spans(rows, world.disk.appended, STOPS))
    owners = {order.id: order.strategy for _, order, _ in world.sent}
    left = [(when, order.id) for when, order, _ in world.sent if not order.reduce_only]
    left += [(when, change.order_id) for when, change, _ in world.changed]
    for when, name in left:
        for scope, begun, ended in stopped:
            if begun < when < ended and scope in ("", owners.get(name)):
                whose = scope or "all"
                yield f"{name} left {when - begun:.3f} s after a person had stopped {whose}"


def stops_empty(world: "World", rows: list[Row], entries: dict[str, Order]) -> Iterator[str]:
    """What a person wants closed, all or what a strategy's entry has opened, is closed.

    Without any memory an engine does not know whose a place is, only that it is there.
    """
    wanted = [scope for scope, _, ended in spans(rows, world.disk.appended, CLOSES)
              if ended == math.inf and not (scope and world.blank)]  # fmt: skip
    for name, held in world.venue.positions.items():
        opened = entries.get(held.owner)
        owner = opened.strategy if opened is not None else None
        if name not in world.venue.outside and ("" in wanted or owner in wanted):
            yield f"{held.quantity} {name} of {owner} is open, though a person had it closed"


def late_fills_close(rows: list[Row]) -> Iterator[str]:
    """What fills of an entry after its stop is being closed once its row is written.

    The close may have been on its way: it is for all that is held by then.
    """
    stopped = list(spans(rows, [float(number) for number in range(len(rows))], CLOSES))
    closing: dict[str, str] = {}
    for number, row in enumerate(rows):
        for fact in row.facts:
            if type(fact) is f.OrderSubmitted and fact.order.reduce_only:
                closing[fact.order.id] = fact.order.instrument
            elif type(fact) is f.OrderChanged and fact.status in TERMINAL:
                closing.pop(fact.order_id, None)
        for fact in row.facts:
            if type(fact) is not f.Filled or type(row.event) is not FillReport:
                continue
            if fact.status in TERMINAL:
                closing.pop(row.event.order_id, None)
            held = fact.position
            if held is None or held.sign != row.event.side:
                continue
            scopes = [scope for scope, begun, ended in stopped if begun < number < ended]
            wanted = "" in scopes or held.strategy in scopes
            if wanted and held.instrument not in closing.values():
                yield f"{held.instrument} of {held.strategy} filled after a stop, and stays open"
