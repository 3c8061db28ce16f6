"""The revisions of the two databases, run by Alembic; `upgrade` brings a file to the newest."""
