"""What is shown, held against Slack's own rules: whatever anybody wrote into a commit, a note or a log."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dg.bot.messages import (
    answers,
    deployments,
    digest,
    environments,
    health,
    home,
    lanes,
    modals,
    mutes,
    subscriptions,
    summaries,
)
from dg.bot.messages.blocks import Rendered
from dg.bot.messages.deployments import Shown
from dg.bot.messages.summaries import Line
from dg.bot.messages.text import block_of_code, code, escape, sentence, span, stated
from dg.core.access.models import Grant, Principal
from dg.core.deployments.figures import Outcome
from dg.core.deployments.models import (
    Approval,
    Changes,
    CommitLine,
    Deployment,
    Gate,
    Kind,
    Lane,
    LaneState,
    Lock,
    Progress,
    Reason,
    Status,
    Step,
    StepStatus,
    Verdict,
    Waiting,
)
from dg.core.drift.models import DriftStatus, ServiceDrift
from dg.core.environments.models import EnvironmentState, SecretState, Targets
from dg.core.grammar import VERBS, Misread, commands
from dg.core.health.models import EnvironmentHealth, ServiceHealth, Suspect
from dg.core.health.models import Status as Health
from dg.core.slack.models import SlackSubscription
from dg.core.types import Environment
from dg.slacksim.blockkit import check_blocks, check_view, text_length

NOW = 1_795_000_000_000_000
LONGEST = 13_200
ID = "019acd5e-7c00-7000-8000-000000000000"
SIGNS = "<!channel> <@U1> &amp; `*_~ \n\r\t\x00\x1b\u202e\ud800 ``` 🎉 http://a.b x@y.z"

CALLS = re.compile(r"<!(here|channel|everyone)|<!subteam\^(?!S1>)|<@(?!U[12]>)", re.IGNORECASE)
"""What calls everybody, or anybody but those whom the test itself mentions."""

hostile = st.one_of(
    st.sampled_from(
        [
            "",
            "<!channel>",
            "<!here|x>",
            "@here",
            "<!everyone>",
            "<!subteam^S9>",
            "<@UADMIN>",
            "`" * 50,
            "x" * 9000,
            "<" * 4000,
            "🎉" * 3000,
            "a\nb" * 900,
        ]
    ),
    st.text(st.sampled_from(SIGNS), max_size=60),
)


@st.composite
def deployed(draw: st.DrawFn) -> Deployment:
    """A deployment in any state, with anything written into it."""
    status = draw(st.sampled_from(Status))
    moment = st.one_of(st.none(), st.integers(NOW, NOW + 10**10))
    words = st.one_of(st.none(), hostile)
    approvals = st.builds(
        Approval,
        by=hostile,
        by_name=words,
        at=st.just(NOW),
        verdict=st.sampled_from(Verdict),
        gate=words,
        content=st.just("c"),
        note=words,
    )
    gate = st.builds(
        Gate,
        name=st.sampled_from(["approvals", "window"]),
        open=st.booleans(),
        sentence=hostile,
        values=st.just({"given": 0, "needed": 2}),
    )
    return Deployment(
        id=ID,
        number=draw(st.integers(1, 10**12)),
        service=draw(hostile),
        environment=draw(st.sampled_from(Environment)),
        kind=draw(st.sampled_from(Kind)),
        status=status,
        stage="x",
        version=draw(hostile),
        commit_sha="a" * 40,
        reason=draw(st.sampled_from(Reason)) if status is Status.FAILED else None,
        message=draw(words),
        hold=draw(words),
        note=draw(words),
        override=draw(words),
        touched=draw(st.booleans()),
        created_by=draw(hostile),
        created_by_name=draw(words),
        created_at=NOW,
        queued_at=NOW,
        expires_at=draw(moment),
        started_at=draw(moment),
        completed_at=draw(moment),
        cancel_requested_at=draw(moment),
        pipeline_sha256="b" * 64,
        gates=draw(st.one_of(st.none(), st.lists(gate, max_size=2).map(tuple))),
        approvals=draw(st.one_of(st.none(), st.lists(approvals, max_size=9).map(tuple))),
        content=draw(st.one_of(st.none(), st.just("d" * 64))),
    )


steps = st.lists(
    st.builds(
        Step,
        index=st.just(0),
        name=hostile,
        phase=st.just("build"),
        status=st.sampled_from(StepStatus),
        seconds=st.one_of(st.none(), st.floats(0, 10**6)),
    ),
    max_size=60,
).map(tuple)
commits = st.lists(
    st.builds(CommitLine, sha=st.just("e" * 40), author=hostile, subject=hostile, at=st.just(NOW)),
    max_size=40,
).map(tuple)
changes = st.builds(
    Changes,
    base=st.just("f" * 40),
    head=st.just("e" * 40),
    total=st.integers(0, 9999),
    commits=commits,
    leaving_total=st.integers(0, 9),
)
locks = st.builds(
    Lock, reason=hostile, automatic=st.booleans(), by=hostile, since=st.just(NOW), until=st.just(NOW)
)
found_lanes = st.builds(
    Lane,
    service=hostile,
    environment=st.sampled_from(Environment),
    state=st.sampled_from(LaneState),
    sentence=hostile,
    current=st.one_of(st.none(), st.just(ID)),
    current_version=st.one_of(st.none(), hostile),
    known=st.booleans(),
    lock=st.one_of(st.none(), locks),
)


def check(found: Rendered) -> None:
    """Slack takes it, and nothing that somebody wrote is more than text in it."""
    body = found.body()
    assert check_blocks(body["blocks"]) == []
    assert text_length(body["blocks"]) <= LONGEST
    check_text(body)


def check_text(found: Any) -> None:
    """Nobody's words call anybody; plain text calls nobody whatever it says."""
    match found:
        case {"type": "mrkdwn", "text": str(said)} | {"blocks": list(), "text": str(said)}:
            assert not CALLS.search(said)
            assert "<@UADMIN>" not in said
    inner = found.values() if isinstance(found, dict) else found if isinstance(found, list) else ()
    for each in inner:
        check_text(each)


