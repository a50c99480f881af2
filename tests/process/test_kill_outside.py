"""The engine is killed again and again while it trades on a venue in another process.

The venue's own ledger is the oracle: after each restart positions and orders are the venue's, and
each of its fills is in the journal exactly once. Its owner moves money meanwhile, and no cash is
corrected.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from cerberus_trader.domain import facts as f
from cerberus_trader.domain.events import FillReport
from cerberus_trader.domain.money import plain
from cerberus_trader.domain.row import decode_row
from cerberus_trader.journal.reader import JournalReader
from cerberus_trader.journal.verify import verify
from cerberus_trader.observe.redecide import redecide
from tests.process.live import Live, until
from tests.process.outside import Outside

pytestmark = pytest.mark.process

FAULTS = (
    "latency_s=0.01,partial=0.5,slow_fill=0.3,answer_lost=0.1,request_lost=0.1,word_lost=0.2,"
    "word_twice=0.2,late_list=0.1,partitions_per_minute=4,half_open=0.1,price_jump=0.005,"
    "transfers_per_minute=20"
)
NAMES = ("DOGEUSDT", "1000PEPEUSDT")
PRICES = {"DOGEUSDT": 0.2, "1000PEPEUSDT": 0.01}


@pytest.fixture
def venue() -> Iterator[Outside]:
    found = Outside(FAULTS)
    yield found
    found.end()


class Tally(NamedTuple):
    """Hold what a series of kills came to."""

    kills: int
    with_exposure: int
    fills: int
    ready_s_max: float = 0.0


class Books:
    """Read a journal as it grows: its fills, and whatever was corrected or not explained."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.seq = 0
        self.fills: list[str] = []
        self.wrong: list[f.Fact] = []

    def read(self) -> None:
        for row in JournalReader(self.state).rows(self.seq):
            self.seq = row.seq
            body = decode_row(row.body)
            for fact in body.facts:
                if isinstance(fact, f.Filled):
                    assert isinstance(body.event, FillReport)
                    self.fills.append(body.event.trade_id)
                if isinstance(fact, f.Faulted | f.BalanceCorrected):
                    self.wrong.append(fact)
                if isinstance(fact, f.MismatchFound) and fact.action != "suspected":
                    self.wrong.append(fact)
                if isinstance(fact, f.PositionCorrected) and "margin" not in fact.reason:
                    self.wrong.append(fact)


def trade(engine: Live, rng: Random, number: int) -> None:
    """Send a signal: market or limit, open or close, on one of two instruments."""
    name, side = rng.choice(NAMES), rng.choice(("buy", "sell", "close"))
    fields: dict[str, Any] = {}
    if side != "close" and rng.random() < 0.4:
        away = rng.choice((0.999, 0.99, 1.001, 1.01))
        fields = {"order": "limit", "limit": round(PRICES[name] * away, 7)}
    engine.signal(number, side, instrument=name, **fields)


def differences(engine: Live, venue: Outside, books: Books) -> list[str]:
    """Compare what the engine holds with what the venue holds."""
    status = engine.status()
    view, bookings, sums = venue.held()
    if status is None or status["unreconciled"]:
        return ["not reconciled"]
    found = []
    ours = {p["instrument"]: (p["side"], p["quantity"]) for p in status["positions"]}
    theirs = {
        p.instrument: ("long" if p.sign > 0 else "short", plain(p.quantity)) for p in view.positions
    }
    if ours != theirs:
        found.append(f"positions {ours} {theirs}")
    working = {o["id"] for o in status["orders"]}
    if working != {o.order_id for o in view.orders}:
        found.append(f"orders {working} {[o.order_id for o in view.orders]}")
    books.read()
    if sorted(books.fills) != sorted(b.trade_id for b in bookings if isinstance(b, FillReport)):
        found.append(f"fills {len(books.fills)} {len(bookings)}")
    if sum(sums.accounts.values()) != 0:
        found.append(f"the venue's ledger {sums.accounts}")
    if not set(sums.accepted.values()) <= {1}:
        found.append(f"an order was accepted twice: {sums.accepted}")
    return found


def settle(engine: Live, venue: Outside, books: Books) -> list[str]:
    """Wait until both agree; return what differs to the last."""
    found: list[str] = []

    def agreed() -> bool:
        found[:] = differences(engine, venue, books)
        return not found

    with suppress(AssertionError):
        until(agreed)
    return found


def kill_often(folder: Path, venue: Outside, least: Tally, seed: int) -> Tally:
    """Kill the engine until it has come to this at least; check after each restart.

    What fills before a kill is chance: three times the kills are tried for as much of it.
    """
    # answers that are lost on purpose would count as slow ones, and trip what is not tried here
    rng, config = Random(seed), venue.config(folder, '[killswitch]\nlatency_action = "off"\n')
    books = Books(folder / "state")
    kills, exposed, slowest, number = 0, 0, 0.0, 0
    engine = Live(folder, "--config", str(config), measured=False).up()
    while kills < least.kills or exposed < least.with_exposure or len(books.fills) < least.fills:
        assert kills < 3 * least.kills, Tally(kills, exposed, len(books.fills), slowest)
        kills += 1
        engine.wait(lambda s: s["prices"] and not s["unreconciled"], "agreement")
        for _ in range(rng.randint(2, 6)):
            number += 1
            trade(engine, rng, number)
            time.sleep(rng.uniform(0.0, 0.15))
        engine.process.kill()
        engine.finish()
        view, _, _ = venue.held()
        exposed += bool(view.positions or view.orders)
        began = time.monotonic()
        engine = Live(folder, "--config", str(config), measured=False).up()
        slowest = max(slowest, time.monotonic() - began)
        found = settle(engine, venue, books)
        assert not found, f"{found}; log: {engine.log.read_text()[-3000:]}"
    assert engine.end() == 0
    books.read()
    assert books.wrong == []
    assert redecide(engine.state)["differences"] == 0
    report = verify(engine.state)
    assert report.ok, report.reasons
    return Tally(kills, exposed, len(books.fills), slowest)


@pytest.mark.req("D-09.15", "P-21.3")
def test_killed_6_times_it_holds_what_the_venue_holds(tmp_path: Path, venue: Outside) -> None:
    found = kill_often(tmp_path, venue, Tally(6, 3, 6), 1)
    assert found.kills >= 6 and found.with_exposure >= 3 and found.fills >= 6


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_killed_200_times_it_holds_what_the_venue_holds(tmp_path: Path, venue: Outside) -> None:
    found = kill_often(tmp_path, venue, Tally(200, 100, 300), 2)
    print(found)
    assert found.kills >= 200 and found.with_exposure >= 100 and found.fills >= 300
