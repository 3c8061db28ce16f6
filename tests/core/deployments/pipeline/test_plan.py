"""Facts about what one deployment does with a pipeline."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from tests.core.deployments.pipeline.samples import FULL, with_run, with_step

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline import Inputs, explain, parse, render, variables
from dg.core.errors import Invalid
from dg.core.types import Environment
from dg.runner import ticket

SHA = "0123456789abcdef0123456789abcdef01234567"
INPUTS = Inputs(
    id="0199a0e4-7a5c-7000-8000-000000000001",
    kind=Kind.DEPLOY,
    environment=Environment.PRODUCTION,
    version="1.2",
    sha=SHA,
)


def test_a_deploy_renders_every_step_filled() -> None:
    steps = render(parse(FULL), INPUTS)
    assert [(step["index"], step["name"]) for step in steps] == list(
        enumerate(["image", "migrate", "rollout", "switch", "smoke", "port", "tell"])
    )
    assert steps[0] == {
        "index": 0,
        "name": "image",
        "phase": "build",
        "run": ["docker", "build", "-t", f"acme/web:{SHA}", "."],
        "shell": None,
        "check": None,
        "env": {},
        "output": {"image": f"acme/web:{SHA}"},
        "secrets": [],
        "timeout": 1200.0,
        "idle": 300.0,
        "grace": 15.0,
        "cancel": "kill",
        "when": "success",
        "background": False,
        "limits": {},
        "user": None,
        "network": True,
    }
    assert (steps[1]["timeout"], steps[1]["idle"], steps[1]["secrets"]) == (5400.0, None, ["database_url"])
    assert steps[2]["shell"] == f"kamal deploy --skip-push --version {SHA} && echo ${{HOME}} {{a,b}}"
    assert steps[2]["env"] == {"TARGETS": "eu-1, us-1", "LABEL": "web/1.2"}
    assert steps[3]["run"] == ["./switch", "{outputs.image}", "--json={}", "production", "deploy", INPUTS.id]


def test_a_check_renders_as_the_runner_asks_it() -> None:
    steps = {step["name"]: step for step in render(parse(FULL), INPUTS)}
    assert steps["smoke"]["check"] == {
        "http": "https://www.example.com/health",
        "status": [200, 204],
        "contains": "1.2",
        "headers": {},
        "for": 120.0,
        "every": 5.0,
        "timeout": 5.0,
    }
    assert steps["smoke"]["idle"] is None
    assert steps["port"]["check"] == {"tcp": "www.example.com:443", "for": 0.0, "every": 1.0, "timeout": 2.0}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (Kind.REDEPLOY, ["rollout", "switch", "smoke", "port", "tell"]),
        (Kind.ROLLBACK, ["rollout", "switch", "smoke", "port", "tell"]),
    ],
)
def test_a_rollback_builds_nothing_and_skips_what_is_for_deploys(kind: Kind, names: list[str]) -> None:
    steps = render(parse(FULL), replace(INPUTS, kind=kind))
    assert [step["name"] for step in steps] == names
    assert [step["index"] for step in steps] == list(range(len(names)))


@pytest.mark.parametrize("kind", Kind)
def test_the_runner_takes_the_steps_as_they_are(kind: Kind) -> None:
    steps = json.loads(json.dumps(render(parse(FULL), replace(INPUTS, kind=kind))))
    parsed = ticket.parse({"deployment": INPUTS.id, "epoch": 1, "lease": "/lease", "steps": steps})
    assert [step.name for step in parsed.steps] == [step["name"] for step in steps]
    smoke = next(step for step in parsed.steps if step.name == "smoke")
    assert smoke.check is not None
    assert (smoke.check.http, smoke.check.hold) == ("https://www.example.com/health", 120.0)


def test_steps_see_the_deployment_as_variables() -> None:
    assert variables(parse(FULL), INPUTS) == {
        "DG_ID": INPUTS.id,
        "DG_SERVICE": "web",
        "DG_ENVIRONMENT": "production",
        "DG_VERSION": "1.2",
        "DG_SHA": SHA,
        "DG_KIND": "deploy",
        "DG_ENV_DOMAIN": "www.example.com",
        "DG_ENV_TARGETS": "eu-1, us-1",
    }


def test_a_hostile_version_stays_one_argument() -> None:
    hostile = "1.0; rm -rf / $(id) `id` ' \" {sha} --x"
    steps = {step["name"]: step for step in render(parse(FULL), replace(INPUTS, version=hostile))}
    assert steps["rollout"]["env"]["LABEL"] == f"web/{hostile}"
    assert "rm -rf" not in steps["rollout"]["shell"]


@pytest.mark.parametrize("version", ["", "-rf", "--config=x", "a\nb", "a\0", "\x1b[2J", "\u202e1"])
def test_a_version_that_could_be_an_option_or_break_a_line_is_refused(version: str) -> None:
    with pytest.raises(Invalid, match="`version` must be printable"):
        replace(INPUTS, version=version)


@pytest.mark.parametrize("sha", ["", "main", SHA[:7], SHA.upper(), SHA + "\n", "$(id)"])
def test_only_a_full_commit_reaches_a_shell(sha: str) -> None:
    with pytest.raises(Invalid, match="full commit id"):
        replace(INPUTS, sha=sha)


def test_a_value_that_mimics_an_output_is_refused() -> None:
    with pytest.raises(Invalid, match="step `rollout` cannot run in production"):
        render(parse(FULL), replace(INPUTS, version="{outputs.image}", kind=Kind.ROLLBACK))


def test_a_setting_that_the_environment_lacks_is_named() -> None:
    with pytest.raises(
        Invalid, match=r"step `rollout` cannot run in development: `\{env.targets\}` has no value"
    ):
        render(parse(FULL), replace(INPUTS, environment=Environment.DEVELOPMENT))


def test_a_check_of_probes_renders_for_the_runner_and_is_explained() -> None:
    text = with_step('phase = "verify"\ncheck = { probes = ["web", "api"], for = "30s" }')
    (rendered,) = render(parse(text), INPUTS)
    assert rendered["check"] == {"probes": ["web", "api"], "for": 30.0, "every": 1.0, "timeout": 5.0}
    (planned,) = explain(parse(text), Environment.PRODUCTION, Kind.DEPLOY)
    assert (planned.action, planned.text) == ("check", "web, api are healthy for 30 s")


@pytest.mark.parametrize("phase", ["build", "deploy"])
def test_only_a_verify_step_asks_probes(phase: str) -> None:
    with pytest.raises(Invalid, match="make it a step of phase"):
        parse(with_step(f'phase = "{phase}"\ncheck = {{ probes = ["web"] }}'))


@pytest.mark.parametrize(
    ("check", "url"),
    [
        ("http = '{env.url}'", "ftp://x"),
        ("http = '{env.url}'", "https://"),
        ("http = '{env.url}'", "https://x y/"),
        ("http = '{env.url}'", "https://x:99999/"),
        ("http = '{env.url}'", "file:///etc/passwd"),
        ("tcp = '{env.url}'", "x"),
        ("tcp = '{env.url}'", ":80"),
        ("tcp = '{env.url}'", "x:0"),
        ("tcp = 'x:{env.url}'", "http"),
    ],
)
def test_an_address_that_cannot_be_dialled_is_refused_before_the_run(check: str, url: str) -> None:
    text = with_step(
        f'phase = "verify"\ncheck = {{ {check} }}', after=f"[env.production.settings]\nurl = '{url}'"
    )
    with pytest.raises(Invalid, match="its check needs"):
        render(parse(text), INPUTS)


def test_an_address_with_an_output_is_left_to_the_runner() -> None:
    text = with_step('phase = "verify"\ncheck = { http = "http://127.0.0.1:{outputs.port}/" }')
    assert render(parse(text), INPUTS)[0]["check"]["http"] == "http://127.0.0.1:{outputs.port}/"


def test_a_plan_shows_what_would_run_without_knowing_the_commit() -> None:
    plan = explain(parse(FULL), Environment.PRODUCTION, Kind.DEPLOY)
    assert [(step.name, step.action, step.text) for step in plan[:2]] == [
        ("image", "run", "docker build -t 'acme/web:{sha}' ."),
        ("migrate", "run", "./bin/migrate up"),
    ]
    assert plan[2].text.startswith("kamal deploy --skip-push --version {sha}")
    assert (plan[1].reversible, plan[1].secrets, plan[1].timeout, plan[1].idle) == (
        False,
        ("database_url",),
        5400.0,
        None,
    )
    assert plan[4].text == "https://www.example.com/health"
    assert explain(parse(FULL), Environment.STAGING, Kind.ROLLBACK)[0].name == "rollout"


def test_a_plan_shows_no_control_characters() -> None:
    plan = explain(
        parse(with_run().replace('"true"', '"true", "\\u001b[2J"')), Environment.STAGING, Kind.DEPLOY
    )
    assert plan[0].text == "true '␛[2J'"
