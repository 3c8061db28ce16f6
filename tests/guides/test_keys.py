"""The recipes of docs/keys.md, each with a stand-in for the program that it names."""

from __future__ import annotations

import base64
import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.guides.test_guides import ROOT, blocks

from dg.core.custody import Custody
from dg.core.keys import fresh, parse
from dg.settings import Settings

PAGE = ROOT / "docs/keys.md"
RECIPES = [recipe for text in blocks(PAGE, "toml") if "keys" in (recipe := tomllib.loads(text))]
COMMANDS = [recipe["keys"]["command"] for recipe in RECIPES if "command" in recipe["keys"]]
DOCUMENTED = {
    "vault": ["kv", "get", "-field=envelope", "secret/dg"],
    "aws": [
        *("kms", "decrypt", "--ciphertext-blob", "fileb:///etc/dg/envelope.kms"),
        *("--query", "Plaintext", "--output", "text"),
    ],
    "gcloud": [
        *("kms", "decrypt", "--location=global", "--keyring=dg", "--key=envelope"),
        *("--ciphertext-file=/etc/dg/envelope.gcp", "--plaintext-file=-"),
    ],
    "sops": ["decrypt", "--extract", '["envelope"]', "/etc/dg/keys.enc.yaml"],
    "age": ["--decrypt", "--identity", "/etc/dg/identity.txt", "/etc/dg/envelope.age"],
}
"""What the real programs take, each in its own words."""
STAND_IN = """\
#!{python}
import sys
if sys.argv[1:] != {arguments}:
    sys.exit(f"usage: {{sys.argv[1:]}}")
sys.stdout.write({printed!r})
"""


def test_every_way_that_the_settings_have_has_a_recipe() -> None:
    ways = {way for recipe in RECIPES for way in recipe["keys"]}
    assert ways == {"file", "env", "command"}
    assert {command[0] for command in COMMANDS} == DOCUMENTED.keys()


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
async def test_a_recipe_gives_the_key(tmp_path: Path, command: list[str]) -> None:
    key = fresh()
    # KMS gives the bytes themselves, in base64; without a line break at the end where a file has none.
    in_base64 = base64.b64encode(bytes.fromhex(key)).decode()
    printed = {"aws": f"{in_base64}\n", "gcloud": key.strip()}.get(command[0], key)
    stand_in = tmp_path / command[0]
    text = STAND_IN.format(
        python=sys.executable, arguments=json.dumps(DOCUMENTED[command[0]]), printed=printed
    )
    stand_in.write_text(text)
    stand_in.chmod(0o700)
    recipe: dict[str, Any] = {"command": [str(stand_in), *command[1:]]}
    settings = Settings.model_validate({"home": tmp_path / "home", "keys": recipe})
    envelope = await Custody(settings.keys, settings.home, {}).open()
    (found,) = parse(key.encode(), "here")
    assert envelope.seal("x", "a").split(".")[1] == type(envelope)([found]).seal("x", "a").split(".")[1]
