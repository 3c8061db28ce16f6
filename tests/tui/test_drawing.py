"""What is drawn of lanes, runs and the connection: pure functions, by value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dg.client.models import Event
from dg.core.access.models import Action, Grant, Principal
from dg.core.errors import Forbidden, Refused, TooMany, Unauthenticated
from dg.core.types import Environment
from dg.tui import drawing
from dg.tui.auth import Rights, rights_of
from dg.tui.errors import sentence
from dg.tui.frame import bar
from dg.tui.ink import Pieces, measure
from dg.tui.store import RECENT, Link, LinkState, Store
from dg.tui.views import DeploymentView, FactView, ProgressView, StepView

SECOND = 1_000_000
NOW = 1_790_000_000 * SECOND
RUN = DeploymentView(
    "1", 7, "web", "production", "deploy", "deploying", "deploying", "deploy", "1.4.2", "9f1c2ab" + "0" * 33,
    "ana", NOW - 90 * SECOND, started_at=NOW - 60 * SECOND,
)  # fmt: skip
STEPS = (
    StepView(0, "image", "build", "success", seconds=41.0),
    StepView(1, "canary", "deploy", "running", started_at=NOW - 72 * SECOND),
    StepView(2, "smoke", "verify", "pending"),
)
TABS = (bar.Tab("1", "overview", "Overview", "Ovw"), bar.Tab("2", "deployments", "Deployments", "Dep"))


def said(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def inks(pieces: Pieces) -> set[str]:
    return {words for text, words in pieces if text.strip()}


def test_all_steps_are_named_where_there_is_room_else_the_one_that_runs() -> None:
    assert said(drawing.steps(STEPS, 80, NOW)) == "✓ image 41 s ── ↻ canary 1m12 ── · smoke"
    assert said(drawing.steps(STEPS, 20, NOW)) == "✓ ↻ canary 1m12 · "


def test_nothing_is_expected_without_a_connection() -> None:
    progress = ProgressView(0.62, STEPS, NOW + 129 * SECOND)
    assert "2m09 left" in said(drawing.flight(RUN, progress, 80, NOW, live=True)[0])
    assert "left" not in said(drawing.flight(RUN, progress, 80, NOW, live=False)[0])


@pytest.mark.parametrize(
    ("link", "wide", "narrow"),
    [
        (Link(LinkState.LIVE), "● live", "● live"),
        (Link(LinkState.SLOW, 96), "◐ slow 4s", "◐ slow 4s"),
        (Link(LinkState.CONNECTING), "○ connecting", "○ connecting"),
        (
            Link(LinkState.DISCONNECTED, 79, "gone", 2, 104),
            " ✗ disconnected · 21 s · try 3 in 4s ",
            " ✗ OFFLINE 21 s ",
        ),
        (Link(LinkState.SIGNED_OUT), " ▲ sign in again: dg login ", " ▲ sign in "),
    ],
)
def test_the_connection_is_said_in_words(link: Link, wide: str, narrow: str) -> None:
    assert said(bar.connection(link, 100, wide=True)) == wide
    assert said(bar.connection(link, 100, wide=False)) == narrow


@pytest.mark.parametrize("width", [1, 10, 30, 80, 129, 130, 200])
def test_the_first_line_has_the_connection_at_any_width(width: int) -> None:
    line = bar.top(TABS, "overview", Link(LinkState.LIVE), "ana · operator", NOW, 0, width)
    assert "live" in said(line)
    assert ("Overview" in said(line)) is (width >= bar.WIDE)


def test_the_first_line_says_who_one_is_where_there_is_room() -> None:
    live = Link(LinkState.LIVE)
    assert "ana · operator" in said(bar.top(TABS, "overview", live, "ana · operator", NOW, 0, 80))
    narrow = said(bar.top(TABS, "overview", live, "ana · operator", NOW, 0, 40))
    assert "ana" not in narrow
    assert narrow.rstrip().endswith(":13")


def test_why_one_failed_goes_on_below_and_what_is_too_much_is_marked() -> None:
    failed = replace(RUN, status="failed", message="answered 500, not 200 " * 6)
    rows = [said(row) for row in drawing.outcome(failed, 60, 2)]
    assert len(rows) == 2
    assert rows[1].startswith(" " * rows[0].index("answered"))
    assert rows[1].endswith("…")
    assert all(measure(row) == 60 for row in drawing.outcome(failed, 60, 2))
    assert not said(drawing.outcome(failed, 400, 2)[-1]).rstrip().endswith("…")


@pytest.mark.parametrize(("status", "words"), [("success", "ok"), ("failed", "err"), ("cancelled", "muted")])
def test_how_one_ended_has_its_hue_in_the_activity(status: str, words: str) -> None:
    event = Event(
        seq=1, at=NOW, type="deployment.finished", actor="dg", auth="token", payload={"status": status}
    )
    assert FactView.of(event).pieces[0] == (status, words)


def test_rights_are_those_of_the_grants() -> None:
    grants = (
        Grant(role="operator", environment=Environment.STAGING),
        Grant(role="shipper", actions=frozenset({Action.LANE_LOCK}), service="web"),
    )
    found = rights_of(Principal(id="u1", name="ana", grants=grants))
    assert found.may("deployment:create", "staging", "web")
    assert not found.may("deployment:create", "production", "web")
    assert found.may("lane:lock", "production", "web")
    assert not found.may("lane:lock", "production", "api")
    assert not found.may("lane:lock")
    assert (found.name, found.role) == ("ana", "operator, shipper")


def test_nobody_signed_in_may_nothing() -> None:
    assert not Rights().may("deployment:read")


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Refused("the lane is closed"), "the lane is closed"),
        (Unauthenticated("the token is over"), "the token is over: sign in again with `dg login`"),
        (TooMany("slow down", retry_after=7), "slow down: again in 7 seconds"),
        (
            Forbidden("you may not", roles=["approver", "admin"]),
            "you may not: ask somebody who is approver or admin",
        ),
    ],
)
def test_problems_are_said_with_a_way_out(problem: Refused, text: str) -> None:
    assert sentence(problem) == text


def test_an_older_look_at_a_deployment_changes_nothing() -> None:
    store = Store()
    store.put_deployment(replace(RUN, revision=3))
    store.put_deployment(replace(RUN, revision=2, status="building"))
    assert store.deployments["1"].status == "deploying"


def test_the_store_keeps_the_newest() -> None:
    store = Store()
    for number in range(RECENT + 5):
        store.put_deployment(replace(RUN, id=str(number), number=number))
    assert len(store.deployments) == RECENT
    assert min(each.number for each in store.deployments.values()) == 5


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("deployment.finished", {"status": "failed", "number": 7}, "failed web/production #7  ana"),
        ("deployment.created", {"version": "1.4.2", "number": 7}, "asked for 1.4.2 web/production #7  ana"),
        (
            "deployment.created",
            {"version": "1.4.1", "kind": "rollback"},
            "rollback to 1.4.1 web/production  ana",
        ),
        ("deployment.rolled_back", {}, "rolled back web/production  ana"),
        (
            "deployment.rolled_back",
            {"number": 5, "undone_by": 9, "back_to": "1.4.1"},
            "undone by #9, back to 1.4.1 web/production #5  ana",
        ),
        (
            "deployment.finished",
            {"number": 9, "kind": "rollback", "status": "success"},
            "rollback succeeded web/production #9  ana",
        ),
        ("lane.locked", {"number": "seven"}, "lane locked web/production  ana"),
        ("environment.health_changed", {"service_status": "unhealthy"}, "unhealthy web/production  ana"),
        ("something.newer", {}, "something newer web/production  ana"),
    ],
)
def test_facts_are_said_in_a_few_words(kind: str, payload: dict[str, object], words: str) -> None:
    event = Event(
        seq=1, at=NOW, type=kind, actor="u1", actor_name="ana", auth="token",
        environment="production", service="web", payload=payload,
    )  # fmt: skip
    assert said(FactView.of(event).pieces) == words


def test_a_line_of_the_activity_that_is_too_long_says_so() -> None:
    event = Event(seq=1, at=NOW, type="lane.locked", actor="u1", auth="token", environment="production")
    assert said(drawing.activity([FactView.of(event)], 20, 4)[0]).endswith("…")


@pytest.mark.parametrize(("status", "mark"), [("failed", "✗"), ("success", "✓"), ("ended", "·")])
def test_what_happened_is_told_apart_without_colour(status: str, mark: str) -> None:
    event = Event(
        seq=1, at=NOW, type="deployment.finished", actor="dg", auth="token", payload={"status": status}
    )
    assert said(drawing.activity([FactView.of(event)], 40, 1)[0])[6] == mark


def test_a_list_says_which_deployments_are_rollbacks() -> None:
    assert (replace(RUN, kind="rollback").words, RUN.words) == ("rollback", "")
