"""Facts about the first pipeline that `dg init` writes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.deployments.models import Kind
from dg.core.deployments.pipeline import explain, lint, parse, template
from dg.core.errors import Invalid
from dg.core.types import Environment

GIT = "git@github.com:acme/web.git"
URLS = {
    "development": "http://127.0.0.1:8000",
    "staging": "https://s.example.com",
    "production": "https://example.com",
}


@pytest.mark.parametrize("has_dockerfile", [False, True])
@pytest.mark.parametrize(
    "targets", [(), ("test",), ("build", "deploy"), ("test", "build", "deploy", "clean")]
)
def test_it_parses_and_has_no_findings(has_dockerfile: bool, targets: tuple[str, ...]) -> None:
    text = template("web", GIT, urls=URLS, has_dockerfile=has_dockerfile, make_targets=targets)
    pipeline = parse(text)
    assert lint(pipeline) == []
    for environment in Environment:
        assert explain(pipeline, environment, Kind.DEPLOY)


def test_it_uses_what_was_found() -> None:
    pipeline = parse(
        template(
            "web", GIT, "trunk", urls=URLS, has_dockerfile=True, make_targets=["test", "deploy", "build"]
        )
    )
    assert pipeline.source.ref == "trunk"
    assert [(step.name, step.run) for step in pipeline.steps if step.run] == [
        ("test", ("make", "test")),
        ("image", ("docker", "build", "--tag", "web:{sha}", ".")),
        ("release", ("make", "deploy")),
    ]
    assert [step.name for step in explain(pipeline, Environment.PRODUCTION, Kind.ROLLBACK)] == [
        "release",
        "healthy",
    ]


def test_its_hints_for_production_hold_when_they_are_taken() -> None:
    head, _, hints = template("web", GIT, urls=URLS).partition("# [env.production]")
    taken = parse(f"{head}[env.production]{hints.replace('# approvals', 'approvals')}")
    approvals = taken.demands(Environment.PRODUCTION).approvals
    assert approvals
    assert approvals.count == 1
    everything = f"{head}[env.production]" + hints.replace("\n# ", "\n")
    assert len(parse(everything).demands(Environment.PRODUCTION).windows) == 1


def test_it_uses_what_was_answered() -> None:
    text = template(
        "web", GIT, urls=URLS, deploy=["kamal", "deploy", "--version={sha}"], health_path="/up?a={b}"
    )
    pipeline = parse(text)
    assert pipeline.steps[0].run == ("kamal", "deploy", "--version={sha}")
    assert explain(pipeline, Environment.PRODUCTION, Kind.DEPLOY)[1].text == "https://example.com/up?a={b}"


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0{}"))


@given(TEXT, st.text("/a\"'\\{}\x7f#?=&"))
def test_no_answer_can_break_out_of_its_string(argument: str, path: str) -> None:
    pipeline = parse(template("web", GIT, urls=URLS, deploy=["deploy", argument], health_path=path))
    release, healthy = pipeline.steps
    assert release.run == ("deploy", argument)
    assert healthy.check is not None
    assert healthy.check.http == "{env.url}" + path.replace("{", "{{").replace("}", "}}")


@pytest.mark.parametrize(("git", "ref"), [("ext::sh", "main"), (GIT, "--x")])
def test_what_git_may_not_be_given_is_not_written(git: str, ref: str) -> None:
    with pytest.raises(Invalid):
        template("web", git, ref, urls=URLS)
