"""What a notice says, in the words of GitHub, GitLab or dg itself; only what somebody deploys for is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from dg.core.deployments.models import Happening
from dg.core.deployments.remotes import address, check_ref, check_url
from dg.core.errors import Invalid

_NOBODY = "0" * 40
_HEX = frozenset("0123456789abcdef")
_BRANCH, _TAG = "refs/heads/", "refs/tags/"


@dataclass(frozen=True)
class Report:
    """That something happened to the branch or tag `ref` of the repository with these addresses.

    `commit` is what it is at now, None where the host does not say.
    """

    event: Happening
    ref: str
    commit: str | None
    addresses: tuple[str, ...]

    def is_about(self, repository: str) -> bool:
        """Whether it is about the repository that a pipeline calls by this address, over any protocol."""
        if repository in self.addresses:
            return True
        wanted = _place(repository)
        return wanted is not None and any(_place(each) == wanted for each in self.addresses)


def report(kind: str, headers: Mapping[str, str], value: object) -> Report | None:
    """What a notice of this kind reports; None for what nobody deploys for. Raises Invalid for a bad one."""
    if not isinstance(value, dict):
        raise Invalid("the body: a JSON object", field="body")
    if kind == "github":
        return _github(headers.get("x-github-event", ""), value)
    return _gitlab(value) if kind == "gitlab" else _generic(value)


def _github(event: str, value: Mapping[str, Any]) -> Report | None:
    addresses = _texts(_table(value, "repository"), "clone_url", "ssh_url", "git_url", "html_url")
    if event == "push" and not value.get("deleted"):
        # What `after` names for an annotated tag is no commit.
        return _moved(value.get("ref"), _table(value, "head_commit").get("id"), addresses)
    release = _table(value, "release")
    if event == "release" and value.get("action") == "published" and not release.get("draft"):
        return _named("release", release.get("tag_name"), None, addresses)
    return None


def _gitlab(value: Mapping[str, Any]) -> Report | None:
    project = _table(value, "project")
    addresses = _texts(project, "git_http_url", "git_ssh_url", "http_url", "ssh_url", "web_url")
    kind = value.get("object_kind")
    if kind in ("push", "tag_push") and value.get("after") != _NOBODY:
        return _moved(value.get("ref"), value.get("checkout_sha"), addresses)
    if kind == "release" and value.get("action") == "create":
        return _named("release", value.get("tag"), _table(value, "commit").get("id"), addresses)
    return None


def _generic(value: Mapping[str, Any]) -> Report:
    event, ref, repository, commit = (value.get(key) for key in ("event", "ref", "repository", "commit"))
    if event not in ("push", "tag", "release"):
        raise Invalid("event: push, tag or release", field="event")
    if not isinstance(repository, str):
        raise Invalid("repository: its address, as the pipeline writes it", field="repository")
    if not isinstance(ref, str):
        raise Invalid("ref: the name of a branch or tag", field="ref")
    if commit is not None and not _is_commit(commit):
        raise Invalid("commit: 40 hexadecimal digits, or none at all", field="commit")
    check_url(repository)
    return Report(event, check_ref(ref), commit, (repository,))


def _moved(ref: object, commit: object, addresses: tuple[str, ...]) -> Report | None:
    if not isinstance(ref, str):
        return None
    if ref.startswith(_TAG):
        return _named("tag", ref.removeprefix(_TAG), commit, addresses)
    return _named("push", ref.removeprefix(_BRANCH), commit, addresses) if ref.startswith(_BRANCH) else None


def _named(event: Happening, ref: object, commit: object, addresses: tuple[str, ...]) -> Report | None:
    if not isinstance(ref, str) or not addresses:
        return None
    return Report(event, check_ref(ref), commit if _is_commit(commit) else None, addresses)


def _is_commit(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and len(value) == 40 and set(value) <= _HEX


def _table(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _texts(table: Mapping[str, Any], *keys: str) -> tuple[str, ...]:
    return tuple(_addresses(table, keys))


def _addresses(table: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[str]:
    for key in keys:
        text = table.get(key)
        if isinstance(text, str):
            try:
                yield check_url(text.replace("git://", "https://", 1))
            except Invalid:
                continue


def _place(url: str) -> tuple[str, tuple[str, ...]] | None:
    """The host and the path of an address, whatever the protocol and the user."""
    found = address(url)
    if found is None or not found.segments:
        return None
    *above, last = found.segments
    return found.host, (*above, last.removesuffix(".git"))
