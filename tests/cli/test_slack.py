"""`dg slack`: linking an account, and setting the bot up against a Slack over real sockets."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run
from dg.slacksim.world import identifier

Captured = pytest.CaptureFixture[str]
CODE = "BCDF-GHJK-LMNP-QRST"
ACCOUNT = {"team": "T0SHOP", "user": "U0ANA", "name": "ana"}
LINK = {**ACCOUNT, "id": samples.ID, "person": "p1", "linked_at": "2026-11-26T07:30:00Z"}


MUTE = {
    "id": samples.ID,
    "channel": "C0DEPLOYS01",
    "since": "2026-11-26T07:30:00Z",
    "until": "2026-11-26T09:30:00Z",
    "by": "p1",
    "reason": "we present",
}


def test_a_channel_is_muted_and_unmuted(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /slack/mutes", MUTE, status=201)
    api.on("DELETE /slack/mutes/C0DEPLOYS01", MUTE)
    words = ["slack", "mute", "C0DEPLOYS01", "--for", "2h", "--reason", "we present"]
    assert run(words) == ExitCode.OK
    (sent,) = api.requests("POST /slack/mutes")
    assert sent.body == {"channel": "C0DEPLOYS01", "for": "2h", "reason": "we present"}
    assert "dg slack unmute C0DEPLOYS01" in capsys.readouterr().out
    assert run(["do", "unmute C0DEPLOYS01"]) == ExitCode.OK
    assert "told everything again" in capsys.readouterr().out
    assert run(["slack", "mute", "C0DEPLOYS01"]) == ExitCode.USAGE


def test_mutes_are_listed(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /slack/mutes", {"items": [MUTE]})
    assert run(["slack", "mutes"]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "C0DEPLOYS01" in out
    assert "we present" in out
    assert run(["slack", "mutes", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == MUTE


SUBSCRIPTION = {
    "id": samples.ID,
    "channel": "C0DEPLOYS01",
    "environment": "production",
    "service": "shop",
    "severity": "unhealthy",
    "since": "2026-11-26T07:30:00Z",
    "by": "p1",
}
SHOP = ["--service", "shop", "--env", "production"]


def test_a_channel_is_subscribed_and_unsubscribed(api: ScriptedApi, capsys: Captured) -> None:
    api.on("POST /slack/subscriptions", SUBSCRIPTION, status=201)
    api.on("GET /slack/subscriptions", {"items": [SUBSCRIPTION]})
    api.on(f"DELETE /slack/subscriptions/{samples.ID}", SUBSCRIPTION)
    assert run(["slack", "subscribe", "C0DEPLOYS01", *SHOP, "--severity", "unhealthy"]) == ExitCode.OK
    (sent,) = api.requests("POST /slack/subscriptions")
    told = {name: SUBSCRIPTION[name] for name in ("channel", "environment", "service", "severity")}
    assert sent.body == told
    assert "is told of shop in production" in capsys.readouterr().out
    assert run(["do", "unsubscribe shop in production for C0DEPLOYS01"]) == ExitCode.OK
    assert "no more of shop in production" in capsys.readouterr().out
    assert run(["slack", "unsubscribe", "C0DEPLOYS01", "--service", "shop"]) == ExitCode.REFUSED
    assert len(api.requests(f"DELETE /slack/subscriptions/{samples.ID}")) == 1


def test_subscriptions_are_listed(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /slack/subscriptions", {"items": [SUBSCRIPTION]})
    assert run(["slack", "subscriptions"]) == ExitCode.OK
    assert "shop in production" in capsys.readouterr().out
    assert run(["slack", "subscriptions", "C0OTHER0001", "--json"]) == ExitCode.OK
    assert capsys.readouterr().out == ""
    assert run(["slack", "subscriptions", "C0DEPLOYS01", "--json"]) == ExitCode.OK
    assert json.loads(capsys.readouterr().out) == SUBSCRIPTION


def test_link_says_whose_account_acts_as_you(api: ScriptedApi, capsys: Captured) -> None:
    api.on(f"GET /slack/codes/{CODE}", {**ACCOUNT, "expires_at": "2026-11-26T07:30:00Z"})
    api.on("POST /slack/links", LINK, status=201)
    assert run(["slack", "link", CODE]) == ExitCode.USAGE
    assert api.requests("POST /slack/links") == []
    assert run(["slack", "link", CODE, "--yes"]) == ExitCode.OK
    (asked,) = api.requests("POST /slack/links")
    assert asked.body == {"code": CODE}
    assert "ana (U0ANA in T0SHOP)" in capsys.readouterr().out


def test_links_are_listed_and_ended(api: ScriptedApi, capsys: Captured) -> None:
    api.on("GET /slack/links", {"items": [LINK]})
    api.on(f"DELETE /slack/links/{samples.ID}", LINK)
    assert run(["slack", "links"]) == ExitCode.OK
    assert run(["slack", "unlink", samples.ID]) == ExitCode.OK
    out = capsys.readouterr().out
    assert "U0ANA" in out
    assert "unlinked" in out


@pytest.fixture
def home(tmp_path: Path) -> Path:
    home = tmp_path / "home"
    home.mkdir()
    return home


def configure(home: Path, url: str = "https://slack.com/api/", **more: str) -> None:
    settings = {"mode": "socket", "bot_token_file": "bot", "app_token_file": "app", "api_url": url, **more}
    lines = ["[slack]", *(f"{name} = {json.dumps(value)}" for name, value in settings.items())]
    lines += ["[slack.routes.all]", f'channel = "{identifier("C", "deploys")}"']
    (home / "server.toml").write_text("\n".join(lines))
    for name, token in (("bot", "xoxb-slack-sim"), ("app", "xapp-slack-sim")):
        (home / name).write_text(token)
        (home / name).chmod(0o600)


def test_setup_without_settings_prints_the_steps(home: Path, capsys: Captured) -> None:
    assert run(["slack", "setup", "--home", str(home)]) == ExitCode.FAILED
    assert "dg slack manifest" in capsys.readouterr().out


def test_a_manifest_asks_for_no_more_than_is_used(home: Path, capsys: Captured) -> None:
    configure(home)
    assert run(["slack", "manifest", "--home", str(home)]) == ExitCode.OK
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["settings"]["socket_mode_enabled"] is True
    scopes = found["oauth_config"]["scopes"]["bot"]
    assert "chat:write" in scopes
    assert "users:read.email" not in scopes


def test_a_manifest_for_requests_needs_an_address_that_slack_reaches(home: Path, capsys: Captured) -> None:
    configure(home, mode="http", signing_secret_file="app")
    assert run(["slack", "manifest", "--home", str(home)]) == ExitCode.USAGE
    assert "server.public_url" in capsys.readouterr().err


def test_a_token_that_others_may_read_is_refused(home: Path, capsys: Captured) -> None:
    configure(home)
    (home / "bot").chmod(0o644)
    assert run(["slack", "test", "--home", str(home)]) == ExitCode.REFUSED
    assert "chmod 600" in capsys.readouterr().err


@pytest.fixture
def simulator() -> Iterator[str]:
    """A Slack that runs beside the command; the address of its methods."""
    import asyncio

    from dg.slacksim.sim import SlackSim

    ready, stop, found = threading.Event(), threading.Event(), []

    async def serve() -> None:
        async with SlackSim() as slack:
            found.append(slack.api_url)
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(30)
    yield found[0]
    stop.set()
    thread.join()


def test_setup_checks_every_step_and_test_posts_and_edits(
    home: Path, simulator: str, capsys: Captured
) -> None:
    configure(home, simulator)
    code = run(["slack", "setup", "--home", str(home)])
    out = capsys.readouterr().out
    assert code == ExitCode.OK, out
    for word in ("bot token", "scopes", "app token", "#deploys"):
        assert word in out
    assert run(["slack", "test", "--home", str(home)]) == ExitCode.OK
    assert run(["slack", "test", "--home", str(home), "--channel", "C0NOWHERE"]) == ExitCode.UNREACHABLE
    assert "channel_not_found" in capsys.readouterr().err
