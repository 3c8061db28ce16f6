"""Status read: what one GET of a finished deployment's status costs with each kind of credential."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.clerk import Instance
from benchmarks.load import Loaded, Target, load
from benchmarks.processes import cpu_seconds, hear, peer
from benchmarks.report import Row, percentile
from benchmarks.server import LIMITS, Server, make_repository, serving
from dg.core.access.models import Scope

LINES = 50
CONNECTIONS = 32
ROUNDS = 6
SECONDS = 2.0
NOT_REMEMBERED = '[access]\nverify_cache = "0.000001"\n'
"""Makes every request verify its token anew."""


@dataclass(frozen=True)
class Stand:
    """A server with a deployment that ended, and a bare application that answers the same bytes."""

    server: Server
    path: str
    echo_pid: int
    echo_port: int

    def target(self, credential: str, *headers: str) -> Target:
        server = replace(self.server, token=credential)
        return Target(server.host, server.port, server.request("GET", self.path, b"", *headers))

    def compare(self, credential: str) -> list[tuple[Measured, Measured]]:
        """Rounds of ours and of the floor, one after the other."""
        target = self.target(credential)
        bare = replace(target, port=self.echo_port)
        for warming in (bare, target):
            load(warming, connections=CONNECTIONS, seconds=0.5)
        return [(measured(target, self.server.pid), measured(bare, self.echo_pid)) for _ in range(ROUNDS)]


@dataclass(frozen=True)
class Measured:
    """One round, and the server's CPU microseconds per answer."""

    loaded: Loaded
    micros: float


def measure(folder: Path) -> Iterator[Row]:
    commit = make_repository(folder / "shop")
    clerk = Instance(folder)
    with standing(folder, "home", commit, clerk.settings()) as stand:
        yield from rows(f"status read, c={CONNECTIONS}", stand.compare(stand.server.token), of_floor=0.25)
        yield from rows("  by a Clerk token, known", stand.compare(clerk.token()), of_floor=0.25)
        yield from rows("  by an API key", stand.compare(api_key(stand.server)))
    with standing(folder, "forgetful", commit, NOT_REMEMBERED + clerk.settings()) as stand:
        yield from rows("  by a Clerk token, verified", stand.compare(clerk.token()))


@contextmanager
def standing(
    folder: Path, name: str, commit: str, settings: str, variables: Mapping[str, str] = LIMITS
) -> Iterator[Stand]:
    home = folder / name
    home.mkdir(mode=0o700)
    (home / "server.toml").write_text(settings, "utf-8")
    with serving(home, variables) as server:
        text = "released part %s of the shop to its host, and it answered in time"
        server.register(folder / "shop", ["printf", f"{text}\\n", *map(str, range(LINES))])
        deployment = server.create(commit)
        progress = server.follow(deployment)
        if len(progress.logs) != LINES:
            raise RuntimeError(f"{len(progress.logs)} lines in the status, not {LINES}")
        path = f"/v1/deployments/{deployment.id}/status"
        with peer("echo", {"body": server.get(path), "content_type": "application/json"}) as echo:
            yield Stand(server, path, echo.pid, int(hear(echo)))


def api_key(server: Server) -> str:
    """The secret of a key that may read."""
    reading = Scope(role="viewer")
    return server.dg.run(server.dg.client.keys.create(name="bench", scopes=[reading])).secret


def rows(
    name: str, rounds: list[tuple[Measured, Measured]], *, of_floor: float | None = None
) -> Iterator[Row]:
    ours, floor = zip(*rounds, strict=True)
    yield Row(name, "req/s", rates(ours), rates(floor), of_floor=of_floor)
    yield Row("  server CPU of one", "µs", [one.micros for one in ours], [one.micros for one in floor])
    yield Row("  p99", "ms", slowest(ours), slowest(floor))


def rates(found: tuple[Measured, ...]) -> list[float]:
    return [one.loaded.rate for one in found]


def slowest(found: tuple[Measured, ...]) -> list[float]:
    return [percentile(one.loaded.latencies, 0.99) * 1e3 for one in found]


def measured(target: Target, pid: int) -> Measured:
    before = cpu_seconds(pid)
    loaded = load(target, connections=CONNECTIONS, seconds=SECONDS)
    return Measured(loaded, (cpu_seconds(pid) - before) / loaded.answers * 1e6)
