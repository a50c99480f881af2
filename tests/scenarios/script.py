"""Scenario scripts: one line in (`I …`), the lines that must follow (`E …`), nothing else.

A file holds cases; a case begins with `case NAME` and may change settings (`set section.key=…`).
Orders are named after their signals (`s1`; `s1#1` is its second attempt, `s1.stop` and `s1.profit`
rest for its position), closes `close1`, `close2`. Quantities are 1 and prices 100 unless said.
"""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from cerberus_trader.domain import events as e
from cerberus_trader.domain import facts as f
from cerberus_trader.domain.commands import SubmitOrder
from cerberus_trader.domain.execution import VenueOrder, VenuePosition
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.order import Order, Status, order_id
from cerberus_trader.engine.orders import retry_id
from tests.kit import SECOND, Bench, D, settings

LEGS = {".stop": "s", ".profit": "t", ".trailing": "r"}
FREE = {
    "leverage": {"volatility_factor_min": 1.0, "success_factor_min": 1.0},
    "levels": {"stop_required": False},
}


class Case(NamedTuple):
    """Hold a case: where it stands, its settings, and its lines in and out."""

    file: str
    name: str
    settings: tuple[str, ...]
    steps: tuple[tuple[str, tuple[str, ...]], ...]


def read(path: Path) -> list[Case]:
    """Read the cases of a file; raise `ValueError` naming a line that is none."""
    found: list[tuple[str, list[str], list[tuple[str, list[str]]]]] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        word, _, rest = ("" if line.startswith("#") else line.strip()).partition(" ")
        if word == "case":
            found.append((rest, [], []))
        elif word == "set":
            found[-1][1].append(rest)
        elif word == "I":
            found[-1][2].append((rest, []))
        elif word == "E":
            found[-1][2][-1][1].append(rest)
        elif word:
            raise ValueError(f"{path.name}:{number}: {line!r} begins with neither I nor E")
    return [
        Case(path.name, name, tuple(chosen), tuple((line, tuple(out)) for line, out in steps))
        for name, chosen, steps in found
    ]


