"""Backups: `take` makes one beside a server that runs, `restore` makes a home of it, `prove` tries that."""

from dg.core.backup.reading import verify
from dg.core.backup.restore import prove, restore
from dg.core.backup.take import take

__all__ = ["prove", "restore", "take", "verify"]
