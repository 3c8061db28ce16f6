"""What each environment is configured with, and how its secrets are used."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_URLS = ("database_url", "redis_url")
_NEWEST = """
SELECT v.environment, v.content FROM environment_versions v WHERE v.version =
  (SELECT max(w.version) FROM environment_versions w WHERE w.environment = v.environment)
"""


def upgrade() -> None:
    keys = op.create_table(
        "environment_keys",
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("key", sa.Text(), primary_key=True),
    )
    op.create_table(
        "secret_uses",
        sa.Column("environment", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("used_at", _BIG, nullable=True),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.Column("reminded_at", _BIG, nullable=True),
    )
    for row in op.get_bind().execute(sa.text(_NEWEST)).fetchall():
        content = json.loads(row.content)
        found = [
            *(f"config.{key}" for key in content["settings"]),
            *(_path(name) for name in content["secrets"]),
        ]
        if found:
            op.bulk_insert(keys, [{"environment": row.environment, "key": key} for key in found])


def _path(name: str) -> str:
    if name in _URLS:
        return f"config.{name}"
    if name.startswith("api_key_"):
        return f"config.api_keys.{name.removeprefix('api_key_')}"
    return f"secrets.{name}"
