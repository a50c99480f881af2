"""The checkers of what the engine acts on: a line that was looked through, fresh prices."""

from collections.abc import Iterator

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import AccountReport, LinkEvent
from cerberus_trader.domain.row import Row


def opened_unseen(rows: list[Row]) -> Iterator[str]:
    """From any word of the line until a look at the account no entry is approved."""
    word = ""
    for row in rows:
        event = row.event
        if type(event) is LinkEvent:
            word = event.state
        elif type(event) is AccountReport:
            word = ""
        for fact in row.facts if word else ():
            if type(fact) is f.OrderSubmitted and not fact.order.reduce_only:
                yield f"order {fact.order.id} was approved, the line was {word} and no look came"
