"""Who people are in Slack, and which of the messages that wait goes first."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.add_column("outbox", sa.Column("priority", number, nullable=False, server_default="5"))
    op.create_table(
        "slack_accounts",
        sa.Column("team", sa.Text(), primary_key=True),
        sa.Column("user", sa.Text(), primary_key=True),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("groups", sa.Text(), nullable=False),
        sa.Column("linked_at", number, nullable=False),
    )
    op.create_index("slack_accounts_person", "slack_accounts", ["person"])
    op.create_table(
        "slack_codes",
        sa.Column("digest", sa.Text(), primary_key=True),
        sa.Column("team", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("expires_at", number, nullable=False),
    )
