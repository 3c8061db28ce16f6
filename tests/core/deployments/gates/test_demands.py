"""Demands: how they are written, what is refused, and that a pipeline only adds to them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.core.deployments.gates.yard import open_yard
from tests.core.deployments.pipeline.samples import with_run

from dg.core.deployments.gates.demands import QUEUES, Demands, Guard, Queue, read
from dg.core.deployments.pipeline import parse
from dg.core.errors import Invalid
from dg.core.types import Environment
from dg.settings import Settings

PRODUCTION = Environment.PRODUCTION
WINDOW = '{ deny = "0 17 * * FRI", for = "63h", tz = "Europe/Berlin", override = "role:admin" }'
FULL = f"""
[env.production]
approvals = {{ count = 2, from = ["role:approver", "user:olga"], expires = "4h", bypass = "role:admin" }}
requires = ["staging"]
soak = "20m"
windows = [{WINDOW}]
queue = "latest"
gates = ["lane.known", "artefact.scan == 'passed'"]
settings = {{ domain = "shop.example" }}
"""


def test_a_pipeline_says_what_it_demands() -> None:
    demands = parse(with_run(after=FULL)).demands(PRODUCTION)
    assert demands.approvals is not None
    assert (demands.approvals.count, demands.approvals.people) == (2, ("role:approver", "user:olga"))
    assert (demands.approvals.expires, demands.approvals.bypass, demands.approvals.own) == (
        14400,
        "role:admin",
        False,
    )
    assert (demands.requires, demands.soak, demands.queue) == ((Environment.STAGING,), 1200, "latest")
    assert demands.gates == ("lane.known", "artefact.scan == 'passed'")
    assert demands.windows[0].override == "role:admin"
    assert type(demands) is Demands


def test_nothing_is_demanded_where_nothing_is_said() -> None:
    pipeline = parse(with_run(after="[env.production.settings]\na = '1'"))
    for environment in Environment:
        assert pipeline.demands(environment) == Demands()
        assert Guard.of(pipeline.demands(environment), Demands()) is None


@pytest.mark.parametrize(
    ("key", "field", "why"),
    [
        ("approvals = 1", "approvals", "must be a table"),
        ("approvals = { count = 0 }", "approvals.count", "greater than or equal to 1"),
        ("approvals = { count = true }", "approvals.count", "must be a whole number"),
        ("approvals = { form = [] }", "approvals.form", "did you mean `from`?"),
        ("approvals = { from = [] }", "approvals.from", "must name somebody"),
        ('approvals = { from = ["olga"] }', "approvals.from[0]", 'must be "user:NAME" or a role'),
        ('approvals = { from = ["role:viewer"] }', "approvals.from[0]", "role:approver, role:admin"),
        ('approvals = { count = 2, from = ["user:olga"] }', "approvals.count", "and `from` names 1"),
        ('approvals = { bypass = "user:olga" }', "approvals.bypass", "must be a role that may open gates"),
        ('approvals = { expires = "0s" }', "approvals.expires", "must be a duration"),
        ('requires = "staging"', "requires", "must be a list"),
        ('requires = ["test"]', "requires[0]", 'must be "development", "staging" or "production"'),
        ('requires = ["production"]', "requires[0]", "must be an environment before production"),
        ('requires = ["staging", "staging"]', "requires", "names an environment twice"),
        ('soak = "20m"', "soak", "name it in `requires`"),
        ('queue = "newest"', "queue", 'must be "all", "latest" or "reject"'),
        (f"gates = {['lane.known'] * 31}", "gates", "may have at most 30 entries"),
        (f"approvals = {{ from = {['role:admin'] * 101} }}", "approvals.from", "at most 100 entries"),
        (f"windows = [{'{ tz = 1 },' * 31}]", "windows", "may have at most 30 entries"),
        ('gates = ["lane.knwon"]', "gates[0]", "did you mean `lane.known`?"),
        ("gatse = []", "gatse", "did you mean `gates`?"),
        ("windows = [{ deny = '0 0 31 2 *', for = '1h', tz = 'UTC' }]", "windows[0].deny", "never"),
        ("windows = [{ deny = '0 0 * * *', for = '24h', tz = 'UTC' }]", "windows", "leave no time at all"),
        ("windows = [{ deny = '0 0 * * *', for = '1h' }]", "windows[0].tz", "is required"),
        (
            "windows = [{ deny = '0 0 * * *', fro = '1h', for = '1h', tz = 'UTC' }]",
            "windows[0].fro",
            "`for`?",
        ),
        ('gates = ["minutes_since.production > 1"]', "gates[0]", "which dg does not know"),
    ],
)
def test_a_mistake_is_named_with_its_key(key: str, field: str, why: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse(with_run(after=f"[env.production]\n{key}"))
    errors = caught.value.details["errors"]
    assert isinstance(errors, list)
    (error,) = errors
    assert error["field"] == f"env.production.{field}"
    assert why in error["message"]


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ({"approvals": {"cuont": 1}}, "environments.production.approvals.cuont is not a known key; did you"),
        ({"requires": ["production"]}, "environments.production.requires[0] must be an environment before"),
        ({"soak": 60.0}, "environments.production.soak counts from the success"),
        ({"gates": ["x"]}, "environments.production.gates[0] "),
    ],
)
def test_a_mistake_in_the_settings_is_named_with_its_setting(section: dict[str, Any], why: str) -> None:
    settings = Settings.model_validate({"home": "/", "environments": {"production": section}})
    with pytest.raises(Invalid) as caught:
        read(settings.environments.production.demands(), PRODUCTION, "environments.production")
    assert why in caught.value.message


async def test_a_server_does_not_start_with_demands_that_cannot_be(tmp_path: Path) -> None:
    own = {"staging": {"approvals": {"count": 0}}}
    with pytest.raises(Invalid, match=r"environments\.staging\.approvals\.count"):
        async with open_yard(tmp_path, environments=own):
            raise AssertionError


def test_settings_are_written_as_in_a_pipeline() -> None:
    section = {
        "approvals": {"count": 2},
        "requires": "development staging",
        "soak": "1h",
        "windows": f"[{WINDOW}]",
        "queue": "reject",
        "gates": ["lane.known"],
    }
    settings = Settings.model_validate({"home": "/", "environments": {"production": section}})
    demands = read(settings.environments.production.demands(), PRODUCTION, "environments.production")
    assert demands.approvals is not None
    assert (demands.approvals.count, demands.soak, demands.queue) == (2, 3600, "reject")
    assert demands.requires == (Environment.DEVELOPMENT, Environment.STAGING)
    assert demands.windows[0].tz == "Europe/Berlin"


# --- together

SOURCES = st.builds(
    lambda count, requires, soak, queue, gates: {
        **({"approvals": {"count": count}} if count else {}),
        "requires": requires,
        **({"soak": float(soak)} if soak and requires else {}),
        "queue": queue,
        "gates": gates,
    },
    st.integers(0, 3),
    st.lists(st.sampled_from(["development", "staging"]), unique=True),
    st.integers(0, 3000),
    st.sampled_from(QUEUES),
    st.lists(st.sampled_from(["lane.known", "not lane.known", "lane.failures == 0"]), unique=True),
)


@given(SOURCES, SOURCES)
def test_a_pipeline_only_adds(own: dict[str, Any], added: dict[str, Any]) -> None:
    first, second = Demands.model_validate(own), Demands.model_validate(added)
    guard = Guard.of(first, second) or Guard()
    for source in (first, second):
        assert set(source.requires) <= set(guard.requires)
        assert set(source.gates) <= set(guard.gates)
        assert guard.soak >= (source.soak or 0)
        assert QUEUES.index(guard.queue) >= QUEUES.index(source.queue)
        assert source.approvals is None or source.approvals in guard.approvals


@given(SOURCES, SOURCES)
def test_what_is_kept_is_what_was_demanded(own: dict[str, Any], added: dict[str, Any]) -> None:
    guard = Guard.of(Demands.model_validate(own), Demands.model_validate(added)) or Guard()
    again = Guard.model_validate_json(guard.text())
    assert again == guard
    assert again.text() == guard.text()


@pytest.mark.parametrize("queue", QUEUES)
def test_the_same_demand_twice_is_one(queue: Queue) -> None:
    source = Demands(queue=queue, gates=("lane.known",))
    assert Guard.of(source, source) == Guard(sources=(source,))


def test_an_unknown_key_is_refused_in_code_too() -> None:
    with pytest.raises(ValidationError):
        Demands.model_validate({"approval": {}})