class Desk:
    """Play one case: lines in, lines out. `moves` and `refused` keep what happened to statuses."""

    def __init__(self, case: Case) -> None:
        sections: dict[str, dict[str, Any]] = {name: dict(v) for name, v in FREE.items()}
        for line in case.settings:
            place, _, value = line.partition("=")
            section, _, key = place.partition(".")
            sections.setdefault(section, {})[key] = _value(value)
        self.bench = Bench(settings(**sections))
        self.state = self.bench.state
        self.state.marks.update(dict.fromkeys(self.state.instruments, D(100)))
        self.orders: dict[str, Order] = {}
        self.names: dict[str, str] = {}
        self.closes = 0
        self.moves: list[tuple[Status, Status]] = []
        self.refused: list[tuple[Status, str]] = []

    def play(self, line: str) -> list[str]:
        """Take one line; return what the engine says."""
        words = line.split()
        taken = getattr(self, "do_" + words[0], None)
        if taken is None:
            taken = self.operate
            words.insert(0, "")
        step = taken(*[w for w in words[1:] if not _is_option(w)], **_options(words))
        if step is None:
            return []
        return step if isinstance(step, list) else self.told(step)

    # -- lines in --------------------------------------------------------------------------

    def take(self, event: e.Event) -> Any:
        before = {name: order.status for name, order in self.state.orders.items()}
        before |= {name: ended.status for name, ended in self.state.ended.items()}
        step = self.bench.take(event)
        named = getattr(event, "order_id", "")
        for name, status in before.items():
            ended = self.state.ended.get(name)
            order = self.state.orders.get(name)
            now = ended.status if ended is not None else order.status if order else status
            if now is not status:
                self.moves.append((status, now))
            elif name == named and type(event) is e.OrderReport and not step.facts:
                self.refused.append((status, event.state))
        if type(event) is e.FillReport and named in before:
            self.moves += [
                (before[named], fact.status) for fact in step.facts if type(fact) is f.Filled
            ]
        return step

    def do_signal(self, name: str, side: str, instrument: str = "COIN", **given: Any) -> Any:
        values: dict[str, Any] = {"quantity": D(1)} if side != "close" else {}
        if side != "close" and not any("stop" in key for key in given):
            values["stop_loss_pct"] = None  # a fill tells of no stop unless the script says so
        values |= given
        price = str(values.pop("price", 100))
        return self.bench.signal(side, instrument=instrument, price=price, id=name, **values)

    def do_report(self, name: str, state: Any, retry: str = "", **given: Any) -> Any:
        filled = given.get("filled")
        event = e.OrderReport(
            self.bench.now, self.id_of(name), state, str(given.get("reason", "")), bool(retry),
            filled,
        )  # fmt: skip
        return self.take(event)

    def do_fill(self, name: str, trade: str, quantity: str, price: str, **given: Any) -> Any:
        size = D(quantity)
        order = self.orders.get(name)
        leg = next((x for x in self.state.orders.values() if x.id == self.id_of(name)), order)
        values: dict[str, Any] = {
            "side": leg.side if leg else 1, "reason": leg.reason if leg else "entry",
            "instrument": leg.instrument if leg else "COIN", "fee": D(0),
            "leaves": max(leg.quantity - leg.filled - size, D(0)) if leg else D(0),
            "margin": size * D(price.lstrip("@")), "liquidity": "taker",
        }  # fmt: skip
        values |= {key: int(v) if key in ("side", "sequence") else v for key, v in given.items()}
        return self.take(
            e.FillReport(
                self.bench.now,
                self.id_of(name),
                trade,
                "main",
                quantity=size,
                price=D(price.lstrip("@")),
                marks=self.bench.marks({}),
                **values,
            )
        )

    def do_status(self, name: str, state: str, **given: Any) -> Any:
        row = None if state == "absent" else self.row(name, state, given.get("filled"))
        return self.take(e.OrderStatus(self.bench.now, self.id_of(name), self.bench.now, row))

    def do_account(self, *words: str, **given: Any) -> Any:
        self.bench.now += SECOND  # between two looks: a difference must stand so long
        said = {w.split(":")[0]: w.split(":")[1:] for w in words if ":" in w}
        rows = []
        for order in self.state.orders.values():
            name = self.name_of(order.id)
            if name not in said:
                rows.append(self.row(name, "working", order.filled))
        for name, (state, *filled) in said.items():
            if state != "absent":
                rows.append(self.row(name, state, D(filled[0]) if filled else None))
        held = {p.instrument: p for p in self.state.positions.values()}
        positions = [
            VenuePosition(p.instrument, p.sign, p.quantity, p.cost, p.margin, p.leverage, p.id)
            for p in held.values() if p.instrument not in given
        ]  # fmt: skip
        for name, text in given.items():
            if name not in ("balance", "margin") and text != 0:
                text, _, named = str(text).partition("#")
                size, _, price = text.partition("@")
                sign, quantity = (1 if D(size) > 0 else -1), abs(D(size))
                cost = quantity * D(price or "100")
                margin = given.get("margin", cost)
                called = self.id_of(named)
                positions.append(VenuePosition(name, sign, quantity, cost, margin, D(1), called))
        event = e.AccountReport(
            self.bench.now, "main", self.bench.now, "timer", tuple(rows), tuple(positions),
            given.get("balance"), self.bench.marks({}),
        )  # fmt: skip
        return self.take(event)

    def do_link(self, state: Any) -> Any:
        return self.take(e.LinkEvent(self.bench.now, "main", state))

    def do_funding(self, instrument: str, amount: str, payment: str = "") -> Any:
        position = self.state.positions[f"main/{instrument}"]
        return self.take(
            e.FundingReport(
                self.bench.now,
                "main",
                instrument,
                D("0.01"),
                D(100),
                D(amount),
                position.margin - D(amount),
                (),
                payment,
            )
        )

    def do_transfer(self, name: str, amount: str) -> Any:
        return self.take(
            e.TransferReport(self.bench.now, "main", D(amount), name, self.bench.marks({}))
        )

    def do_anomaly(self, kind: Any, place: str) -> Any:
        return self.take(e.Anomaly(self.bench.now, "main", kind, place, "as told"))

    def do_wait(self, seconds: str) -> None:
        self.bench.now += int(D(seconds.rstrip("s")) * 1_000_000_000)

    def do_health(self, **given: Any) -> Any:
        marks = self.bench.marks({name: str(v) for name, v in given.items()})
        return self.take(e.TimerEvent(self.bench.now, "health", marks))

    def operate(self, command: Any, token: str = "", **given: Any) -> Any:
        return self.take(
            e.OperatorEvent(
                self.bench.now, command, "ann", authorised=bool(token), marks=self.bench.marks({})
            )
        )

    def do_show(self) -> list[str]:
        """Return what the engine holds."""
        state = self.state
        lines = [
            f"order {self.name_of(o.id)} {o.status.value} {plain(o.filled)} of {plain(o.quantity)}"
            for o in state.orders.values()
        ]
        for p in state.positions.values():
            lines.append(f"position {p.instrument} {_signed(p)} cost {plain(p.cost)} {p.strategy}")
        lines += [f"reserved {name} {plain(kept[0])}" for name, kept in state.reserved.items()]
        lines += [f"suspect {self.name_of(place.partition('/')[2])}" for place in state.suspects]
        lines += ["not reconciled"] if state.unreconciled else []
        return [*lines, f"trading {state.trading}", f"balance {plain(state.balance)}"]

    # -- names -----------------------------------------------------------------------------

    def id_of(self, name: str) -> str:
        """Return the id of an order by its name; a stranger's name is its id."""
        for end, letter in LEGS.items():
            if name.endswith(end):
                return self.id_of(name.removesuffix(end))[:24] + letter
        if name.startswith("ours"):  # derived by this engine, and in no memory
            return order_id("engine", "main", "lost", name) + name[-1]
        if name.startswith("lost-"):  # the entry that a signal leads to, or its first retry
            signal, _, retry = name.removeprefix("lost-").partition("#")
            entry = order_id("engine", "main", "default", signal) + "e"
            return retry_id(self.state, "main", "default", entry, 1) if retry else entry
        return self.orders[name].id if name in self.orders else name

    def name_of(self, order_id: str) -> str:
        """Return how the script calls an order."""
        if order_id in self.names:
            return self.names[order_id]
        for end, letter in LEGS.items():
            entry = order_id[:-1] + "e"
            if order_id.endswith(letter) and entry in self.names:
                return self.names[entry] + end
        return order_id if len(order_id) < 24 else "ours" + order_id[-1]

    def row(self, name: str, state: Any, filled: Decimal | None = None) -> VenueOrder:
        """Return an order as the venue lists it."""
        real = self.id_of(name)
        order = self.state.orders.get(real) or self.orders.get(name)
        size = order.quantity if order else D(1)
        reduce_only = order.reduce_only if order else not name.endswith("e")
        return VenueOrder(
            real, order.instrument if order else "COIN", order.side if order else 1, size, state,
            filled or D(0), None, reduce_only and not name.startswith(("stranger", "lost")),
        )  # fmt: skip

    # -- lines out -------------------------------------------------------------------------

    def told(self, step: Any) -> list[str]:
        """Say what a step came to, one line per fact that a trader cares about."""
        lines = []
        for fact in step.facts:
            say: Callable[[Desk, Any], str] | None = SAYS.get(type(fact), _plain)
            if say is not None:
                lines.append(say(self, fact))
        asked = [x.order for x in step.facts if type(x) is f.OrderSubmitted]
        canceled = [x.order_id for x in step.facts if type(x) is f.CancelRequested]
        for command in step.commands:
            if isinstance(command, SubmitOrder):
                asked.remove(command.order)
            else:
                canceled.remove(command.order_id)
        assert not asked, "a submission without its command"
        return lines

    def sent(self, fact: f.OrderSubmitted) -> str:
        order = fact.order
        if order.reduce_only and not order.attempt:
            self.closes += 1
        name = f"close{self.closes}" if order.reduce_only else order.signal_id
        if order.attempt:
            name += f"#{order.attempt}"
        self.orders[name], self.names[order.id] = order, name
        side = "buy" if order.side > 0 else "sell"
        kind = "reduce-only" if order.reduce_only else order.kind
        return f"send {name} {side} {plain(order.quantity)} {order.instrument} {kind}"

    def filled(self, fact: f.Filled) -> str:
        event: Any = self.bench.rows[-1][0]
        gain = f", gained {plain(fact.realised)}" if fact.realised else ""
        held = _signed(fact.position) if fact.position else "flat"
        return (
            f"{self.name_of(event.order_id)} {fact.status.value}: {event.instrument} {held}{gain}"
        )


