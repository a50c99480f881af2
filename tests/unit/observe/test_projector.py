"""The views: every fact in its table, the ledger sums to zero, a rebuild gives the same."""

import sqlite3
from decimal import Decimal as D
from pathlib import Path

import pytest

from cerberus_trader.domain.events import (
    AccountReport,
    FundingReport,
    OperatorEvent,
    TransferReport,
)
from cerberus_trader.domain.execution import VenuePosition
from cerberus_trader.domain.row import encode_row
from cerberus_trader.journal.memory import MemoryJournal
from cerberus_trader.journal.views import TABLES, ViewsWriter
from cerberus_trader.observe.projector import Projector, rebuild
from tests.kit import DAY, SECOND, Bench, settings


def busy() -> Bench:
    """Return a bench whose journal holds every kind of fact that views show."""
    bench = Bench(settings(breaker={"losses_max": 1, "cooldown_ms": 0}))
    bench.open(stop="98")
    bench.signal(instrument="NOPE")
    bench.signal(instrument="OTHER", order="limit", limit=D(99))
    marks = (("COIN", D(101)),)
    bench.take(FundingReport(bench.now, "main", "COIN", D("0.001"), D(101), D("0.3"), D(99), marks))
    bench.take(OperatorEvent(bench.now, "cancel_all", "ann"))
    bench.take(OperatorEvent(bench.now, "deposit", "ann", amount=D(100), authorised=True))
    bench.take(TransferReport(bench.now, "second", D(-7), "m9"))
    bench.close("80", fee=D("0.25"))
    bench.take(  # told after its position has closed
        FundingReport(bench.now, "main", "COIN", D("0.001"), D(101), D("0.2"), D(0), marks, "p1")
    )
    bench.now += DAY
    bench.signal()
    event = OperatorEvent(bench.now, "reset_breaker", "ann", "looked", authorised=True)
    bench.take(event)
    return bench


def journal_of(bench: Bench) -> MemoryJournal:
    journal = MemoryJournal()
    for event, facts in bench.rows:
        journal.append(event.ts_ns, type(event).__name__, encode_row(event, facts))
    return journal


def dump(folder: Path) -> dict[str, list[tuple]]:
    connection = sqlite3.connect(folder / "views.db")
    found = {}
    for table, key in TABLES.values():
        found[table] = connection.execute(
            f"SELECT * FROM {table} ORDER BY {', '.join(key)}"
        ).fetchall()
    connection.close()
    return found


@pytest.mark.req("D-02.2", "E-5.1.3", "E-11.1.1", "T-17.4", "C-03.4", "E-2.1.2")
def test_every_fact_has_its_row(tmp_path: Path) -> None:
    bench = busy()
    with ViewsWriter(tmp_path) as writer:
        count = rebuild(journal_of(bench).rows(), writer)
    assert count == len(bench.rows)
    tables = dump(tmp_path)
    signals = [event for event, _ in bench.rows if type(event).__name__ == "SignalEvent"]
    assert len(tables["signals"]) == len(tables["decision_log"]) == len(signals)
    assert tables["positions"][0][10] is not None
    assert tables["positions"][0][9] == "closed"
    assert {row[15] for row in tables["orders"]} >= {"filled", "pending_cancel"}
    assert len(tables["executions"]) == 2 and len(tables["trades"]) == 1
    assert tables["decisions"] and tables["strategy_deployments"] and tables["equity"]
    assert {row[3] for row in tables["breaker_log"]} == {"trip", "reset"}
    balance = D(tables["equity"][-1][4])
    assert balance == bench.state.balance


@pytest.mark.req("E-6.1.3", "E-5.1.3")
def test_the_ledger_sums_to_zero_and_its_cash_is_the_balance(tmp_path: Path) -> None:
    bench = busy()
    with ViewsWriter(tmp_path) as writer:
        rebuild(journal_of(bench).rows(), writer)
    ledger = dump(tmp_path)["ledger"]
    by_currency: dict[str, D] = {}
    cash = D(0)
    for row in ledger:
        by_currency[row[4]] = by_currency.get(row[4], D(0)) + D(row[5])
        cash += D(row[5]) if row[6] == "cash" else D(0)
    assert by_currency == {"USDT": D(0)}
    assert cash == bench.state.balance
    assert {row[6] for row in ledger} == {"cash", "capital", "realised", "fee", "funding"}
    moved = [(row[6], D(row[5])) for row in ledger if row[0] == "second" and row[9] == "m9"]
    assert moved == [("cash", D(-7)), ("capital", D(7))]


def test_taking_rows_one_by_one_or_again_gives_what_a_rebuild_gives(tmp_path: Path) -> None:
    bench = busy()
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    with ViewsWriter(one) as writer:
        rebuild(journal_of(bench).rows(), writer)
        rebuild(journal_of(bench).rows(), writer)
    with ViewsWriter(two) as writer:
        projector = Projector(writer)
        for seq, (event, facts) in enumerate(bench.rows, 1):
            projector.take(seq, event, facts)
            projector.flush()
        again = Projector(writer)
        for seq, (event, facts) in enumerate(bench.rows, 1):
            again.take(seq, event, facts)
        again.flush()
    assert dump(one) == dump(two)


def test_a_projector_goes_on_from_the_engines_state(tmp_path: Path) -> None:
    bench = Bench()
    bench.open(stop="98")
    with ViewsWriter(tmp_path) as writer:
        first = Projector(writer)
        for seq, (event, facts) in enumerate(bench.rows, 1):
            first.take(seq, event, facts)
        first.flush()
        second = Projector(writer, bench.state)
        done = len(bench.rows)
        bench.close("101", fee=D(1))
        for seq, (event, facts) in enumerate(bench.rows, 1):
            if seq > done:
                second.take(seq, event, facts)
        second.flush()
    tables = dump(tmp_path)
    assert tables["positions"][0][9] == "closed"
    assert D(tables["equity"][-1][4]) == bench.state.balance


def test_a_corrected_position_shows_under_its_new_name_with_its_protection(tmp_path: Path) -> None:
    bench = Bench(settings(reconcile={"unexplained": "accept"}))
    order = bench.open(stop="98")
    (held,) = bench.state.positions.values()
    there = VenuePosition("COIN", 1, held.quantity, held.cost, held.margin, held.leverage, "other")
    bench.now += 60 * SECOND
    for _ in range(2):
        bench.now += SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), (there,)))
    with ViewsWriter(tmp_path) as writer:
        rebuild(journal_of(bench).rows(), writer)
    tables = dump(tmp_path)
    statuses = {row[0]: row[9] for row in tables["positions"]}
    assert statuses == {order.id: "closed", "other": "open"}
    shown = {row[0]: row[15] for row in tables["orders"] if row[5] == "stop"}
    assert shown == {order.id[:-1] + "s": "canceled", "others": "accepted"}
    for _ in range(2):
        bench.now += SECOND
        bench.take(AccountReport(bench.now, "main", bench.now, "timer", (), ()))
    with ViewsWriter(tmp_path / "again") as writer:
        rebuild(journal_of(bench).rows(), writer)
    tables = dump(tmp_path / "again")
    assert {row[9] for row in tables["positions"]} == {"closed"}
    assert {row[15] for row in tables["orders"] if row[5] == "stop"} == {"canceled"}
