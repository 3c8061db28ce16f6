"""`dg handover`: Markdown on the screen or in a new file, and nothing that was there before is lost."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest
from tests.cli.conftest import ScriptedApi
from tests.client import samples

from dg.cli.errors import ExitCode
from dg.cli.main import run

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def shift(api: ScriptedApi) -> ScriptedApi:
    """A server that tells of one deployment, and hides the environments."""
    api.on("GET /whoami", {"id": "u1", "name": "Ana", "kind": "person", "grants": [], "token": "t1"})
    api.on("GET /lanes", {"items": []})
    api.on("GET /freezes", {"items": []})
    api.on("GET /events", {"items": [], "next_after": 0})
    api.on("GET /deployments", {"items": [samples.deployment(status="success", version="\x1b[31m2")]})
    return api


def test_it_prints_the_shift_as_markdown(shift: ScriptedApi, capsys: Captured) -> None:
    assert run(["handover", "--since", "90m"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert shown.startswith("# Handover of ")
    assert " (1h30), written by Ana." in shown
    assert "#7 **web** in staging ␛\\[31m2 by ana, success" in shown
    assert "\x1b" not in shown
    asked = [each.query["filter"] for each in shift.requests("GET /deployments")]
    assert re.fullmatch(r"age<=5\d{3}s", asked[0])
    assert asked[1] == "status=pending,building,deploying"
    assert (
        shift.requests("GET /events")[0].query["filter"].startswith(f"{asked[0]} type=deployment.finished,")
    )


def test_its_json_has_every_part(shift: ScriptedApi, capsys: Captured) -> None:
    assert run(["--json", "handover"]) == ExitCode.OK
    found = json.loads(capsys.readouterr().out)
    assert found["by"] == "Ana"
    assert [each["number"] for each in found["deployments"]] == [7]
    assert "health of production" in found["unread"]


def test_a_new_file_is_its_owners_alone_and_an_old_one_is_left(
    shift: ScriptedApi, tmp_path: Path, capsys: Captured
) -> None:
    file = tmp_path / "handover.md"
    assert run(["handover", "--to", str(file)]) == ExitCode.OK
    assert file.read_text().startswith("# Handover of ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("mine")
    assert run(["handover", "--to", str(file)]) == ExitCode.REFUSED
    assert "is there already" in capsys.readouterr().err
    assert file.read_text() == "mine"


def test_a_link_is_not_followed(shift: ScriptedApi, tmp_path: Path) -> None:
    elsewhere, link = tmp_path / "elsewhere", tmp_path / "link"
    link.symlink_to(elsewhere)
    assert run(["handover", "--to", str(link)]) == ExitCode.REFUSED
    assert not elsewhere.exists()


@pytest.mark.parametrize("since", ["soon", "2100-01-01T00:00:00Z", "25:00"])
def test_a_shift_began_at_a_time_that_is_over(shift: ScriptedApi, since: str, capsys: Captured) -> None:
    assert run(["handover", "--since", since]) == ExitCode.USAGE
    assert "a time that is over" in capsys.readouterr().err
    assert shift.asked == []


def test_the_bot_is_asked_to_post_it_where_one_says(shift: ScriptedApi, capsys: Captured) -> None:
    made = {"id": samples.ID, "channel": "C0123456789", "at": "2026-11-26T07:00:00Z"}
    shift.on("POST /slack/handovers", made, status=202)
    assert run(["handover", "--to-slack", "--channel", "C0123456789"]) == ExitCode.OK
    assert "on its way to C0123456789" in capsys.readouterr().out
    (asked,) = shift.requests("POST /slack/handovers")
    assert asked.body["channel"] == "C0123456789"
    assert asked.body["text"].startswith("# Handover of ")


def test_what_slack_has_no_room_for_is_left_out_and_said(shift: ScriptedApi) -> None:
    many = [samples.deployment(number=each, id=f"01936b2e-7c00-7000-8000-{each:012}") for each in range(200)]
    shift.on("GET /deployments", {"items": many})
    shift.on("POST /slack/handovers", {"id": samples.ID, "channel": "C1", "at": "2026-11-26T07:00:00Z"})
    assert run(["handover", "--to-slack"]) == ExitCode.OK
    (asked,) = shift.requests("POST /slack/handovers")
    assert len(asked.body["text"]) <= 12_000
    assert asked.body["text"].endswith("There is more than fits here: `dg handover` shows all of it.\n")
    assert "channel" not in asked.body


def test_a_channel_without_slack_is_a_mistake(shift: ScriptedApi) -> None:
    assert run(["handover", "--channel", "C1"]) == ExitCode.USAGE
    assert shift.asked == []
