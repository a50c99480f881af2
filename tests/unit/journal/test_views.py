"""Writing views: batches with their progress, once each, whole or not at all."""

import sqlite3
from pathlib import Path

import pytest

from cerberus_trader.domain.errors import JournalError
from cerberus_trader.journal import view_rows as r
from cerberus_trader.journal.queries import Views
from cerberus_trader.journal.views import TABLES, VIEWS_NAME, Remove, ViewsWriter

Rows = list[tuple[int, r.ViewRow]]


def dump(folder: Path) -> list[str]:
    connection = sqlite3.connect(folder / VIEWS_NAME)
    lines = list(connection.iterdump())
    connection.close()
    return lines


@pytest.fixture
def writer(tmp_path: Path) -> ViewsWriter:
    """A writer of fresh views."""
    return ViewsWriter(tmp_path)


def metric(seq: int, value: float = 1.0) -> tuple[int, r.MetricRow]:
    return seq, r.MetricRow(seq, seq, "m", value)


@pytest.mark.req("C-02.1")
def test_the_connection_has_its_settings(writer: ViewsWriter) -> None:
    ask = writer._connection.execute
    assert ask("PRAGMA journal_mode").fetchone() == ("wal",)
    assert ask("PRAGMA synchronous").fetchone() == (1,)
    assert ask("PRAGMA mmap_size").fetchone() == (0,)


def test_every_kind_of_row_is_stored(writer: ViewsWriter, trade_rows: Rows, tmp_path: Path) -> None:
    assert writer.apply(trade_rows, through_seq=4) == len(trade_rows)
    with Views(tmp_path) as views:
        for kind, (_, key) in TABLES.items():
            wanted = [row for _, row in trade_rows if type(row) is kind][-1]
            assert views.get(kind, *(getattr(wanted, name) for name in key)) is not None
        assert views.applied_seq() == 4


@pytest.mark.req("D-09.6")
def test_applying_a_batch_again_changes_nothing(
    writer: ViewsWriter, trade_rows: Rows, tmp_path: Path
) -> None:
    writer.apply(trade_rows, through_seq=4)
    before = dump(tmp_path)
    assert writer.apply(trade_rows, through_seq=4) == 0
    assert writer.apply(trade_rows[:5], through_seq=1) == 0
    assert dump(tmp_path) == before
    assert writer.applied_seq() == 4


def test_of_an_overlapping_batch_only_the_new_rows_are_applied(
    writer: ViewsWriter, tmp_path: Path
) -> None:
    writer.apply([metric(1), metric(2)], through_seq=2)
    assert writer.apply([metric(1, 9.0), metric(2, 9.0), metric(3, 9.0)], through_seq=3) == 1
    with Views(tmp_path) as views:
        assert [row.metric_value for row in views.find("metrics_newest", "m", 9)] == [9.0, 1.0, 1.0]


def test_groups_progress_apart(writer: ViewsWriter) -> None:
    writer.apply([metric(5)], through_seq=7, group="metrics")
    assert (writer.applied_seq("metrics"), writer.applied_seq()) == (7, 0)


@pytest.mark.req("D-09.6", "E-13.2.3")
def test_a_batch_with_a_bad_row_leaves_nothing_behind(writer: ViewsWriter, tmp_path: Path) -> None:
    before = dump(tmp_path)
    bad = (2, r.MetricRow(2, 2, None, 1.0))  # type: ignore[arg-type]
    with pytest.raises(JournalError, match="NOT NULL") as caught:
        writer.apply([metric(1), bad], through_seq=2)
    assert "rebuild-views" in caught.value.fix
    assert dump(tmp_path) == before
    assert writer.apply([metric(1), metric(2)], through_seq=2) == 2


