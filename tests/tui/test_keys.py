"""Keys of one's own: what a file may say, what is refused and why, and that the dashboard then heeds it."""

from __future__ import annotations

import tomllib
from functools import partial
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import Any

import click
import pytest
from tests.tui.conftest import House
from tests.tui.house import client, dashboard, text, until
from tests.tui.test_dashboard import nowhere
from textual.driver import Driver
from textual.widget import Widget
from textual.widgets import Input
from textual.widgets._footer import FooterKey

import dg.tui
from dg.cli.errors import ExitCode
from dg.cli.main import dg as command_line
from dg.cli.main import run
from dg.cli.options import Invocation
from dg.cli.tui import BELLS as OFFERED_BELLS
from dg.cli.tui import THEMES as OFFERED_THEMES
from dg.core.errors import Invalid
from dg.tui.access.screen import Access
from dg.tui.alarm import PAUSE, Alarm
from dg.tui.app import Dashboard
from dg.tui.deployments.detail import Detail
from dg.tui.environments.screen import Environments
from dg.tui.filters import SavedFilters
from dg.tui.frame.foot import Foot
from dg.tui.frame.help import Help
from dg.tui.frame.jump import Jump
from dg.tui.frame.keeping import Keep
from dg.tui.frame.pages import Pages
from dg.tui.frame.view import View
from dg.tui.keys import _meet as meets
from dg.tui.keys import bindings, keymap
from dg.tui.preferences import BELLS, LARGEST, THEMES, Preferences, preferences_file, read
from dg.tui.views import FactView
from dg.tui.widgets.table import Table

Captured = pytest.CaptureFixture[str]
ROOT = Path(__file__).parents[2]


def views() -> list[type[View]]:
    """Every screen that there is."""
    for module in walk_packages(dg.tui.__path__, "dg.tui."):
        import_module(module.name)
    return View.__subclasses__()


def own(name: str) -> tuple[str, ...]:
    return next(bound.keys for bound in bindings() if bound.id == name)


# The keymap


def test_keys_by_character_and_by_name_are_what_textual_calls_them() -> None:
    wanted = {"app.help": ("?", "f1"), "act.deploy": ("ctrl+d",), "table.sort": ("%",)}
    assert keymap(wanted) == {
        "app.help": "question_mark,f1",
        "act.deploy": "ctrl+d",
        "table.sort": "percent_sign",
    }


def test_two_bindings_may_change_places() -> None:
    assert keymap({"act.lock": ("U",), "act.unlock": ("L",)}) == {"act.lock": "U", "act.unlock": "L"}


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        ({"act.deplyo": ("D",)}, "did you mean act.deploy?"),
        ({"nothing": ("D",)}, "`dg tui --keys` lists all"),
        ({"act.deploy": ()}, "act.deploy has no key"),
        ({"act.deploy": ("ctrl+ctrl+d",)}, "act.deploy: `ctrl+ctrl+d` is no key"),
        ({"act.deploy": ("strg+d",)}, "act.deploy: `strg+d` is no key"),
        ({"act.deploy": ("\x1b[31m",)}, "act.deploy: `␛[31m` is no key"),
        ({"act.deploy": ("x",)}, "act.cancel (Cancel)"),
        ({"act.deploy": ("2",)}, "app.deployments (Deployments)"),
        ({"act.deploy": ("o",)}, "table.sort (Sort)"),
        ({"environments.edit": ("d",)}, "act.deploy (Deploy)"),
        ({"act.deploy": ("y",)}, "that key answers questions"),
        ({"app.help": ("enter",)}, "that key answers questions"),
        ({"confirm.yes": ("enter",)}, "confirm.yes cannot have another key"),
        ({"confirm.yes": ("d",)}, "confirm.yes cannot have another key"),
    ],
)
def test_what_cannot_be_says_which_binding_and_the_way_out(
    wanted: dict[str, tuple[str, ...]], why: str
) -> None:
    with pytest.raises(Invalid) as refused:
        keymap(wanted)
    assert why in refused.value.message


