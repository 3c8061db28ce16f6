"""What hosts of repositories are told of deployments, against servers of our own that speak their APIs."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.core.deployments.desk import Desk, commit_of, text
from tests.core.deployments.reports.hosts import TOKEN, FakeGitHub, FakeGitLab
from tests.core.outbox.post import Middle
from tests.core.receivers import Receiver, answering, hanging, receiving

from dg.core.deployments.models import Reason
from dg.core.deployments.reports import host as hosts
from dg.core.deployments.reports.reporting import KIND, Reporting
from dg.core.deployments.sources import Sources
from dg.core.http import Outbound
from dg.core.outbox import Delivery, Following, Outbox, store
from dg.core.testing import Ground, ManualClock, eventually, open_ground
from dg.settings.git import GitSource
from dg.settings.tree import Outbound as OutboundSettings

GITHUB = "https://github.example.com/acme"
GITLAB = "https://gitlab.example.com/acme/shop"
URL = "https://dg.example.org"
HOUR = 3600.0


@dataclass
class Office:
    """A desk whose deployments are reported."""

    ground: Ground
    clock: ManualClock
    desk: Desk
    outbox: Outbox
    following: Following
    name: str

    async def messages(self) -> list[Delivery]:
        found = await self.ground.db.read(
            lambda tx: store.deliveries(tx, f"{KIND}:{self.name}", 1 << 62, 100)
        )
        return [delivery for _, delivery in reversed(found)]

    async def settled(self, *, failed: bool = False) -> None:
        """Wait until everything is told, or given up."""

        async def so() -> bool:
            self.outbox.wake()
            messages = await self.messages()
            states = {each.state for each in messages}
            # Told of what has happened by now, not of what was before.
            behind = self.following.figures["behind"]
            return not behind and bool(messages) and states <= {"sent", *(["failed"] if failed else [])}

        await eventually(so)

    async def failed_once(self) -> None:
        """Wait until a failure is noted."""

        async def so() -> bool:
            return any(each.error for each in await self.messages())

        await eventually(so)

    async def pass_time(self, seconds: float) -> None:
        await self.clock.advance(seconds)
        self.outbox.wake()


@asynccontextmanager
async def open_office(
    path: Path, receiver: Receiver, name: str, kind: str, git: str, **source: Any
) -> AsyncIterator[Office]:
    clock = ManualClock()
    async with open_ground(path, clock) as ground:
        said = {"report": kind, "report_api": receiver.url, "token_env": "FORGE_TOKEN", **source}
        sources = Sources({name: GitSource.model_validate(said)}, path, {"FORGE_TOKEN": TOKEN})
        outbound = Outbound(OutboundSettings.model_validate({"allow": ["127.0.0.1"]}))
        reporting = Reporting(ground.db, clock, ground.ids, outbound, sources, f"{URL}/")
        outbox = Outbox(ground.db, clock, ground.tasks, Middle(1), {KIND: reporting})
        following = Following(ground.db, ground.bus, clock, (reporting,), outbox.wake)
        await following.begin()
        ground.tasks.spawn("following", following.run())
        ground.tasks.spawn("outbox", outbox.run())
        desk = Desk(ground.db, clock)
        desk.text = text().replace("/srv/git/web", git)
        yield Office(ground, clock, desk, outbox, following, name)


@pytest.fixture
def github() -> FakeGitHub:
    return FakeGitHub()


@pytest.fixture
async def office(tmp_path: Path, github: FakeGitHub) -> AsyncIterator[Office]:
    async with (
        receiving(github.behave) as receiver,
        open_office(tmp_path, receiver, GITHUB, "github", f"{GITHUB}/web.git") as found,
    ):
        yield found


@pytest.fixture
def gitlab() -> FakeGitLab:
    return FakeGitLab()


@pytest.fixture
async def lab(tmp_path: Path, gitlab: FakeGitLab) -> AsyncIterator[Office]:
    async with (
        receiving(gitlab.behave) as receiver,
        open_office(tmp_path, receiver, GITLAB, "gitlab", f"{GITLAB}/web.git") as found,
    ):
        yield found


async def test_github_is_told_how_a_deployment_goes(office: Office, github: FakeGitHub) -> None:
    asked = await office.desk.ask("v1")
    await office.settled()
    await office.desk.start()
    await office.settled()
    await office.desk.end(await office.desk.read(asked))
    await office.settled()
    assert github.wrong == []
    assert github.statuses[0]["state"] == "pending"
    last = github.statuses[-1]
    assert last == {
        "sha": commit_of("v1"),
        "state": "success",
        "context": "dg/web/production",
        "description": f"#{asked.number} runs",
        "target_url": f"{URL}/v1/deployments/{asked.id}",
    }
    (made,) = github.made
    assert (made["environment"], made["task"], made["production_environment"]) == (
        "production/web",
        "deploy",
        True,
    )
    states = [state for number, state, _ in github.told if number == made["id"]]
    assert states == ["queued", "in_progress", "success"]


async def test_the_sentence_that_keeps_it_waiting_is_told_and_cut(office: Office, github: FakeGitHub) -> None:
    await office.desk.set_lock(automatic=False, reason="somebody looks " * 20)
    await office.desk.ask("v1")
    await office.settled()
    description = github.statuses[-1]["description"]
    assert "locked" in description
    assert len(description) == 140
    assert description.endswith("…")


async def test_only_the_newest_is_told_when_the_host_comes_back(office: Office, github: FakeGitHub) -> None:
    github.instead = [answering(503)]
    asked = await office.desk.ask("v1")
    await office.failed_once()
    await office.desk.start()
    await office.desk.end(await office.desk.read(asked))
    await office.pass_time(HOUR)
    await office.settled()
    assert [each["state"] for each in github.statuses] == ["success"]
    assert [state for _, state, _ in github.told] == ["success"]


async def test_a_server_that_died_after_it_made_a_deployment_makes_no_second(
    office: Office, github: FakeGitHub
) -> None:
    github.lost = True
    await office.desk.ask("v1")
    await eventually(lambda: len(github.made) == 1 and not github.lost)
    await office.failed_once()
    await office.pass_time(HOUR)
    await office.settled()
    assert len(github.made) == 1
    assert github.told[-1][0] == github.made[0]["id"]


@pytest.mark.parametrize(
    "limit",
    [
        {"x_ratelimit_remaining": "0", "x_ratelimit_reset": "{reset}"},
        {"retry_after": "600"},
    ],
)
async def test_a_rate_limit_is_waited_out(office: Office, github: FakeGitHub, limit: dict[str, str]) -> None:
    reset = str(office.clock.micros() // 1_000_000 + 600)
    headers = {name: value.format(reset=reset) for name, value in limit.items()}
    github.instead = [answering(403, b'{"message": "API rate limit exceeded"}', **headers)]
    await office.desk.ask("v1")
    await office.failed_once()
    await office.pass_time(599)
    assert github.asked == 1
    await office.pass_time(2)
    await office.settled()
    assert github.statuses[-1]["state"] == "pending"


@pytest.mark.parametrize("status", [401, 500, 502])
async def test_what_may_pass_is_tried_again(office: Office, github: FakeGitHub, status: int) -> None:
    github.instead = [answering(status, b'{"message": "not now"}')]
    await office.desk.ask("v1")
    await office.failed_once()
    assert {each.state for each in await office.messages()} == {"waiting"}
    await office.pass_time(HOUR)
    await office.settled()


async def test_a_repository_that_is_not_there_is_given_up_with_the_hosts_words(
    tmp_path: Path, github: FakeGitHub
) -> None:
    async with (
        receiving(github.behave) as receiver,
        open_office(tmp_path, receiver, GITHUB, "github", f"{GITHUB}/other.git") as office,
    ):
        await office.desk.ask("v1")
        await office.settled(failed=True)
        for message in await office.messages():
            assert (message.state, message.error) == ("failed", "the host answered 404 Not Found")


async def test_a_host_that_hangs_is_not_waited_for(
    office: Office, github: FakeGitHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hosts, "TIMEOUT", 0.2)
    github.instead = [hanging]
    await office.desk.ask("v1")
    await office.failed_once()
    assert any("did not answer" in (each.error or "") for each in await office.messages())
    monkeypatch.setattr(hosts, "TIMEOUT", 20.0)
    await office.pass_time(HOUR)
    await office.settled()


async def test_a_rollback_undoes_what_was_told(office: Office, github: FakeGitHub) -> None:
    await office.desk.succeed("v1")
    bad = await office.desk.fail("v2", reason=Reason.VERIFY_FAILED)
    await office.settled()
    rollback = await office.desk.rollback()
    await office.desk.end(rollback)
    await office.settled()
    assert github.wrong == []
    newest = {each["sha"]: each for each in github.statuses}
    assert newest[commit_of("v2")]["state"] == "failure"
    assert newest[commit_of("v2")]["description"] == f"#{bad.number} was rolled back"
    assert newest[commit_of("v1")]["state"] == "success"
    assert [each["task"] for each in github.made if each["payload"]["dg"] == rollback.id] == ["rollback"]


async def test_the_token_is_kept_nowhere(tmp_path: Path, github: FakeGitHub) -> None:
    async with (
        receiving(github.behave) as receiver,
        open_office(tmp_path, receiver, GITHUB, "github", f"{GITHUB}/web.git") as office,
    ):
        github.instead = [answering(401, b"{}")]
        await office.desk.ask("v1")
        await office.failed_once()
        await office.pass_time(HOUR)
        await office.settled()
    with closing(sqlite3.connect(tmp_path / "dg.db")) as database:
        assert TOKEN not in "\n".join(database.iterdump())


@pytest.mark.parametrize(
    ("git", "more"),
    [
        ("/srv/git/web", {}),
        ("https://github.example.com/other/web.git", {}),
        (f"{GITHUB}/web.git", {"services": ["shop"]}),
    ],
)
async def test_nobody_is_told_who_did_not_ask(
    tmp_path: Path, github: FakeGitHub, git: str, more: dict[str, Any]
) -> None:
    async with (
        receiving(github.behave) as receiver,
        open_office(tmp_path, receiver, GITHUB, "github", git, **more) as office,
    ):
        await office.desk.ask("v1")
        await eventually(lambda: office.following.figures["watermark"] == 1)
        assert await office.messages() == []
        assert github.asked == 0


async def test_a_repository_that_git_reaches_by_ssh_is_reported_too(
    tmp_path: Path, github: FakeGitHub
) -> None:
    async with (
        receiving(github.behave) as receiver,
        open_office(tmp_path, receiver, GITHUB, "github", "git@github.example.com:acme/web.git") as office,
    ):
        await office.desk.ask("v1")
        await office.settled()
        assert github.statuses[-1]["sha"] == commit_of("v1")


async def test_gitlab_is_told_how_a_deployment_goes(lab: Office, gitlab: FakeGitLab) -> None:
    asked = await lab.desk.ask("v1")
    await lab.settled()
    assert gitlab.made == []
    await lab.desk.start()
    await lab.settled()
    await lab.desk.end(await lab.desk.read(asked))
    await lab.settled()
    assert gitlab.wrong == []
    assert [each["state"] for each in gitlab.statuses] == ["pending", "running", "success"]
    assert {each["name"] for each in gitlab.statuses} == {"dg/web/production"}
    (made,) = gitlab.made
    assert (made["sha"], made["environment"], made["status"]) == (
        commit_of("v1"),
        "production/web",
        "success",
    )


async def test_a_status_that_gitlab_has_already_is_well(lab: Office, gitlab: FakeGitLab) -> None:
    await lab.desk.succeed("v1")
    await lab.settled()
    await lab.desk.succeed("v1")
    await lab.settled()
    assert {each.state for each in await lab.messages()} == {"sent"}
    assert gitlab.statuses[-1]["state"] == "success"


async def test_gitlab_makes_no_second_deployment_after_a_lost_answer(lab: Office, gitlab: FakeGitLab) -> None:
    gitlab.lost = True
    asked = await lab.desk.ask("v1")
    await lab.desk.start()
    await eventually(lambda: len(gitlab.made) == 1 and not gitlab.lost)
    await lab.failed_once()
    await lab.desk.end(await lab.desk.read(asked))
    await lab.pass_time(HOUR)
    await lab.settled()
    assert [each["status"] for each in gitlab.made] == ["success"]
