"""The checker of entries and their further attempts: each is what was judged, stop included."""

from collections.abc import Iterator
from typing import Any

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import SignalEvent
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.row import Row
from cerberus_trader.domain.signal import Signal


def names_stop(signal: Signal) -> bool:
    """Tell whether a signal asks for a stop, fixed or trailing."""
    asked = (signal.stop_loss, signal.stop_loss_pct, signal.trailing, signal.trailing_pct)
    return any(level is not None for level in asked)


def terms(order: Order) -> dict[str, Any]:
    """Return what a further attempt of an entry has like the first one."""
    return {
        "account": order.account, "instrument": order.instrument, "side": order.side,
        "kind": order.kind, "bracket": order.bracket, "leverage": order.leverage,
        "price": order.price, "quantity": order.quantity,
    }  # fmt: skip


def attempts_alike(rows: list[Row]) -> Iterator[str]:
    """An entry leaves with the stop that its signal names, a further attempt with the same terms.

    A first attempt that went with a lost history is none to compare with.
    """
    first: dict[tuple[str, str], Order] = {}
    for row in rows:
        signal = row.event.signal if type(row.event) is SignalEvent else None
        for fact in row.facts:
            if type(fact) is not f.OrderSubmitted or fact.order.reduce_only:
                continue
            order = fact.order
            bare = order.bracket is None or not order.bracket.protects
            if signal is not None and names_stop(signal) and bare:
                yield f"entry {order.id} has no stop, signal {signal.id} names one"
            key = order.strategy, order.signal_id
            if not order.attempt:
                first[key] = order
            elif key in first:
                before, after = terms(first[key]), terms(order)
                other = [name for name in before if before[name] != after[name]]
                if other:
                    yield f"attempt {order.attempt} of {order.id} differs: {', '.join(other)}"
