"""The dashboard: `dg tui` runs it. Screens by number, one feed that fills the store, and the store's changes
brought to the screen that is seen."""

from __future__ import annotations

import asyncio
import hashlib
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from random import Random, SystemRandom
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.binding import Binding, BindingType
from textual.worker import Worker, WorkerError

from dg.client.private import state_folder
from dg.core.clock import Clock, SystemClock
from dg.core.errors import Invalid
from dg.tui.absence import Absence
from dg.tui.access.screen import Access
from dg.tui.actions import Hands
from dg.tui.alarm import Alarm
from dg.tui.background import begin
from dg.tui.command.history import History
from dg.tui.deployments.screen import Deployments
from dg.tui.environments.screen import Environments
from dg.tui.filters import SavedFilters
from dg.tui.frame import bar
from dg.tui.frame.bar import Tab
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.help import Commands, Help, active_keys
from dg.tui.frame.view import View
from dg.tui.ink import Pieces
from dg.tui.overview.screen import Overview
from dg.tui.palette import PALETTES
from dg.tui.steady import Palette, Steady, Troubles, noted
from dg.tui.store import Store, Topic
from dg.tui.themed import STYLE, Themed

if TYPE_CHECKING:
    from dg.client.app import Client
    from dg.tui.feed import Feed
    from dg.tui.views import DeploymentView

FLUSH = 0.2
"""Seconds in which changes of the store come together before they are drawn."""
TICK = 1.0
"""Seconds after which ages are looked at; only those that read differently are drawn."""
KEEP = 60.0
"""Seconds after which the picture for the next start is written, when something has changed."""