@settings(max_examples=200, deadline=None)
@given(deployed(), steps, st.one_of(st.none(), changes), st.one_of(st.none(), found_lanes), st.floats(0, 100))
def test_a_deployment_s_message_is_always_taken(
    told: Deployment, run: tuple[Step, ...], brings: Changes | None, lane: Lane | None, percent: float
) -> None:
    progress = Progress(deployment=told, progress=percent, steps=run, estimated_completion=NOW)
    shown = Shown(progress, lane, brings, {"U": "U1"}, "<!subteam^S1>", "https://dg.example.org/v1/x")
    check(deployments.deployment(shown))


@settings(deadline=None)
@given(deployed(), changes, st.lists(hostile, max_size=60))
def test_what_stands_in_a_thread_is_always_taken(told: Deployment, brings: Changes, lines: list[str]) -> None:
    tail = deployments.log_tail(told, lines)
    check(tail)
    assert text_length(tail.body()["blocks"]) <= deployments.THREAD_BUDGET + 200
    check(deployments.commit_list(told, brings))


@settings(deadline=None)
@given(st.lists(found_lanes, max_size=40), st.lists(deployed(), max_size=15), hostile)
def test_every_answer_is_always_taken(lanes_found: list[Lane], told: list[Deployment], text: str) -> None:
    who = Principal(id="p", name=text, grants=(Grant(role="viewer"),))
    check(answers.lanes(lanes_found, told))
    check(answers.problem(text, ["U1", "U2"]))
    check(answers.unclear(Misread(text, text, 0, 0)))
    check(answers.who(who))
    check(answers.commands(VERBS))
    closed = lanes.Closed(text, text, text, text, NOW, over=False)
    check(lanes.freeze(closed, {}))
    check(mutes.mute(escape(text), NOW, text, over=False))
    asked = SlackSubscription(id="s", channel="C1", service="a" * 63, since=NOW, by="p")
    check(subscriptions.answer("C1", [asked] * len(lanes_found), {"p": escape(text)}))
    for lane in lanes_found[:3]:
        waiting = [Waiting(position=1, deployment=each) for each in told]
        check(answers.why(lane, waiting))
        check(lanes.lock(closed, lane, {}))
    view = home.board(home.Board(who, lanes_found, told, told, NOW))
    assert check_view({"type": "home", **view}, ("home",)) == []
    check_text(view)


