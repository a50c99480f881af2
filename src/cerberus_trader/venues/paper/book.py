"""The paper venue's state: what it holds for each account, and its waiting orders."""

from decimal import Decimal

from cerberus_trader.domain.instrument import Instrument, MarginLevel, margin_level
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import GROUP_DIGITS, Bracket, Order


class Holding:
    """Hold one isolated position with the levels that rest for it.

    `best` is the best price for the trailing stop before the row `since`; both are the market
    layer's to read, and neither moves between events. `exiting` names a level that has acted and
    is still filling, part by part; `part_row` is the row of the last part.
    """

    __slots__ = (
        "account", "best", "cost", "exiting", "instrument", "leverage", "liquidation", "margin",
        "number", "opened_ns", "part_row", "parts", "position_id", "quantity", "sign", "since",
        "stop", "take_profit", "take_profit_limit", "trailing",
    )  # fmt: skip

    def __init__(
        self, number: int, order: Order, instrument: Instrument, opened_ns: int, best: Decimal
    ) -> None:
        self.number = number
        self.position_id = order.id
        self.account = order.account
        self.instrument = instrument
        self.sign = order.side
        self.quantity = ZERO
        self.cost = ZERO
        self.margin = ZERO
        self.leverage = order.leverage
        self.opened_ns = opened_ns
        self.stop: Decimal | None = None
        self.take_profit: Decimal | None = None
        self.take_profit_limit = False
        self.trailing: Decimal | None = None
        self.best = best
        self.since = 0
        self.exiting = ""
        self.part_row, self.parts = -1, 0
        self.liquidation: MarginLevel | None = None

    @property
    def child(self) -> str:
        """Return what the ids of the position's own orders begin with."""
        return self.position_id[:GROUP_DIGITS]

    def solve(self) -> None:
        """Solve the liquidation level anew, after a fill or a payment."""
        self.liquidation = margin_level(
            self.instrument.tiers, self.sign, self.quantity, self.cost, self.margin
        )

    def protect(self, bracket: Bracket, price: Decimal) -> None:
        """Set the levels that a bracket names: a stop towards the entry, a profit away."""
        rule, sign = self.instrument, self.sign
        stop, profit, trailing = bracket.stop, bracket.take_profit, bracket.trailing
        if stop is None and bracket.stop_pct is not None:
            stop = price * (100 - sign * bracket.stop_pct) / 100
        if stop is not None:
            self.stop = rule.price_up(stop) if sign > 0 else rule.price_down(stop)
        if profit is None and bracket.take_profit_pct is not None:
            profit = price * (100 + sign * bracket.take_profit_pct) / 100
        if profit is not None:
            self.take_profit = rule.price_up(profit) if sign > 0 else rule.price_down(profit)
            self.take_profit_limit = bracket.take_profit_limit
        if trailing is None and bracket.trailing_pct is not None:
            trailing = price * bracket.trailing_pct / 100
        if trailing is not None:
            self.trailing = rule.price_up(trailing)

    def stop_at(self, best: Decimal) -> tuple[Decimal | None, str]:
        """Return the stop that acts at a best price, and its reason: the nearer of the two."""
        stop, trailing = self.stop, self.trailing
        if trailing is None:
            return stop, "stop_loss"
        trail = best - trailing if self.sign > 0 else best + trailing
        if stop is None or (trail - stop) * self.sign > ZERO:
            return trail, "trailing_stop"
        return stop, "stop_loss"


class Waiting:
    """Hold an order on its way (executes at its time) or resting at its limit."""

    __slots__ = ("due_ns", "judged_ns", "left", "order", "part_row", "parts", "sequence")

    def __init__(self, order: Order, due_ns: int, judged_ns: int, sequence: int) -> None:
        self.order = order
        self.due_ns = due_ns
        self.judged_ns = judged_ns
        self.left = order.quantity
        self.parts = 0
        self.part_row = -1
        self.sequence = sequence

    def part(self, quantity: Decimal) -> str:
        """Take a part out of what is left; return its trade id."""
        self.left -= quantity
        self.parts += 1
        return self.order.id if self.parts == 1 else f"{self.order.id}.{self.parts}"


class Book:
    """Hold all positions, arriving orders and resting entries of the venue."""

    def __init__(self) -> None:
        self.holdings: dict[str, Holding] = {}
        self.by_instrument: dict[str, dict[str, Holding]] = {}
        self.arriving: dict[str, Waiting] = {}
        self.resting: dict[str, Waiting] = {}
        self.numbers = 0

    def number(self) -> int:
        """Draw the next number, for ties."""
        self.numbers += 1
        return self.numbers

    def put(self, holding: Holding) -> None:
        """Take a new position in."""
        name = holding.instrument.name
        self.holdings[f"{holding.account}/{name}"] = holding
        self.by_instrument.setdefault(name, {})[holding.account] = holding

    def drop(self, holding: Holding) -> None:
        """Take a closed position out."""
        name = holding.instrument.name
        del self.holdings[f"{holding.account}/{name}"]
        del self.by_instrument[name][holding.account]

    def of(self, instrument: str) -> list[Holding]:
        """List the positions of an instrument, oldest first."""
        return list(self.by_instrument.get(instrument, {}).values())

    def resting_of(self, instrument: str) -> list[Waiting]:
        """List the resting entries of an instrument, oldest first."""
        return [item for item in self.resting.values() if item.order.instrument == instrument]
