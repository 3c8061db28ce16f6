"""Where each run is: several hosts may serve one PostgreSQL database in turn."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("home", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("deployment_id"),
    )