def _signed(position: Any) -> str:
    return ("+" if position.sign > 0 else "-") + plain(position.quantity)


def _plain(desk: Desk, fact: Any) -> str:
    words = [str(getattr(fact, name)) for name in fact.__struct_fields__ if name != "ts_ns"]
    return " ".join([type(fact).__name__, *words])


def _is_option(word: str) -> bool:
    return "=" in word


def _options(words: list[str]) -> dict[str, Any]:
    pairs = [word.partition("=") for word in words[1:] if _is_option(word)]
    return {name: _value(value) for name, _, value in pairs}


def _value(text: str) -> Any:
    try:
        return int(text) if text.isdigit() and len(text) > 3 else D(text)
    except ArithmeticError:
        return text


def _judged(desk: Desk, fact: f.SignalJudged) -> str:
    decision = fact.decision
    return f"{decision.verdict} {decision.signal_id}" + (
        f" {decision.code}" if decision.verdict == "denied" else ""
    )


def _corrected(desk: Desk, fact: f.PositionCorrected) -> str:
    before = _signed(fact.before) if fact.before else "flat"
    after = _signed(fact.after) if fact.after else "flat"
    return f"{fact.instrument} corrected from {before} to {after} ({fact.reason})"


def _mismatch(desk: Desk, fact: f.MismatchFound) -> str:
    return (
        f"{fact.kind} {desk.name_of(fact.place)}: '{fact.ours}' here, '{fact.theirs}' there: "
        f"{fact.action}"
    )


