"""Which abandoned deployment may still be at work in a lane."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("lanes", sa.Column("left_by", sa.Text(), nullable=True))
