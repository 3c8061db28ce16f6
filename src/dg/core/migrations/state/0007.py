"""Messages that are wanted outside, and how the places are that they go to."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "outbox",
        sa.Column("seq", _big(), autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("memory", sa.Text(), nullable=True),
        sa.Column("wanted", _big(), nullable=False),
        sa.Column("sent", _big(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("attempts", _big(), nullable=False),
        sa.Column("next_at", _big(), nullable=True),
        sa.Column("created_at", _big(), nullable=False),
        sa.Column("settled_at", _big(), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("answer", _big(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("id"),
    )
    op.create_index("outbox_message", "outbox", ["kind", "key"], unique=True)
    op.create_index("outbox_destination", "outbox", ["destination", "seq"])
    op.create_index("outbox_settled", "outbox", ["settled_at"])
    waiting = sa.text("next_at IS NOT NULL")
    op.create_index("outbox_due", "outbox", ["next_at"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "outbox_destinations",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("failures", _big(), nullable=False),
        sa.Column("failing_since", _big(), nullable=True),
        sa.Column("next_at", _big(), nullable=False),
        sa.Column("held", _big(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("destination"),
    )


def _big() -> sa.types.TypeEngine[int]:
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")
