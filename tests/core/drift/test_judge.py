"""What is drift and what is not: the rules alone."""

from __future__ import annotations

import pytest

from dg.core.drift.judge import Judged, is_named, judge, shown
from dg.core.drift.models import Acceptance, Deployed, DriftStatus, Finding, Lane, Reading
from dg.core.events import DriftFound, DriftResolved
from dg.core.types import Environment

PLACE = ("web", Environment.STAGING)
COMMIT = "5f0a2cd86dbd4f8d8d26ba2a66ff51e8a4f1f1a2"
DEPLOYED = Deployed(deployment="d-1", number=31, version="v2.14.0", commit_sha=COMMIT)
NEXT = Deployed(deployment="d-2", number=32, version="v2.15.0", commit_sha="a" * 40)
SETTLED = Lane(deployed=DEPLOYED)


def seen(*readings: str | Reading, lane: Lane = SETTLED, before: Finding | None = None) -> Judged:
    """The last judgement after these checks, one a second."""
    judged = Judged(before) if before else None
    for second, reading in enumerate(readings, (before.checked_at if before else 0) + 1):
        said = Reading(found=reading) if isinstance(reading, str) else reading
        judged = judge(PLACE, judged and judged.finding, lane, said, second)
    assert judged is not None
    return judged


def status(judged: Judged, now: int = 10) -> DriftStatus:
    return shown(PLACE, judged.finding, SETTLED, now).status


DRIFTED = seen("v2.13.0", "v2.13.0").finding
SILENT = Reading(problem="the check's address answered 502")


@pytest.mark.parametrize("found", ["v2.14.0", "2.14.0", COMMIT, COMMIT[:7], COMMIT.upper()])
def test_what_dg_deployed_is_known_by_its_version_and_its_commit(found: str) -> None:
    assert is_named(DEPLOYED, found)
    judged = seen(found)
    assert (status(judged), judged.fact) == (DriftStatus.SAME, None)


@pytest.mark.parametrize("found", [COMMIT[:6], "5f0a2ce", "v2.14", "v2.14.0-rc.1", "2.14.00", "unknown"])
def test_what_only_begins_like_it_is_another_version(found: str) -> None:
    assert not is_named(DEPLOYED, found)


def test_a_difference_is_drift_when_it_was_seen_twice_in_a_row() -> None:
    first = seen("v2.13.0")
    assert (status(first), first.fact) == (DriftStatus.UNKNOWN, None)
    second = seen("v2.13.0", "v2.13.0")
    assert second.fact == DriftFound(
        service="web",
        environment="staging",
        deployment="d-1",
        version="v2.14.0",
        commit=COMMIT,
        found="v2.13.0",
    )
    assert (status(second), second.finding.since) == (DriftStatus.DRIFTED, 2)


def test_two_different_versions_in_a_row_are_no_drift_yet() -> None:
    assert seen("v2.13.0", "v2.12.0").fact is None
    assert seen("v2.13.0", "v2.14.0", "v2.13.0").fact is None
    assert seen("v2.13.0", SILENT, "v2.13.0").fact is None


def test_drift_is_told_once() -> None:
    judged = seen("v2.13.0", before=DRIFTED)
    assert (judged.fact, judged.finding.since, judged.finding.checked_at) == (None, 2, 3)


def test_another_difference_is_told_anew() -> None:
    judged = seen("v2.12.0", "v2.12.0", before=DRIFTED)
    assert isinstance(judged.fact, DriftFound)
    assert judged.fact.found == "v2.12.0"


def test_drift_ends_when_what_was_deployed_runs_again_or_what_runs_was_deployed() -> None:
    healed = seen("v2.14.0", before=DRIFTED)
    assert healed.fact == DriftResolved(service="web", environment="staging", found="v2.14.0")
    caught_up = NEXT.model_copy(update={"version": "v2.13.0"})
    assert isinstance(seen("v2.13.0", lane=Lane(deployed=caught_up), before=DRIFTED).fact, DriftResolved)


def test_a_check_that_fails_is_unknown_and_no_news() -> None:
    for before in (None, seen("v2.14.0").finding, DRIFTED):
        judged = seen(SILENT, SILENT, SILENT, before=before)
        assert (status(judged), judged.fact) == (DriftStatus.UNKNOWN, None)
    again = seen(SILENT, "v2.13.0", before=DRIFTED)
    assert (status(again), again.fact) == (DriftStatus.DRIFTED, None)


def test_a_deployment_under_way_is_no_drift() -> None:
    under_way = Lane(deployed=DEPLOYED, busy=True)
    assert seen("v2.15.0", "v2.15.0", "v2.15.0", lane=under_way).fact is None
    # Nor does what was seen before it count as the first of two.
    before = seen("v2.13.0").finding
    assert seen("v2.13.0", before=seen("v2.15.0", lane=under_way, before=before).finding).fact is None


def test_what_was_seen_before_a_deployment_does_not_count_after_it() -> None:
    before = seen("v2.13.0").finding
    after = Lane(deployed=NEXT)
    assert seen("v2.13.0", lane=after, before=before).fact is None
    assert isinstance(seen("v2.13.0", "v2.13.0", lane=after, before=before).fact, DriftFound)


@pytest.mark.parametrize(
    ("lane", "why"), [(Lane(), "deployed nothing"), (Lane(known=False), "failed halfway")]
)
def test_where_dg_does_not_know_what_should_run_there_is_no_drift(lane: Lane, why: str) -> None:
    judged = seen("v2.13.0", "v2.13.0", lane=lane)
    assert (status(judged), judged.fact) == (DriftStatus.UNKNOWN, None)
    assert why in shown(PLACE, judged.finding, lane, 10).sentence


def test_an_accepted_difference_is_told_again_when_its_time_is_over() -> None:
    acceptance = Acceptance(reason="hotfix", by="u-1", by_name="ana", at=2, until=5)
    before = DRIFTED.model_copy(update={"acceptance": acceptance})
    early = seen("v2.13.0", before=before)
    assert (status(early, 3), early.fact) == (DriftStatus.ACCEPTED, None)
    assert "ana accepted that until 1970-01-01 00:00 UTC: hotfix" in shown(PLACE, before, SETTLED, 3).sentence
    late = seen("v2.13.0", before=before.model_copy(update={"checked_at": 5}))
    assert isinstance(late.fact, DriftFound)
    assert (late.fact.expired, status(late)) == (True, DriftStatus.DRIFTED)


def test_what_was_accepted_is_one_difference_and_no_other() -> None:
    acceptance = Acceptance(reason="hotfix", by="u-1", at=2, until=1000)
    before = DRIFTED.model_copy(update={"acceptance": acceptance})
    other = seen("v2.12.0", "v2.12.0", before=before)
    assert (status(other), other.finding.acceptance) == (DriftStatus.DRIFTED, None)
    redeployed = seen("v2.13.0", "v2.13.0", lane=Lane(deployed=NEXT), before=before)
    assert isinstance(redeployed.fact, DriftFound)


def test_the_sentence_says_what_runs_and_what_should() -> None:
    assert shown(PLACE, DRIFTED, SETTLED, 9).sentence == (
        "web in staging runs v2.13.0, but dg deployed v2.14.0 (5f0a2cd, #31)"
    )
    busy = SETTLED.model_copy(update={"busy": True})
    assert shown(PLACE, DRIFTED, busy, 9).sentence.endswith("; a deployment is under way")
    assert "not checked yet" in shown(PLACE, None, SETTLED, 9).sentence
