"""Deployments, lanes, credentials and events as text: pure functions from models, shared by the commands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dg.cli.output import Meaning, Output, Text
from dg.client.words import age, duration

if TYPE_CHECKING:
    from dg.core.access.models import ApiKey, Token
    from dg.core.deployments.models import Changes, CommitLine, Deployment, Lane

SECOND = 1_000_000
COMMITS_SHOWN = 10
NOTHING_REGISTERED: Sequence[Text] = (
    "nothing is registered here yet:",
    ("dg init", Meaning.STRONG),
    "writes a first pipeline",
)


def version(deployment: Deployment) -> str:
    """`1.4.2 (9f1c2ab)`, the commit alone where that is the version."""
    return labelled(deployment.version, deployment.commit_sha)


def labelled(version: str, sha: str) -> str:
    """A version with its short commit, the commit alone where that is the version."""
    return version if sha.startswith(version) else f"{version} ({sha[:7]})"


def named(deployment: Deployment) -> str:
    """`web 1.4.2 → production (#7)`"""
    where = deployment.environment.value
    return f"{deployment.service} {deployment.version} → {where} (#{deployment.number})"


def running(lane: Lane) -> Text:
    """What runs in a lane."""
    if not lane.known:
        return "not known", Meaning.WARN
    if lane.current_version is None:
        return "nothing yet", Meaning.DIM
    return labelled(lane.current_version, lane.current_sha or ""), Meaning.STRONG


def who(deployment: Deployment) -> str:
    """Who asked for it: a name where there is one."""
    return deployment.created_by_name or deployment.created_by


def ago(at: int | None, now: int) -> str:
    """The age of a moment, `-` for one that has not come."""
    return "-" if at is None else age((now - at) / SECOND)


def moment(at: int) -> str:
    """A moment in full, to the second: `2026-11-26 07:30:00 UTC`."""
    from dg.core.clock import to_datetime

    return f"{to_datetime(at):%Y-%m-%d %H:%M:%S} UTC"


def validity(credential: Token | ApiKey, now: int) -> Text:
    """Until when a credential opens something, or what ended it."""
    if credential.revoked_at is not None:
        return "revoked", Meaning.DIM
    if credential.expires_at <= now:
        return "expired", Meaning.DIM
    return f"until {moment(credential.expires_at)}"


def took(deployment: Deployment) -> str:
    """How long it ran, empty while it does."""
    if deployment.started_at is None or deployment.completed_at is None:
        return ""
    return duration((deployment.completed_at - deployment.started_at) / SECOND)


def outcome(deployment: Deployment, output: Output) -> list[Text]:
    """One sentence about how it ended."""
    glyph, meaning = output.glyph(deployment.status.value)
    name, where = f"{deployment.service} {deployment.version}", deployment.environment.value
    match deployment.status.value:
        case "success":
            verb = "runs again in" if deployment.kind.value == "rollback" else "runs in"
            return [
                (glyph, meaning),
                (f"{name} {verb} {where}", meaning),
                (f"after {took(deployment)}", Meaning.DIM),
            ]
        case "failed" | "rolled_back":
            what = "rollback to" if deployment.kind.value == "rollback" else ""
            why = deployment.message or (
                deployment.reason.value.replace("_", " ") if deployment.reason else ""
            )
            words = " ".join(filter(None, (what, name, "failed in", where)))
            return [(glyph, meaning), (words + (":" if why else ""), meaning), *([why] if why else [])]
        case _:
            starts = deployment.not_before and f"starts at {moment(deployment.not_before)}"
            said = starts or deployment.hold or deployment.stage
            words = f"{name} → {where} is {deployment.status.value}"
            return [(glyph, meaning), words, *([(f"· {said}", Meaning.DIM)] if said else [])]


def let_in(source: str, credential: str) -> tuple[str, ...]:
    """What of the settings lets the server into a repository."""
    return "the", credential.replace("_", " "), f'of [git.sources."{source}"]'


def commits(changes: Changes) -> list[list[Text]]:
    """Rows of the commits that come, then of those that go."""
    coming = _some("+", changes.commits, changes.total)
    return coming + _some("-", changes.leaving, max(changes.leaving_total, len(changes.leaving)))


def _some(sign: str, lines: Sequence[CommitLine], total: int) -> list[list[Text]]:
    rows = [_commit(sign, line) for line in lines[:COMMITS_SHOWN]]
    if total > len(rows):
        rows.append(["", "", (f"and {total - len(rows)} more", Meaning.DIM)])
    return rows


def _commit(sign: str, line: CommitLine) -> list[Text]:
    meaning = Meaning.OK if sign == "+" else Meaning.ERR
    return [(sign, meaning), (line.sha[:7], Meaning.DIM), f"{line.subject} ({line.author})"]
