"""Add the heads of sealed segments; their rows, and only theirs, may leave the journal table."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0002"
down_revision = "journal_0001"
branch_labels = None
depends_on = None

INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
TEXT = sa.Text()
BLOB = sa.LargeBinary()

REFUSE = "BEGIN SELECT RAISE(ABORT, 'journal is append-only'); END"
GUARD = f"CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal {REFUSE}"
GUARD_BUT_SEALED = (
    "CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal WHEN NOT EXISTS"
    " (SELECT 1 FROM segments WHERE segments.stream = OLD.stream"
    f" AND OLD.seq BETWEEN segments.first_seq AND segments.last_seq) {REFUSE}"
)


def upgrade() -> None:
    """Move to this revision."""
    op.create_table(
        "segments",
        sa.Column("stream", TEXT, nullable=False),
        sa.Column("first_seq", INT, nullable=False),
        sa.Column("last_seq", INT, nullable=False),
        sa.Column("rows", INT, nullable=False),
        sa.Column("prev_hash", BLOB, nullable=False),
        sa.Column("last_hash", BLOB, nullable=False),
        sa.Column("first_ts_ns", INT, nullable=False),
        sa.Column("last_ts_ns", INT, nullable=False),
        sa.Column("size", INT, nullable=False),
        sa.Column("digest", BLOB, nullable=False),
        sa.Column("status", TEXT, nullable=False),
        sa.Column("audit_rows", INT, nullable=False),
        sa.Column("audit_size", INT, nullable=False),
        sa.Column("audit_digest", BLOB),
        sa.PrimaryKeyConstraint("stream", "first_seq", name=op.f("pk_segments")),
    )
    op.execute("UPDATE meta SET value = '2' WHERE name = 'format_version'")
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER journal_no_delete")
        op.execute(GUARD_BUT_SEALED)
        op.execute("PRAGMA user_version = 2")


def downgrade() -> None:
    """Move back."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER journal_no_delete")
        op.execute(GUARD)
        op.execute("PRAGMA user_version = 1")
    op.execute("UPDATE meta SET value = '1' WHERE name = 'format_version'")
    op.drop_table("segments")
