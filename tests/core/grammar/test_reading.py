"""Lines of words and what they mean, near misses, and that nothing makes the grammar raise."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dg.core.access.models import GIVEN, Action, Role
from dg.core.grammar import Command, Completions, Misread, Names, complete, offered, parse, spoken
from dg.core.grammar import commands as c
from dg.core.grammar.verbs import VERBS, Kind
from dg.core.text import plain
from dg.core.types import Environment

P, S, D = Environment.PRODUCTION, Environment.STAGING, Environment.DEVELOPMENT
FREEZE = "019acd5e-7c00-7000-8000-000000000000"


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("deploy api v1.4.2 to production", c.Deploy("api", "v1.4.2", P)),
        ("/dg ship prod api v1.4.2", c.Deploy("api", "v1.4.2", P)),
        ("deploy api@v1.4.2 stg", c.Deploy("api", "v1.4.2", S)),
        ("DEPLOY API main TO Dev as 1.5 because try it", c.Deploy("api", "main", D, "1.5", "try it")),
        ('deploy api "production" to staging', c.Deploy("api", "production", S)),
        ("deploy api main --env prod --note=“the sale”", c.Deploy("api", "main", P, None, "the sale")),
        ("deploy api main —env prod", c.Deploy("api", "main", P)),
        ("status", c.Status()),
        ("status production", c.Status(None, P)),
        ("status api in staging", c.Status("api", S)),
        ("show #42", c.Show("42")),
        ("rollback api in production", c.Rollback("api", P)),
        ("rollback api to production", c.Rollback("api", P)),
        ("rb prod api to v1.4.1 because it's 500", c.Rollback("api", P, "v1.4.1", "it's 500")),
        ("approve 42", c.Approve("42")),
        ("lgtm latest because seen on staging", c.Approve("latest", "seen on staging")),
        ('reject #7 because "no"', c.Reject("7", "no")),
        ("reject #7 because to be in production for 2h", c.Reject("7", "to be in production for 2h")),
        ("cancel 019acd5e", c.Cancel("019acd5e")),
        ("retry 7 from migrate", c.Retry("7", "migrate")),
        ("why api production", c.Why("api", P)),
        ("lane api production", c.Why("api", P)),
        ("lock api prod for 1h30m because sale", c.Lock("api", P, 5400.0, "sale")),
        ("unlock api prod", c.Unlock("api", P)),
        ("freeze production for 4h because release", c.Freeze(14400.0, "release", None, P)),
        ("freeze all for 30m because the database moves", c.Freeze(1800.0, "the database moves")),
        ("thaw all", c.Thaw()),
        (f"unfreeze {FREEZE}", c.Thaw(FREEZE)),
        ("health", c.Health()),
        ("health prod", c.Health(P)),
        ("health in staging", c.Health(S)),
        ("env prod", c.Env(P)),
        ("environment --env=dev", c.Env(D)),
        ("mute for 2h", c.Mute(7200.0)),
        ("mute #C012AB for 30m because we present", c.Mute(1800.0, "C012AB", "we present")),
        ("hush in C012AB for 1d", c.Mute(86400.0, "C012AB")),
        ("unmute", c.Unmute()),
        ("unmute #C012AB", c.Unmute("C012AB")),
        ("subscribe api", c.Subscribe("api")),
        ("subscribe production unhealthy", c.Subscribe(None, P, "unhealthy")),
        ("subscribe all for #C012AB", c.Subscribe(None, None, None, "C012AB")),
        ("subscribe of api in prod --severity=degraded", c.Subscribe("api", P, "degraded")),
        ('subscribe "unhealthy" in staging', c.Subscribe("unhealthy", S)),
        ("unsubscribe api in staging", c.Unsubscribe("api", S)),
        ("unsubscribe all", c.Unsubscribe()),
        ("subscriptions", c.Subscriptions()),
        ("subscriptions in C012AB", c.Subscriptions("C012AB")),
        ("whoami", c.Who()),
        ("help rb", c.Help("rollback")),
        ("?", c.Help()),
    ],
)
def test_a_line_is_a_command(line: str, command: Command) -> None:
    assert parse(line) == command


@pytest.mark.parametrize(
    ("line", "message", "hint", "about"),
    [
        ("", "Say what you want.", "help", ""),
        ("deply api v1 to prod", "no command `deply`", "`deploy`", "deply"),
        ("7", "What about 7?", "show 7", "7"),
        ("deploy", "Which service?", "deploy api", ""),
        ("deploy api main", "Which environment?", "deploy api", ""),
        ("deploy api main to prodution", "no environment `prodution`", "`production`", "prodution"),
        ("deploy api main to mars", "no environment `mars`", "development", "mars"),
        ("deploy api main to prod to staging", "second environment", "deploy api", "to"),
        ("deploy a_pi main to prod", "`a_pi` is no service's name", "deploy api", "a_pi"),
        ("deploy api main prod becuase x", "`becuase` does not fit", "`because`", "becuase"),
        ("deploy api main prod --reasn x", "`--reasn` does not fit", "`reason`", "--reasn"),
        ("reject 7", "Say why.", "reject #42", ""),
        ('reject 7 because ""', "reason is empty", "reject", '""'),
        ("reject 7 because", "Say why.", "reject", ""),
        ("approve prod", "`prod` names no deployment", "approve", "prod"),
        ("lock api prod for ever because x", "must be a duration", "for 2h", "ever"),
        ("freeze for 2h because x", "Say `all`", "freeze", ""),
        ("freeze all api for 2h because x", "All, or only that one?", "freeze", "all"),
        ("thaw", "Say `all`", "thaw", ""),
        ("mute general for 2h", "`general` is no channel's id", "mute for 2h", "general"),
        ("mute", "For how long?", "mute for 2h", ""),
        ("subscribe", "Say `all`", "subscribe api", ""),
        ("subscribe api when broken", "`broken` is not degraded", "subscribe api", "broken"),
        ("env", "Which environment?", "env production", ""),
        ("health mars", "no environment `mars`", "development", "mars"),
        ("helth prod", "no command `helth`", "`health`", "helth"),
        ("help deplo", "no command `deplo`", "`deploy`", "deplo"),
        ("x" * 2001, "longer than 2000", "shorter", "x"),
    ],
)
def test_a_near_miss_says_where_and_what_to_type(line: str, message: str, hint: str, about: str) -> None:
    found = parse(line)
    assert isinstance(found, Misread)
    assert message in found.message
    assert hint in found.hint
    assert line[found.start : found.end] == about


def test_a_reason_longer_than_the_core_takes_is_said_at_once() -> None:
    assert isinstance(parse(f"cancel 7 because {'x' * 501}"), Misread)


def test_every_example_is_read_as_its_own_verb() -> None:
    for verb in VERBS:
        assert type(parse(verb.example)) is verb.command


def test_a_viewer_is_offered_no_way_to_change_anything() -> None:
    names = {verb.name for verb in offered(lambda action: action in GIVEN[Role.VIEWER])}
    assert names == {"status", "show", "why", "health", "env", "subscriptions", "who", "help"}


_signs = "  \"“'\\-—@#=<>&`\x00\u202e\ud800"
_hostile = st.text(st.sampled_from(_signs + string.ascii_letters + "0123"), max_size=60)
_words = st.sampled_from(
    ["deploy", "freeze", "to", "in", "all", "because", "production", "api", "--to", "for", "2h", "thaw", "#7"]
)
_lines = st.one_of(st.text(max_size=80), st.lists(st.one_of(_words, _hostile), max_size=9).map(" ".join))


@given(_lines)
def test_no_line_makes_it_raise(line: str) -> None:
    found = parse(line)
    if isinstance(found, Misread):
        assert 0 <= found.start <= found.end <= len(line)
        assert plain(found.message) == found.message
        assert plain(found.hint) == found.hint
    else:
        assert parse(spoken(found)) == found


@given(_lines)
def test_no_line_makes_completion_raise(line: str) -> None:
    found = complete(line, Names(("api", "web"), ("#7",), ("main",)))
    assert 0 <= found.start <= len(line)


_services = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)
_text = st.text(min_size=1, max_size=60).map(lambda text: " ".join(plain(text).split())).filter(bool)
_values = {
    Kind.SERVICE: _services,
    Kind.ENVIRONMENT: st.sampled_from(Environment),
    Kind.VERSION: _text,
    Kind.STEP: _text,
    Kind.REASON: _text,
    Kind.DEPLOYMENT: st.one_of(
        st.just("latest"), st.integers(1, 10**17).map(str), st.from_regex(r"0[0-9a-f]{0,7}", fullmatch=True)
    ),
    Kind.DURATION: st.integers(1, 31 * 86_400_000).map(lambda thousandths: thousandths / 1000),
    Kind.CHANNEL: st.from_regex(r"[CG][A-Z0-9]{1,20}", fullmatch=True),
    Kind.FREEZE: st.uuids().map(str),
    Kind.VERB: st.sampled_from([verb.name for verb in VERBS]),
}


@st.composite
def _commands(draw: st.DrawFn) -> Command:
    verb = draw(st.sampled_from(VERBS))
    fields = {
        slot.field: draw(_values[slot.kind])
        for slot in verb.slots
        if slot.kind in _values and (slot.required or draw(st.booleans()))
    }
    return verb.command(**fields)


@given(_commands())
def test_what_is_said_is_read_as_what_was_meant(command: Command) -> None:
    assert parse(spoken(command)) == command


def test_a_line_is_completed_from_the_names_there_are() -> None:
    names = Names(("api", "web"), ("#42",), ("v1.4.2",))
    assert complete("dep", names).options == ("deploy",)
    assert complete("deploy a", names) == Completions(7, ("api", "as"))
    assert complete("deploy api v", names).options == ("v1.4.2",)
    assert complete("deploy api v1.4.2 to ", names).options == ("production", "staging", "development")
    assert complete("approve ", names).options[0] == "#42"
    assert complete("cancel #42 because ", names).options == ()
    assert complete('deploy "a', names).options == ()


def test_completion_offers_only_what_one_may() -> None:
    viewer = Names(may=lambda action: action is Action.LANE_READ)
    assert complete("", viewer).options == ("why", "who", "help")
