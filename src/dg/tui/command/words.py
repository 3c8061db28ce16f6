"""What may be said after `:`: the grammar of Slack and `dg do`, and the words of the dashboard's own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dg.core.access.models import Action
from dg.core.grammar import Command, Completions, Misread, Names, complete, parse
from dg.core.grammar import commands as c
from dg.core.grammar.verbs import BY_NAME
from dg.core.grammar.words import quote
from dg.core.text import plain
from dg.tui.palette import PALETTES
from dg.tui.views import ENVIRONMENTS

if TYPE_CHECKING:
    from dg.tui.actions import Hands
    from dg.tui.frame.bar import Tab
    from dg.tui.store import Store
    from dg.tui.views import DeploymentView

CHANGES = (
    c.Deploy,
    c.Rollback,
    c.Approve,
    c.Reject,
    c.Cancel,
    c.Retry,
    c.Lock,
    c.Unlock,
    c.Freeze,
    c.Thaw,
)
"""What is asked about before it is sent. All else is only a look."""
_CHANGING = frozenset(verb.takes for verb in BY_NAME.values() if verb.command in CHANGES)
_OF_CHANNELS = frozenset({Action.CHANNEL_MUTE, Action.CHANNEL_READ, Action.CHANNEL_SUBSCRIBE})
NEWEST = 50
"""Deployments that are offered by their number."""

_APPLIES: Mapping[str, Callable[[DeploymentView], bool]] = {
    "approve": lambda each: each.state == "needs_approval",
    "reject": lambda each: each.state == "needs_approval",
    "cancel": lambda each: not each.final,
    "retry": lambda each: each.status == "failed",
}
"""Which deployments are offered behind a verb; behind any other all."""


@dataclass(frozen=True)
class Word:
    """A word of the dashboard's own. `values` are what may stand behind it."""

    name: str
    summary: str
    example: str
    values: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Own:
    """A line that begins with such a word: the word's name, and what stands behind it."""

    word: Word
    rest: str


class Vocabulary:
    """All that is understood now: what one may, of what there is."""

    def __init__(
        self, store: Store, hands: Hands, tabs: Iterable[Tab], saved: Mapping[str, Iterable[str]]
    ) -> None:
        """`saved` are the names of the filters that are kept, by screen."""
        self._store, self._hands = store, hands
        self.words = own_words(tabs, saved)
        self._own = {name: word for word in self.words for name in (word.name, *word.aliases)}

    def may(self, action: Action) -> bool:
        """Whether the verbs for an action are offered. There is no channel here."""
        if action in _OF_CHANNELS:
            return False
        if action in _CHANGING:
            return self._hands.may_anywhere(action)
        return self._store.rights.may_anywhere(action)

    def read(self, line: str) -> Command | Own | Misread:
        """What a line means."""
        first, _, rest = line.strip().partition(" ")
        if (word := self._own.get(first.lower())) is not None:
            return Own(word, rest.strip())
        found = parse(line)
        if not isinstance(found, Misread) or first.lower() in BY_NAME:
            return found
        near = difflib.get_close_matches(first[:40].lower(), [*self._own, *BY_NAME], n=1, cutoff=0.7)
        return Misread(found.message, f"Did you mean `{near[0]}`?", found.start, found.end) if near else found

    def complete(self, line: str) -> Completions:
        """What may stand at the end of a line."""
        first, space, rest = line.lstrip().partition(" ")
        word = self._own.get(first.lower())
        if space and word is not None:
            last = rest.rpartition(" ")[2]
            options = tuple(value for value in word.values if value.startswith(last) and value != last)
            return Completions(len(line) - len(last), options)
        found = complete(line, self._names(first.lower()))
        if space:
            return found
        own = [name.name for name in self.words if name.name.startswith(first.lower())]
        return Completions(found.start, tuple(dict.fromkeys([*found.options, *own])))

    def _names(self, verb: str) -> Names:
        store = self._store
        newest = sorted(store.deployments.values(), key=lambda each: -each.number)
        fits = _APPLIES.get(verb)
        numbers = [f"#{each.number}" for each in newest if fits is None or fits(each)][:NEWEST]
        refs = [_short(each.ref) for each in newest] if verb in ("deploy", "ship", "release") else []
        return Names(
            services=_sayable(service for service, _ in store.lanes),
            deployments=(*numbers, *(["latest"] if numbers else [])),
            versions=_sayable([*refs, *(each.version for each in newest)]),
            freezes=_sayable(lane.freeze for lane in store.lanes.values()),
            may=self.may,
        )


def own_words(tabs: Iterable[Tab], saved: Mapping[str, Iterable[str]]) -> tuple[Word, ...]:
    """The dashboard's own words, one for each screen among them."""
    tabs = tuple(tabs)
    behind = {name: tuple(f"@{each}" for each in names) for name, names in saved.items()}
    behind["environments"] = ENVIRONMENTS
    example = {"deployments": " status=failed", "environments": " production", "access": " decision=denied"}
    screens = [
        Word(
            tab.mode,
            f"The screen {tab.title}.",
            tab.mode + example.get(tab.mode, ""),
            behind.get(tab.mode, ()),
        )
        for tab in tabs
    ]
    modes = tuple(tab.mode for tab in tabs)
    themes = tuple(name.removeprefix("dg-") for name in PALETTES)
    return (
        *screens,
        Word("go", "Go to a screen, with a filter where it has one.", "go deployments status=failed", modes),
        Word("theme", "Other colours.", "theme day", themes),
        Word("as", "How everything was at a moment that is over.", "as of 08:20", ("of",)),
        Word("handover", "The shift in words, for whoever comes next.", "handover"),
        Word("keys", "The keys that do something here.", "keys"),
        Word("reconnect", "Try to connect now.", "reconnect"),
        Word("quit", "Leave the dashboard.", "quit", aliases=("q",)),
    )


def _short(ref: str) -> str:
    """A branch or tag as people call it."""
    return ref.removeprefix("refs/heads/").removeprefix("refs/tags/")


def _sayable(found: Iterable[str]) -> tuple[str, ...]:
    """Each once, as a line can hold it; a name with signs that act on a terminal is not offered."""
    kept = dict.fromkeys(each for each in found if each and plain(each) == each)
    return tuple(
        quote(each) if any(sign.isspace() or sign in '"“”„‟—–' for sign in each) else each for each in kept
    )
