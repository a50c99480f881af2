"""The replay's market and an independent, plain implementation of its rules fill alike."""

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cerberus_trader.domain.events import ConfigEvent, FillReport
from cerberus_trader.domain.signal import Signal
from cerberus_trader.replay.driver import Driver
from cerberus_trader.replay.tape import Tape
from tests.oracle.history import History
from tests.oracle.market import Fill, Market, Rules
from tests.properties import worlds
from tests.unit.venues.market import research

D = Decimal
COST_ROUNDING = Fraction(1, 10**11)
"""Half a unit of the twelfth decimal for each of the few parts that a position is closed in."""


def complete(signal: Signal, r: random.Random) -> Signal:
    """Give a signal a quantity, as the oracle knows no sizing; drop some leverages and closes."""
    leverage = signal.leverage if r.random() < 0.8 else None
    quantity = signal.quantity or D(2)
    if signal.side == "close" and r.random() < 0.5:
        return msgspec.structs.replace(signal, quantity=None, leverage=leverage)
    return msgspec.structs.replace(signal, quantity=quantity, leverage=leverage)


def world(seed: int, rules: Rules, rows: int = 60, count: int = 25) -> tuple[
    list[Tape], list[Signal]
]:  # fmt: skip
    """Make tapes and signals."""
    r = random.Random(seed)
    tapes = []
    for name in ("AAA", "BBB", "CCC")[: r.randint(1, 3)]:
        series = worlds.prices(r, rows)
        item = worlds.instrument(name, r)
        tapes.append(Tape(item, series, worlds.marks(r, series), worlds.funding(r, series)))
    return tapes, [complete(worlds.signal(r, i, tapes, ["x"]), r) for i in range(count)]


def setting(seed: int, *, add: bool, reverse: bool) -> Rules:
    """Draw the rules of a run."""
    r = random.Random(seed + 1)
    return Rules(
        latency_ms=r.choice([0, 50, 1500, 60_000]),
        slippage_bps=Fraction(r.choice([0, 2, 7])),
        limit_take_profit=r.random() < 0.5,
        add=add,
        reverse=reverse,
        close_at_end=r.random() < 0.5,
    )


def replayed(tapes: list[Tape], signals: list[Signal], rules: Rules) -> list[Fill]:
    """Return the fills of a replay."""
    paper = {
        "latency_ms": rules.latency_ms,
        "slippage_bps": D(int(rules.slippage_bps)),
        "take_profit_order": "limit" if rules.limit_take_profit else "market",
    }
    chosen = research(paper, add=rules.add, reverse=rules.reverse)
    items = tuple(tape.instrument for tape in tapes)
    config = ConfigEvent(worlds.START - 1, chosen, "c", items, "engine")
    fills: list[Fill] = []

    def see(event: Any, _: Any) -> None:
        if isinstance(event, FillReport):
            fills.append(
                Fill(event.ts_ns, event.instrument, event.reason, event.side,
                     Fraction(event.quantity), Fraction(event.price), Fraction(event.fee),
                     event.liquidity)
            )  # fmt: skip

    driver = Driver(config, tapes, worlds.Listed(signals), see, close_at_end=rules.close_at_end)
    driver.run()
    return fills


def compare(seed: int, *, add: bool = False, reverse: bool = False) -> tuple[Any, Any]:
    """Return what the oracle and the replay filled."""
    rules = setting(seed, add=add, reverse=reverse)
    tapes, signals = world(seed, rules)
    histories = [History(t.instrument, t.prices, t.marks, t.funding) for t in tapes]
    expected = Market(histories, signals, rules).run()
    wanted = [fill._replace(fee=round(fill.fee, 18)) for fill in at_the_end(expected)]
    return wanted, rounded(wanted, at_the_end(replayed(tapes, signals, rules)))


def rounded(expected: list[Fill], found: list[Fill]) -> list[Fill]:
    """Return what we filled, with the oracle's fee where only the rounding of a cost differs.

    A liquidation's fee is what is left of the margin; the cost that is left of a closed part has
    twelve decimals here and a fraction there. Every other fee must be the same to 18 decimals.
    """
    made = [fill._replace(fee=round(fill.fee, 18)) for fill in found]
    for number, (theirs, ours) in enumerate(zip(expected, made, strict=False)):
        if ours.reason == "liquidation" and abs(theirs.fee - ours.fee) <= COST_ROUNDING:
            made[number] = ours._replace(fee=theirs.fee)
    return made


def at_the_end(fills: list[Fill]) -> list[Fill]:
    """Put the closes of the end, all of one time, in the order of the instruments."""
    last = [fill for fill in fills if fill.reason == "end_of_data"]
    return [fill for fill in fills if fill.reason != "end_of_data"] + sorted(last)


@pytest.mark.req("C-10.1", "D-09.7", "E-13.1.2")
@settings(max_examples=200, deadline=None)
@example(3885, True, False)
@given(st.integers(0, 10**9), st.booleans(), st.booleans())
def test_the_oracle_fills_alike(seed: int, add: bool, reverse: bool) -> None:
    expected, found = compare(seed, add=add, reverse=reverse)
    assert found == expected
