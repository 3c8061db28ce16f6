"""A world is declared in a file, and a wrong declaration names the place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dg.slacksim.sim import SlackSim
from dg.slacksim.world import WorldError, load, sample

TOML = """
[team]
id = "T0ACME"
name = "Acme"
domain = "acme"

[[people]]
name = "ana"
email = "ana@acme.example"

[[people]]
name = "ben"
id = "U111"

[[channels]]
name = "deploys"

[[channels]]
name = "quiet"
members = ["ana"]
app = false

[[groups]]
handle = "on-call"
members = ["ben"]

[app]
commands = ["/ship"]
scopes = ["commands", "chat:write"]
"""


async def test_a_world_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "world.toml"
    file.write_text(TOML)
    async with SlackSim(load(file)) as slack:
        workspace = slack.parts.slack
        assert workspace.conversation("deploys").members == {"UANA", "U111", "U0DGBOT"}
        assert workspace.conversation("quiet").members == {"UANA"}
        assert workspace.groups["SONCALL"].members == ["U111"]
        assert workspace.scopes == {"commands", "chat:write"}
        delivery = await slack.post_command("ana", "x", command="/ship")
        assert delivery.payload["team_domain"] == "acme"


def test_a_world_is_read_from_json_and_is_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "world.json"
    file.write_text(sample().model_dump_json())
    assert load(file) == sample()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("people = 1", "people: "),
        ("[[people]]\nnam = 'ana'", "people.0.name: Field required"),
        ("[[people]]\nname = 'Ana B'", "people.0.name"),
        ("[[people]]\nname = 'ana'\n[[people]]\nname = 'ana'", "people: ana is there twice"),
        ("[[people]]\nname = 'a-b'\n[[people]]\nname = 'ab'", "ids: UAB is there twice"),
        ("[[people]]\nname = 'ana'\nteam = 'T9'", "team T9 of ana is not in this world"),
        ("[[channels]]\nname = 'x'\nmembers = ['ana']", "member ana of x is not in this world"),
        ("[app]\ncommands = ['dg']", "app.commands.0"),
        ("[", "world.toml: "),
        ("x" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_a_wrong_world_names_the_place(tmp_path: Path, text: str, words: str) -> None:
    file = tmp_path / "world.toml"
    file.write_text(text)
    with pytest.raises(WorldError) as caught:
        load(file)
    assert words in str(caught.value)


def test_a_world_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorldError, match=r"none\.toml cannot be read: No such file"):
        load(tmp_path / "none.toml")
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    with pytest.raises(WorldError, match=r"deep\.json"):
        load(deep)


def test_no_secret_is_shown_with_a_world() -> None:
    app = sample().app
    for secret in (app.bot_token, app.app_token, app.signing_secret):
        assert secret not in repr(sample())
    assert json.loads(app.model_dump_json())["bot_token"] == app.bot_token