SAYS: dict[type, Callable[[Desk, Any], str] | None] = {
    f.SignalJudged: _judged,
    f.SignalIgnored: lambda d, x: f"ignored {x.signal_id}",
    f.OrderSubmitted: Desk.sent,
    f.CancelRequested: lambda d, x: f"cancel {d.name_of(x.order_id)} ({x.reason})",
    f.OrderChanged: lambda d, x: (
        f"{d.name_of(x.order_id)} is {x.status.value}" + (f" ({x.reason})" if x.reason else "")
    ),
    f.Filled: Desk.filled,
    f.FundingBooked: lambda d, x: (
        f"{x.position.instrument if x.position else 'the account'} paid {plain(x.amount)}"
    ),
    f.TradingStateChanged: lambda d, x: f"trading is {x.state} ({x.actor} {x.reason})",
    f.LinkChanged: lambda d, x: f"line {x.state}",
    f.OrderDoubted: lambda d, x: f"{d.name_of(x.order_id)} doubted, absent {x.absent}",
    f.MismatchFound: _mismatch,
    f.SuspicionEnded: lambda d, x: f"no longer suspected: {d.name_of(x.place)}",
    f.PositionCorrected: _corrected,
    f.BalanceCorrected: lambda d, x: f"balance corrected by {plain(x.amount)}",
    f.CashMoved: lambda d, x: (
        f"{plain(abs(x.amount))} {'put in' if x.amount > 0 else 'taken out'} ({x.actor})"
    ),
    f.Reconciled: lambda d, x: "reconciled",
    f.VenueLeft: lambda d, x: "left the venue",
    f.AnomalyNoted: lambda d, x: f"anomaly {x.kind} {x.place}",
    f.BreakerTripped: lambda d, x: f"tripped {x.condition}: {x.action}",
    f.BreakerReset: lambda d, x: f"reset {' '.join(x.conditions)}",
    f.PeakRaised: None,
    f.StrategyScored: None,
    f.FailureCounted: None,
    f.HealthChanged: None,
    f.DayStarted: None,
}
