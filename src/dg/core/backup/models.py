"""What a backup says of itself, and what was found when one was made or restored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from dg.core.deployments.models import Deployment

FORMAT: Literal["dg.backup/1"] = "dg.backup/1"
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

    format: Literal["dg.backup/1"]
    version: str
    made_at: int = Field(ge=0)
    schema_: Mapping[str, str] = Field(alias="schema")
    head: Point
    files: Mapping[str, File]


@dataclass(frozen=True)
class Taken:
    """A backup that was made. `missing` names files of the home that it does not hold."""

    path: Path
    size: int
    manifest: Manifest
    missing: tuple[str, ...]

    @property
    def secret(self) -> bool:
        """Whether it holds keys or secrets."""
        return any(is_secret(name) for name in self.manifest.files)


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


def is_secret(name: str) -> bool:
    """Whether a file of a backup opens something: it goes in only where that was asked for."""
    return name.startswith("keys/") or name == "secrets.toml"
