"""The journal's schema, and that one definition makes valid SQL for both databases."""

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateIndex, CreateTable

from cerberus_trader.journal.schema import journal, journal_metadata
from cerberus_trader.journal.views_schema import views_metadata

ALL = [*journal_metadata.sorted_tables, *views_metadata.sorted_tables]


def test_stream_and_seq_are_the_key_of_a_row() -> None:
    assert [column.name for column in journal.primary_key] == ["stream", "seq"]


@pytest.mark.parametrize("table", ALL, ids=lambda table: table.name)
def test_money_and_documents_have_a_type_in_both_databases(table: sa.Table) -> None:
    postgres = str(CreateTable(table).compile(dialect=postgresql.dialect()))
    light = str(CreateTable(table).compile(dialect=sqlite.dialect()))
    assert "NUMERIC" not in light and "JSONB" not in light and "BIGINT" not in light
    assert " REAL" not in postgres and "BLOB" not in postgres
    assert ("JSON" in light) == ("JSONB" in postgres)
    for index in table.indexes:
        text = str(CreateIndex(index).compile(dialect=postgresql.dialect()))
        assert text.startswith("CREATE UNIQUE INDEX" if index.unique else "CREATE INDEX")