@settings(deadline=None)
@given(
    st.lists(deployed(), max_size=20),
    hostile,
    st.booleans(),
    st.sampled_from(["away", "quiet", "storm", "mute"]),
    st.integers(0, 9),
)
def test_a_summary_is_always_taken_and_says_what_it_leaves_out(
    told: list[Deployment], text: str, over: bool, why: str, more: int
) -> None:
    closed = lanes.Closed(text, text, text, text, NOW, over=over)
    about = {
        "service": text,
        "environment": text,
        "status": "degraded",
        "over": over,
        "since": NOW,
        "at": NOW,
    }
    lines = [Line(0, "deployment", deployments.line(each)) for each in told]
    lines += [Line(1, "lock", lanes.line(closed, "locked", "unlocked"))]
    lines += [Line(1, "health change", health.line(about))]
    found = summaries.meanwhile(summaries.Meanwhile(why, NOW, NOW, lines, more))
    check(found)
    said = found.blocks[1]["text"]["text"].splitlines()
    left = re.search(r"^_and (\d+) more", said[-1])
    shown = len(said) - (1 if left else 0)
    assert shown + (int(left[1]) if left else 0) == len(lines) + more


services = st.lists(
    st.builds(
        ServiceHealth,
        name=hostile,
        status=st.sampled_from(Health),
        response_time=st.one_of(st.none(), st.floats(0, 100)),
        since=st.one_of(st.none(), st.just(NOW)),
        message=st.one_of(st.none(), hostile),
        suspect=st.one_of(st.none(), st.just(Suspect(deployment=ID, number=7))),
    ),
    max_size=40,
).map(tuple)
well_or_not = st.builds(
    EnvironmentHealth,
    name=st.sampled_from(Environment),
    status=st.sampled_from(["healthy", "degraded", "unhealthy"]),
    known=st.booleans(),
    message=hostile,
    since=st.one_of(st.none(), st.just(NOW)),
    services=services,
)


@settings(deadline=None)
@given(st.sampled_from(Health), st.booleans(), hostile, st.one_of(st.none(), deployed()), found_lanes)
def test_a_change_of_health_is_always_taken(
    status: Health, over: bool, text: str, told: Deployment | None, lane: Lane
) -> None:
    about = dict.fromkeys(("service", "environment", "message", "probe", "because"), text)
    fact = {**about, "status": status.value, "over": over, "since": NOW, "at": NOW + 90_000_000}
    check(health.change(health.Shown(fact, told, lane, "https://dg.example.org/v1/x")))
    check(health.change(health.Shown({**fact, "message": None, "probe": None, "because": None})))


@settings(deadline=None)
@given(st.lists(well_or_not, max_size=3), st.lists(hostile, max_size=30), st.booleans())
def test_what_is_said_of_an_environment_is_always_taken(
    found: list[EnvironmentHealth], texts: list[str], changed: bool
) -> None:
    check(health.answer(found))
    text = texts[0] if texts else ""
    secret = SecretState(version=3, fingerprint="f", changed_at=NOW, changed_by=text)
    state = EnvironmentState(
        name=Environment.PRODUCTION,
        domain=text,
        config=dict.fromkeys(texts, text),
        secrets=dict.fromkeys(texts, secret),
        targets=Targets(hosts=tuple(texts)),
        links={},
        probes={key: {} for key in texts},
        protection={key: {} for key in texts},
        version=int(changed),
        changed_at=NOW if changed else None,
        changed_by=text,
    )
    check(environments.answer(state))


