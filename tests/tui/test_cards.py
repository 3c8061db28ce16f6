"""How an environment is drawn on the overview, by value."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.tui.hostile import STRINGS

from dg.core.clock import SECOND
from dg.tui.auth import Rights
from dg.tui.ink import Pieces, measure
from dg.tui.overview import cards
from dg.tui.overview.cards import MAY, MUST, SHOULD, Block, Card, fitted, flowing
from dg.tui.store import Store
from dg.tui.views import DeploymentView, EnvironmentView, LaneView, ProgressView, ServiceView, StepView

NOW = 1_790_000_000 * SECOND
LANE = LaneView(
    "web", "production", "open", "web/production is open", version="1.4.1", sha="5f0a2cd" + "0" * 33
)
LOCKED = replace(LANE, state="locked", sentence="web/production is locked until noon: we look at it")
RUN = DeploymentView(
    "1", 7, "web", "production", "deploy", "deploying", "deploying", "deploy", "1.4.2", "9f1c2ab" + "0" * 33,
    "ana", NOW - 90 * SECOND, started_at=NOW - 60 * SECOND,
)  # fmt: skip
WAITS = replace(RUN, id="2", number=8, status="pending", state="needs_approval", hold="1 of 2 approvals")
PROGRESS = ProgressView(
    0.62,
    (
        StepView(0, "image", "build", "success", seconds=41.0),
        StepView(1, "canary", "deploy", "running", started_at=NOW - 72 * SECOND),
    ),
    NOW + 129 * SECOND,
)
DOWN = ServiceView("worker", "unhealthy", NOW - 180 * SECOND, "connection refused", 7)
SLOW = ServiceView("api", "degraded", NOW - 240 * SECOND, "answered in 312 ms")
WELL = tuple(ServiceView(name, "healthy", NOW - 9000 * SECOND) for name in ("web", "db", "mail"))
HEALTHY = EnvironmentView("production", "shop.example", "healthy", NOW - 7200 * SECOND, WELL)
ILL = replace(HEALTHY, status="unhealthy", since=NOW - 240 * SECOND, services=(SLOW, *WELL, DOWN))
NOBODY_LOOKS = EnvironmentView("production")
SIZES = [(50, 15), (38, 11), (24, 6)]


def said(pieces: Pieces) -> str:
    return "".join(text for text, _ in pieces)


def inks(pieces: Pieces) -> set[str]:
    return {words for text, words in pieces if text.strip()}


def card(
    health: EnvironmentView, *lanes: LaneView, runs: tuple[DeploymentView, ...] = (), live: bool = True
) -> Card:
    deployments = {each.id: each for each in runs}
    progress = {each.id: PROGRESS for each in runs if each.active}
    return Card(health, tuple(cards.urgent(lanes)), deployments, progress, NOW, live)


def drawn(found: Card, width: int, height: int) -> str:
    rows = found.draw(width, height)
    assert len(rows) <= height
    assert all(measure(row) <= width for row in rows), list(map(said, rows))
    return "\n".join(map(said, rows))


def test_a_lane_that_is_locked_says_why_and_an_open_one_does_not() -> None:
    assert len(cards.lane(LANE, None, 60, NOW)) == 1
    locked = replace(LANE, state="locked", sentence="it is locked until noon")
    rows = cards.lane(locked, None, 60, NOW)
    assert said(rows[1]).strip() == "it is locked until noon"
    assert inks(rows[1]) == {"warn"}


def test_a_lane_that_is_not_known_is_never_shown_as_good() -> None:
    rows = card(NOBODY_LOOKS, replace(LANE, known=False, sentence="look there")).draw(60, 20)
    assert "NOT KNOWN" in said(rows[1])
    assert "look there" in "".join(map(said, rows))
    assert not any("ok" in words for row in rows for words in inks(row))


def test_a_card_says_how_much_it_leaves_out() -> None:
    rows = card(NOBODY_LOOKS, *(replace(LANE, service=f"s{at}") for at in range(20))).draw(60, 6)
    assert len(rows) == 6
    assert said(rows[-1]) == "… 16 more lines"


def test_what_needs_a_person_comes_first() -> None:
    lanes = [LANE, replace(LANE, service="a", state="busy"), replace(LANE, service="z", state="frozen")]
    assert [lane.service for lane in cards.urgent(lanes)] == ["z", "a", "web"]


def test_health_that_nobody_looks_at_is_not_spoken_of() -> None:
    shown = drawn(card(NOBODY_LOOKS, LANE), 50, 15)
    assert "● open" in shown
    assert "unknown" not in shown
    assert "service" not in shown


def test_a_healthy_environment_says_so_quietly_and_since_when() -> None:
    rows = card(HEALTHY, LANE).draw(50, 15)
    assert said(rows[1]).split() == ["●", "healthy", "for", "2h", "3/3", "services"]
    assert not any("badge" in words for row in rows for words in inks(row))
    assert "● db  ● mail  ● web" in map(said, rows)


def test_an_unhealthy_one_is_loud_and_names_the_worst_service_first_with_its_reason() -> None:
    shown = drawn(card(ILL, LANE), 50, 15)
    assert " ✗ UNHEALTHY " in shown
    assert "3/5 services" in shown
    assert shown.index("✗ worker unhealthy since #7") < shown.index("▲ api degraded")
    assert "connection refused" in shown
    assert "answered in 312 ms" in shown


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_is_wrong_is_named_at_every_size(width: int, height: int) -> None:
    shown = drawn(card(ILL, LANE), width, height)
    assert "UNHEALTHY" in shown
    assert "4m" in shown
    assert "3/5" in shown
    assert "✗ worker" in shown
    assert "▲ api" in shown
    assert "1.4.1" in shown


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_closed_lane_is_loud_beside_good_health(width: int, height: int) -> None:
    shown = drawn(card(HEALTHY, LOCKED), width, height)
    assert "● healthy" in shown
    assert " ▲ LOCKED " in shown
    assert "locked until noon" in shown
    assert "web/production" not in shown


def test_why_a_lane_is_closed_is_said_to_its_end_before_anything_of_the_past() -> None:
    why = "it was rolled back since the products could not be read within some seconds " * 2 + "at last"
    closed = replace(LOCKED, sentence=f"web/production is locked until noon: {why}")
    ended = replace(RUN, id="9", status="success", state="success", completed_at=NOW)
    for width, height in ((50, 15), (38, 11)):
        rows = drawn(card(HEALTHY, closed, runs=(ended,)), width, height)
        assert "at last" in rows.replace("\n", " ")
        assert "…" not in rows
    assert f"✓ web {RUN.version}" in drawn(card(HEALTHY, LOCKED, runs=(ended,)), 50, 15)


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_is_under_way_and_what_waits_is_seen_at_every_size(width: int, height: int) -> None:
    busy = replace(LANE, state="busy", holder="1")
    shown = drawn(card(HEALTHY, busy, runs=(RUN, WAITS)), width, height)
    assert "canary" in shown
    assert "62%" in shown
    assert "━" in shown
    assert "◇ #8 1.4.2" in shown


def test_nothing_is_expected_of_a_run_without_a_connection() -> None:
    busy = replace(LANE, state="busy", holder="1")
    assert "left" in drawn(card(HEALTHY, busy, runs=(RUN,)), 50, 15)
    assert "left" not in drawn(card(HEALTHY, busy, runs=(RUN,), live=False), 50, 15)


def test_drift_is_an_error_with_its_sentence() -> None:
    shown = drawn(card(replace(HEALTHY, drifts=("web runs 1.3.9, not 1.4.1",)), LANE), 50, 15)
    assert "✗ drift web runs 1.3.9, not 1.4.1" in shown


def test_where_there_is_one_line_the_worst_of_it_stands_there() -> None:
    line = said(card(ILL, LOCKED).line(60))
    assert line.split()[:5] == ["PRODUCTION", "✗", "UNHEALTHY", "▲", "LOCKED"]
    assert said(card(HEALTHY, LANE).line(60)).split()[:3] == ["PRODUCTION", "●", "healthy"]
    assert "nothing deploys here yet" in said(card(NOBODY_LOOKS).line(60))


def test_what_may_not_be_seen_is_not_said_to_be_missing() -> None:
    store = Store()
    assert "nothing deploys here yet" in drawn(Card.of(store, "staging", NOW), 50, 15)
    store.set_rights(Rights("ana", "listener", frozenset({("event:read", None, None)})))
    assert "you may not see what deploys here" in drawn(Card.of(store, "staging", NOW), 50, 15)
    store.set_rights(Rights("ana", "of web", frozenset({("lane:read", "staging", "web")})))
    assert "nothing deploys here yet" in drawn(Card.of(store, "staging", NOW), 50, 15)
    assert "you may not see" in said(Card.of(store, "production", NOW).line(60))


def test_what_matters_least_goes_first() -> None:
    blocks: list[Block] = [(MAY, [[("may", "")]]), (MUST, [[("must", "")]]), (SHOULD, [[("should", "")]])]
    assert list(map(said, fitted(blocks, 3))) == ["may", "must", "should"]
    assert list(map(said, fitted(blocks, 2))) == ["must", "should"]
    assert list(map(said, fitted(blocks, 1))) == ["… 2 more lines"]
    assert fitted(blocks, 0) == []


def test_names_are_not_broken_and_missing_ones_are_told() -> None:
    names = [(name, "fg") for name in ("aaaa", "bbbb", "cccc")]
    assert list(map(said, flowing(names, 10, 2))) == ["aaaa  bbbb", "cccc"]
    assert list(map(said, flowing(names, 10, 1))) == ["aaaa  bbbb …"]
    assert flowing([], 10, 2) == []


@pytest.mark.parametrize("text", STRINGS)
@pytest.mark.parametrize(("width", "height"), [*SIZES, (1, 1), (8, 3)])
def test_no_text_of_the_outside_breaks_a_card(text: str, width: int, height: int) -> None:
    service = ServiceView(text, text, NOW, text, 7)
    health = EnvironmentView("production", text, text, NOW, (service, service), (text,))
    run = replace(RUN, service=text, version=text, message=text, by=text)
    lane = LaneView(text, "production", text, text, version=text, sha=text, holder="1", current="1")
    rows = card(health, lane, runs=(run,)).draw(width, height)
    assert len(rows) <= height
    assert card(health, lane).line(width)
