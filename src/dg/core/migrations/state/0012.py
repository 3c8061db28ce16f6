"""People, how they are let in, and their sessions; whose token one is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("tokens", sa.Column("person", sa.Text(), nullable=True))
    op.create_index("tokens_person", "tokens", ["person"])
    op.create_table(
        "people",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("reading", sa.Text(), nullable=False),
        sa.Column("created_at", _Big, nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reading"),
    )
    op.create_table(
        "logins",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("device_digest", sa.Text(), nullable=False),
        sa.Column("user_digest", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("asked_at", _Big, nullable=False),
        sa.Column("expires_at", _Big, nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=True),
        sa.Column("decided_at", _Big, nullable=True),
        sa.Column("person", sa.Text(), nullable=True),
        sa.Column("grants", sa.Text(), nullable=True),
        sa.Column("approved_in", sa.Text(), nullable=True),
        sa.Column("ends_at", _Big, nullable=True),
        sa.Column("session", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("device_digest"),
        sa.UniqueConstraint("user_digest"),
    )
    op.create_index("logins_expires", "logins", ["expires_at"])
    op.create_table(
        "sessions",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("person", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("approved_by", sa.Text(), nullable=False),
        sa.Column("approved_in", sa.Text(), nullable=True),
        sa.Column("created_at", _Big, nullable=False),
        sa.Column("refreshed_at", _Big, nullable=False),
        sa.Column("idle_at", _Big, nullable=False),
        sa.Column("expires_at", _Big, nullable=False),
        sa.Column("revoked_at", _Big, nullable=True),
        sa.Column("revoked_why", sa.Text(), nullable=True),
        sa.Column("generation", _Big, nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sessions_person", "sessions", ["person"])
    op.create_index("sessions_approved_in", "sessions", ["approved_in"])
