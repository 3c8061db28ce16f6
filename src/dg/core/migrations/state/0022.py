"""The freezes of the ledger, so that those of a moment are found without reading all of it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    freeze = sa.text("type = 'freeze.set'")
    op.create_index("ledger_freezes", "ledger", ["seq"], sqlite_where=freeze, postgresql_where=freeze)
