"""The views follow what a venue corrects, changes, and fills in parts."""

import sqlite3
from decimal import Decimal as D
from pathlib import Path
from typing import Any

from cerberus_trader.domain.events import AccountReport, OperatorEvent, OrderModified, OrderReport
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.views import ViewsWriter
from cerberus_trader.observe.projector import Projector, rebuild
from tests.kit import Bench, settings, submitted
from tests.unit.observe.test_projector import journal_of


def ask(folder: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(folder / "views.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def views(folder: Path, bench: Bench) -> MemoryJournal:
    journal = journal_of(bench)
    with ViewsWriter(folder) as writer:
        rebuild(journal.rows(), writer)
    return journal


def twice(bench: Bench, *positions: VenuePosition, balance: Any = None) -> None:
    """Let the venue say the same twice: then it counts."""
    for _ in range(2):
        bench.now += 60_000_000_000
        marks = bench.marks({"COIN": "100"})
        bench.take(
            AccountReport(bench.now, "main", bench.now, "timer", (), positions, balance, marks)
        )


def test_a_position_that_the_venue_does_not_have_is_closed_without_a_trade(tmp_path: Path) -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    bench.open()
    twice(bench)
    views(tmp_path, bench)
    assert not bench.state.positions
    assert ask(tmp_path, "SELECT status FROM positions") == [("closed",)]
    assert ask(tmp_path, "SELECT count(*) FROM trades") == [(0,)]


def test_a_position_found_at_the_venue_is_held(tmp_path: Path) -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    twice(bench, VenuePosition("COIN", -1, D(3), D(300), D(100), D(3)))
    views(tmp_path, bench)
    (row,) = ask(tmp_path, "SELECT token, side, size, entry_price, status FROM positions")
    assert row == ("COIN", "short", 3.0, 100.0, "open")


def test_a_corrected_balance_is_booked_and_the_legs_sum_to_zero(tmp_path: Path) -> None:
    bench = Bench()
    theirs = bench.state.balance + D("12.5")
    twice(bench, balance=theirs)
    views(tmp_path, bench)
    assert bench.state.balance == theirs
    legs = ask(tmp_path, "SELECT kind, amount FROM ledger WHERE kind = 'correction'")
    assert legs == [("correction", "-12.5")]
    assert sum(D(amount) for (amount,) in ask(tmp_path, "SELECT amount FROM ledger")) == 0
    assert D(ask(tmp_path, "SELECT balance FROM equity ORDER BY seq DESC LIMIT 1")[0][0]) == theirs


def partly(bench: Bench) -> Any:
    """Let a limit entry rest, fill a part of it, change it, and ask for its end."""
    order = submitted(bench.signal(order="limit", limit=D(100)))
    bench.take(OrderReport(bench.now, order.id, "accepted"))
    bench.fill(order, quantity=D(1), leaves=order.quantity - 1)
    bench.fill(order, quantity=D(2), leaves=order.quantity - 3)
    bench.take(OrderModified(bench.now, order.id, D(99), order.quantity - 1))
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    return order


def test_what_an_order_has_filled_and_its_new_terms_are_shown(tmp_path: Path) -> None:
    bench = Bench()
    order = partly(bench)
    query = f"SELECT filled, price, status FROM orders WHERE id = '{order.id}'"
    views(tmp_path / "whole", bench)
    assert ask(tmp_path / "whole", query) == [("3", "99", "pending_cancel")]
    # row by row, each in a batch of its own, it comes to the same
    with ViewsWriter(tmp_path / "steps") as writer:
        projector = Projector(writer)
        for seq, (event, facts) in enumerate(bench.rows, 1):
            projector.take(seq, event, facts)
            projector.flush()
    assert ask(tmp_path / "steps", query) == [("3", "99", "pending_cancel")]
    bench.take(OrderReport(bench.now, order.id, "canceled"))
    views(tmp_path / "ended", bench)
    assert ask(tmp_path / "ended", query) == [("3", "99", "canceled")]
