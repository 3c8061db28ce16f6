"""What is drawn of one deployment beside its log, by value."""

from __future__ import annotations

import pytest
from tests.tui.hostile import STRINGS

from dg.core.deployments.models import (
    Approval,
    Changes,
    CommitLine,
    Deployment,
    Diff,
    FileChanges,
    Gate,
    Kind,
    Status,
    Verdict,
)
from dg.core.types import Environment
from dg.tui.deployments import dossier
from dg.tui.deployments.dossier import Dossier
from dg.tui.ink import Pieces, measure

NOW = 1_790_000_000_000_000
SHA = "9f1c2ab" + "0" * 33
CONTENT = "5f70bf18" * 8
FOUND = Deployment(
    id="019acd5e-7c00-7000-8000-000000000001", number=7, service="web", environment=Environment.PRODUCTION,
    kind=Kind.DEPLOY, status=Status.PENDING, stage="", version="1.4.2", commit_sha=SHA, created_by="u1",
    created_by_name="ana", created_at=NOW, queued_at=NOW, pipeline_sha256="ab" * 32, content=CONTENT,
)  # fmt: skip
YES = Approval(by="u2", by_name="ben", at=NOW, verdict=Verdict.APPROVED, content=CONTENT, note="looked at it")
COMMITS = tuple(CommitLine(sha=f"{at:040x}", author="ana", subject=f"Step {at}", at=NOW) for at in range(5))
CHANGES = Changes(head=SHA, total=5, commits=COMMITS, leaving_total=1, leaving=COMMITS[:1])
DIFF = Diff(head=SHA, files=FileChanges(total=14, added=212, removed=38), patch="")


def said(rows: list[Pieces]) -> list[str]:
    return ["".join(text for text, _ in row).rstrip() for row in rows]


def decided(*approvals: Approval, content: str = CONTENT) -> str:
    found = FOUND.model_copy(update={"approvals": approvals, "content": content})
    return "\n".join(said(dossier.facts(Dossier(deployment=found), 60)))


def test_commits_come_and_go_and_the_files_are_summed_up() -> None:
    rows = said(dossier.commits(Dossier(changes=CHANGES, diff=DIFF), 60, 20))
    assert rows[0] == f"+ {COMMITS[0].sha[:7]} ana  Step 0"
    assert rows[5].startswith("- ")
    assert rows[-1] == "14 files  +212 -38"
    assert Dossier(changes=CHANGES).counts == "5 commits, 1 leave"


@pytest.mark.parametrize("height", range(1, 12))
def test_commits_that_find_no_room_are_counted_and_the_files_stay(height: int) -> None:
    rows = said(dossier.commits(Dossier(changes=CHANGES, diff=DIFF), 60, height))
    assert len(rows) <= height
    if 1 < height < 8:
        shown = sum(row.startswith(("+", "- ")) for row in rows)
        assert f"… {6 - shown} more" in rows
        assert rows[-1] == "14 files  +212 -38"


def test_nothing_read_yet_is_no_statement_and_a_refusal_is_one() -> None:
    assert not any("commit" in row for row in said(dossier.commits(Dossier(), 60, 10)))
    refused = Dossier(wrong={"commits": "the mirror is away"})
    assert said(dossier.commits(refused, 60, 10)) == ["✗ the mirror is away"]


def test_a_read_that_failed_keeps_what_was_known_and_says_so() -> None:
    found = Dossier(changes=CHANGES, wrong={"commits": "the mirror is away"})
    assert said(dossier.commits(found, 60, 20))[0].endswith("Step 0")
    assert found.counts == "5 commits, 1 leave · ▲ not read again"


def test_an_approval_says_what_it_is_bound_to() -> None:
    shown = decided(YES)
    assert "✓ approved by ben" in shown
    assert "looked at it" in shown
    assert f"bound to {CONTENT[:12]}" in shown
    assert "not to what it is now" not in shown


def test_an_approval_of_something_else_or_void_is_never_shown_as_good() -> None:
    assert "and not to what it is now" in decided(YES, content="0" * 64)
    void = YES.model_copy(update={"voided_at": NOW, "void_reason": "1.4.1 runs there now"})
    assert "void: 1.4.1 runs there now" in decided(void)
    found = FOUND.model_copy(update={"approvals": (void,)})
    inks = {ink for row in dossier.facts(Dossier(deployment=found), 60) for text, ink in row if "ben" in text}
    assert inks == {"dim bold"}


def test_gates_and_facts_are_told_and_what_is_not_set_is_left_out() -> None:
    gate = Gate(name="soak", open=False, sentence="it runs in staging for 10 of 60 minutes")
    found = FOUND.model_copy(update={"gates": (gate,), "ref": "refs/tags/1.4.2"})
    shown = "\n".join(said(dossier.facts(Dossier(deployment=found), 60)))
    assert "soak it runs in staging" in shown
    assert "ref        refs/tags/1.4.2" in shown
    assert "undone by" not in shown
    assert "2026-09-21 14:13:20" in shown


@pytest.mark.parametrize("text", STRINGS)
@pytest.mark.parametrize("width", [1, 8, 30, 60])
def test_no_text_of_the_outside_breaks_a_line(text: str, width: int) -> None:
    gate = Gate(name=text, open=False, sentence=text)
    yes = YES.model_copy(update={"by_name": text, "note": text, "void_reason": text, "voided_at": NOW})
    given = {"gates": (gate,), "approvals": (yes,), "version": text, "note": text, "outputs": {text: text}}
    commit = CommitLine(sha=SHA, author=text, subject=text, at=NOW)
    changes = Changes(head=SHA, total=1, commits=(commit,))
    found = Dossier(deployment=FOUND.model_copy(update=given), changes=changes, wrong={"files": text})
    assert dossier.facts(found, width)
    rows = dossier.commits(found, width, 3)
    assert all(measure(row) <= width for row in rows[:1])


def test_other_deployments_are_named_by_number_and_version() -> None:
    undone = FOUND.model_copy(update={"rolled_back_by": "019acd5e-7c00-7000-8000-000000000008"})
    known = Dossier(deployment=undone, named={undone.rolled_back_by or "": "#8 v1.1.0"})
    assert any(row.split() == ["undone", "by", "#8", "v1.1.0"] for row in said(dossier.facts(known, 60)))
    unknown = said(dossier.facts(Dossier(deployment=undone), 60))
    assert any(row.split() == ["undone", "by", undone.rolled_back_by] for row in unknown)