def test_keys_of_screens_that_are_never_seen_together_may_be_the_same() -> None:
    assert keymap({"deployments.filter": ("c",)}) == {"deployments.filter": "c"}
    assert keymap({"sheet.close": ("d",)}) == {"sheet.close": "d"}
    assert keymap({"log.wrap": ("c",)}) == {"log.wrap": "c"}
    assert keymap({"environments.window": ("f",)}) == {"environments.window": "f"}


async def test_no_screen_has_a_widget_that_the_keymap_does_not_know_there(lived_in: House) -> None:
    kinds = {bound.where for bound in bindings() if issubclass(bound.where, Widget)}
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        for keys in (("1",), ("2",), ("3",), ("0",), ("question_mark",), ("escape", "2", "enter"), ("d",)):
            await pilot.press(*keys)
            await pilot.pause()
            for widget in app.screen.query("*"):
                held = [
                    kind for kind in type(widget).__mro__ if kind in kinds and kind is not type(app.screen)
                ]
                assert all(meets(type(app.screen), kind) for kind in held), (app.screen, widget)


async def test_hints_and_lists_of_keys_speak_of_ones_own_keys(lived_in: House) -> None:
    own_keys = keymap(
        {
            "detail.side": ("f7",),
            "help.close": ("f8",),
            "table.open": ("f9",),
            "environments.back-up": ("f5",),
            "environments.compare": ("f4",),
            "environments.window": ("f6",),
            "past.leave": ("f10",),
            "access.add": ("f3",),
        }
    )
    async with dashboard(partial(client, lived_in.home), keymap=own_keys) as (app, pilot):
        await pilot.press("2", "question_mark")
        await until(pilot, lambda: "f8 closes" in text(app.screen))
        assert "Focus Next" not in text(app.screen)
        listed = app.screen.query_one(Table).keys
        assert listed[0].endswith(" deploy")
        await pilot.press("f8")
        await until(pilot, lambda: "f9 opens" in text(app.screen))
        await pilot.press("f9")
        await until(pilot, lambda: "f7 all of it" in text(app.screen))
        await app.go_to("environments", "staging backups")
        await until(pilot, lambda: "no backup yet: f5 makes one" in text(app.screen))
        await app.go_to("environments", "staging compare")
        await until(pilot, lambda: "f4 compares with another" in text(app.screen))
        assert "f6 1h" in text(app.screen)
        await app.go_to("access", "webhooks")
        await until(pilot, lambda: "no webhooks: f3 makes one" in text(app.screen))
        app.look_back(app.clock.micros() - 60_000_000)
        await until(pilot, lambda: app._withheld().endswith("f10 goes back to now"))


async def test_of_several_keys_a_hint_names_the_first(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("question_mark")
        await until(pilot, lambda: "esc closes" in text(app.screen))


async def test_the_foot_shows_whole_keys_and_always_the_one_for_help(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home), (80, 24)) as (app, pilot):
        await pilot.press("2", "enter")
        for width in (80, 47, 160, 101):
            await pilot.resize_terminal(width, 24)
            await until(pilot, lambda: _stands_whole(app))


def _stands_whole(app: Dashboard) -> bool:
    """Whether every key of the foot that is shown has room, and that for help is one of them."""
    keys = [key for key in app.screen.query_one(Foot).query(FooterKey) if key.display]
    inside = sum(len(key.key_display) + len(key.description) + 3 for key in keys) <= app.size.width
    return inside and any(key.has_class("-last") for key in keys)


