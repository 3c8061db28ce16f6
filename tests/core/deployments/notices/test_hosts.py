"""What notices report, in the words of each host, and which repository they are about."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.deployments.notices.signing import github_push, gitlab_push

from dg.core.deployments.notices.hosts import Report, report
from dg.core.errors import Invalid

COMMIT = "9f1c2ab0c4d5e6f708192a3b4c5d6e7f80912a3b"
NOBODY = "0" * 40


def on_github(value: object, event: str = "push") -> Report | None:
    return report("github", {"x-github-event": event}, value)


def test_a_push_to_a_branch() -> None:
    for found in (on_github(github_push(COMMIT)), report("gitlab", {}, gitlab_push(COMMIT))):
        assert found is not None
        assert (found.event, found.ref, found.commit) == ("push", "main", COMMIT)


def test_a_pushed_tag() -> None:
    for found in (
        on_github(github_push(COMMIT, "refs/tags/v1.2")),
        report("gitlab", {}, gitlab_push(COMMIT, "refs/tags/v1.2")),
    ):
        assert found is not None
        assert (found.event, found.ref, found.commit) == ("tag", "v1.2", COMMIT)


def test_what_an_annotated_tag_points_to_is_what_is_meant() -> None:
    value = {**github_push(COMMIT, "refs/tags/v1.2"), "after": "1" * 40}
    found = on_github(value)
    assert found is not None
    assert found.commit == COMMIT


def test_a_published_release() -> None:
    repository = github_push(COMMIT)["repository"]
    value = {"action": "published", "release": {"tag_name": "v2", "draft": False}, "repository": repository}
    found = on_github(value, "release")
    assert found is not None
    assert (found.event, found.ref, found.commit) == ("release", "v2", None)
    project = gitlab_push(COMMIT)["project"]
    value = {
        "object_kind": "release",
        "action": "create",
        "tag": "v2",
        "commit": {"id": COMMIT},
        "project": project,
    }
    found = report("gitlab", {}, value)
    assert found is not None
    assert (found.event, found.ref, found.commit) == ("release", "v2", COMMIT)


@pytest.mark.parametrize(
    ("event", "value"),
    [
        ("ping", {"zen": "Speak like a human."}),
        ("push", {}),
        ("push", {"ref": 1, "repository": [], "head_commit": "x"}),
        ("push", github_push(COMMIT, "refs/notes/x")),
        ("push", github_push(COMMIT, deleted=True)),
        ("push", {**github_push(COMMIT), "repository": {"clone_url": "ext::sh -c x"}}),
        ("release", {**github_push(COMMIT), "action": "created", "release": {"tag_name": "v1"}}),
        (
            "release",
            {**github_push(COMMIT), "action": "published", "release": {"tag_name": "v1", "draft": True}},
        ),
        ("issues", github_push(COMMIT)),
    ],
)
def test_what_nobody_deploys_for_is_no_report(event: str, value: dict[str, Any]) -> None:
    assert on_github(value, event) is None


def test_a_deleted_branch_is_no_report_on_gitlab() -> None:
    assert report("gitlab", {}, {**gitlab_push(COMMIT), "after": NOBODY}) is None
    assert report("gitlab", {}, {"object_kind": "pipeline"}) is None


@pytest.mark.parametrize("ref", ["-x", "a..b", "a b", "x\x1b[31m", "@{u}", "a:b", "x" * 300])
def test_a_name_that_git_must_not_see_is_refused(ref: str) -> None:
    with pytest.raises(Invalid):
        on_github(github_push(COMMIT, f"refs/heads/{ref}"))
    with pytest.raises(Invalid):
        report("generic", {}, {"event": "push", "repository": "/srv/web", "ref": ref})


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"event": "merge"}, "event"),
        ({"ref": None}, "ref"),
        ({"repository": 1}, "repository"),
        ({"repository": "--upload-pack=x"}, "git address"),
        ({"commit": "HEAD"}, "commit"),
        ({"commit": COMMIT[:12]}, "commit"),
    ],
)
def test_what_is_wrong_in_a_generic_one_is_named(changed: dict[str, Any], field: str) -> None:
    value = {"event": "push", "repository": "/srv/web", "ref": "main", "commit": COMMIT}
    assert report("generic", {}, value) == Report("push", "main", COMMIT, ("/srv/web",))
    with pytest.raises(Invalid, match=field):
        report("generic", {}, {**value, **changed})


def test_a_body_that_is_no_object_is_refused() -> None:
    bodies: tuple[object, ...] = ([], "x", 1, None)
    for value in bodies:
        with pytest.raises(Invalid):
            on_github(value)


@pytest.mark.parametrize(
    ("pipeline", "same"),
    [
        ("https://github.com/shop/web.git", True),
        ("https://github.com/shop/web", True),
        ("git@github.com:shop/web.git", True),
        ("ssh://git@GitHub.com/shop/web", True),
        ("https://github.com/shop/web2", False),
        ("https://github.com/shop", False),
        ("https://github.com/evil/web.git", False),
        ("https://github.com/x/../shop/web", False),
        ("https://gitlab.com/shop/web.git", False),
        ("https://github.com.evil.example/shop/web.git", False),
        ("/srv/git/web", False),
    ],
)
def test_a_report_is_about_one_repository_over_any_protocol(pipeline: str, same: bool) -> None:
    found = on_github(github_push(COMMIT))
    assert found is not None
    assert found.is_about(pipeline) is same


def test_a_repository_on_this_machine_is_the_same_by_its_very_address() -> None:
    found = report("generic", {}, {"event": "push", "repository": "/srv/git/web", "ref": "main"})
    assert found is not None
    assert found.is_about("/srv/git/web")
    assert not found.is_about("/srv/git/web2")
