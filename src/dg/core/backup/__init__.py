"""Backups of a whole home: `take` makes one beside a server that runs, `restore` makes a home of it."""

from dg.core.backup.restore import restore
from dg.core.backup.take import take

__all__ = ["restore", "take"]
