"""The Postman collection: made of all operations, and green from top to bottom against a sandbox."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.house import until

from dg.api import contract
from dg.api.docs.joined import operations
from dg.client.auth import find

ROOT = Path(__file__).parents[2]
NEWMAN = ROOT / "tools/node_modules/.bin/newman"
COLLECTION = ROOT / "sdks/postman/collection.json"
ENVIRONMENT = ROOT / "sdks/postman/environment.json"
STORY_WITHIN = 240.0
STOPPED_WITHIN = 30.0
SUMMARIES = [
    operation["summary"] for name in contract.NAMES for _, _, operation in operations(contract.load(name))
]

NOT_NOW = {
    "Cancel a deployment",
    "Retry a failed deployment from a step",
    "Abandon a deployment that does not stop",
    "Approve a deployment that waits",
    "Reject a deployment that waits",
    "Pass closed gates of a deployment",
    "Change a pending deployment",
    "Roll back the lane of a deployment",
    "Roll back a lane",
    "Get the signed receipt of an ended deployment",
    "Keep a version out of a lane",
    "Let a blocked version back into a lane",
    "Thaw one freeze",
    "Report a push, a tag or a release",
    "Turn a program away",
    "Restore an older version",
    "Accept a known difference",
    "Send a heartbeat",
    "Show whose a code is",
    "Say which account in Slack is yours",
    "Make an account in Slack nobody's",
    "Tell a channel more",
    "End a subscription",
    "Post a handover in Slack",
    "Get how an environment was",
}
"""What may be refused in the middle of a run: it depends on how far the deployment is by then, and on what
the sandbox has: no Slack, no drift, no heartbeat, few versions of an environment, and no past."""


def items() -> list[dict[str, Any]]:
    return [item for folder in json.loads(COLLECTION.read_text())["item"] for item in folder["item"]]


def test_every_operation_is_a_request() -> None:
    assert sorted(item["name"] for item in items()) == sorted(SUMMARIES)


def test_what_deletes_a_thing_comes_behind_what_else_is_done_with_it() -> None:
    for folder in json.loads(COLLECTION.read_text())["item"]:
        requests = [item["request"] for item in folder["item"]]
        paths = [request["url"]["raw"] for request in requests]
        for at, request in enumerate(requests):
            if request["method"] == "DELETE":
                assert [path for path in paths[at + 1 :] if path.startswith(paths[at])] == []


def test_a_token_is_in_neither_file() -> None:
    values = {each["key"]: each["value"] for each in json.loads(ENVIRONMENT.read_text())["values"]}
    assert values["token"] == ""
    assert "eyJ" not in COLLECTION.read_text()


def test_every_variable_is_given_by_somebody() -> None:
    text = COLLECTION.read_text()
    whole = json.loads(text)
    known = {each["key"] for each in json.loads(ENVIRONMENT.read_text())["values"]}
    known |= {each["key"] for each in whole["variable"]} | {"later", "$guid"}
    used = {part.partition("}}")[0] for part in text.split("{{")[1:]}
    assert used - known == set()


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Path]:
    """The home of a sandbox whose story is over, and whose server stays up."""
    home, told = tmp_path / "sandbox", tmp_path / "told"
    command = [sys.executable, "-m", "dg", "sandbox", "--keep", "--json", "--home", str(home)]
    with told.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        until(
            lambda: b'"fact":"kept"' in told.read_bytes() or process.poll() is not None,
            "the end of the sandbox's story",
            STORY_WITHIN,
        )
        assert process.poll() is None, told.read_text()
        yield home
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(STOPPED_WITHIN)


@pytest.mark.long
@pytest.mark.skipif(
    not NEWMAN.exists() or shutil.which("node") is None, reason="`npm ci --prefix tools` was not run"
)
def test_the_collection_drives_a_sandbox(sandbox: Path, tmp_path: Path) -> None:
    found = find({}, sandbox)
    said = {"baseUrl": f"{found.url}/v1", "token": found.token, "repository": str(sandbox / "sandbox/shop")}
    environment = json.loads(ENVIRONMENT.read_text())
    for each in environment["values"]:
        each["value"] = said.get(each["key"], each["value"])
    given, report = tmp_path / "environment.json", tmp_path / "report.json"
    given.write_text(json.dumps(environment))
    options = ["--reporters", "cli,json", "--reporter-json-export", str(report), "--color", "off"]
    done = subprocess.run(
        [NEWMAN, "run", COLLECTION, "--environment", given, *options],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    executions = json.loads(report.read_text())["run"]["executions"]
    assert [each["item"]["name"] for each in executions] == [item["name"] for item in items()]
    refused = {each["item"]["name"] for each in executions if each["response"]["code"] >= 400}
    assert refused - NOT_NOW == set()
