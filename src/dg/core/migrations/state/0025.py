"""In which folder the server put each backup: the settings may name another one by now."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    op.add_column("backups", sa.Column("folder", sa.Text(), nullable=True))
