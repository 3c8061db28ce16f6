"""Everything that the dashboard can change, one by one: who is offered it, what refuses it, its command."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import click
import pytest
from tests.tui.samples import MOMENT, TYPED, every_act, makers, reading, state

from dg.cli.main import dg as command_line
from dg.cli.options import Invocation
from dg.client.app import Client
from dg.core.access.models import GIVEN, Action, Grant, Principal, Role
from dg.tui.access.offers import OFFERS as ON_ACCESS
from dg.tui.access.revoking import spelled
from dg.tui.access.screen import Access
from dg.tui.actions import Act, Hands, Values
from dg.tui.auth import Rights, rights_of
from dg.tui.environments.drawing.probes import ProbeRow
from dg.tui.environments.offers import OFFERS as ON_ENVIRONMENTS
from dg.tui.environments.offers import At
from dg.tui.environments.screen import Environments
from dg.tui.frame import view
from dg.tui.frame.view import View
from dg.tui.store import Link, LinkState, Store

ACTS = every_act()
EACH = [pytest.param(act, id=f"{name}-{at}") for name, made in ACTS.items() for at, act in enumerate(made)]

ELSEWHERE = {
    Action.CHANNEL_MUTE: "it is said in the channel that it is about: /dg mute",
    Action.CHANNEL_SUBSCRIBE: "it is said in the channel that it is about: /dg subscribe",
    Action.DEPLOYMENT_UPDATE: "the API alone has it",
    Action.PIPELINE_WRITE: "a pipeline is a file in a repository: dg pipeline register FILE",
}
"""Changes that no key leads to, and where they are made."""


def shown(act: Act) -> dict[str, str]:
    """The values of its fields as it opens."""
    return {each.name: each.value for each in act.fields}


def filled(act: Act) -> dict[str, str]:
    """All of its fields filled in; those that say something already stay."""
    return {name: value or TYPED[name] for name, value in shown(act).items()}


def rights(role: Role) -> Rights:
    return rights_of(Principal(id="p", name="p", grants=(Grant(role=role),)))


def hands(role: Role, *, read_only: bool = False, link: LinkState = LinkState.LIVE) -> Hands:
    store = Store(rights=rights(role), link=Link(link))
    return Hands(store, read_only=read_only)


def sent(act: Act) -> tuple[Act, list[Values]]:
    """The act with nothing behind it but a list of what was sent."""
    seen: list[Values] = []

    async def send(_: Client, values: Values, __: str) -> None:
        seen.append(values)

    return replace(act, send=send), seen


NOBODY = cast("Client", None)


def test_there_is_a_sample_of_every_act() -> None:
    assert set(makers()) == set(ACTS)


# --- who may


@pytest.mark.parametrize("act", EACH)
async def test_a_viewer_is_not_offered_it_and_sends_nothing(act: Act) -> None:
    if act.right in GIVEN[Role.VIEWER]:
        pytest.skip(f"a viewer may: {act.right}")
    what, seen = sent(act)
    assert not hands(Role.VIEWER).allows(what)
    with pytest.raises(ValueError, match=f"not sent: that takes {act.right}"):
        await hands(Role.VIEWER).send(NOBODY, what, filled(act), "key")
    assert seen == []


@pytest.mark.parametrize("act", EACH)
async def test_an_administrator_is_offered_it_and_sends_it_once(act: Act) -> None:
    what, seen = sent(act)
    assert hands(Role.ADMIN).allows(what)
    await hands(Role.ADMIN).send(NOBODY, what, filled(act), "key")
    assert seen == [filled(act)]


@pytest.mark.parametrize("act", EACH)
async def test_a_dashboard_that_only_looks_offers_it_to_nobody(act: Act) -> None:
    what, seen = sent(act)
    only_looks = hands(Role.ADMIN, read_only=True)
    assert not only_looks.allows(what)
    with pytest.raises(ValueError, match="this dashboard only looks"):
        await only_looks.send(NOBODY, what, filled(act), "key")
    assert seen == []


@pytest.mark.parametrize("act", EACH)
@pytest.mark.parametrize("link", [LinkState.CONNECTING, LinkState.DISCONNECTED, LinkState.SIGNED_OUT])
async def test_it_is_not_sent_without_a_connection(act: Act, link: LinkState) -> None:
    what, seen = sent(act)
    with pytest.raises(ValueError, match="not sent: no connection"):
        await hands(Role.ADMIN, link=link).send(NOBODY, what, filled(act), "key")
    assert seen == []


def test_each_thing_that_can_be_done_is_reached_or_said_to_be_elsewhere() -> None:
    reached = {act.right for made in ACTS.values() for act in made} | {"audit:verify"}
    looks = {action for action in Action if action.endswith(":read")} | {Action.DEPLOYMENT_DIFF}
    changes = set(Action) - looks
    assert {str(action) for action in changes - set(ELSEWHERE)} == reached - {""}


# --- keys


LOOKS = {
    "back",
    "clear",
    "compare",
    "filter",
    "may",
    "refresh",
    "turn",
    "verify",
    "window",
}
"""Keys of these two screens that change nothing."""


@pytest.mark.parametrize(("screen", "offers"), [(Environments, ON_ENVIRONMENTS), (Access, ON_ACCESS)])
def test_every_key_of_a_screen_is_one_that_looks_or_has_its_offers(
    screen: type[View], offers: dict[str, Any]
) -> None:
    own = [
        each for kind in screen.__mro__ if issubclass(kind, View) and kind is not View for each in _keys(kind)
    ]
    changing = {action for action in own if action not in LOOKS}
    assert changing <= set(offers)
    for action in offers:
        assert callable(getattr(screen, f"action_{action}"))


def _keys(kind: type[View]) -> Iterator[str]:
    for binding in kind.__dict__.get("BINDINGS", ()):
        yield cast("Any", binding).action.partition("(")[0]


def test_the_keys_of_every_screen_take_the_rights_of_their_acts() -> None:
    known = {act.right for made in ACTS.values() for act in made}
    assert set(view.RIGHTS.values()) <= known


# --- what a yes takes


@pytest.mark.parametrize(
    "name",
    [
        "access.revoking.end_session",
        "access.revoking.end_sessions",
        "access.revoking.revoke_key",
        "access.revoking.revoke_token",
        "access.revoking.end_binding",
        "access.revoking.delete_role",
        "access.revoking.unlink",
        "access.webhooks.delete",
    ],
)
async def test_what_takes_away_from_others_wants_a_name(name: str) -> None:
    for act in ACTS[name]:
        look = await act.look(NOBODY, shown(act))
        assert look.typed


@pytest.mark.parametrize("name", ["x\x1b[31m", "日本", " ana", "", "a" * 41])
def test_a_name_that_nobody_can_type_is_replaced_by_the_end_of_its_id(name: str) -> None:
    assert spelled(name, "01936b2e-7c00-7000-8000-00000000000a") == "0000000a"
    assert spelled("ci-key", "an-id") == "ci-key"


# --- commands


def parse(shown: str) -> None:
    """Read a command as the command line would. Raises click's errors."""
    context = command_line.make_context("dg", shlex.split(shown)[1:], obj=Invocation({}))
    name, inner, rest = command_line.resolve_command(context, [*context._protected_args, *context.args])
    if isinstance(inner, click.Group):
        group = inner.make_context(name, rest, parent=context)
        name, inner, rest = inner.resolve_command(group, [*group._protected_args, *group.args])
        context = group
    assert inner is not None, shown
    inner.make_context(name, rest, parent=context)


