"""What a backup says of itself, and what was found when one was made or restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dg.core.deployments.models import Deployment
from dg.core.types import Environment

FORMAT: Literal["dg.backup/2"] = "dg.backup/2"
HOME = "home"
"""What a backup of everything is called, where one of an environment has its name."""
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class File(_Model):
    """One file of a backup."""

    size: int = Field(ge=0)
    sha256: _Sha256


class Point(_Model):
    """The newest entry of a ledger: up to where a backup reaches. `at` is in microseconds, 0 without any."""

    seq: int = Field(ge=0)
    hash: _Sha256
    at: int = Field(ge=0)


class Manifest(_Model):
    """The last file of a backup. `schema_` holds the revision of each database, `made_at` microseconds."""

    format: Literal["dg.backup/1", "dg.backup/2"]
    version: str
    made_at: int = Field(ge=0)
    environment: str | None = None
    """The one environment that it holds; None for a whole home."""
    store: Literal["sqlite", "postgresql"] = "sqlite"
    """What the state was kept in. In a backup it is two SQLite files either way."""
    schema_: Mapping[str, str] = Field(alias="schema")
    head: Point
    counts: Mapping[str, int] = {}
    """Rows by table; an older dg did not count them."""
    files: Mapping[str, File]


@dataclass(frozen=True)
class Taken:
    """A backup that was made. `keys` open it, by name; `missing` are files that it does not hold."""

    path: Path
    size: int
    manifest: Manifest
    keys: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def secret(self) -> bool:
        """Whether it holds keys or secrets."""
        return any(is_secret(name) for name in self.manifest.files)


@dataclass(frozen=True)
class Seen:
    """A backup whose every byte is as it was written. `keys` are those it is encrypted for, by name."""

    path: Path
    size: int
    manifest: Manifest
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Restored:
    """A home that was restored. `interrupted` ran and `unstarted` waited when the backup was made."""

    path: Path
    manifest: Manifest
    interrupted: tuple[Deployment, ...]
    unstarted: tuple[Deployment, ...]

    @property
    def keys(self) -> bool:
        """Whether the keys came back that sign tokens and receipts."""
        return any(name.startswith("keys/") for name in self.manifest.files)


@dataclass(frozen=True)
class Proof:
    """A backup that was restored for a test, with so many repositories; `seconds` it took."""

    manifest: Manifest
    repositories: int
    seconds: float


class BackupRecord(BaseModel):
    """A backup that the server made and keeps. Times in microseconds.

    `environment` is None for one of the whole home. `head_seq` is the ledger's entry up to which it reaches,
    `version` the environment's. `problem` says why the last test failed; None with `tested_at`: it restored.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    environment: Environment | None = None
    at: int
    by: str
    by_name: str | None = None
    scheduled: bool = False
    file: str
    size: int
    sha256: str
    head_seq: int
    version: int | None = None
    keys: tuple[str, ...] = ()
    tested_at: int | None = None
    problem: str | None = None
    folder: str | None = Field(default=None, exclude=True)
    """Where the file was put, from the home on; None for the folder of the settings. The server's own."""

    @property
    def what(self) -> str:
        """An environment, or `home`."""
        return self.environment.value if self.environment else HOME

    @property
    def tier(self) -> str | None:
        """The environment's name."""
        return self.environment.value if self.environment else None

    @property
    def place(self) -> str:
        """`production/before-the-move`."""
        return f"{self.what}/{self.id}"


class BackupList(BaseModel):
    """Backups, the newest first."""

    items: tuple[BackupRecord, ...]


def is_secret(name: str) -> bool:
    """Whether a file of a backup opens something: it goes in only where that was asked for."""
    return name.startswith("keys/") or name == "secrets.toml"
