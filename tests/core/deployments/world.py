"""A world for the core: a home, a git repository, pipelines written by hand, and people with roles."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.core.access.room import signing_key

from dg.core import ledger
from dg.core.app import Core, Drivers, open_core
from dg.core.clock import Clock
from dg.core.database import Database
from dg.core.deployments import store
from dg.core.deployments.models import FINAL, CreateDeployment, Deployment, Progress, Status
from dg.core.deployments.parts import Parts
from dg.core.errors import Refused
from dg.core.home import Home, write_private
from dg.core.ledger import Entry
from dg.core.testing import eventually, make_home, person
from dg.core.types import Environment
from dg.settings import Settings

ADMIN = person("admin", name="ada")
OPERATOR = person("operator", name="ana")
VIEWER = person("viewer", name="vera")
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Repository:
    """What a team pushes to. `v1` to `v3` are tags on `main`; the branch `side` is not merged."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def copy(cls, path: Path) -> Repository:
        """A repository of one's own."""
        shutil.copytree(_template(), path)
        return cls(path)

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=Ada Example", "-c", "user.email=ada@example.com")
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        argv = ["git", "-C", str(self.path), *identity, *arguments]
        return subprocess.run(argv, check=True, capture_output=True, text=True, env=env).stdout.strip()

    def commit(self, subject: str, tag: str | None = None, **files: str) -> str:
        """Commit `files` (dots in names as `__`) to the branch that is checked out."""
        for name, content in files.items():
            (self.path / name.replace("__", ".")).write_text(content)
        self.git("add", ".")
        self.git("commit", "--quiet", "--allow-empty", f"--message={subject}")
        if tag:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def head(self, ref: str = "HEAD") -> str:
        return self.git("rev-parse", f"{ref}^{{commit}}")


@functools.cache
def _template() -> Path:
    path = Path(tempfile.mkdtemp(prefix="repository-"))
    repository = Repository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    for number in (1, 2, 3):
        repository.commit(f"Release {number}", tag=f"v{number}", release=f"{number}\n")
    repository.git("checkout", "--quiet", "-b", "side")
    repository.commit("Not merged", release="side\n")
    repository.git("checkout", "--quiet", "main")
    return path


def step(name: str, phase: str, shell: str, *more: str) -> str:
    """One step of a pipeline as it stands in `dg.toml`."""
    lines = (f'name = "{name}"', f'phase = "{phase}"', f"shell = '''{shell}'''", *more)
    return "\n".join(("[[step]]", *lines, ""))


DEPLOY = step("rollout", "deploy", "echo rolling out $DG_VERSION")


@dataclass
class World:
    """An open core and what stands around it. `journal` is a file that steps write to."""

    home: Home
    repository: Repository
    settings: Settings
    core: Core
    journal: Path = field(init=False)

    def __post_init__(self) -> None:
        self.journal = self.home.path.parent / "journal"

    @property
    def parts(self) -> Parts:
        return self.core.deployments._parts

    @property
    def db(self) -> Database:
        return self.parts.db

    def pipeline(
        self, *steps: str, service: str = "web", source: str = "", tail: str = "", git: str | None = None
    ) -> str:
        """A pipeline of `service` over the repository; one deploy step when none is given."""
        head = (
            f'version = 1\nservice = "{service}"\n[source]\ngit = "{git or self.repository.path}"\n{source}\n'
        )
        defaults = '[defaults]\ntimeout = "20s"\ngrace = "1s"\nenv_pass = ["JOURNAL"]\n'
        return "\n".join((head, defaults, *(steps or (DEPLOY,)), tail))

    async def register(self, *steps: str, **options: Any) -> None:
        await self.core.pipelines.register(ADMIN, self.pipeline(*steps, **options))

    async def create(self, ref: str = "v1", environment: str = "production", **more: Any) -> Deployment:
        request = CreateDeployment(environment=Environment(environment), ref=ref, **more)
        return await self.core.deployments.create(OPERATOR, request)

    async def get(self, deployment: Deployment) -> Deployment:
        return await self.core.deployments.get(ADMIN, deployment.id)

    async def reached(
        self, deployment: Deployment, when: Callable[[Progress], object], timeout: float = 60.0
    ) -> Progress:
        """Wait until the deployment's progress is as wanted."""
        found: list[Progress] = []

        async def look() -> bool:
            found.append(await self.core.deployments.status(ADMIN, deployment.id))
            return bool(when(found[-1]))

        await eventually(look, timeout)
        return found[-1]

    async def ended(self, deployment: Deployment, timeout: float = 60.0) -> Deployment:
        """Wait until it ended; returns it as it then is."""
        progress = await self.reached(deployment, lambda found: found.deployment.status in FINAL, timeout)
        return progress.deployment

    async def deploy(self, ref: str = "v1", environment: str = "production") -> Deployment:
        """Create and wait for a good end."""
        ended = await self.ended(await self.create(ref, environment))
        assert ended.status is Status.SUCCESS, ended.message
        return ended

    async def stop(self) -> None:
        """End whatever is not over, so that no runner outlives its test."""
        while unfinished := await self.db.read(store.unfinished):
            for deployment in unfinished:
                with suppress(Refused):
                    await self.core.deployments.cancel(ADMIN, deployment.id)
            await self.ended(unfinished[0])

    async def lines(self, deployment: Deployment) -> list[str]:
        """What its steps printed; the checkout's own words are git's."""
        page = await self.core.deployments.logs(ADMIN, deployment.id)
        return [line.text for line in page.items if line.step is not None]

    async def entries(self, kind: str | None = None) -> list[Entry]:
        """What the ledger says, of one type or of all."""
        found = await self.db.read(lambda tx: ledger.after(tx, 0, 10_000))
        return [entry for entry in found if kind in (None, entry.type)]

    def written(self) -> Sequence[str]:
        """The lines that steps wrote to the journal."""
        return self.journal.read_text().splitlines() if self.journal.exists() else []


def make_settings(home: Path, **sections: Any) -> Settings:
    """Settings whose waits are short."""
    runner = {"kill_grace": 0.3, "poll": 0.01} | sections.pop("runner", {})
    return Settings.model_validate({"home": home, "runner": runner, **sections})


@asynccontextmanager
async def open_world(
    path: Path,
    *,
    passive: bool = False,
    clock: Clock | None = None,
    drivers: Drivers | None = None,
    environ: Mapping[str, str] | None = None,
    url: str | None = None,
    **sections: Any,
) -> AsyncIterator[World]:
    """Open the core of the home below `path`, made if it is not there.

    `passive` runs nothing; `environ` adds to the server's environment; the state is in the home, or in the
    PostgreSQL database `url`.
    """
    home = Home(path / "home")
    if not home.state.exists():
        make_home(home.path)
        write_private(home.keys / "issuer.pem", signing_key())
    upstream = path / "upstream"
    repository = Repository(upstream) if upstream.exists() else Repository.copy(upstream)
    settings = make_settings(home.path, database={"url": url}, **sections)
    variables = {"PATH": os.environ.get("PATH", _PATH), "JOURNAL": str(path / "journal"), **(environ or {})}
    async with open_core(settings, clock=clock, drivers=drivers, environ=variables, passive=passive) as core:
        yield World(home, repository, settings, core)
