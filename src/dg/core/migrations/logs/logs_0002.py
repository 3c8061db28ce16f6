"""What probes found, and how they stand."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "logs_0002"
down_revision = "logs_0001"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "probe_standings",
        sa.Column("id", number, primary_key=True, autoincrement=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("probe", sa.Text(), nullable=False),
        sa.Column("standing", sa.Text(), nullable=False),
    )
    op.create_table(
        "probe_spans",
        sa.Column("level", number, primary_key=True, autoincrement=False),
        sa.Column("at", number, primary_key=True, autoincrement=False),
        sa.Column("probe", number, primary_key=True, autoincrement=False),
        sa.Column("passed", number, nullable=False),
        sa.Column("slow", number, nullable=False),
        sa.Column("failed", number, nullable=False),
        sa.Column("unknown", number, nullable=False),
        sa.Column("answers", number, nullable=False),
        sa.Column("took", number, nullable=False),
        sa.Column("slowest", number, nullable=False),
        sqlite_with_rowid=False,
    )
