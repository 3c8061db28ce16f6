"""What environments hold, version by version, and their secrets, sealed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "environment_versions",
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("version", number, primary_key=True, autoincrement=False),
        sa.Column("at", number, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("restored", number, nullable=True),
        sa.Column("changed", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
    )
    op.create_table(
        "environment_secrets",
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("version", number, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.Text(), nullable=False),
    )
    op.create_table(
        "data_keys",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("sealed", sa.Text(), nullable=False),
        sa.Column("created_at", number, nullable=False),
    )
