"""What is demanded of a deployment, what its gates were judged as, and what people decided."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("deployments", sa.Column("guard", sa.Text(), nullable=True))
    op.add_column("deployments", sa.Column("gates", sa.Text(), nullable=True))
    succeeded = sa.text("status = 'success'")
    op.create_index(
        "deployments_succeeded",
        "deployments",
        ["service", "commit_sha"],
        sqlite_where=succeeded,
        postgresql_where=succeeded,
    )
    op.create_table(
        "approvals",
        sa.Column(
            "seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("deployment_id", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("gate", sa.Text(), nullable=True),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("voided_at", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("void_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.create_index("approvals_deployment", "approvals", ["deployment_id", "seq"])
    standing = sa.text("verdict = 'approved' AND voided_at IS NULL")
    op.create_index(
        "approvals_once",
        "approvals",
        ["deployment_id", "by"],
        unique=True,
        sqlite_where=standing,
        postgresql_where=standing,
    )
