"""Create the journal file's tables."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0001"
down_revision = None
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
BLOB = sa.LargeBinary()
TABLE = "journal"
TABLES = (
    "journal",
    "meta",
    "snapshots",
)


def upgrade() -> None:
    """Move to this revision."""
    op.create_table(
        "journal",
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("body", BLOB, nullable=False),
        sa.Column("hash", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq", name=op.f("pk_journal")),
    )
    op.create_table(
        "meta",
        sa.Column("name", TEXT, nullable=False),
        sa.Column("value", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("seq", INT, nullable=False),
        sa.Column("ts_ns", INT, nullable=False),
        sa.Column("engine_version", TEXT, nullable=False),
        sa.Column("state_hash", BLOB, nullable=False),
        sa.Column("chain_hash", BLOB, nullable=False),
        sa.Column("checksum", BLOB, nullable=False),
        sa.Column("body", BLOB, nullable=False),
        sa.PrimaryKeyConstraint("stream", "seq", name=op.f("pk_snapshots")),
    )
    _guard()


def _guard() -> None:
    """Make the journal append-only in the database itself."""
    refuse = f"{TABLE} is append-only"
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {TABLE}_no_{verb.lower()} BEFORE {verb} ON {TABLE}"
                f" BEGIN SELECT RAISE(ABORT, '{refuse}'); END"
            )
        op.execute("PRAGMA user_version = 1")
        return
    op.execute(
        f"CREATE FUNCTION {TABLE}_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        f" $$ BEGIN RAISE EXCEPTION '{refuse}'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER {TABLE}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {TABLE}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {TABLE}_refuse()"
    )


def downgrade() -> None:
    """Move back."""
    if op.get_bind().dialect.name != "sqlite":
        op.execute(f"DROP TRIGGER {TABLE}_append_only ON {TABLE}")
        op.execute(f"DROP FUNCTION {TABLE}_refuse")
    for name in reversed(TABLES):
        op.drop_table(name)
