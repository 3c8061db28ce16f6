"""Where requests came from, which entries of the ledger hold a hash of."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "origins",
        sa.Column("seq", number, primary_key=True, autoincrement=False),
        sa.Column("salt", sa.Text(), primary_key=True),
        sa.Column("at", number, nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
    )
    op.create_index("origins_at", "origins", ["at"])
