"""What a start found: one paragraph, made of the facts between the fold and the first agreement.

Orders whose outcome nobody knew, those that the venue has, those that it never got; fills that
were missed and are booked; money that was moved at the venue; positions and cash that were
corrected, each with its reason; and what nobody can explain.
"""

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import Event, FillReport, TransferReport
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import TERMINAL, Status
from cerberus_trader.engine.state import State
from cerberus_trader.runtime.log import Log

ASKED = (Status.SUBMITTED, Status.UNKNOWN, Status.PENDING_CANCEL)
NAMED_MAX = 20


class Findings:
    """Gather until the accounts agree, then say it once: an observer."""

    def __init__(self, state: State, log: Log, outside: bool) -> None:
        self.log = log
        self.done = False
        self.row = state.seq
        self.positions = len(state.positions)
        self.orders = len(state.orders)
        self.asked = {o.id: "" for o in state.orders.values() if o.status in ASKED}
        self.fills: list[str] = []
        self.moved: list[str] = []
        self.corrected: list[str] = []
        self.unexplained: list[str] = []
        self.frozen = False
        self.words = "The venue is being asked."
        if not outside:
            self.finish("The paper venue is inside this process and was rebuilt from the journal.")

    def take(self, seq: int, event: Event, facts: tuple[f.Fact, ...]) -> None:
        """Take a durable row."""
        if self.done:
            return
        for fact in facts:
            if type(fact) is f.Filled and type(event) is FillReport:
                self.fills.append(
                    f"{'buy' if event.side > 0 else 'sell'} {plain(event.quantity)}"
                    f" {event.instrument} at {plain(event.price)}"
                )
            elif type(fact) is f.OrderChanged and fact.order_id in self.asked:
                self.asked[fact.order_id] = self._came_to(fact)
            elif type(fact) is f.PositionCorrected:
                after = fact.after
                held = plain(after.sign * after.quantity) if after is not None else "none"
                self.corrected.append(f"{fact.instrument} is {held} ({fact.reason})")
            elif type(fact) is f.BalanceCorrected:
                self.corrected.append(f"balance by {plain(fact.amount)} ({fact.reason})")
            elif type(fact) is f.CashMoved and type(event) is TransferReport:
                way = "in" if fact.amount > 0 else "out"
                self.moved.append(f"{plain(abs(fact.amount))} {way}")
            elif type(fact) is f.CashMoved:
                self.corrected.append(f"balance by {plain(fact.amount)} ({fact.actor})")
            elif type(fact) is f.MismatchFound and fact.action in ("frozen", "canceled", "noted"):
                if fact.kind not in ("balance", "lost_order"):  # told by what followed
                    said = f"{fact.kind.replace('_', ' ')} {fact.place}"
                    self.unexplained.append(f"{said} {fact.theirs}".strip() + f" ({fact.action})")
            elif type(fact) is f.TradingStateChanged:
                self.frozen = fact.state == "frozen"
            elif type(fact) is f.Reconciled:
                self.finish(self._held(fact))

    def _came_to(self, fact: f.OrderChanged) -> str:
        if fact.status not in TERMINAL:
            return "" if fact.status is Status.UNKNOWN else "found"
        return "lost" if "denied" in fact.reason else f"ended ({fact.status.value})"

    def _held(self, fact: f.Reconciled) -> str:
        held = f"The venue has {fact.orders} orders and {fact.positions} positions"
        if self.frozen:
            return f"{held}. Trading is frozen until a person has looked and thaws it."
        return f"{held}: its books and ours agree."

    def finish(self, words: str) -> None:
        """Say it."""
        self.done, self.words = True, words
        self.log.info("start-up", found=self.text())

    def text(self) -> str:
        """Return the paragraph as far as it is known."""
        parts = [f"Row {self.row} was folded: {self.positions} positions, {self.orders} orders,"
                 f" {len(self.asked)} of them in question."]  # fmt: skip
        came: dict[str, int] = {}
        for word in self.asked.values():
            came[word or "still unknown"] = came.get(word or "still unknown", 0) + 1
        if came:
            parts.append("Orders: " + ", ".join(f"{n} {word}" for word, n in came.items()) + ".")
        for title, found in (
            ("Fills booked", self.fills), ("Moved at the venue", self.moved),
            ("Corrected", self.corrected), ("Not explained", self.unexplained),
        ):  # fmt: skip
            if found:
                more = f" and {len(found) - NAMED_MAX} more" if len(found) > NAMED_MAX else ""
                parts.append(f"{title}: {'; '.join(found[:NAMED_MAX])}{more}.")
        parts.append(self.words)
        return " ".join(parts)
