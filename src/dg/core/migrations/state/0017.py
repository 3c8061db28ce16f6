"""Backups that the server makes and keeps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "backups",
        sa.Column("what", sa.Text(), primary_key=True),
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("at", number, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("scheduled", number, nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("size", number, nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("head_seq", number, nullable=False),
        sa.Column("version", number, nullable=True),
        sa.Column("keys", sa.Text(), nullable=False),
        sa.Column("tested_at", number, nullable=True),
        sa.Column("problem", sa.Text(), nullable=True),
    )
