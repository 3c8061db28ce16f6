"""What happens to the server, its home and the record itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dg.core.events.fact import Fact


@dataclass(frozen=True, kw_only=True)
class BackupFact(Fact):
    """What every fact about a backup carries; without an environment it is one of the whole home."""

    about: ClassVar[str] = "backup"

    backup: str
    environment: str | None = None


@dataclass(frozen=True, kw_only=True)
class BackupMade(BackupFact):
    """A backup was written and read back. It reaches up to the ledger's entry `head_seq`."""

    size: int
    sha256: str
    head_seq: int
    scheduled: bool


@dataclass(frozen=True, kw_only=True)
class BackupFailed(BackupFact):
    """A backup was not made, or could not be sent to where it is kept."""

    reason: str
    scheduled: bool


@dataclass(frozen=True, kw_only=True)
class BackupTested(BackupFact):
    """A backup was restored into a scratch home, and what came back was right."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class BackupTestFailed(BackupFact):
    """A backup could not be restored into a scratch home."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class BackupRemoved(BackupFact):
    """A scheduled backup was removed, as the settings say how many are kept."""


@dataclass(frozen=True, kw_only=True)
class KeyringRotated(Fact):
    """The newest key of the home's envelope sealed what older ones had sealed: `sealed` texts."""

    sealed: int


@dataclass(frozen=True, kw_only=True)
class ServerStarted(Fact):
    """A dg server opened this home."""

    version: str


@dataclass(frozen=True, kw_only=True)
class HomeRestored(Fact):
    """The home was restored from a backup made at `made_at` (microseconds): what came after that is lost.

    The ledger reached up to the entry `head_seq` when the backup was made.
    """

    made_at: int
    head_seq: int


@dataclass(frozen=True, kw_only=True)
class LedgerAnchored(Fact):
    """The head of the ledger was written outside the database."""

    head_seq: int
    head_hash: str


@dataclass(frozen=True, kw_only=True)
class RecordsPruned(Fact):
    """Retention removed old records; `removed` counts them by kind."""

    removed: dict[str, int]
