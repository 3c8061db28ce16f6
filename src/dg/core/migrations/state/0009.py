"""What those may do whom a Clerk instance vouches for, as their newest token said it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "seen_rights",
        sa.Column("principal", sa.Text(), primary_key=True),
        sa.Column("organization", sa.Text(), primary_key=True),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("mapping", sa.Text(), nullable=False),
        sa.Column("until", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
    )
