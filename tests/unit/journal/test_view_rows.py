"""The row types have the columns of their tables, in order."""

import pytest

from cerberus_trader.journal.view_rows import OrderRow, OrderStatusRow
from cerberus_trader.journal.views import STATEMENTS, TABLES
from cerberus_trader.journal.views_schema import views_metadata


@pytest.mark.parametrize("row_type", list(TABLES), ids=lambda kind: TABLES[kind][0])
def test_fields_are_the_columns(row_type: type) -> None:
    table, key = TABLES[row_type]
    columns = views_metadata.tables[table].columns
    assert list(row_type._fields) == [column.name for column in columns]
    optional = [name for name, column in columns.items() if column.nullable]
    hints = row_type.__annotations__
    assert [name for name, hint in hints.items() if "None" in str(hint)] == optional
    if table != "decisions":  # its upserts go by the unique hash
        assert list(key) == [column.name for column in views_metadata.tables[table].primary_key]


def test_every_table_has_a_row_type() -> None:
    assert {table for table, _ in TABLES.values()} | {"view_progress"} == set(views_metadata.tables)


def test_a_status_change_names_columns_of_orders() -> None:
    assert set(OrderStatusRow._fields) <= set(OrderRow._fields)
    assert OrderStatusRow in STATEMENTS
