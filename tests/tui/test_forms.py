"""Every form of the dashboard without a server: it opens, at any size, and draws nothing as it came."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.tui.hostile import ESCAPES, FORBIDDEN, MARKUP, STRINGS
from tests.tui.house import dashboard, text, until
from tests.tui.samples import (
    BACKUP,
    BINDING,
    KEY,
    LINK,
    PRINCIPAL,
    ROLE,
    SESSION,
    TOKEN,
    WEBHOOK,
    drift,
    every_act,
    state,
)
from tests.tui.test_environments import nowhere
from tests.tui.test_offers import rights
from textual.widgets import Input

from dg.core.access.models import Role
from dg.tui.access.offers import OFFERS as ON_ACCESS
from dg.tui.access.reading import Seen
from dg.tui.access.screen import Access
from dg.tui.actions import Act
from dg.tui.environments.offers import OFFERS as ON_ENVIRONMENTS
from dg.tui.environments.reading import Known
from dg.tui.environments.screen import Environments
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.pages import Pages
from dg.tui.frame.sheet import Once
from dg.tui.frame.view import View


def forms() -> Iterator[Act]:
    for made in every_act().values():
        yield from made


@pytest.mark.long
async def test_every_form_opens_and_draws_nothing_as_it_came() -> None:
    string = " ".join((*ESCAPES, *MARKUP))
    async with dashboard(nowhere, (80, 24), live=False) as (app, pilot):
        for act in forms():
            form = Confirm(act)
            await app.push_screen(form)
            form.action_copy_command()
            assert app.clipboard == act.command({each.name: each.value for each in act.fields})
            for field in form.query(Input):
                field.value = string
            await pilot.pause()
            assert act.title.upper()[:20] in text(form)
            assert not FORBIDDEN & set(text(form).replace("\n", ""))
            await form.dismiss()


@pytest.mark.parametrize("size", [(40, 10), (2, 1)])
async def test_the_longest_form_fits_any_size(size: tuple[int, int]) -> None:
    async with dashboard(nowhere, size, live=False) as (app, pilot):
        form = Confirm(max(forms(), key=lambda act: len(act.fields)))
        await app.push_screen(form)
        await pilot.press(*["tab"] * len(form.act.fields))
        assert text(form)


async def test_a_secret_is_forgotten_when_it_is_closed() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        for string in STRINGS[:3]:
            sheet = Once("a key", [[(string, "fg")]], f"canary-5f{string[:40]}")
            await app.push_screen(sheet)
            await pilot.pause()
            assert "canary-5f" in text(sheet)
            assert not FORBIDDEN & set(text(sheet).replace("\n", ""))
            await pilot.press("enter", "q")
            assert app.screen is sheet
            await pilot.press("escape")
            await until(pilot, lambda sheet=sheet: app.screen is not sheet)  # type: ignore[misc]
            assert "canary" not in repr(vars(sheet))


# --- keys of the two screens, row by row


def seen() -> Seen:
    return Seen(
        principal=PRINCIPAL,
        sessions=(SESSION,),
        keys=(KEY,),
        tokens=(TOKEN,),
        bindings=(BINDING,),
        roles=(ROLE,),
        webhooks=(WEBHOOK,),
        slack=(LINK,),
    )


def offered(screen: View, offers: Any) -> set[bool | None]:
    """What the keys of a screen are on all of its pages: there, grey or hidden."""
    found = set()
    pages = screen.query_one(Pages)
    for name in pages.names:
        pages.open(name)
        found |= {screen.check_action(action, ()) for action in offers}
    return found


@pytest.mark.parametrize(
    ("role", "read_only", "keys"),
    [
        (Role.ADMIN, False, {None, False}),
        (Role.ADMIN, True, {False}),
        (Role.VIEWER, True, {False}),
    ],
)
async def test_keys_are_grey_without_a_connection_and_hidden_where_one_only_looks(
    role: Role, read_only: bool, keys: set[bool | None]
) -> None:
    async with dashboard(nowhere, live=False, read_only=read_only) as (app, pilot):
        app.store.rights = rights(role)
        await pilot.press("0")
        access = app.screen
        assert isinstance(access, Access)
        await until(pilot, lambda: access.query(Pages))
        access.seen = seen()
        access.show_all()
        assert offered(access, ON_ACCESS) == keys
        await pilot.press("3")
        screen = app.screen
        assert isinstance(screen, Environments)
        await until(pilot, lambda: screen.query(Pages))
        screen.known["development"] = Known(state=state(), drift=(drift(),), backups=(BACKUP,))
        screen.show_all()
        assert offered(screen, ON_ENVIRONMENTS) == keys
        await pilot.press(*"nesDEXNPTvAWbUBF")
        assert app.screen is screen
