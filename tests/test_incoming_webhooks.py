"""The page about webhooks that come in: its examples are what the server takes."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import tomllib
from pathlib import Path

import pytest

from dg.core.deployments.notices.hosts import report
from dg.core.deployments.notices.proofs import Notice, proof
from dg.core.deployments.pipeline.models import Trigger
from dg.settings.webhooks import IncomingSource

PAGE = (Path(__file__).parents[1] / "docs" / "incoming-webhooks.md").read_text("utf-8")
SECRET = "a secret of thirty-two characters"


def blocks(language: str) -> list[str]:
    found = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return [re.sub(r"^   ", "", text, flags=re.MULTILINE) for text in found]


def test_the_tables_on_the_page_are_read() -> None:
    source, rule = (tomllib.loads(text) for text in blocks("toml"))
    assert IncomingSource.model_validate(source["incoming"]["sources"]["github"]).kind == "github"
    (trigger,) = (Trigger.model_validate(each) for each in rule["on"])
    assert (trigger.event, trigger.ref, trigger.environment) == ("push", "main", "staging")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_signature_on_the_page_is_believed() -> None:
    (script,) = blocks("sh")
    shown = "curl() { printf '%s\\n' \"$@\"; }\n"
    done = subprocess.run(
        ["sh", "-euc", shown + script],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "SECRET": SECRET},
    )
    lines = done.stdout.splitlines()
    headers = dict(line.split(": ", 1) for line in lines if re.match(r"[A-Za-z-]+: ", line))
    lower = {name.lower(): value for name, value in headers.items()}
    body = lines[lines.index("-d") + 1]
    notice = Notice(lower, body.encode(), time.time(), 300)
    assert proof("generic", "forge", (SECRET,), notice) is not None
    found = report("generic", lower, json.loads(body))
    assert found is not None
    assert (found.event, found.ref) == ("push", "main")
