"""A token that Slack refuses is told of, and a new one in its file is taken up without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.bot.office import DEPLOYS, Office, Transport, open_office
from tests.core.deployments.world import ADMIN

from dg.bot import app, auth, posting
from dg.core.access.models import SYSTEM, CreateBinding
from dg.core.home import write_private
from dg.core.testing import eventually
from dg.slacksim.sim import SlackSim

NEW = "xoxb-a-new-one-of-the-same-app"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for new tokens often."""
    monkeypatch.setattr(app, "_LOOK", 0.05)
    monkeypatch.setattr(auth, "_LEAST", 0.05)
    monkeypatch.setattr(auth, "_LOOK", 0.05)


@asynccontextmanager
async def with_files(path: Path, transport: Transport) -> AsyncIterator[Office]:
    """The office with its secrets in files, as most have them."""
    files = {name: path / name for name in ("bot_token", "app_token", "signing_secret")}
    async with SlackSim() as slack:
        for name, file in files.items():
            write_private(file, getattr(slack, name))
        settings: dict[str, Any] = {f"{name}_file": str(file) for name, file in files.items()}
        settings |= dict.fromkeys(f"{name}_env" for name in files)
        async with open_office(path, transport, slack=slack, **settings) as office:
            yield office


async def told(office: Office, kind: str) -> list[tuple[str, object]]:
    """Which tokens the record says were refused, or accepted."""
    return [(each.object, each.payload.get("reason")) for each in await office.world.entries(kind)]


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_a_new_token_in_its_file_is_taken_up(tmp_path: Path, transport: Transport) -> None:
    async with with_files(tmp_path, transport) as office:
        system, admin = office.world.core.system, office.slack.parts.admin
        await admin.revoke()
        made = await office.world.ended(await office.world.create("v1", "development"))

        async def refused() -> bool:
            return ("bot", "token_revoked") in await told(office, "slack.token_refused")

        await eventually(refused)
        assert (await system.health()).checks["slack"] == "token_revoked"
        figures = await system.diagnostics(SYSTEM)
        assert figures["slack"]["state"] == "token_revoked"
        assert [each["destination"] for each in figures["outbox"]["troubled"]] == [f"slack:{DEPLOYS}"]

        admin.reinstall(NEW)
        write_private(tmp_path / "bot_token", NEW)
        await office.shown(f"(#{made.number})")
        await office.slack.until(lambda: office.bot.state() == "ok")

        async def accepted() -> bool:
            return await told(office, "slack.token_accepted") == [("bot", None)]

        await eventually(accepted)
        assert len(await told(office, "slack.token_refused")) == 1
        assert (await office.say("ana", "who")).count("operator")
        assert len(office.slack.messages()) == 1


async def test_an_app_that_is_let_in_again_with_its_old_token_goes_on(tmp_path: Path) -> None:
    async with open_office(tmp_path) as office:
        await office.slack.parts.admin.uninstall()
        await office.slack.until(lambda: office.bot.state() == "account_inactive")
        office.slack.parts.admin.reinstall()
        await office.slack.until(lambda: office.bot.state() == "ok")


async def test_a_file_that_holds_no_token_leaves_the_old_one_in_use(tmp_path: Path) -> None:
    async with with_files(tmp_path, "socket") as office:
        changed = office.bot._credentials.changed
        (tmp_path / "bot_token").chmod(0o644)
        assert not await changed()
        write_private(tmp_path / "bot_token", "xapp-the-wrong-one")
        assert not await changed()
        assert "operator" in await office.say("ana", "who")
        assert office.bot.state() == "ok"


async def test_requests_are_held_against_a_new_signing_secret(tmp_path: Path) -> None:
    async with with_files(tmp_path, "http") as office:
        parts = office.slack.parts
        parts.slack.app = parts.slack.app.model_copy(update={"signing_secret": "another-signing-secret"})
        assert (await office.slack.post_command("ana", "who")).answer.status == 401
        write_private(tmp_path / "signing_secret", "another-signing-secret")

        async def heard() -> bool:
            return (await office.slack.post_command("ana", "who")).ok

        await eventually(heard)


async def test_a_token_of_another_workspace_is_not_used(tmp_path: Path) -> None:
    async with with_files(tmp_path, "socket") as office:
        team = office.slack.parts.slack.world.team
        other = office.slack.parts.slack.world.model_copy(
            update={"team": team.model_copy(update={"id": "T0OTHER"})}
        )
        office.slack.parts.slack.world = other
        office.slack.parts.admin.reinstall(NEW)
        write_private(tmp_path / "bot_token", NEW)
        await office.slack.until(lambda: office.bot.state() == "another workspace")
        await office.world.ended(await office.world.create("v1", "development"))
        assert office.slack.messages() == []


async def test_what_the_token_may_not_do_is_said_until_it_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "_WITHOUT_TOKEN", 0.2)
    async with open_office(tmp_path) as office:
        office.slack.fault(kind="error", error="missing_scope", method="chat.postMessage")
        await office.world.ended(await office.world.create("v1", "development"))
        await office.slack.until(lambda: office.bot.state() == "missing_scope")
        office.slack.heal()
        await office.shown("(#1)")
        await office.slack.until(lambda: office.bot.state() == "ok")


@pytest.mark.parametrize("transport", ["socket", "http"])
async def test_a_change_of_a_user_group_is_heard_of_at_once(tmp_path: Path, transport: Transport) -> None:
    async with open_office(tmp_path, transport, user_groups=True) as office:
        core, slack = office.world.core, office.slack
        group = slack.parts.slack.group("release-managers")
        wish = CreateBinding(subject=f"slack-group:{group.id}", role="approver", environment="production")
        await core.bindings.create(ADMIN, wish)
        assert "approver on production" in await office.say("ana", "who")
        assert "approver" not in await office.say("cleo", "who")
        await slack.parts.admin.regroup("release-managers", ["cleo"])

        async def moved() -> bool:
            found = {name: await core.accounts.principal(office.account(name)) for name in ("ana", "cleo")}
            held = {name for name, who in found.items() if who and "approver" in str(who.grants)}
            return held == {"cleo"}

        await eventually(moved)
