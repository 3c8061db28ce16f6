"""Facts about what is likely a mistake."""

from __future__ import annotations

import pytest
from tests.core.deployments.pipeline.samples import FULL, with_run, with_step

from dg.core.deployments.pipeline import lint, parse

VERIFY = '[[step]]\nname = "up"\nphase = "verify"\ncheck = { tcp = "x:1" }\n'
DEPLOY = '[[step]]\nname = "up"\nphase = "deploy"\ntimeout = "1m"\nrun = ["true"]\n'


def found(text: str) -> list[tuple[str, str]]:
    return [(finding.level, finding.field) for finding in lint(parse(text))]


def test_a_careful_pipeline_has_no_findings() -> None:
    assert lint(parse(FULL)) == []
    assert found(with_run("timeout = 60", after=VERIFY)) == []


def test_nothing_to_verify_and_nothing_to_deploy_are_warned_of() -> None:
    (finding,) = lint(parse(with_run("timeout = 60")))
    assert (finding.level, finding.field) == ("warning", "")
    assert "never rolls back by itself" in finding.message
    (finding,) = lint(parse(with_step('phase = "verify"\ncheck = { tcp = "x:1" }')))
    assert "no step deploys" in finding.message


def test_a_deploy_without_a_time_is_warned_of_unless_the_defaults_give_one() -> None:
    assert found(with_run(after=VERIFY)) == [("warning", "step[0].timeout")]
    assert found(with_run(after=VERIFY + '[defaults]\ntimeout = "15m"')) == []


def test_an_irreversible_step_should_not_run_on_a_rollback() -> None:
    step = "timeout = 60\nreversible = false\n"
    assert found(with_run(step, after=VERIFY)) == [("warning", "step[0].reversible")]
    assert found(with_run(step + 'on = ["deploy"]', after=VERIFY)) == []


@pytest.mark.parametrize(("steady", "level"), [("59s", None), ("60s", "error"), ("2m", "error")])
def test_a_check_that_cannot_pass_in_time_is_an_error(steady: str, level: str | None) -> None:
    text = with_run(
        "timeout = 60", after=VERIFY.replace('"x:1"', f'"x:1", for = "{steady}"') + "timeout = 60"
    )
    assert found(text) == ([(level, "step[1].check.for")] if level else [])


def test_secrets_reach_only_commands() -> None:
    secret = 'secrets = ["token"]'
    assert found(with_run("timeout = 60", after=VERIFY + secret)) == [("warning", "step[1].secrets")]
    command = VERIFY.replace('tcp = "x:1"', 'command = ["true"]')
    assert found(with_run("timeout = 60", after=command + secret)) == []


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://www.example.com/", True),
        ("{env.url}/health", True),
        ("http://203.0.113.7/", False),
        ("http://8.8.8.8/", True),
        ("https://www.example.com/", False),
        ("http://127.0.0.1:8000/", False),
        ("http://10.0.0.7/", False),
        ("http://[::1]/", False),
        ("http://localhost/", False),
        ("http://web.internal/", False),
        ("http://[bad/", False),
    ],
)
def test_production_should_be_asked_over_https(url: str, warned: bool) -> None:
    check = VERIFY.replace('tcp = "x:1"', f'http = "{url}"')
    text = with_run("timeout = 60", after=check + "[env.production.settings]\nurl = 'http://www.example.com'")
    assert found(text) == ([("warning", "step[1].check.http")] if warned else [])


def test_a_setting_that_one_environment_lacks_is_an_error() -> None:
    text = with_run(
        "timeout = 60\nenv = { A = '{env.a}' }",
        after=VERIFY + "[env.staging.settings]\na = '1'\n[env.production.settings]\nb = '1'",
    )
    (finding,) = lint(parse(text))
    assert (finding.level, finding.field) == ("error", "step[0].env.A")
    assert finding.message == "uses {env.a}, which [env.production.settings] lacks"