@pytest.mark.parametrize("act", EACH)
def test_its_command_is_one_of_the_command_line(act: Act) -> None:
    required = {each.name: each.value or (TYPED[each.name] if each.required else "") for each in act.fields}
    for values in (filled(act), required):
        parse(act.command(values))


@pytest.mark.parametrize("act", EACH)
def test_its_command_can_be_shown_before_anything_is_typed(act: Act) -> None:
    assert act.command(shown(act)).startswith("dg ")


@pytest.mark.parametrize("act", EACH)
def test_no_secret_is_in_its_command(act: Act) -> None:
    secret = {each.name: "s3cr3t-canary" for each in act.fields if each.secret}
    assert "s3cr3t-canary" not in act.command({**filled(act), **secret})


def test_a_probes_command_says_what_changes_and_no_more() -> None:
    (_, act) = ACTS["environments.probing.set_probe"]
    command = act.command({**shown(act), "settings": "host=db-1 port=5433", "reason": ""})
    assert command == "dg probe set staging db port=5433"
    less = act.command({**shown(act), "settings": "host=db-1", "reason": ""})
    assert less == "dg probe set staging db --unset port"


@pytest.mark.parametrize("heard", [True, False])
@pytest.mark.parametrize(
    ("windows", "title"),
    [
        ([{"at": "* * * * *", "for": "1h", "tz": "UTC"}], "end the rest of db in staging"),
        ([{"at": "0 0 1 1 *", "for": "1h", "tz": "UTC"}], "let db of staging rest"),
        ([{"at": "whenever"}], "let db of staging rest"),
        ([], "let db of staging rest"),
    ],
)
def test_what_is_offered_a_probe_is_decided_by_its_document_not_by_what_was_heard_of_it(
    windows: list[dict[str, str]], title: str, heard: bool
) -> None:
    probe = {"kind": "tcp", "service": "db", "host": "db-1", "port": 5432, "maintenance": windows}
    at, row = At(state(probes={"db": probe}), MOMENT), ProbeRow(reading(maintenance=heard), 0)
    for kind in ("probes", "heartbeats"):
        assert ON_ENVIRONMENTS["pause"][kind].make(at, row).title == title
