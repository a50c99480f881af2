"""Positions, closed trades, the portfolio as people read it."""

from decimal import Decimal
from typing import Literal

import msgspec

from cerberus_trader.domain.instrument import MarginLevel, Tier, margin_level
from cerberus_trader.domain.money import ZERO
from cerberus_trader.domain.order import GROUP_DIGITS, Kind, Order, Reason, Status

HealthState = Literal["ok", "watch", "danger", "critical"]


class Position(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold one open position; `sign` is +1 long, -1 short.

    `id` is the id of the entry order that opened it; `cost` is the sum of quantity x fill price,
    so that the average entry is exact; `margin` is the isolated wallet; `stop`, `take_profit`
    and `trailing` (a distance) are what rests at the venue; `risk` the loss planned at the stop;
    `stop_ns` when the stop was last told of; `guarded` tells whether an entry asked for a stop.
    """

    id: str
    account: str
    strategy: str
    instrument: str
    sign: int
    quantity: Decimal
    cost: Decimal
    leverage: Decimal
    margin: Decimal
    opened_ns: int
    stop: Decimal | None = None
    take_profit: Decimal | None = None
    trailing: Decimal | None = None
    risk: Decimal = ZERO
    realised: Decimal = ZERO
    fees: Decimal = ZERO
    funding: Decimal = ZERO
    signal_id: str = ""
    probation: bool = False
    health: HealthState = "ok"
    stale: bool = False
    stop_ns: int = 0
    guarded: bool = False

    @property
    def entry_price(self) -> Decimal:
        """Return the average entry price."""
        return self.cost / self.quantity

    def unrealised(self, mark: Decimal) -> Decimal:
        """Return the profit of closing at the mark, before fees."""
        gain = self.quantity * mark - self.cost
        return gain if self.sign > 0 else -gain

    def liquidation(self, tiers: tuple[Tier, ...]) -> MarginLevel | None:
        """Return the liquidation level, None where the position cannot be liquidated."""
        return margin_level(tiers, self.sign, self.quantity, self.cost, self.margin)

    @property
    def stop_risk(self) -> Decimal:
        """Return the loss planned at its stop, or what lies up to the stop where that is more.

        An entry that adds to a position may bring a stop that is farther away, for all of it.
        """
        if self.stop is None:
            return self.risk
        lost = (self.cost - self.quantity * self.stop) * self.sign
        return max(self.risk, lost)

    def open_risk(self, tiers: tuple[Tier, ...], *, missing: bool = False) -> Decimal:
        """Return what may be lost on it: the loss planned at its stop.

        Without a stop, or with one that is missing at its venue, all of its isolated margin, where
        it is liquidated before more is lost, else all that it cost.
        """
        if not missing and (self.stop is not None or self.trailing is not None):
            return self.stop_risk
        liquidated = self.margin > ZERO and self.liquidation(tiers) is not None
        return max(self.margin if liquidated else self.cost, self.stop_risk)


LEVELS = ("stop", "take_profit", "trailing")
"""What the protective orders of a position hold, in the order of their ids."""


def protective_ids(position_id: str) -> tuple[str, str, str]:
    """Return the ids of the stop, the take-profit and the trailing stop of a position.

    It has the id of the order that opened it; an id that is not ours keeps what tells it apart.
    """
    group = position_id[:GROUP_DIGITS]
    return group + "s", group + "t", group + "r"


def protective_orders(position: Position) -> list[Order]:
    """Return the orders that rest for a position: one real reduce-only order per level."""
    ids = protective_ids(position.id)
    found = []
    if position.stop is not None:
        found.append(_resting(position, ids[0], "stop", "stop_loss", position.stop))
    if position.take_profit is not None:
        found.append(_resting(position, ids[1], "take_profit", "take_profit", position.take_profit))
    if position.trailing is not None:
        found.append(_resting(position, ids[2], "trailing", "trailing_stop", position.trailing))
    return found


def _resting(
    position: Position, order_id: str, kind: Kind, reason: Reason, price: Decimal
) -> Order:
    return Order(
        order_id, position.account, position.strategy, position.instrument, -position.sign, kind,
        reason, position.quantity, position.signal_id, price, position.leverage, True,
        position.id, None, position.opened_ns, 0, ZERO, ZERO, False, Status.ACCEPTED,
    )  # fmt: skip


class Trade(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Hold one closed trade: a position from its opening to its end.

    `pnl` is net of fees and funding; `r` is pnl over the risk taken, 0 where none was planned.
    """

    position_id: str
    account: str
    strategy: str
    instrument: str
    sign: int
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    leverage: Decimal
    opened_ns: int
    closed_ns: int
    reason: str
    pnl: Decimal
    fees: Decimal
    funding: Decimal
    r: float = 0.0
    signal_id: str = ""


class PositionRow(msgspec.Struct, frozen=True):
    """Show a position with the fields of the design document (D-05.2)."""

    id: str
    token: str
    side: str
    size: Decimal
    leverage: Decimal
    entry_price: Decimal
    current_price: Decimal
    pnl: Decimal
    liquidation_price: Decimal | None
    status: str
    opened_at: int
    closed_at: int | None = None


class Portfolio(msgspec.Struct, frozen=True):
    """Show the account with the fields of the design document (D-05.1)."""

    balance: Decimal
    equity: Decimal
    margin_used: Decimal
    margin_available: Decimal
    daily_pnl: Decimal
    open_positions: tuple[PositionRow, ...]


class SystemMetrics(msgspec.Struct, frozen=True):
    """Show the counters of the design document (D-05.3); decision times are a bounded window."""

    total_signals: int
    successful_trades: int
    failed_trades: int
    current_balance: Decimal
    daily_pnl: Decimal
    decision_times: tuple[float, ...]
    success_rate: float
