"""The schema of the journal file, written once for SQLite and PostgreSQL.

The engine never imports this module: it creates a fresh file from `schema.sql`, which
`python -m cerberus_trader.journal.migrate` generates from the migrations.
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

NAMING = {
    "ix": "idx_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}

# One name per meaning. Money is text on SQLite, so that a Decimal comes back as it went in.
Key = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Int = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
Money = sa.Numeric(38, 18).with_variant(sa.Text(), "sqlite")
Real: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.REAL(), "sqlite")
Json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
Text = sa.Text()
Blob = sa.LargeBinary()

journal_metadata = sa.MetaData(naming_convention=NAMING)

journal = sa.Table(
    "journal",
    journal_metadata,
    sa.Column("stream", Text, primary_key=True),
    sa.Column("seq", Int, primary_key=True, autoincrement=False),
    sa.Column("ts_ns", Int, nullable=False),
    sa.Column("kind", Text, nullable=False),
    sa.Column("body", Blob, nullable=False),
    sa.Column("hash", Blob, nullable=False),
)

snapshots = sa.Table(
    "snapshots",
    journal_metadata,
    sa.Column("stream", Text, primary_key=True),
    sa.Column("seq", Int, primary_key=True, autoincrement=False),
    sa.Column("ts_ns", Int, nullable=False),
    sa.Column("engine_version", Text, nullable=False),
    sa.Column("state_hash", Blob, nullable=False),
    sa.Column("chain_hash", Blob, nullable=False),
    sa.Column("checksum", Blob, nullable=False),
    sa.Column("body", Blob, nullable=False),
)

segments = sa.Table(
    "segments",
    journal_metadata,
    sa.Column("stream", Text, primary_key=True),
    sa.Column("first_seq", Int, primary_key=True, autoincrement=False),
    sa.Column("last_seq", Int, nullable=False),
    sa.Column("rows", Int, nullable=False),
    sa.Column("prev_hash", Blob, nullable=False),
    sa.Column("last_hash", Blob, nullable=False),
    sa.Column("first_ts_ns", Int, nullable=False),
    sa.Column("last_ts_ns", Int, nullable=False),
    sa.Column("size", Int, nullable=False),
    sa.Column("digest", Blob, nullable=False),
    sa.Column("status", Text, nullable=False),
    sa.Column("audit_rows", Int, nullable=False),
    sa.Column("audit_size", Int, nullable=False),
    sa.Column("audit_digest", Blob),
)

meta = sa.Table(
    "meta",
    journal_metadata,
    sa.Column("name", Text, primary_key=True),
    sa.Column("value", Text, nullable=False),
)