def test_the_keys_that_there_are_can_be_written_down_and_read_again(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert run(["tui", "--keys"]) == ExitCode.OK
    written = capsys.readouterr().out
    file = tmp_path / "dg" / "dashboard.toml"
    file.parent.mkdir()
    file.write_text(written)
    found = read(file, wanted=True).keys
    assert set(found) == {bound.id for bound in bindings()}
    assert keymap(found) == {}
    file.write_text(written.replace('act.deploy = ["d"]', 'act.deploy = ["d", "f5"]'))
    assert run(["tui", "--keys", "--json"]) == ExitCode.OK
    assert '"keys":["d","f5"]' in capsys.readouterr().out


# The file


def test_a_file_says_how_one_wants_it(tmp_path: Path) -> None:
    file = tmp_path / "dashboard.toml"
    file.write_text(
        'theme = "day"\nmouse = false\nbell = "notice"\n[keys]\nact.deploy = "D"\n"app.help" = ["?"]\n'
    )
    keys = {"act.deploy": ("D",), "app.help": ("?",)}
    assert read(file, wanted=False) == Preferences(theme="day", mouse=False, bell="notice", keys=keys)
    assert read(tmp_path / "none", wanted=False) == Preferences()


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("theme = ", "is no TOML"),
        ('theme = "pink"', "theme must be one of night, day"),
        ('mouse = "no"', "mouse must be true or false"),
        ("sound = true", "there is no setting sound; there are theme, bell, ascii"),
        ("keys = 1", "keys must be a key, a list of keys or a table"),
        ("[keys]\nact.deploy = 1", "act.deploy must be a key, a list of keys or a table"),
        ("read_only = true\n" + "#\n" * LARGEST + "read_only = no", "more than 65,536 bytes"),
        ("theme = " + "[" * 30_000, "is nested too deeply"),
        (f"keys.{'a.' * 20_000}b = 'x'", "is nested too deeply"),
    ],
)
def test_a_file_that_is_wrong_says_where(tmp_path: Path, said: str, why: str, capsys: Captured) -> None:
    file = tmp_path / "dashboard.toml"
    file.write_text(said)
    assert run(["tui", "--config", str(file), "--keys"]) == ExitCode.USAGE
    told = " ".join(capsys.readouterr().err.split())
    assert why in told
    assert str(file) in told


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="cannot be read"):
        read(tmp_path / "none", wanted=True)


def test_a_folder_that_may_not_be_looked_into_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "exists", refused)
    with pytest.raises(Invalid, match="cannot be read: Permission denied"):
        read(tmp_path / "dashboard.toml", wanted=False)


def test_the_file_stands_where_others_look_for_theirs() -> None:
    assert preferences_file({"XDG_CONFIG_HOME": "/c", "HOME": "/h"}) == Path("/c/dg/dashboard.toml")
    assert preferences_file({"HOME": "/h"}) == Path("/h/.config/dg/dashboard.toml")
    assert preferences_file({}) is None


def test_the_command_line_offers_what_the_file_takes() -> None:
    assert (OFFERED_THEMES, OFFERED_BELLS) == (THEMES, BELLS)


def test_the_sample_in_the_documentation_is_one() -> None:
    page = (ROOT / "docs/dashboard.md").read_text("utf-8")
    sample = page.split("```toml\n", 1)[1].split("```", 1)[0]
    assert keymap({name: tuple(keys) for name, keys in _flat(tomllib.loads(sample)["keys"])})


def _flat(found: dict[str, Any], above: str = "") -> list[tuple[str, list[str]]]:
    flat: list[tuple[str, list[str]]] = []
    for name, value in found.items():
        if isinstance(value, dict):
            flat += _flat(value, f"{above}{name}.")
        else:
            flat.append((above + name, value if isinstance(value, list) else [value]))
    return flat


# The dashboard


async def test_a_dashboard_heeds_a_keymap_and_its_help_shows_it() -> None:
    chosen = keymap({"app.help": ("f1",), "app.deployments": ("f3",)})
    async with dashboard(nowhere, live=False, keymap=chosen) as (app, pilot):
        await pilot.press("2")
        assert app.current_mode == "overview"
        await pilot.press("f3")
        await until(pilot, lambda: app.current_mode == "deployments")
        await pilot.press("question_mark")
        assert not isinstance(app.screen, Help)
        await pilot.press("f1")
        await until(pilot, lambda: isinstance(app.screen, Help))
        await until(pilot, lambda: "app.deployments" in text(app.screen))
        rows = {
            line.split()[1]: line.split()[0]
            for line in text(app.screen).replace("│", " ").splitlines()
            if len(line.split()) > 1
        }
        assert rows["Deployments"] == "f3"
        assert "app.help" in text(app.screen)


