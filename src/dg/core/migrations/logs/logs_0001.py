"""The first table: chunks of log lines."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "logs_0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "chunks",
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("lines", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("step", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "seq"),
    )