class Dashboard(Steady, Themed[None]):
    """`connect` makes a client; `picture` is the file of the last picture, `log` that of what
    goes wrong in the dashboard itself, `state` the folder of what a person typed before; None to have none.

    `read_only` takes every way to change something out of it, whoever is signed in. `bell` is how `Alarm`
    calls; `keymap` has keys by the name of what they do, as `keys.keymap` gives them.
    """

    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar = {Commands}
    MODES: ClassVar = {
        "overview": Overview,
        "deployments": Deployments,
        "environments": Environments,
        "access": Access,
    }
    DEFAULT_MODE = "overview"
    CSS = (
        STYLE
        + """
    #bar { height: 1; dock: top; background: $panel; }
    .-troubled #bar { height: 2; }
    .box.-production {
        border: heavy $dg-prod; border-title-color: $dg-background; border-title-background: $dg-prod;
    }
    .box.-production:focus, .box.-production:focus-within { border: heavy $dg-prod; background: $panel; }
    .-stale .box { border-subtitle-color: $dg-warn; border-subtitle-style: bold; }
    CommandPalette { background: $background 60%; }
    CommandPalette > Vertical {
        width: 96; max-width: 100%;
        margin-top: 3; border: round $primary; background: $surface; max-height: 70%;
    }
    CommandPalette SearchIcon { display: none; }
    CommandPalette CommandInput, CommandPalette CommandInput:focus { border: none; padding: 0 2; }
    CommandPalette CommandList { background: $surface; border: none; padding: 0 1; }
    CommandPalette CommandList > .option-list--option-highlighted { color: $foreground; background: $dg-row; }
    """
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "go('overview')", "Overview", show=False, id="app.overview"),
        Binding("2", "go('deployments')", "Deployments", show=False, id="app.deployments"),
        Binding("3", "go('environments')", "Environments", show=False, id="app.environments"),
        Binding("0", "go('access')", "Access", show=False, id="app.access"),
        Binding("H", "handover", "Handover", show=False, id="app.handover"),
        Binding("at", "as_of", "As of …", show=False, key_display="@", id="app.as-of"),
        Binding("ctrl+p", "command_palette", "Commands", show=False, id="app.palette"),
        Binding("colon", "command", "Command", key_display=":", id="app.command"),
        Binding("question_mark", "help", "Help", key_display="?", id="app.help"),
        Binding("f2", "jump", "Jump", show=False, id="app.jump"),
        Binding("m", "mouse", "Mouse on or off", show=False, id="app.mouse"),
    ]

    tabs = (
        Tab("1", "overview", "Overview", "Ovw"),
        Tab("2", "deployments", "Deployments", "Dep"),
        Tab("3", "environments", "Environments", "Env"),
        Tab("0", "access", "Access", "Acc"),
    )

    def __init__(
        self,
        connect: Callable[[], Client],
        *,
        picture: Path | None = None,
        log: Path | None = None,
        state: Path | None = None,
        read_only: bool = False,
        clock: Clock | None = None,
        random: Random | None = None,
        theme: str | None = None,
        ascii: bool = False,  # noqa: A002
        bell: str = "off",
        keymap: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(theme=theme, ascii=ascii)
        self.clock = clock or SystemClock()
        self.read_only = read_only
        self.store = Store(on_change=self._changed)
        self.hands = Hands(self.store, read_only=read_only, withheld=self._withheld)
        self._connect, self._random = connect, random or SystemRandom()
        self._picture, self._state = picture, state
        self.troubles = Troubles(log, self.clock.monotonic)
        self._alarm = Alarm(bell, self._ring, self.clock.monotonic)
        self._absence = Absence()
        if keymap:
            self.set_keymap(dict(keymap))
        self._was_shown = False
        self._topics: set[Topic] = set()
        self._feed: Feed | None = None
        self._feeding: Worker[None] | None = None
        self._seen_live = False
        if picture is not None:
            self.store.recall(picture)

    @property
    def feed(self) -> Feed:
        """The way to the server. Raises RuntimeError before the first picture is drawn."""
        if self._feed is None:
            raise RuntimeError("the feed starts with the first picture")
        return self._feed

    @cached_property
    def history(self) -> History:
        """The lines of `:` that were carried out."""
        return History(self._state / "history" if self._state else None)

    @cached_property
    def saved_filters(self) -> SavedFilters:
        """The filters that are kept under a name."""
        return SavedFilters(self._state / "filters.json" if self._state else None)

    def on_load(self) -> None:
        for number, code in ((signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)):
            # Else the terminal would be left as the dashboard needs it.
            asyncio.get_running_loop().add_signal_handler(number, partial(self.exit, return_code=code))

    def on_ready(self) -> None:
        # Behind the first picture: what speaks to a server takes half of the start's time to import.
        from dg.tui.feed import Feed

        self._feed = Feed(self.store, self._connect, self.clock, self._random, self._handle_exception)
        self._feeding = begin(self, "feed", self._feed.run)
        self.set_interval(TICK, self._tick)
        self.set_interval(KEEP, self.keep_picture)

    async def on_unmount(self) -> None:
        self.keep_picture()
        asking = [worker for worker in self.workers if worker is not self._feeding]
        # What still asks would open connections behind the feed, which closes those that there are.
        for worker in (*asking, *filter(None, (self._feeding,))):
            worker.cancel()
            with suppress(WorkerError):
                await worker.wait()

    def keep_picture(self) -> None:
        """Write what is known, for the next start."""
        if self._picture is None or not self._seen_live:
            return
        try:
            self.store.keep(self._picture)
        except OSError as error:
            self.log.warning(f"the picture was not kept: {error}")

    def _handle_exception(self, error: Exception) -> None:
        # Textual would end here. Before there is a screen to go on with, that is right, and what follows from
        # it says nothing; on the way out it would change how it ends.
        self._was_shown = self._was_shown or bool(self._views())
        if self._was_shown and self._exception is None:
            self.troubles.note(error)
        else:
            super()._handle_exception(error)

    def trouble(self) -> str:
        """What stands below the first line: an error of the dashboard, or why there is no connection."""
        link = self.store.link
        return self.troubles.sentence() or ("" if link.live else link.why)

    # From the store to the screen

    def _changed(self, topic: Topic) -> None:
        if topic == "link" and self.store.link.live and not self._seen_live:
            self._seen_live = True
            self._alarm.heed(self.store.activity)
        if topic == "link" and (said := self._absence.heed(self.store, self.clock.monotonic())):
            self.tell(said)
        if not self._topics and self.is_running:
            self.set_timer(FLUSH, self._bring)
        self._topics.add(topic)

    def _bring(self) -> None:
        topics, self._topics = frozenset(self._topics), set()
        if "activity" in topics and self._seen_live:
            self._alarm.heed(self.store.activity)
        for screen in self._views():
            with noted(self):
                screen.show(topics)
            with noted(self):
                screen.show_frame()
        for top in self.screen_stack[-1:]:
            if isinstance(top, Confirm) and top.is_mounted:
                top.store_changed()
            if topics & {"link", "rights", "deployments", "lanes"}:
                top.refresh_bindings()

    def _tick(self) -> None:
        self._leave_the_deaf()
        for screen in self._views():
            screen.tick()

    def _leave_the_deaf(self) -> None:
        """A widget of Textual's own hears nothing after an error of its own: no key may go to it."""
        for screen in self.screen_stack[-1:]:
            focused = screen.focused
            if screen.is_mounted and not screen.is_running and len(self.screen_stack) > 1:
                self.pop_screen()
            elif focused is not None and focused.is_mounted and not focused.is_running:
                screen.set_focus(None)

    def _views(self) -> list[View]:
        """The view that can be seen, also when something stands before it. One that was only just opened has
        no parts yet; it shows everything when it has."""
        stack = [screen for screen in self.screen_stack if isinstance(screen, View) and screen.is_mounted]
        return stack[-1:]

    def first_line(self, mode: str, width: int) -> Pieces:
        """The top bar."""
        rights = self.store.rights
        role = "read only" if self.read_only else rights.role
        who = " · ".join(filter(None, (rights.name, role)))
        now, spent = self.clock.micros(), self.clock.monotonic()
        trail = [view.crumb for view in self.screen_stack if isinstance(view, View) and view.crumb]
        return bar.top(self.tabs, mode, self.store.link, who, now, spent, width, trail)

    # Keys

    async def action_go(self, mode: str) -> None:
        """A numbered screen, as it was left."""
        while len(self.screen_stack) > 1 and self.current_mode == mode:
            await self.pop_screen()
        await self.switch_mode(mode)

    def action_command(self) -> None:
        """The line behind `:`. What it is made of is imported when it is wanted first."""
        from dg.tui.command.screen import CommandLine

        if self._feed is not None:
            self.push_screen(CommandLine(self))

    def action_jump(self) -> None:
        """Letters for everything that can have the focus."""
        from dg.tui.frame.jump import Jump, places

        for view in self._views():
            self.push_screen(Jump(places(self, view)))

    def action_mouse(self) -> None:
        """Give the mouse to the terminal, which then selects text itself, or take it back."""
        driver = self._driver
        if driver is None:
            return
        # Textual asks for it at the start alone; each driver does what these two say only while it has it.
        if had := driver._mouse:  # noqa: SLF001
            getattr(driver, "_disable_mouse_support", bool)()
        driver._mouse = not had  # noqa: SLF001
        if not had:
            getattr(driver, "_enable_mouse_support", bool)()
        key = "".join(known.keys for known in active_keys(self.screen) if known.id == "app.mouse")
        self.tell(
            f"the mouse is the terminal's: {key} takes it back" if had else "the mouse is the dashboard's"
        )

    def _ring(self, sequence: str) -> None:
        if self._driver is not None and not self.is_headless:
            self._driver.write(sequence)

    async def go_to(self, mode: str, wanted: str = "") -> None:
        """A numbered screen, and what is `wanted` there as after its name in a command."""
        await self.action_go(mode)
        while len(self.screen_stack) > 1:
            await self.pop_screen()
        if wanted:
            for view in self._views():
                view.look_for(wanted)

    def wanted(self, mode: str, text: str) -> str:
        """What `text` asks of a screen. Raises Invalid or NotFound where it can ask for nothing."""
        meant = self.saved_filters.text(mode, text)
        cast("type[View]", self.MODES[mode]).check(meant)
        return meant

    def mode_called(self, name: str) -> str:
        """The screen of that name, number or beginning. Raises Invalid."""
        for tab in self.tabs:
            if name and (tab.key == name or tab.mode.startswith(name.lower())):
                return tab.mode
        raise Invalid(
            f"there is no screen of that name; there are {', '.join(tab.mode for tab in self.tabs)}"
        )

    def theme_called(self, name: str) -> str:
        """The theme of that name. Raises Invalid."""
        for known in PALETTES:
            if name.lower() in (known, known.removeprefix("dg-")):
                return known
        there = ", ".join(known.removeprefix("dg-") for known in PALETTES)
        raise Invalid(f"there is no theme of that name; there are {there}")

    def action_handover(self) -> None:
        """The shift in words."""
        from dg.tui.handover import HandoverSheet

        if self._feed is not None:
            self.push_screen(HandoverSheet())

    def action_as_of(self) -> None:
        """Ask for a moment that is over, and show how everything was then."""
        from dg.client.moments import HINT
        from dg.tui.frame.prompt import Prompt

        def take(text: str) -> str:
            try:
                self.look_back(self.moment_called(text))
            except Invalid as wrong:
                return wrong.message
            return ""

        if self._feed is not None:
            self.push_screen(Prompt("as of", HINT, take))

    def moment_called(self, text: str) -> int:
        """The moment that is over which `text` means, in microseconds. Raises Invalid."""
        from dg.client.moments import HINT, moment_before

        now = self.clock.micros()
        then = moment_before(text, now)
        if then is None or then > now:
            raise Invalid(f"that is not {HINT}")
        return then

    def look_back(self, then: int) -> None:
        """Show how everything was at that moment."""
        from dg.tui.past import Past

        for view in self._views():
            if isinstance(view, Past):
                view.go_to(then)
            else:
                self.call_later(self.push_screen, Past(then, view.MODE))

    def _withheld(self) -> str:
        """Why nothing can be changed from where one is; empty where something can."""
        return next((screen.withheld for screen in self._views()), "")

    def action_help(self) -> None:
        twins = self.screen.TWINS if isinstance(self.screen, View) else {}
        self.push_screen(Help(active_keys(self.screen), twins))

    def action_retry(self) -> None:
        """Try to connect now."""
        if not self.store.link.live:
            self.feed.retry()

    def action_command_palette(self) -> None:
        """Everything that can be done here, to be searched."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def action_theme(self, name: str) -> None:
        self.theme = name

    def open_deployment(self, deployment_id: str) -> None:
        """Look at one deployment."""
        if (found := self.store.deployments.get(deployment_id)) is not None:
            self.open_view(found)

    def open_view(self, found: DeploymentView) -> None:
        """Look at a deployment, also at one that the store does not hold."""
        from dg.tui.deployments.detail import Detail

        for view in self._views():
            self.push_screen(Detail(found, view.MODE))

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self._tick)


def log_file(environ: Mapping[str, str]) -> Path | None:
    """Where it is written what goes wrong in the dashboard; None without a home directory."""
    folder = state_folder(environ)
    return folder / "dashboard.log" if folder else None


def picture_file(environ: Mapping[str, str], url: str, whose: str) -> Path | None:
    """Where the last picture of a server is kept, for what opens it; None without a home directory."""
    name = f"{hashlib.sha256(f'{url} {whose}'.encode()).hexdigest()[:32]}.json"
    if (cache := Path(environ.get("XDG_CACHE_HOME", ""))).is_absolute():
        return cache / "dg" / name
    home = environ.get("HOME")
    return Path(home, ".cache", "dg", name) if home else None
