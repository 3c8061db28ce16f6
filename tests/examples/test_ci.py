"""`examples/ci`: the shell of the two jobs, run as the two systems run it, against a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.examples.example import EXAMPLES
from tests.scenarios.house import House, step

from dg.cli.errors import ExitCode
from dg.sandbox.server import environ

ROOT = Path(__file__).parents[2]
DEPLOY = step("release", "deploy", 'shell = "test ! -e broken"')
SYSTEMS = ("github", "gitlab")


def github(job: str, name: str) -> str:
    """The `run` of a step."""
    workflow = yaml.safe_load((EXAMPLES / "ci" / "github-actions.yml").read_text())
    (found,) = (each for each in workflow["jobs"][job]["steps"] if each.get("name") == name)
    text: str = found["run"]
    return text


def gitlab(job: str, key: str = "script") -> str:
    """The lines of a job, its template's where it has none of its own."""
    jobs: Mapping[str, Any] = yaml.safe_load((EXAMPLES / "ci" / "gitlab-ci.yml").read_text())
    lines: list[str] = jobs[job].get(key) or jobs[jobs[job]["extends"]][key]
    return "\n".join(lines)


SCRIPTS = {"github": github("production", "Deploy"), "gitlab": gitlab("production")}


class Runner:
    """Runs a job's shell with the variables that a CI system sets."""

    def __init__(self, house: House, folder: Path, token: str) -> None:
        self.house = house
        self.folder = folder
        self.token = token
        # Waiting between two tries is the system's time, not the test's.
        (folder / "sleep").write_text("#!/bin/sh\nexit 0\n")
        (folder / "sleep").chmod(0o755)

    def __call__(self, script: str, *, number: str = "1", **more: str) -> subprocess.CompletedProcess[str]:
        variables = environ(os.environ)
        variables |= {"PATH": f"{self.folder}:{Path(sys.executable).parent}:{variables['PATH']}"}
        variables |= {"DG_URL": self.house.url, "DG_TOKEN": self.token, "RUNNER_TEMP": str(self.folder)}
        variables |= {"GITHUB_RUN_ID": number, "GITHUB_RUN_ATTEMPT": "1", "CI_JOB_ID": number}
        variables |= {"GITHUB_SERVER_URL": "https://git.example", "GITHUB_REPOSITORY": "acme/web"}
        variables |= {"CI_JOB_URL": f"https://git.example/jobs/{number}", **more}
        variables |= {"GITHUB_PATH": str(self.folder / "github_path")}
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env=variables,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def deploy(self, system: str, commit: str, number: str = "1") -> subprocess.CompletedProcess[str]:
        return self(SCRIPTS[system], number=number, GITHUB_SHA=commit, CI_COMMIT_SHA=commit)


@pytest.fixture
def job(tmp_path: Path) -> Iterator[Runner]:
    """A server with a pipeline, and a job that holds a token for production alone."""
    house = House(tmp_path)
    try:
        house.start()
        (tmp_path / "dg.toml").write_text(house.pipeline(DEPLOY).replace('"verify_failed"', '"failed"'))
        assert house.dg("pipeline", "register", str(tmp_path / "dg.toml")).returncode == 0
        narrowed = ("--role", "operator", "--env", "production", "--service", "web")
        made = house.dg("token", "create", "--name", "ci", *narrowed)
        yield Runner(house, tmp_path, made.stdout.decode().split()[-1])
    finally:
        house.close()


def made_deployments(house: House) -> int:
    return len(house.dg("events", "--json").stdout.decode().split('"deployment.created"')) - 1


@pytest.mark.long
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_job_ends_as_its_deployment_does(job: Runner, system: str) -> None:
    good = job.deploy(system, job.house.repository.commit("good"))
    assert good.returncode == ExitCode.OK, good.stderr
    bad = job.deploy(system, job.house.repository.commit("bad", broken="yes"), number="2")
    assert bad.returncode == ExitCode.FAILED
    assert "runs again in production" in bad.stdout
    job.house.dg("lane", "lock", "web", "production", "--for", "1h", "--reason", "a migration")
    closed = job.deploy(system, job.house.repository.commit("later"), number="3")
    assert closed.returncode == ExitCode.REFUSED
    assert "a migration" in closed.stderr
    assert not [each for each in (good, bad, closed) if job.token in each.stdout + each.stderr]


@pytest.mark.long
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_job_that_asks_again_gets_the_same_deployment(job: Runner, system: str) -> None:
    commit = job.house.repository.commit("good")
    before = made_deployments(job.house)
    first, again = job.deploy(system, commit), job.deploy(system, commit)
    assert (first.returncode, again.returncode) == (0, 0)
    assert made_deployments(job.house) == before + 1
    job.house.kill()
    gone = job.deploy(system, commit)
    assert gone.returncode == ExitCode.UNREACHABLE
    assert gone.stderr.count("dg:") == 3


@pytest.mark.long
def test_a_job_installs_dg_and_checks_the_pipeline(job: Runner) -> None:
    install = github("production", "Install dg")
    assert install == github("check", "Install dg")
    elsewhere = gitlab("production", "before_script").replace("/tmp/dg", "$RUNNER_TEMP/dg")
    assert 'install --quiet "$DG_PACKAGE"' in elsewhere
    done = job(install, DG_PACKAGE=str(ROOT))
    assert done.returncode == 0, done.stderr
    installed = (job.folder / "github_path").read_text().strip()
    assert Path(installed, "dg").is_file()
    for check in (github("check", "Check the pipeline"), gitlab("check")):
        assert job(f'export PATH="{installed}:$PATH"\n{check}').returncode == ExitCode.OK
    (job.folder / "dg.toml").write_text("version = 2\n")
    assert job(gitlab("check")).returncode == ExitCode.USAGE


def test_a_token_reaches_dg_by_its_variable_alone() -> None:
    for script in SCRIPTS.values():
        assert "DG_TOKEN" not in script
        assert "${{" not in script
