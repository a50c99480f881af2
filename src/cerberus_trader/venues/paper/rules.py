"""The rules of the simulated market: which level acts at a row or inside a bar, at what price.

One set for the live comparison, the column search and the plain visit of every row. Prices are
exact decimals; slippage and rounding against us come last, in `fill_price`.
"""

from decimal import Decimal
from typing import NamedTuple

from cerberus_trader.domain.instrument import Instrument, bankruptcy_price, reached
from cerberus_trader.domain.money import BPS, ONE, ZERO, cost_up
from cerberus_trader.venues.paper.book import Holding


class Exit(NamedTuple):
    """Hold what ends a position: the raw price, before slippage and rounding.

    `resting` marks a fill at a limit: no slippage, maker fee.
    """

    reason: str
    price: Decimal
    resting: bool = False


def fill_price(instrument: Instrument, price: Decimal, side: int, slippage_bps: Decimal) -> Decimal:
    """Worsen a price by the slippage, then round it against us to the tick rule."""
    if slippage_bps:
        price = price * (ONE + side * slippage_bps * BPS)
    return instrument.price_up(price) if side > 0 else instrument.price_down(price)


def liquidation_fill(held: Holding) -> tuple[Decimal, Decimal]:
    """Return the price a liquidation is recorded at, and its fee: what is left of the margin.

    The price is rounded against us, or the other way where that would pass bankruptcy.
    """
    level, rule = held.liquidation, held.instrument
    assert level is not None
    broke = bankruptcy_price(held.sign, held.quantity, held.cost, held.margin)
    if held.sign > 0:
        price = rule.price_down(level.price)
        if price < broke:
            price = rule.price_up(level.price)
    else:
        price = rule.price_up(level.price)
        if price > broke:
            price = rule.price_down(level.price)
    return price, held.margin + held.sign * (held.quantity * price - held.cost)


def liquidated(held: Holding, price: Decimal) -> bool:
    """Tell exactly whether a mark reaches the liquidation price."""
    level = held.liquidation
    return level is not None and reached(held.sign, price, level.numerator, level.denominator)


def at_row(
    held: Holding, bid: Decimal, ask: Decimal, best: Decimal, liquidate: bool
) -> Exit | None:
    """Test a position at a row after its entry: liquidation, stop, take-profit.

    `best` counts every row before this one; `liquidate` says that no mark series is given.
    """
    if liquidate and liquidated(held, bid if bid == ask else (bid + ask) / 2):
        return Exit("liquidation", ZERO)
    sign = held.sign
    price = bid if sign > 0 else ask
    stop, reason = held.stop_at(best)
    if stop is not None and (price - stop) * sign <= ZERO:
        return Exit(reason, price)
    profit = held.take_profit
    if profit is not None and (price - profit) * sign >= ZERO:
        if held.take_profit_limit:
            return Exit("take_profit", profit, resting=True)
        return Exit("take_profit", price)
    return None


def inside_bar(
    held: Holding,
    bar: tuple[Decimal, Decimal, Decimal] | None,
    mark: Decimal | None,
    best: Decimal,
    liquidate: bool,
    entered: Decimal | None = None,
    adverse_only: bool = False,
) -> Exit | None:
    """Test a position inside a bar: adverse extreme first, then the favourable one.

    `bar` is (open, high, low), None for a mark bar without one; `mark` is the mark bar's adverse
    extreme where given; `entered` is the limit at which this very bar was entered or added to,
    else its open counts, for a stop that it had already passed; `adverse_only` after an entry
    inside it.
    """
    sign, level = held.sign, held.liquidation
    stop, reason = held.stop_at(best)
    worst = None if bar is None else bar[2] if sign > 0 else bar[1]
    if mark is None and liquidate:
        mark = worst
    dead = mark is not None and liquidated(held, mark)
    if stop is not None and bar is not None and worst is not None and (worst - stop) * sign <= ZERO:
        before = level is None or not reached(sign, stop, level.numerator, level.denominator)
        if not dead or before:
            start = bar[0] if entered is None else entered
            return Exit(reason, min(start, stop) if sign > 0 else max(start, stop))
    if dead:
        return Exit("liquidation", ZERO)
    profit = held.take_profit
    if profit is None or bar is None or adverse_only:
        return None
    favourable = bar[1] if sign > 0 else bar[2]
    if (favourable - profit) * sign >= ZERO:
        return Exit("take_profit", profit, resting=held.take_profit_limit)
    return None


def reaches_limit(side: int, limit: Decimal, bid: Decimal, ask: Decimal) -> bool:
    """Tell whether a row reaches a limit entry: a buy by the ask, a sell by the bid."""
    return ask <= limit if side > 0 else bid >= limit


def fee_of(instrument: Instrument, notional: Decimal, maker: bool) -> Decimal:
    """Return the trading fee, rounded towards plus infinity at 8 decimals."""
    return cost_up(notional * (instrument.maker_fee if maker else instrument.taker_fee))


def funding_amount(held: Holding, rate: Decimal, price: Decimal) -> Decimal:
    """Return what the position pays (negative: receives), rounded against us at 8 decimals."""
    return cost_up(held.quantity * price * rate * held.sign)
