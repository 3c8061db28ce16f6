"""What channels in Slack asked to be told, beside the routes of the settings."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    number = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "slack_subscriptions",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=True),
        sa.Column("service", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("since", number, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("ended_at", number, nullable=True),
    )
    op.create_index("slack_subscriptions_channel", "slack_subscriptions", ["channel"])
