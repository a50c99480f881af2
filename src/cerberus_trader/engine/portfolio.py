"""The portfolio: what a fill or payment does to equity, margin health, and the read models."""

from decimal import Decimal

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport, FundingReport
from cerberus_trader.domain.instrument import BARE, MarginLevel, margin_level
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ONE, ZERO
from cerberus_trader.domain.position import (
    HealthState,
    Portfolio,
    Position,
    PositionRow,
    SystemMetrics,
)
from cerberus_trader.engine.state import State, equity, key_of, strategy_pnl
from cerberus_trader.engine.strategies import success_rate

ORDER: tuple[HealthState, ...] = ("ok", "watch", "danger", "critical")


def book_funding(state: State, event: FundingReport) -> f.FundingBooked | None:
    """Book a funding payment against the position it was paid on.

    One that is told after that has closed is the account's; without a name it could come twice.
    """
    position = state.positions.get(key_of(event.account, event.instrument))
    if event.name and f"{event.account}/{event.name}" in state.trade_ids:
        return None
    if position is None:
        late = f.FundingBooked(event.ts_ns, None, event.amount, event.payment_id)
        return late if event.name else None
    after = Position(
        position.id, position.account, position.strategy, position.instrument, position.sign,
        position.quantity, position.cost, position.leverage, event.margin, position.opened_ns,
        position.stop, position.take_profit, position.trailing, position.risk,
        position.realised, position.fees, position.funding + event.amount, position.signal_id,
        position.probation, position.health, position.stale, position.stop_ns, position.guarded,
    )  # fmt: skip
    return f.FundingBooked(event.ts_ns, after, event.amount, event.payment_id)


def free_balance(state: State, marks: Marks) -> Decimal:
    """Return what may be taken out: neither margin, nor reserved, nor lost on open positions."""
    worth = min(state.balance, equity(state, marks))
    return worth - state.margin - sum((held[2] for held in state.reserved.values()), ZERO)


def move_cash(state: State, marks: Marks, amount: Decimal, actor: str) -> list[f.Fact]:
    """Move money in, or (negative) out: the day's start moves along.

    Where all that the day began with is taken out, with gains of the day, the day begins anew: of
    nothing there is no share to lose.
    """
    facts: list[f.Fact] = [f.CashMoved(amount, actor)]
    left = equity(state, marks) + amount
    if state.day_equity + amount <= ZERO < left:
        bases = tuple((name, strategy_pnl(state, name, marks)) for name in state.strategies)
        facts.append(f.DayStarted(state.day, left, bases))
    return facts


def change_of(
    state: State, event: FillReport, before: Position | None, booked: f.Filled
) -> Decimal:
    """Return what a fill changes of equity: cash, and the position's unrealised P&L."""
    change = booked.realised - event.fee
    mark = mark_of(state, event.instrument, event.marks)
    if mark is None:
        return change
    if before is not None:
        change -= before.unrealised(mark)
    if booked.position is not None:
        change += booked.position.unrealised(mark)
    return change


def mark_of(state: State, instrument: str, marks: Marks) -> Decimal | None:
    """Return an instrument's mark: the event's, else the last known one."""
    for name, price in marks:
        if name == instrument:
            return price
    return state.marks.get(instrument)


def health_at(state: State, position: Position, mark: Decimal) -> HealthState:
    """Name a position's health at a mark: maintenance against shares of its own equity.

    Compared without a division, so that it agrees with `next_warning` to the last digit. A
    threshold of 1 is switched off; without tiers a position is always ok.
    """
    notional = position.quantity * mark
    tier = state.instruments.get(position.instrument, BARE).tier_of(notional)
    if tier is None:
        return "ok"
    own = position.margin + position.unrealised(mark)
    maintenance = notional * tier.rate - tier.cum
    limits = state.settings.health
    if limits.critical < ONE and maintenance >= limits.critical * own:
        return "critical"
    if limits.danger < ONE and maintenance >= limits.danger * own:
        return "danger"
    return "watch" if limits.watch < ONE and maintenance >= limits.watch * own else "ok"


def next_warning(state: State, position: Position) -> MarginLevel | None:
    """Return the margin level at which the position's health is next to worsen."""
    limits = state.settings.health
    for ratio in (limits.watch, limits.danger, limits.critical)[ORDER.index(position.health) :]:
        if ratio < ONE:
            tiers = state.instruments.get(position.instrument, BARE).tiers
            return margin_level(
                tiers, position.sign, position.quantity, position.cost, position.margin, ratio
            )
    return None


def position_row(state: State, position: Position) -> PositionRow:
    """Show a position with the fields of D-05.2, at the last known mark."""
    mark = state.marks.get(position.instrument, position.entry_price)
    level = position.liquidation(state.instruments.get(position.instrument, BARE).tiers)
    return PositionRow(
        position.id, position.instrument, "long" if position.sign > 0 else "short",
        position.quantity, position.leverage, position.entry_price, mark,
        position.unrealised(mark), level.price if level is not None else None, "open",
        position.opened_ns,
    )  # fmt: skip


def portfolio(state: State) -> Portfolio:
    """Show the account with the fields of D-05.1, at the last known marks."""
    now = equity(state)
    return Portfolio(
        state.balance,
        now,
        state.margin,
        now - state.margin,
        now - state.day_equity,
        tuple(position_row(state, item) for item in state.positions.values()),
    )


def exposure_by(state: State, attribute: str) -> dict[str, Decimal]:
    """Sum open notional at the last marks by an instrument's group or asset_class (E-5.3.2)."""
    sums: dict[str, Decimal] = {}
    for name, open_ in state.exposures.items():
        label = str(getattr(state.instruments.get(name, BARE), attribute))
        notional = (open_.long + open_.short) * state.marks.get(name, ZERO)
        sums[label] = sums.get(label, ZERO) + notional
    return sums


def system_metrics(state: State, decision_times: tuple[float, ...] = ()) -> SystemMetrics:
    """Show the counters of D-05.3; decision times come from the shell, which has a clock."""
    counters = state.counters
    return SystemMetrics(
        counters.signals, counters.wins, counters.losses, state.balance,
        equity(state) - state.day_equity, decision_times, success_rate(state),
    )  # fmt: skip
