"""What is known of what really runs where."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    op.create_table(
        "drift_findings",
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("service", sa.Text(), primary_key=True),
        sa.Column("finding", sa.Text(), nullable=False),
        sa.Column("accepted_by", sa.Text(), nullable=True),
    )
