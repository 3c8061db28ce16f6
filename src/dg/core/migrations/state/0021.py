"""Which deployment had begun shortly before a service became worse."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("service_health", sa.Column("deployment", sa.Text(), nullable=True))
    op.add_column("service_health", sa.Column("number", number, nullable=True))
