"""Facts about what a pipeline lets its steps use: limits, another user, no network."""

from __future__ import annotations

import pytest
from tests.core.deployments.pipeline.samples import HEAD, with_run
from tests.core.deployments.pipeline.test_parse import errors_of

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline import explain, parse
from dg.core.types import Environment

DEFAULTS = """
[defaults]
limits = { memory = "1 GiB", processes = 200 }
user = "deploy"
network = false
"""
RUN = '[[step]]\nname = "one"\nphase = "deploy"\nrun = ["true"]\n'
CHECK = '[[step]]\nname = "up"\nphase = "verify"\ncheck = { tcp = "db:5432" }\n'


def planned(text: str) -> list[tuple[dict[str, float], str | None, bool]]:
    steps = explain(parse(text), Environment.PRODUCTION, Kind.DEPLOY)
    return [(dict(step.limits), step.user, step.network) for step in steps]


def test_step_has_no_limits_and_the_servers_user_unless_it_says_so() -> None:
    assert planned(with_run()) == [({}, None, True)]


def test_limits_of_a_step_stand_before_those_of_the_defaults_one_by_one() -> None:
    own = (
        RUN + 'limits = { memory = "256MiB", cpu = 1.5, open_files = 64, file_size = 1000 }\nuser = "build"\n'
    )
    assert planned(HEAD + DEFAULTS + own) == [
        (
            {"memory": 256 << 20, "processes": 200, "cpu": 1.5, "file_size": 1000, "open_files": 64},
            "build",
            False,
        )
    ]


def test_zero_lifts_a_limit_and_true_gives_the_network_back() -> None:
    own = RUN + "limits = { memory = 0 }\nnetwork = true\n"
    assert planned(HEAD + DEFAULTS + own) == [({"processes": 200}, "deploy", True)]


def test_checks_that_dg_makes_itself_are_not_confined() -> None:
    assert planned(HEAD + DEFAULTS + RUN + CHECK)[1] == ({}, None, True)


@pytest.mark.parametrize("key", ['user = "deploy"', "network = false", "limits = { cpu = 1 }"])
def test_asking_for_it_there_is_a_mistake(key: str) -> None:
    field = f"step[1].{key.partition(' ')[0]}"
    message = "does not apply to an http, tcp or probes check, which dg makes itself; remove it"
    assert errors_of(HEAD + RUN + CHECK + key) == {field: message}


@pytest.mark.parametrize(
    ("key", "field", "part"),
    [
        ('limits = { memory = "512 MB" }', "limits.memory", 'a size is written as "16 KiB"'),
        ("limits = { memory = true }", "limits.memory", "must be a size such as"),
        ("limits = { memory = 1000 }", "limits.memory", 'at least "16 MiB"'),
        ("limits = { memory = -1 }", "limits.memory", "must be a size such as"),
        ("limits = { cpu = nan }", "limits.cpu", "from 0.01 to 1024"),
        ("limits = { cpu = 0.001 }", "limits.cpu", "from 0.01 to 1024"),
        ('limits = { cpu = "1" }', "limits.cpu", "from 0.01 to 1024"),
        ("limits = { processes = 1.5 }", "limits.processes", "must be a whole number"),
        ("limits = { process = 15 }", "limits.process", "did you mean `processes`?"),
        ("limits = 5", "limits", "must be a table"),
        ("user = 1000", "user", "must be a string in quotes"),
        ('user = "1000"', "user", "must be the name of a user"),
        ('user = "a b"', "user", "must be the name of a user"),
        ("network = 0", "network", "must be true or false"),
    ],
)
def test_mistake_is_named_with_the_way_out(key: str, field: str, part: str) -> None:
    errors = errors_of(with_run(key))
    assert list(errors) == [f"step[0].{field}"]
    assert part in errors[f"step[0].{field}"]
