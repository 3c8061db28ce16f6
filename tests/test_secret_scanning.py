"""The published pattern of API keys: what scanners are told is what dg makes."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dg.core.access import keyform
from dg.core.types import Environment

DOCS = Path(__file__).parents[1] / "docs"
KEYS = [keyform.make(environment, os.urandom) for environment in (None, *Environment) for _ in range(25)]


def block(language: str) -> str:
    """The one block of the page in this language."""
    page = (DOCS / "secret-scanning.md").read_text("utf-8")
    found: list[str] = re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)
    (text,) = found
    return text


def patterns() -> dict[str, str]:
    (published,) = json.loads((DOCS / "secret-scanning.json").read_text("utf-8"))["patterns"]
    (gitleaks,) = tomllib.loads(block("toml"))["rules"]
    (trufflehog,) = yaml.safe_load(block("yaml"))["detectors"]
    assert {published["keyword"], *gitleaks["keywords"], *trufflehog["keywords"]} == {keyform.PREFIX}
    return {
        "published": published["regex"],
        "gitleaks": gitleaks["regex"],
        "trufflehog": trufflehog["regex"]["key"],
    }


@pytest.mark.parametrize("scanner", ["published", "gitleaks", "trufflehog"])
def test_a_scanner_finds_every_key_and_no_half_of_one(scanner: str) -> None:
    pattern = re.compile(patterns()[scanner])
    for key in KEYS:
        for text in (key, f'"{key}"', f"DG_TOKEN={key}\n", f"https://x/?k={key}&y"):
            found = pattern.search(text)
            assert found
            assert found.group() == key
        for text in (key[:-1], key.replace("dgk_", "dgx_"), key.replace("_", "-")):
            assert not pattern.search(text)


def test_the_published_pattern_is_the_one_that_dg_reads_by() -> None:
    assert patterns()["published"] == keyform.PATTERN
    assert f"    {keyform.PATTERN}\n" in (DOCS / "secret-scanning.md").read_text("utf-8")


def test_the_check_on_the_page_tells_keys_from_samples() -> None:
    room: dict[str, Any] = {}
    exec(block("python"), room)  # noqa: S102 - the page's own code is what is tested
    is_key: Callable[[str], bool] = room["is_key"]
    for key in KEYS:
        assert is_key(key)
        mistyped = key[:20] + ("a" if key[20] != "a" else "b") + key[21:]
        assert not is_key(mistyped)
        assert keyform.is_sound(mistyped) is is_key(mistyped)


def test_what_the_pages_call_public_is() -> None:
    for key in KEYS:
        assert key[:-29] == keyform.public_part(key)