outcomes = st.lists(
    st.builds(
        Outcome,
        service=hostile,
        environment=st.sampled_from(Environment),
        kind=st.sampled_from(Kind),
        status=st.sampled_from([Status.SUCCESS, Status.FAILED, Status.ROLLED_BACK]),
        reason=st.one_of(st.none(), st.sampled_from(Reason)),
        count=st.integers(1, 10**6),
    ),
    max_size=20,
)
drifted = st.lists(
    st.builds(
        ServiceDrift,
        service=hostile,
        environment=st.sampled_from(Environment),
        status=st.just(DriftStatus.DRIFTED),
        sentence=hostile,
    ),
    max_size=9,
)


@settings(deadline=None)
@given(
    outcomes,
    st.lists(deployed(), max_size=9),
    st.lists(found_lanes, max_size=9),
    drifted,
    st.lists(well_or_not, max_size=3),
)
def test_a_digest_is_always_taken(
    counts: list[Outcome],
    told: list[Deployment],
    closed: list[Lane],
    drift: list[ServiceDrift],
    found: list[EnvironmentHealth],
) -> None:
    shown = digest.Day(
        NOW, NOW + 90_000_000, counts, told, told, closed, drift, found, url=lambda _: "https://dg.example/x"
    )
    check(digest.digest(shown))


@settings(deadline=None)
@given(hostile, hostile, deployed())
def test_every_modal_is_always_taken(text: str, other: str, told: Deployment) -> None:
    views = [
        modals.deploy(commands.Deploy(text, other, Environment.PRODUCTION, None, text), "C1"),
        modals.rollback(commands.Rollback(text, Environment.PRODUCTION, None, text), None, None, "C1"),
        modals.outcome(f"`{escape(text)}`"),
        modals.reject(told, "C1"),
    ]
    for view in views:
        if len(view["private_metadata"]) <= 3000:
            assert check_view(view) == []
        check_text({**view, "private_metadata": ""})


@pytest.mark.parametrize(
    ("make", "shown"),
    [
        (lambda: escape("a <b> & c"), "a &lt;b&gt; &amp; c"),
        (lambda: code("v1`x"), "`v1'x`"),
        (lambda: span(42), "42 s"),
        (lambda: sentence("It waits: dg cancel 01a2-b"), "It waits: `/dg cancel 01a2-b`"),
        (lambda: sentence("Shut: dg lane unlock web staging"), "Shut: `/dg unlock web in staging`"),
        (
            lambda: sentence("Again: dg deploy web 9efa56b --env staging"),
            "Again: `/dg deploy web 9efa56b to staging`",
        ),
        (
            lambda: sentence("Let it: dg lane unblock web staging 9efa"),
            "Let it: `dg lane unblock web staging 9efa`",
        ),
        (lambda: sentence("Shut: dg x `<!here>`"), "Shut: `dg x '&lt;!here&gt;'`"),
        (lambda: sentence("No <command>: dg"), "No &lt;command&gt;: dg"),
        (lambda: stated("there is no such thing"), "There is no such thing."),
        (lambda: stated("lane:freeze needs a role."), "lane:freeze needs a role."),
        (lambda: span(4800), "1 h 20 min"),
        (lambda: block_of_code(["one", "two"], 12), "```\ntwo\n```"),
    ],
)
def test_text_is_only_ever_text(make: Callable[[], Any], shown: str) -> None:
    assert make() == shown


def test_what_was_typed_into_a_form_is_checked() -> None:
    ids = {"service": "web"}
    assert modals.mistakes(ids, {"reason": "because", "name": "web"}) == {}
    assert set(modals.mistakes(ids, {"reason": " no ", "name": "wbe"})) == {"reason", "name"}
    assert modals.mistakes(ids, {"reason": "because"}) == {}