async def test_the_mouse_is_given_to_the_terminal_and_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    for name in ("_enable_mouse_support", "_disable_mouse_support"):
        monkeypatch.setattr(Driver, name, lambda _, name=name: asked.append(name), raising=False)
    async with dashboard(nowhere, live=False) as (app, pilot):
        await pilot.press("m", "m")
        assert asked == ["_disable_mouse_support", "_enable_mouse_support"]
        assert app._driver is not None
        assert app._driver._mouse


async def test_every_box_page_and_screen_has_a_letter_that_goes_there() -> None:
    async with dashboard(nowhere, live=False) as (app, pilot):
        await pilot.press("3")
        await until(pilot, lambda: isinstance(app.screen, Environments))
        boxes, pages = len(app.screen.focus_chain), app.screen.query_one(Pages)
        await pilot.press("f2")
        jump = app.screen
        assert isinstance(jump, Jump)
        assert len(jump.letters) == boxes + len(pages.names) + len(app.tabs)
        letter = jump.letters[boxes + pages.names.index("drift")]
        await pilot.press(letter)
        await until(pilot, lambda: pages.current == "drift" and pages.table.has_focus)
        await pilot.press("f2", "a")
        await until(pilot, lambda: app.screen.focused is app.screen.focus_chain[0])
        await pilot.press("f2", "0")
        await until(pilot, lambda: isinstance(app.screen, Access))
        await pilot.press("f2", "%")
        await until(pilot, lambda: isinstance(app.screen, Access))


# Going back


