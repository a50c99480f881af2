"""The paper venue: it owns limits, stops, take-profits, trailing stops and liquidation.

It is pure: the market layer tells it which row has come, it answers with reports. What it holds
changes only at events, so that the reports of a journal rebuild it.
"""

from collections.abc import Callable
from decimal import Decimal

import msgspec

from cerberus_trader.domain.commands import CancelOrder, ModifyOrder, SubmitOrder
from cerberus_trader.domain.events import FillReport, FundingReport, OrderModified, OrderReport
from cerberus_trader.domain.instrument import Instrument
from cerberus_trader.domain.market import Marks
from cerberus_trader.domain.money import ONE, ZERO, cost_up, share_of
from cerberus_trader.domain.order import Order
from cerberus_trader.domain.settings import Paper
from cerberus_trader.venues.base import Capabilities, venue
from cerberus_trader.venues.paper import rules
from cerberus_trader.venues.paper.book import Book, Holding, Waiting

Report = FillReport | OrderReport | FundingReport | OrderModified
replace = msgspec.structs.replace
MS = 1_000_000


@venue("paper")
class PaperVenue:
    """Simulate a venue with isolated margin and linear contracts.

    `marks` prices every instrument that has exposure at a time; it is the market layer's.
    `holds` names instruments whose liquidation is tested on a mark series alone.
    """

    capabilities = Capabilities(
        order_types=("market", "limit", "stop", "take_profit", "trailing"),
        holds_stops=True,
        brackets=True,
    )

    def __init__(
        self,
        settings: Paper,
        instruments: dict[str, Instrument],
        marks: Callable[[int, str], Marks],
        marked: frozenset[str] = frozenset(),
    ) -> None:
        self.settings = settings
        self.instruments = instruments
        self.marks = marks
        self.marked = marked
        self.book = Book()

    # -- commands -------------------------------------------------------------------------

    def submit(self, command: SubmitOrder, now_ns: int) -> None:
        """Take an order; it executes at the first row at least `latency_ms` later."""
        order = command.order
        due = now_ns + self.settings.latency_ms * MS
        self.book.arriving[order.id] = Waiting(order, due, now_ns, self.book.number())

    def cancel(self, command: CancelOrder, now_ns: int) -> list[Report]:
        """Cancel a waiting or resting order at once; say nothing of one that is gone."""
        book = self.book
        waiting = book.arriving.pop(command.order_id, None) or book.resting.pop(
            command.order_id, None
        )
        return [self._report(now_ns, command.order_id, "canceled", "")] if waiting else []

    def modify(self, command: ModifyOrder, now_ns: int) -> list[Report]:
        """Change a resting entry at once; say nothing of one that is gone."""
        waiting = self.book.resting.get(command.order_id)
        if waiting is None:
            return []
        filled = waiting.order.quantity - waiting.left
        waiting.order = replace(waiting.order, price=command.price, quantity=command.quantity)
        waiting.left = command.quantity - filled
        return [OrderModified(now_ns, command.order_id, command.price, command.quantity)]

    # -- arriving orders ------------------------------------------------------------------

    def execute(
        self, waiting: Waiting, now_ns: int, bid: Decimal, ask: Decimal,
        size: Decimal | None = None,
    ) -> list[Report]:  # fmt: skip
        """Execute an arriving order, or what is left of it, on the last row of its instant.

        `size` is what the row offers on the order's side, None where that is not limited.
        """
        order, book = waiting.order, self.book
        book.arriving.pop(order.id, None)
        book.resting.pop(order.id, None)
        if order.expires_ns and now_ns > order.expires_ns:
            return [self._report(now_ns, order.id, "expired", "expired before its execution")]
        if order.reduce_only:
            return self._close(waiting, now_ns, bid, ask, size)
        limit = order.price if order.kind == "limit" else None
        raw, best = (ask, bid) if order.side > 0 else (bid, ask)
        if order.fok and not (
            limit is not None
            and rules.reaches_limit(order.side, limit, bid, ask)
            and self._whole(waiting, size)
        ):
            return [self._report(now_ns, order.id, "expired", "not filled at once and whole")]
        if limit is None or rules.reaches_limit(order.side, limit, bid, ask):
            slippage = self.settings.slippage_bps if limit is None else ZERO
            price = rules.fill_price(self.instruments[order.instrument], raw, order.side, slippage)
            return self._enter(waiting, now_ns, price, maker=False, best=best, size=size)
        refusal = self._refusal(order, limit * order.quantity)
        if refusal:
            return [self._report(now_ns, order.id, "rejected", refusal)]
        book.resting[order.id] = waiting
        return [self._report(now_ns, order.id, "accepted", "")]

    def expire(self, order_id: str, now_ns: int, reason: str) -> list[Report]:
        """End a waiting or resting order that can fill no more."""
        book = self.book
        if book.arriving.pop(order_id, None) or book.resting.pop(order_id, None):
            return [self._report(now_ns, order_id, "expired", reason)]
        return []

    # -- rows ----------------------------------------------------------------------------

    def rest(
        self, waiting: Waiting, now_ns: int, best: Decimal, size: Decimal | None = None
    ) -> list[Report]:
        """Fill a resting entry at its limit, as maker."""
        order = waiting.order
        assert order.price is not None
        self.book.resting.pop(order.id)
        return self._enter(waiting, now_ns, order.price, maker=True, best=best, size=size)

    def leave(
        self, held: Holding, leg: rules.Exit, now_ns: int, size: Decimal | None = None
    ) -> list[Report]:
        """End a position, or a part of it, by a level that acted."""
        side = -held.sign
        if leg.reason == "liquidation":
            price, fee = rules.liquidation_fill(held)
            return [self._exit(held, held.child + "l", now_ns, held.quantity, price, fee, leg)]
        quantity = self._allowed(held.quantity, held.instrument, size)
        if not leg.resting:
            held.exiting = leg.reason
        if not quantity:
            return []
        slippage = ZERO if leg.resting else self.settings.slippage_bps
        price = rules.fill_price(held.instrument, leg.price, side, slippage)
        fee = rules.fee_of(held.instrument, quantity * price, leg.resting)
        letter = {"stop_loss": "s", "take_profit": "t", "trailing_stop": "r"}[leg.reason]
        return [self._exit(held, held.child + letter, now_ns, quantity, price, fee, leg)]

    def fund(self, held: Holding, now_ns: int, rate: Decimal, price: Decimal) -> list[Report]:
        """Pay funding out of the margin, then test liquidation at once on the price used."""
        amount = rules.funding_amount(held, rate, price)
        held.margin -= amount
        held.solve()
        name = held.instrument.name
        reports: list[Report] = [
            FundingReport(
                now_ns, held.account, name, rate, price, amount, held.margin,
                self.marks(now_ns, name),
            )
        ]  # fmt: skip
        if rules.liquidated(held, price):
            reports += self.leave(held, rules.Exit("liquidation", ZERO), now_ns)
        return reports

    # -- inside --------------------------------------------------------------------------

    def _report(self, now_ns: int, order_id: str, state: str, reason: str) -> OrderReport:
        return OrderReport(now_ns, order_id, state, reason)  # type: ignore[arg-type]

    def _refusal(self, order: Order, notional: Decimal) -> str:
        """Say why the venue rejects the leverage, empty if it does not."""
        tier = self.instruments[order.instrument].tier_of(notional)
        if tier is None or order.leverage <= tier.leverage_max:
            return ""
        return f"leverage {order.leverage} above {tier.leverage_max} of the tier"

    def _whole(self, waiting: Waiting, size: Decimal | None) -> bool:
        """Tell whether a row fills all of an order."""
        rule = self.instruments[waiting.order.instrument]
        return self._allowed(waiting.left, rule, size) == waiting.left

    def _allowed(self, wanted: Decimal, rule: Instrument, size: Decimal | None) -> Decimal:
        """Return what a row of this size fills: all, or the configured share of it."""
        if not self.settings.participation_max or size is None:
            return wanted
        return min(wanted, rule.quantity_down(size * self.settings.participation_max))

    def _enter(
        self, waiting: Waiting, now_ns: int, price: Decimal, *, maker: bool, best: Decimal,
        size: Decimal | None,
    ) -> list[Report]:  # fmt: skip
        """Open or enlarge a position; what the row cannot fill goes on waiting."""
        order = waiting.order
        rule = self.instruments[order.instrument]
        quantity = self._allowed(waiting.left, rule, size)
        if not quantity:
            self.book.resting[order.id] = waiting
            return []
        notional = quantity * price
        refusal = self._refusal(order, notional)
        if refusal:
            return [self._report(now_ns, order.id, "rejected", refusal)]
        held = self.book.holdings.get(f"{order.account}/{order.instrument}")
        if held is not None and held.sign != order.side:
            return [self._report(now_ns, order.id, "rejected", "the other side is open")]
        if held is None and waiting.parts:  # a level or a close ended what the first parts opened
            return [self._report(now_ns, order.id, "canceled", "its position was closed")]
        first = held is None
        if held is None:
            held = Holding(self.book.number(), order, rule, now_ns, best)
            self.book.put(held)
        held.quantity += quantity
        held.cost += notional
        leverage = order.leverage if rule.tiers else max(order.leverage, ONE)
        held.margin += cost_up(notional / leverage)
        if order.bracket is not None:
            whole = held.position_id == order.id and not first
            held.protect(order.bracket, held.cost / held.quantity if whole else price)
        held.solve()
        trade = waiting.part(quantity)
        if waiting.left > ZERO:
            self.book.resting[order.id] = waiting
        return [
            FillReport(
                now_ns, order.id, trade, order.account, order.instrument, order.side, quantity,
                price, rules.fee_of(rule, notional, maker), "maker" if maker else "taker",
                "entry" if held.position_id == order.id else "add",
                held.margin, waiting.left, held.stop, held.take_profit,
                held.trailing, self.marks(now_ns, order.instrument),
            )
        ]  # fmt: skip

    def _close(
        self, waiting: Waiting, now_ns: int, bid: Decimal, ask: Decimal, size: Decimal | None
    ) -> list[Report]:
        """Close at market what the order is bound to, or cancel its entry, or lapse."""
        order = waiting.order
        held = self.book.holdings.get(f"{order.account}/{order.instrument}")
        if held is None or held.position_id != order.closes:
            entry = self.book.resting.get(order.closes) or self.book.arriving.get(order.closes)
            if entry is None:
                return [self._report(now_ns, order.id, "expired", "nothing left to close")]
            reports = self.cancel(
                CancelOrder(order.closes, order.account, order.instrument), now_ns
            )
            return [*reports, self._report(now_ns, order.id, "canceled", "its entry was canceled")]
        raw = ask if order.side > 0 else bid
        price = rules.fill_price(held.instrument, raw, order.side, self.settings.slippage_bps)
        wanted = min(waiting.left, held.quantity)
        quantity = self._allowed(wanted, held.instrument, size)
        if quantity < wanted:
            self.book.resting[order.id] = waiting
        if not quantity:
            return []
        waiting.part(quantity)
        fee = rules.fee_of(held.instrument, quantity * price, maker=False)
        leg = rules.Exit(order.reason, price)
        left = wanted - quantity
        return [self._exit(held, order.id, now_ns, quantity, price, fee, leg, left)]

    def _exit(
        self, held: Holding, order_id: str, now_ns: int, quantity: Decimal, price: Decimal,
        fee: Decimal, leg: rules.Exit, leaves: Decimal | None = None,
    ) -> FillReport:  # fmt: skip
        """Take a quantity out of a position, and report the fill."""
        name = held.instrument.name
        held.parts += 1
        trade = order_id if held.parts == 1 else f"{order_id}.{held.parts}"
        if leaves is None:
            leaves = held.quantity - quantity
        if quantity >= held.quantity:
            self.book.drop(held)
            margin, stop, profit, trailing = ZERO, None, None, None
        else:
            left = held.quantity - quantity
            held.cost -= share_of(held.cost, quantity, held.quantity)
            held.margin = cost_up(held.margin * left / held.quantity)
            held.quantity = left
            held.solve()
            margin, stop = held.margin, held.stop
            profit, trailing = held.take_profit, held.trailing
        return FillReport(
            now_ns, order_id, trade, held.account, name, -held.sign, quantity, price, fee,
            "maker" if leg.resting else "taker", leg.reason,  # type: ignore[arg-type]
            margin, leaves, stop, profit, trailing, self.marks(now_ns, name),
        )  # fmt: skip
