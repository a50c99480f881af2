"""Small builders that the tests share: an instrument, an engine, signals, fills."""

from decimal import Decimal
from typing import Any

import msgspec

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.events import ConfigEvent, Event, FillReport, SignalEvent
from cerberus_trader.domain.instrument import Instrument, Tier
from cerberus_trader.domain.market import Marks, Snapshot
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Settings
from cerberus_trader.domain.signal import Signal
from cerberus_trader.engine.engine import Engine, Step
from cerberus_trader.venues.base import Booking, VenueClient

D = Decimal
DAY = 86_400_000_000_000
HOUR = DAY // 24
SECOND = 1_000_000_000
NOON = 19_675 * DAY + DAY // 2  # a UTC noon

PEPE_TIERS = (
    Tier(D(0), D(20_000), D("0.0065"), D(75), D(0)),
    Tier(D(20_000), D(200_000), D("0.01"), D(50), D(70)),
    Tier(D(200_000), D(300_000), D("0.015"), D(40), D(1070)),
)
COIN = Instrument(
    "COIN", tick=D("0.01"), lot=D("0.001"), quantity_min=D("0.001"), notional_min=D(5),
    maker_fee=D("0.0002"), taker_fee=D("0.0005"), tiers=PEPE_TIERS,
)  # fmt: skip
OTHER = msgspec.structs.replace(COIN, name="OTHER", group="other")
THIRD = msgspec.structs.replace(COIN, name="THIRD")
ITEMS = (COIN, OTHER, THIRD)


def changed(section: Any, **fields: Any) -> Any:
    """Return a settings section with some fields changed."""
    return msgspec.structs.replace(section, **fields)


def settings(**sections: dict[str, Any]) -> Settings:
    """Return default settings with fields of sections changed: settings(risk={...})."""
    base = Settings()
    found = {}
    for name, fields in sections.items():
        old = getattr(base, name)
        found[name] = changed(old, **fields) if hasattr(old, "__struct_fields__") else fields
    return msgspec.structs.replace(base, **found)


class Bench:
    """Drive an engine by hand: signals in, fills as a test wants them."""

    def __init__(self, chosen: Settings | None = None, items: tuple[Instrument, ...] = ITEMS):
        self.engine = Engine()
        self.now = NOON
        self.rows: list[tuple[Event, tuple[f.Fact, ...]]] = []
        self.numbers = 0
        self.take(ConfigEvent(self.now, chosen or Settings(), "c1", items, "engine"))

    @property
    def state(self) -> Any:
        """Return the engine's state."""
        return self.engine.state

    def take(self, event: Event) -> Step:
        """Put one event through the engine."""
        step = self.engine.step(event)
        self.rows.append((event, step.facts))
        return step

    def number(self) -> int:
        """Return a fresh number."""
        self.numbers += 1
        return self.numbers

    def signal(
        self, side: str = "buy", *, instrument: str = "COIN", price: str = "100",
        marks: Marks | None = None, market: Any = "given", sigma: float = 0.05,
        source: str = "head", **fields: Any,
    ) -> Step:  # fmt: skip
        """Send a signal that is judged on a price known right now."""
        fields.setdefault("id", f"s{self.number()}")
        fields.setdefault("ts_ns", self.now)
        fields.setdefault("confidence", 0.7)
        if side != "close":
            fields.setdefault("stop_loss_pct", D(2))
        signal = Signal(instrument=instrument, side=side, source=source, **fields)
        if marks is None:
            marks = self.marks({instrument: price})
        if market == "given":
            market = Snapshot(self.now, D(price), D(price), 0, sigma, sigma, marks)
        return self.take(SignalEvent(self.now, signal, market))

    def marks(self, given: dict[str, str]) -> Marks:
        """Price what is held: the given prices, else the last known."""
        names = dict.fromkeys([*given, *self.state.exposures])
        return tuple(
            (name, D(given[name]) if name in given else self.state.marks[name]) for name in names
        )

    def fill(self, order: Order, price: str = "100", **fields: Any) -> Step:
        """Let the venue fill an order in full."""
        quantity = fields.pop("quantity", order.quantity)
        values = {
            "ts_ns": self.now, "order_id": order.id, "trade_id": f"t{self.number()}",
            "account": order.account, "instrument": order.instrument, "side": order.side,
            "quantity": quantity, "price": D(price), "fee": D(0), "liquidity": "taker",
            "reason": order.reason, "margin": quantity * D(price) / order.leverage,
            "leaves": D(0), "marks": self.marks({order.instrument: price}), **fields,
        }  # fmt: skip
        return self.take(FillReport(**values))

    def open(self, side: str = "buy", price: str = "100", stop: str | None = None,
             **fields: Any) -> Order:  # fmt: skip
        """Open a position at a price; return the entry order."""
        step = self.signal(side, price=price, **fields)
        order = submitted(step)
        self.fill(order, price, stop=D(stop) if stop else None)
        return order

    def close(self, price: str, *, instrument: str = "COIN", account: str = "main",
              **fields: Any) -> Step:  # fmt: skip
        """Let the position's stop fill at a price."""
        position = self.state.positions[f"{account}/{instrument}"]
        values = {
            "ts_ns": self.now, "order_id": position.id[:-1] + "s",
            "trade_id": f"t{self.number()}", "account": account, "instrument": instrument,
            "side": -position.sign, "quantity": position.quantity, "price": D(price),
            "fee": D(0), "liquidity": "taker", "reason": "stop_loss", "margin": D(0),
            "leaves": D(0), "marks": self.marks({instrument: price}), **fields,
        }  # fmt: skip
        return self.take(FillReport(**values))


def decision(step: Step) -> Any:
    """Return the decision of a step."""
    return next(fact.decision for fact in step.facts if isinstance(fact, f.SignalJudged))


def submitted(step: Step) -> Order:
    """Return the first order that a step submits."""
    return next(c.order for c in step.commands if isinstance(c, SubmitOrder))


def of(step: Step, kind: type) -> list[Any]:
    """Return a step's facts of one kind."""
    return [fact for fact in step.facts if isinstance(fact, kind)]


async def bookings_of(client: VenueClient, since_ns: int = 0) -> list[Booking]:
    """Ask a venue for all of its bookings."""
    return [booking async for page in client.bookings("main", since_ns) for booking in page]
