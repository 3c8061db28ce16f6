"""The API over a real core in a folder of its own, with a real git repository to deploy from."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from tests.api.checked import CheckedTransport
from tests.tls import make_certificate

from dg.api.app import App, create_app
from dg.core.access.models import SYSTEM
from dg.core.app import Core, open_core
from dg.core.errors import Refused
from dg.core.types import Environment
from dg.settings import Settings

URL = "http://127.0.0.1"

PIPELINE = """\
version = 1
service = "{service}"

[source]
git = "{url}"
ref = "main"

[[step]]
name = "release"
phase = "deploy"
run = ["sh", "-c", "{command}"]
"""


@dataclass(frozen=True)
class Api:
    """A core, the application over it, and callers of it whose every answer is held against the contract."""

    core: Core
    app: App
    repository: Path

    async def token(
        self,
        role: str,
        environment: str | None = None,
        service: str | None = None,
        name: str | None = None,
        kind: Literal["person", "service"] = "person",
    ) -> str:
        """A fresh token with this role; callers of one name are one person."""
        issued = await self.core.tokens.create(
            SYSTEM,
            name=name or f"{role} of a test",
            role=role,
            kind=kind,
            environment=environment and Environment(environment),
            service=service,
        )
        return issued.secret

    @asynccontextmanager
    async def caller(self, role: str | None = None, **narrowed: Any) -> AsyncIterator[httpx.AsyncClient]:
        """Somebody with a token of this role, or without one."""
        headers = {"authorization": f"Bearer {await self.token(role, **narrowed)}"} if role else {}
        transport = CheckedTransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url=URL, headers=headers) as client:
            yield client

    def pipeline(self, service: str = "shop", command: str = "true") -> str:
        """A pipeline of one deploy step that runs `command` in a shell."""
        return PIPELINE.format(service=service, url=self.repository, command=command)


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of two commits on `main`."""
    path = tmp_path_factory.mktemp("repository")
    git = ["git", "-C", str(path), "-c", "user.name=Ada", "-c", "user.email=ada@example.com"]
    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for number in (1, 2):
        (path / "release").write_text(f"{number}\n")
        subprocess.run([*git, "add", "."], check=True)
        subprocess.run([*git, "commit", "-q", "-m", f"Release {number}"], check=True)
    return path


@pytest.fixture(scope="session")
def first_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was opened once: copying it spares each test the migrations and the key."""

    async def make(home: Path) -> None:
        async with open_core(Settings(home=home), passive=True):
            pass

    home = tmp_path_factory.mktemp("first") / "home"
    asyncio.run(make(home))
    return home


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
async def api(
    tmp_path: Path, repository: Path, first_home: Path, either_url: str | None
) -> AsyncIterator[Api]:
    home = shutil.copytree(first_home, tmp_path / "home")
    settings = Settings.model_validate(
        {
            "home": home,
            "api": {"stream_heartbeat": 0.2},
            "access": {"leeway": 0.1},
            "drift": {"commands": True},
            "database": {"url": either_url},
        }
    )
    async with open_core(settings) as core:
        app = create_app(core, settings)
        yield Api(core, app, repository)
        app.stop()
        await _settle(core)


async def _settle(core: Core) -> None:
    """Leave no runner behind."""
    page = await core.deployments.list(SYSTEM, limit=200)
    for deployment in page.items:
        with suppress(Refused):  # it ended meanwhile
            if deployment.completed_at is None:
                await core.deployments.cancel(SYSTEM, deployment.id)
