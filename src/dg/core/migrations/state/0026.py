"""Who asked for the rollback after which dg locked a lane."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    op.add_column("lanes", sa.Column("lock_asked_by", sa.Text(), nullable=True))
