"""The access screen on a real server: who may come in, what is taken back, who did what."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.tui.conftest import House, served
from tests.tui.hostile import FORBIDDEN, STRINGS
from tests.tui.house import WIDE, client, dashboard, text, until
from tests.tui.test_actions import asked, closed, head, viewer
from tests.tui.test_environments import SIZES, nowhere
from textual.pilot import Pilot
from textual.widgets import Input

from dg.client.app import Client
from dg.core.access.accounts import SlackLink
from dg.core.access.models import (
    ApiKey,
    Binding,
    CreateBinding,
    DefinedRole,
    Grant,
    KeySecret,
    Principal,
    Scope,
    Token,
)
from dg.core.access.sessions import Session, WantedGrant
from dg.core.audit.models import AuditEntry
from dg.core.clock import SECOND
from dg.core.errors import Forbidden, Invalid
from dg.core.webhooks.models import Webhook
from dg.tui.access import may
from dg.tui.access.may import May
from dg.tui.access.offers import OFFERS
from dg.tui.access.reading import Seen
from dg.tui.access.screen import Access
from dg.tui.app import Dashboard
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.pages import Pages
from dg.tui.frame.sheet import Once, Sheet
from dg.tui.widgets.table import Table


@asynccontextmanager
async def access(
    connect: Any, size: tuple[int, int] = WIDE, **how: Any
) -> AsyncIterator[tuple[Dashboard, Pilot[None], Access]]:
    """The dashboard on its access screen, everything read."""
    async with dashboard(connect, size, **how) as (app, pilot):
        await pilot.press("0")
        screen = app.screen
        assert isinstance(screen, Access)
        await until(pilot, lambda: screen.seen.audit or "audit" in screen.seen.wrong)
        yield app, pilot, screen


async def turn(pilot: Pilot[Any], screen: Access, name: str) -> None:
    for _ in screen.query_one(Pages).names:
        if screen.query_one(Pages).current != name:
            await pilot.press("right_square_bracket")
    assert screen.query_one(Pages).current == name
    await pilot.pause()


async def sign_in(home: Path) -> str:
    """A session of somebody who was let in; its id."""
    async with client(home) as dg:
        device = await dg.sessions.ask(name="ana", host="laptop")
        grants = [WantedGrant(role="viewer")]
        await dg.sessions.approve(device.user_code, person="ana", grants=grants)
        return (await dg.sessions.collect(device.device_code)).session.id


async def test_it_says_who_one_is_and_what_one_may(lived_in: House) -> None:
    async with access(partial(client, lived_in.home)) as (_, pilot, screen):
        shown = text(screen)
        assert "person, by local" in shown
        assert "may admin" in shown
        await turn(pilot, screen, "roles")
        assert "viewer" in text(screen)
        await pilot.press("enter")
        await until(pilot, lambda: "deployment:read" in text(pilot.app.screen))


async def test_a_session_is_ended(lived_in: House) -> None:
    made = await sign_in(lived_in.home)
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await until(pilot, lambda: "laptop" in text(screen))
        screen.query_one(Pages).table.select(made)
        await pilot.pause()
        form = await asked(app, pilot, "D")
        assert f"dg session revoke {made}" in form.act.command({})
        await pilot.press("enter", "y", "enter")
        assert app.screen is form
        await pilot.press("ctrl+u", *"ana", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: "revoked" in text(screen))
        assert screen.check_action("revoke", ()) is False


async def test_keys_tokens_and_bindings_are_taken_back(lived_in: House) -> None:
    async with client(lived_in.home) as dg:
        key = (await dg.keys.create(name="ci-key", scopes=[Scope(role="viewer")])).key
        token = (await dg.tokens.create(name="ci-token", role="viewer")).token
        await dg.bindings.create(CreateBinding(subject=token.id, role="operator"))
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        for name, shown in (("keys", "ci-key"), ("bindings", "operator"), ("tokens", "ci-token")):
            await until(pilot, lambda: not isinstance(app.screen, Confirm))
            await turn(pilot, screen, name)
            await until(pilot, lambda shown=shown: shown in text(screen))  # type: ignore[misc]
            table = screen.query_one(Pages).table
            if name != "bindings":
                table.select({"keys": key.id, "tokens": token.id}[name])
                await pilot.pause()
            await asked(app, pilot, "D")
            await pilot.press(*shown, "enter")
            await closed(app, pilot)
    async with client(lived_in.home) as dg:
        assert next(each for each in await dg.keys.list() if each.id == key.id).revoked_at is not None
        assert next(each for each in await dg.tokens.list() if each.id == token.id).revoked_at is not None
        assert [each async for each in dg.bindings.all(subject=token.id)] == []


async def fill_in(app: Dashboard, pilot: Pilot[Any], **values: str) -> None:
    """Fill a form in, and have the server say what it would do."""
    form = app.screen
    assert isinstance(form, Confirm)
    for name, value in values.items():
        form.query_one(f"#field-{name}", Input).value = value
    form.query_one(f"#field-{form.act.fields[-1].name}").focus()
    await pilot.pause()
    await pilot.press("enter")
    await until(pilot, lambda: form.look is not None)
    await pilot.pause()


async def taken_down(app: Dashboard, pilot: Pilot[Any]) -> str:
    """The secret that is shown once, copied; it is nowhere on the screen afterwards."""
    await until(pilot, lambda: isinstance(app.screen, Once) and "this once" in text(app.screen))
    await pilot.press("enter", "q", "y")
    assert isinstance(app.screen, Once)
    secret = app.clipboard
    assert secret[:20] in text(app.screen)
    await pilot.press("escape")
    await until(pilot, lambda: isinstance(app.screen, Access))
    assert secret[:20] not in text(app.screen)
    return secret


async def test_a_key_is_made_and_rotated_with_its_secret_shown_once(lived_in: House) -> None:
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await turn(pilot, screen, "keys")
        await asked(app, pilot, "n")
        await fill_in(app, pilot, name="robot", may="viewer lane:lock", environments="staging", lasting="12h")
        assert "lane:lock on staging" in text(app.screen)
        await pilot.press("y")
        first = await taken_down(app, pilot)
        await until(pilot, lambda: "robot" in text(screen))
        made = next(each for each in screen.seen.keys if each.name == "robot")
        screen.query_one(Pages).table.select(made.id)
        await pilot.pause()
        await asked(app, pilot, "N")
        await fill_in(app, pilot, overlap="1h")
        await pilot.press("y")
        second = await taken_down(app, pilot)
    assert first != second
    async with client(lived_in.home) as dg:
        url = dg.url
    for secret in (first, second):
        async with Client(url, secret) as robot:
            assert (await robot.whoami()).name == "robot"


async def test_what_cannot_be_is_said_before_a_key_is_made(lived_in: House) -> None:
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await turn(pilot, screen, "keys")
        form = await asked(app, pilot, "n")
        assert isinstance(form, Confirm)
        form.query_one("#field-name", Input).value = "never"
        form.query_one("#field-may", Input).value = "viewer"
        for field, value, why in (
            ("environments", "moon", "must be development"),
            ("lasting", "forever", "no length of time"),
        ):
            form.query_one(f"#field-{field}", Input).value = value
            form.query_one("#field-lasting").focus()
            await pilot.press("enter")
            await until(pilot, lambda why=why: why in text(app.screen))  # type: ignore[misc]
            assert form.look is None
            form.query_one(f"#field-{field}", Input).value = ""
        assert all(each.name != "never" for each in screen.seen.keys)


async def test_a_role_is_made_given_changed_and_deleted(lived_in: House) -> None:
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await turn(pilot, screen, "roles")
        await asked(app, pilot, "n")
        await fill_in(app, pilot, name="releaser", actions="lane:lock lane:read")
        await pilot.press("y")
        await closed(app, pilot)
        await turn(pilot, screen, "bindings")
        await asked(app, pilot, "n")
        await fill_in(app, pilot, subject="clerk-role:member", role="releaser", until="2h")
        await pilot.press("y")
        await closed(app, pilot)
        await until(pilot, lambda: "clerk-role:member" in text(screen))
        given = next(each for each in screen.seen.bindings if each.role == "releaser")
        screen.query_one(Pages).table.select(given.id)
        await pilot.pause()
        await asked(app, pilot, "D")
        await pilot.press(*"releaser", "enter")
        await closed(app, pilot)
        await turn(pilot, screen, "roles")
        screen.query_one(Pages).table.select("releaser")
        await pilot.pause()
        form = await asked(app, pilot, "e")
        await fill_in(app, pilot, actions="lane:read lane:unlock")
        assert form.act.command(form.values) == "dg role edit releaser --add lane:unlock --remove lane:lock"
        await pilot.press("y")
        await closed(app, pilot)
        await until(
            pilot, lambda: ("lane:read", "lane:unlock") in [each.actions for each in screen.seen.roles]
        )
        await asked(app, pilot, "D")
        await pilot.press(*"releaser", "enter")
        await closed(app, pilot)
        await until(pilot, lambda: all(each.name != "releaser" for each in screen.seen.roles))
        screen.query_one(Pages).table.select("viewer")
        await pilot.pause()
        assert [screen.check_action(action, ()) for action in ("edit", "revoke")] == [False, False]


async def test_a_login_is_let_in_by_its_code_and_another_turned_away(lived_in: House) -> None:
    async with client(lived_in.home) as dg:
        come, go = [await dg.sessions.ask(name="bo", host=f"host-{at}") for at in range(2)]
    async with access(partial(client, lived_in.home)) as (app, pilot, _):
        await asked(app, pilot, "n")
        await fill_in(app, pilot, code=come.user_code, person="bo", roles="viewer")
        assert "proves nothing" in text(app.screen)
        assert "host-0" in text(app.screen)
        await pilot.press("y")
        await closed(app, pilot)
        await asked(app, pilot, "X")
        await fill_in(app, pilot, code=go.user_code)
        await pilot.press("y")
        await closed(app, pilot)
    async with client(lived_in.home) as dg:
        assert (await dg.sessions.collect(come.device_code)).session.name == "bo"
        with pytest.raises(Forbidden):
            await dg.sessions.collect(go.device_code)


@pytest.fixture
def outgoing(tmp_path: Path) -> Iterator[House]:
    """A house that may send to this machine."""
    (tmp_path / "home").mkdir(mode=0o700)
    (tmp_path / "home" / "server.toml").write_text('[outbound]\nallow = ["127.0.0.0/8"]\n')
    with served(tmp_path) as house:
        yield house


async def test_a_webhook_is_made_tried_paused_and_deleted(outgoing: House) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/dg"
        async with access(partial(client, outgoing.home)) as (app, pilot, screen):
            await turn(pilot, screen, "webhooks")
            await asked(app, pilot, "n")
            await fill_in(app, pilot, url=address, events="lane.*", description="to try it")
            await pilot.press("y")
            first = await taken_down(app, pilot)
            await until(pilot, lambda: "to try it" in text(screen))
            await pilot.press("T")
            await until(pilot, lambda: isinstance(app.screen, Sheet) and "did not arrive" in text(app.screen))
            await pilot.press("ctrl+t", "escape")
            assert app.clipboard.startswith("dg webhook test ")
            await pilot.press("enter")
            await until(pilot, lambda: isinstance(app.screen, Sheet) and "webhook.test" in text(app.screen))
            await pilot.press("escape")
            await asked(app, pilot, "N")
            await pilot.press("y")
            assert await taken_down(app, pilot) != first
            await asked(app, pilot, "P")
            await pilot.press("y")
            await closed(app, pilot)
            await until(pilot, lambda: "paused" in text(screen))
            await asked(app, pilot, "e")
            await fill_in(app, pilot, events="freeze.*")
            await pilot.press("y")
            await closed(app, pilot)
            await until(pilot, lambda: [each.events for each in screen.seen.webhooks] == [("freeze.*",)])
            await asked(app, pilot, "D")
            await pilot.press(*"127.0.0.1", "enter")
            await closed(app, pilot)
            await until(pilot, lambda: screen.seen.webhooks == ())


async def test_the_record_is_verified(lived_in: House) -> None:
    async with access(partial(client, lived_in.home), read_only=True) as (app, pilot, screen):
        await turn(pilot, screen, "audit")
        await pilot.press("V")
        await until(pilot, lambda: isinstance(app.screen, Sheet) and "entries" in text(app.screen))
        assert "✓" in text(app.screen)


async def test_who_may_only_look_is_offered_nothing_on_any_page(lived_in: House) -> None:
    looker = await viewer(lived_in.home)
    before = await head(lived_in.home)
    async with access(looker) as (app, pilot, screen):
        for name in screen.query_one(Pages).names:
            await turn(pilot, screen, name)
            offered = {action for action in OFFERS if screen.check_action(action, ())}
            # Linking an account in Slack to oneself is a viewer's right.
            assert offered == ({"add"} if name == "slack" else set())
            if name != "slack":
                await pilot.press("n", "e", "N", "P", "T", "D", "E", "X")
                assert app.screen is screen
    async with client(lived_in.home) as dg:
        newer = [fact.type async for fact in dg.events.all(after=before)]
    assert set(newer) <= {"access.denied"}


async def test_what_one_may_not_read_says_so_and_has_no_keys(lived_in: House) -> None:
    looker = await viewer(lived_in.home)
    async with access(looker) as (app, pilot, screen):
        for name in ("keys", "tokens", "audit"):
            await turn(pilot, screen, name)
            assert "✗" in str(screen.query_one(Pages).border_subtitle)
            await pilot.press("D")
            assert app.screen is screen
        assert "Revoke" not in text(screen).splitlines()[-1]


async def test_a_dashboard_that_only_looks_takes_nothing_back(lived_in: House) -> None:
    await sign_in(lived_in.home)
    async with access(partial(client, lived_in.home), read_only=True) as (app, pilot, screen):
        await until(pilot, lambda: "laptop" in text(screen))
        await pilot.press("D")
        assert app.screen is screen


async def test_the_audit_log_is_filtered_by_the_server(lived_in: House) -> None:
    async with access(await viewer(lived_in.home)) as (_, __, screen):
        assert "audit" in screen.seen.wrong
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await turn(pilot, screen, "audit")
        assert any(entry.decision == "allowed" for entry in screen.seen.audit)
        await pilot.press("slash", *"decision=denied", "enter")
        await until(pilot, lambda: {entry.decision for entry in screen.seen.audit} == {"denied"})
        assert "audit · decision=denied" in text(screen)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Sheet) and "denied" in text(app.screen))
        await pilot.press("escape", "slash", "ctrl+u", *"colour=red", "enter")
        await until(pilot, lambda: "colour" in str(screen.query_one(Pages).border_subtitle))
        assert {entry.decision for entry in screen.seen.audit} == {"denied"}
        await pilot.press("escape")
        await until(pilot, lambda: any(entry.decision == "allowed" for entry in screen.seen.audit))


async def test_it_answers_whether_somebody_may_do_something(lived_in: House) -> None:
    async with access(partial(client, lived_in.home)) as (app, pilot, _):
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, May))
        await pilot.press(*"lane:freeze production", "enter")
        await until(pilot, lambda: "✓ yes:" in text(app.screen))
        assert "dg can-i lane:freeze --env production" in text(app.screen)
        app.screen.query_one(Input).value = "lane:freeze as nobody-there"
        await pilot.press("enter")
        await until(pilot, lambda: "✗" in text(app.screen))
        app.screen.query_one(Input).value = "lane:explode"
        await pilot.press("enter")
        await until(pilot, lambda: "lane:explode" in text(app.screen).partition("✗")[2])
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, Access))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("lane:lock", ("lane:lock", None, None, None)),
        ("lane:lock staging", ("lane:lock", "staging", None, None)),
        ("lane:lock staging web", ("lane:lock", "staging", "web", None)),
        ("lane:lock web staging", ("lane:lock", "staging", "web", None)),
        ("lane:lock web as clerk-role:admin", ("lane:lock", None, "web", "clerk-role:admin")),
    ],
)
def test_a_question_is_read_in_any_order(asked: str, found: tuple[str | None, ...]) -> None:
    assert may.question(asked) == found


@pytest.mark.parametrize("asked", ["", "as ana", "a b c", "a staging b c"])
def test_what_is_no_question_is_refused(asked: str) -> None:
    with pytest.raises(Invalid, match="ACTION"):
        may.question(asked)


@pytest.mark.parametrize("size", SIZES)
async def test_every_size_shows_every_page(lived_in: House, size: tuple[int, int]) -> None:
    async with access(partial(client, lived_in.home), size) as (_, pilot, screen):
        for _ in screen.query_one(Pages).names:
            await pilot.press("right_square_bracket")
            await pilot.pause()
            assert text(screen)


def hostile(string: str) -> Seen:
    """Everything that the screen shows, each text of which attacks."""
    grant = Grant(role=string, service=string)
    secret = KeySecret(begins=string, created_at=SECOND, until=SECOND)
    return Seen(
        principal=Principal(id=string, name=string, grants=(grant,), impersonated_by=string),
        sessions=(
            Session(
                id=string,
                person=string,
                name=string,
                host=string,
                address=string,
                grants=(grant,),
                approved_by=string,
                created_at=SECOND,
                refreshed_at=SECOND,
                idle_at=SECOND,
                expires_at=SECOND,
            ),
        ),
        keys=(
            ApiKey(
                id=string,
                name=string,
                scopes=(Scope(role=string),),
                addresses=(string,),
                created_at=SECOND,
                created_by=string,
                expires_at=SECOND,
                secrets=(secret,),
            ),
        ),
        tokens=(
            Token(
                id=string,
                name=string,
                kind="service",
                grant=grant,
                created_at=SECOND,
                created_by=string,
                expires_at=SECOND,
                person_name=string,
            ),
        ),
        bindings=(
            Binding(
                id=string, subject=string, role=string, service=string, created_at=SECOND, created_by=string
            ),
        ),
        roles=(DefinedRole(name=string, description=string, actions=(string,)),),
        audit=(
            AuditEntry(
                seq=1,
                at=SECOND,
                type=string,
                decision="denied",
                why=string,
                actor=string,
                actor_name=string,
                method=string,
                address=string,
                object=string,
            ),
        ),
        webhooks=(
            Webhook(
                id=string,
                url=string,
                events=(string,),
                description=string,
                filter=string,
                service=string,
                disabled_reason=string,
                owner=string,
                created_at=SECOND,
                updated_at=SECOND,
                failures=1,
                last_error=string,
            ),
        ),
        slack=(SlackLink(id=string, team=string, user=string, name=string, person=string, linked_at=SECOND),),
        wrong={"keys": string},
    )


async def test_a_row_is_told_as_what_it_is_though_the_page_was_turned_since(lived_in: House) -> None:
    async with client(lived_in.home) as dg:
        await dg.tokens.create(name="turned", role="viewer")
    async with access(partial(client, lived_in.home)) as (app, pilot, screen):
        await turn(pilot, screen, "tokens")
        await until(pilot, lambda: screen.query_one(Pages).table.cursor is not None)
        table = screen.query_one(Pages).table
        await turn(pilot, screen, "sessions")
        screen.post_message(Table.Opened(table, table.cursor or ""))
        await until(pilot, lambda: isinstance(app.screen, Sheet) and "tokens ·" in text(app.screen))


async def test_nothing_of_the_outside_is_drawn_as_it_came() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        await pilot.press("0")
        screen = app.screen
        assert isinstance(screen, Access)
        pages = screen.query_one(Pages)
        for string in STRINGS:
            screen.seen = hostile(string)
            screen.show_all()
            for name in pages.names:
                pages.open(name, focus=True)
                await pilot.pause()
                assert not FORBIDDEN & set(text(screen).replace("\n", ""))
        for name in pages.names:
            pages.open(name, focus=True)
            await pilot.press("enter")
            await pilot.pause()
            assert not FORBIDDEN & set(text(app.screen).replace("\n", ""))
            if isinstance(app.screen, Sheet):
                app.screen.fill([[(string, "fg")] for string in STRINGS])
                await pilot.pause()
                assert not FORBIDDEN & set(text(app.screen).replace("\n", ""))
                await pilot.press("escape")
                await until(pilot, lambda: app.screen is screen)