@pytest.mark.req("E-2.1.2", "C-02.4")
def test_rows_of_one_table_keep_their_order(
    writer: ViewsWriter, trade_rows: Rows, tmp_path: Path
) -> None:
    order = next(row for _, row in trade_rows if isinstance(row, r.OrderRow))
    changes = [
        (1, order),
        (2, r.OrderStatusRow("accepted", "0", 11, order.id)),
        (3, order._replace(price="7")),
        (4, r.OrderStatusRow("filled", "100", 12, order.id)),
        (5, r.OrderStatusRow("filled", "1", 12, "of nobody")),
    ]
    writer.apply(changes, through_seq=5)
    with Views(tmp_path) as views:
        stored = views.get(r.OrderRow, order.id)
        assert stored == order._replace(price="7", status="filled", filled="100", updated_ns=12)
        writer.apply([(6, Remove(r.OrderRow, (order.id,))), (7, order)], through_seq=7)
        assert views.get(r.OrderRow, order.id) == order
        writer.apply([(8, order), (9, Remove(r.OrderRow, (order.id,)))], through_seq=9)
        assert views.get(r.OrderRow, order.id) is None


def test_reset_empties_everything_for_a_rebuild(
    writer: ViewsWriter, trade_rows: Rows, tmp_path: Path
) -> None:
    fresh = dump(tmp_path)
    writer.apply(trade_rows, through_seq=4)
    full = dump(tmp_path)
    writer.reset()
    assert dump(tmp_path) == fresh
    writer.apply(trade_rows, through_seq=4)
    assert dump(tmp_path) == full


def test_exact_money_comes_back_as_it_went_in(writer: ViewsWriter, tmp_path: Path) -> None:
    exact = "0.100000000000000000000000000000001"
    row = r.LedgerRow("acc", 1, 1, 0, "USDT", exact, "fee")
    writer.apply([(1, row)], through_seq=1)
    with Views(tmp_path) as views:
        assert views.get(r.LedgerRow, "acc", 1, 1, 0) == row


@pytest.mark.req("D-10.11")
def test_whole_states_are_written_as_single_changes_are(tmp_path: Path, trade_rows: Rows) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    metrics = [metric(seq) for seq in range(1, 40)]
    with ViewsWriter(one) as writer:
        writer.apply([*trade_rows, *metrics], through_seq=40)
    tables: dict[type, list[tuple]] = {}
    for _, row in [*trade_rows, *metrics]:
        tables.setdefault(type(row), []).append(tuple(row))
    with ViewsWriter(two) as writer:
        orders = tables.pop(r.OrderRow)
        later = tables.pop(r.OrderStatusRow)
        batches = [(r.OrderRow, orders), (r.OrderStatusRow, later), *tables.items()]
        count = len(trade_rows) + len(metrics)
        assert writer.write(batches, through_seq=40) == count
        assert writer.write([(r.MetricRow, [(1, 1, "m", 9.0, None)])], through_seq=40) == 0
        assert writer.write([(r.MetricRow, [(41, 1, "m", 9.0, None)])], through_seq=41) == 1
    with Views(two) as views:
        assert views.get(r.MetricRow, 41) is not None
    with ViewsWriter(one) as writer:
        writer.apply([(41, r.MetricRow(41, 1, "m", 9.0))], through_seq=41)
    assert dump(one) == dump(two)


def test_a_scratch_file_gets_its_indexes_at_the_end(tmp_path: Path, trade_rows: Rows) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    with ViewsWriter(one) as writer:
        writer.apply(trade_rows, through_seq=4)
    with ViewsWriter(two, scratch=True) as writer:
        writer.apply(trade_rows, through_seq=4)
        assert sorted(dump(one)) != sorted(dump(two))
        writer.finish()
        writer.finish()
    assert sorted(dump(one)) == sorted(dump(two))
    with ViewsWriter(two) as writer:
        assert writer._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_views_go_on_after_reopening(tmp_path: Path) -> None:
    with ViewsWriter(tmp_path) as writer:
        writer.apply([metric(1)], through_seq=1)
    with ViewsWriter(tmp_path) as writer:
        assert writer.applied_seq() == 1


def test_newer_and_damaged_views_are_refused_with_the_way_out(tmp_path: Path) -> None:
    ViewsWriter(tmp_path).close()
    connection = sqlite3.connect(tmp_path / VIEWS_NAME)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(JournalError, match="version 99") as caught:
        ViewsWriter(tmp_path)
    assert caught.value.code == "JOURNAL_NEWER"
    (tmp_path / VIEWS_NAME).write_bytes(b"junk" * 2000)
    with pytest.raises(JournalError, match="opening the views") as caught:
        ViewsWriter(tmp_path)
    assert "rebuild-views" in caught.value.fix
