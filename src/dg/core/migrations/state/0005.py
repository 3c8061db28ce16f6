"""Which failed deployment one takes up again, and from which of its steps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("retry_of", sa.Text(), nullable=True))
    op.add_column("deployments", sa.Column("from_step", sa.Text(), nullable=True))