async def test_going_back_restores_every_screen_as_it_was_left(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        await pilot.press("down", "o")
        left = [_state(app)]
        await pilot.press("2", "slash", *"env=staging", "enter")
        await until(pilot, lambda: _state(app)[-1] == "env=staging")
        await pilot.press("down", "O")
        left.append(_state(app))
        await pilot.press("3")
        await until(pilot, lambda: bool(app.screen.query_one("#list", Table).keys))
        await pilot.press("down", "right_square_bracket")
        left.append(_state(app))
        await pilot.press("0", "left_square_bracket", "slash", *"type=deployment.created", "enter")
        await until(pilot, lambda: "audit · type=deployment.created" in text(app.screen))
        await until(pilot, lambda: len(app.screen.query_one(Pages).table) == 3)
        await pilot.press("down", "o")
        left.append(_state(app))
        for number, kept in zip("1230", left, strict=True):
            await pilot.press(number)
            await until(pilot, lambda kept=kept: _state(app) == kept)  # type: ignore[misc]
        await pilot.press("2", "enter")
        await until(pilot, lambda: isinstance(app.screen, Detail))
        await until(pilot, lambda: "› #" in text(app.screen).splitlines()[0])
        await pilot.press("escape")
        await until(pilot, lambda: _state(app) == left[1])


def _state(app: Dashboard) -> tuple[object, ...]:
    """The table with the focus and where its cursor stands, how tables are sorted, page and filter."""
    assert isinstance(app.screen, View)
    focused = app.screen.focused
    cursor = focused.cursor if isinstance(focused, Table) else None
    sorts = [table.sorted_by for table in app.screen.query(Table)]
    pages = [found.current for found in app.screen.query(Pages)]
    return app.screen.MODE, focused, cursor, sorts, pages, app.screen.matching


async def test_a_filter_is_kept_under_a_name_and_found_by_it(lived_in: House, tmp_path: Path) -> None:
    async with dashboard(partial(client, lived_in.home), state=tmp_path) as (app, pilot):
        await pilot.press("2", "S")
        assert not isinstance(app.screen, Keep)
        await pilot.press("slash", *"status=failed", "enter")
        await until(pilot, lambda: "deployments · status=failed" in text(app.screen))
        await pilot.press("S", *"Failed!", "enter")
        await until(pilot, lambda: "a name is of small letters" in text(app.screen))
        await pilot.press("ctrl+u", *"prod-failed", "enter")
        await until(pilot, lambda: not isinstance(app.screen, Keep))
    async with dashboard(partial(client, lived_in.home), state=tmp_path) as (app, pilot):
        await pilot.press("2", "slash", *"@pro")
        field = app.screen.query_one("#filter", Input)
        await until(pilot, lambda: field._suggestion == "@prod-failed")
        await pilot.press("right", "enter")
        await until(pilot, lambda: "deployments · status=failed" in text(app.screen))
        await pilot.press("escape", "slash", *"@none", "enter")
        await until(pilot, lambda: "no filter is kept as @none" in text(app.screen))
        await pilot.press("escape", "1", "ctrl+p", *"deployments @prod")
        await until(pilot, lambda: "deployments @prod-failed" in text(app.screen))
        await pilot.press("enter")
        await until(pilot, lambda: "deployments · status=failed" in text(app.screen))


@pytest.mark.parametrize(
    "damage",
    ["", "[]", '{"deployments": 1}', '{"deployments": {"a b": "x", "b": 1, "c": "\\u001b[31m"}}', "[" * 9999],
)
def test_kept_filters_that_are_damaged_are_none(tmp_path: Path, damage: str) -> None:
    (tmp_path / "filters.json").write_text(damage)
    assert not SavedFilters(tmp_path / "filters.json").names().get("deployments")


# In lines


@pytest.mark.parametrize("view", views(), ids=lambda view: view.__name__)
def test_every_screen_names_the_commands_that_say_the_same_in_lines(view: type[View]) -> None:
    page = (ROOT / "docs/dashboard.md").read_text("utf-8")
    assert view.TWINS
    for command in view.TWINS.values():
        assert f"`{command}`" in page, command
        assert _exists(command.split()[1:]), command


def _exists(words: list[str]) -> bool:
    """Whether the command line has the command, and it shows something by itself."""
    found: click.Command | None = command_line
    with click.Context(command_line, obj=Invocation({})) as context:
        for word in words:
            if word.startswith("--") and found is not None:
                assert word in {option for each in found.params for option in each.opts}
                continue
            found = found.get_command(context, word) if isinstance(found, click.Group) else None
    return found is not None and (not isinstance(found, click.Group) or found.invoke_without_command)


async def test_every_page_has_a_command_and_help_lists_them(lived_in: House) -> None:
    async with dashboard(partial(client, lived_in.home)) as (app, pilot):
        for number in "30":
            await pilot.press(number)
            await pilot.pause()
            assert isinstance(app.screen, View)
            assert set(app.screen.query_one(Pages).names) <= set(app.screen.TWINS)
        await pilot.press("question_mark", "G")
        await until(pilot, lambda: "dg audit list" in text(app.screen))


# The bell


def fact(seq: int, type_: str = "environment.health_changed", ink: str = "err", **how: Any) -> FactView:
    values = {"service": "web", "environment": "production", "number": None, "said": "unhealthy", **how}
    return FactView(seq=seq, at=0, type=type_, by="dg", ink=ink, **values)


def test_the_bell_calls_for_what_is_newly_critical_and_not_too_often() -> None:
    written: list[str] = []
    now = [0.0]
    alarm = Alarm("notice", written.append, lambda: now[0])
    alarm.heed([fact(1)])
    assert written == []
    alarm.heed([fact(1), fact(2, ink="ok"), fact(3, "access.denied")])
    assert written == []
    alarm.heed([fact(3), fact(4, said="un\x1b]0;x\x07healthy")])
    assert written == ["\x1b]9;dg: web/production un␛]0;x␇healthy\x07"]
    alarm.heed([fact(5), fact(6)])
    assert len(written) == 1
    now[0] = PAUSE
    alarm.heed([fact(7, "deployment.finished", "muted", said="failed", number=12)])
    assert written[1:] == ["\x1b]9;dg: web/production #12 failed, and 2 more\x07"]


@pytest.mark.parametrize(("how", "written"), [("off", []), ("sound", ["\x07"])])
def test_the_bell_is_asked_for(how: str, written: list[str]) -> None:
    heard: list[str] = []
    alarm = Alarm(how, heard.append, lambda: 0.0)
    alarm.heed([])
    alarm.heed([fact(1)])
    assert heard == written


def test_a_failure_outside_production_rings_for_nobody() -> None:
    heard: list[str] = []
    alarm = Alarm("sound", heard.append, lambda: 0.0)
    alarm.heed([])
    alarm.heed([fact(1, "deployment.finished", "muted", said="failed", environment="staging")])
    assert heard == []
