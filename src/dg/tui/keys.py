"""Which keys do what: every binding by its name, and a person's own keymap, checked before it is used."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.keys import Keys, _character_to_key
from textual.screen import ModalScreen, Screen

import dg.tui
from dg.core.errors import Invalid
from dg.core.text import plain

ANSWERS = {"y", "enter"}
"""What answers a question: nothing that leads to one may share its key."""
FIXED = {"confirm.yes": "its answer stands in every question"}
"""Bindings that stay as they are, and why."""
ONLY_ON = {
    "Log": ("Detail", "Difference"),
    "Save": ("Detail", "Difference", "HandoverSheet"),
    "Ask": ("Confirm",),
    "Table": ("Overview", "Deployments", "Difference", "Board", "Environments", "Access", "Past", "Help"),
}
"""Widgets with keys of their own, and the only screens that have them."""
_MODIFIERS = {"ctrl", "alt", "shift", "super", "hyper", "meta"}
_NAMED = {key.value for key in Keys} | {
    _character_to_key(chr(code)) for code in range(0x21, 0x7F) if not chr(code).isalnum()
}


@dataclass(frozen=True)
class Bound:
    """One thing that keys do where `where` has the focus. `keys` are as the program has them."""

    id: str
    keys: tuple[str, ...]
    what: str
    where: type[DOMNode]


@cache
def bindings() -> tuple[Bound, ...]:
    """Everything with a name in a keymap, also of screens that were not opened yet."""
    for module in pkgutil.walk_packages(dg.tui.__path__, "dg.tui."):
        if module.name != "dg.tui.gallery":
            importlib.import_module(module.name)
    found = (bound for kind in _kinds(DOMNode) for bound in _of(kind))
    return tuple(sorted(found, key=lambda bound: (bound.id, bound.where.__name__)))


def _kinds(kind: type[DOMNode]) -> Iterator[type[DOMNode]]:
    for each in kind.__subclasses__():
        if each.__module__.startswith("dg.tui.") and each.__module__ != "dg.tui.gallery":
            yield each
        yield from _kinds(each)


def _of(kind: type[DOMNode]) -> Iterator[Bound]:
    for binding in kind.__dict__.get("BINDINGS", ()):
        # One without a description only keeps keys from doing anything: nobody can mean it.
        if isinstance(binding, Binding) and binding.id and binding.description:
            yield Bound(binding.id, tuple(map(key, binding.key.split(","))), binding.description, kind)


def key(text: str) -> str:
    """A key as Textual calls it: of `?` that is `question_mark`. Raises Invalid for what is no key."""
    if len(text) == 1 and text.isprintable() and text != " ":
        return _character_to_key(text)
    *modifiers, last = text.split("+")
    known = last in _NAMED or (len(last) == 1 and last.isalnum() and bool(modifiers))
    if not known or not _MODIFIERS.issuperset(modifiers) or len(set(modifiers)) != len(modifiers):
        raise Invalid(
            f"`{plain(text, limit=40)}` is no key: write a character, or a name such as f2 or ctrl+d"
        )
    return text


def keymap(wanted: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """What Textual takes as a keymap, from names and their keys. Raises Invalid for what cannot be."""
    own = {bound.id: bound.keys for bound in bindings()}
    chosen: dict[str, tuple[str, ...]] = {}
    for name, given in wanted.items():
        if name not in own:
            near = difflib.get_close_matches(name[:60], own, n=1)
            way = f"did you mean {near[0]}?" if near else "`dg tui --keys` lists all"
            raise Invalid(f"nothing is called {plain(name, limit=60)} in a keymap: {way}")
        if (keys := _keys(name, given)) != own[name]:
            chosen[name] = keys
    for name in FIXED.keys() & chosen.keys():
        raise Invalid(f"{name} cannot have another key: {FIXED[name]}")
    _refuse_answers(chosen)
    _refuse_clashes(chosen)
    return {name: ",".join(keys) for name, keys in chosen.items()}


def _keys(name: str, keys: tuple[str, ...]) -> tuple[str, ...]:
    if not keys:
        raise Invalid(f"{name} has no key: name one, or leave the line out")
    try:
        return tuple(dict.fromkeys(map(key, keys)))
    except Invalid as wrong:
        raise Invalid(f"{name}: {wrong.message}") from None


def _refuse_answers(chosen: Mapping[str, tuple[str, ...]]) -> None:
    for bound in bindings():
        taken = ANSWERS.intersection(chosen.get(bound.id, ())) - set(bound.keys)
        if taken and issubclass(bound.where, App | Screen) and not issubclass(bound.where, ModalScreen):
            raise Invalid(f"{bound.id} cannot be {min(taken)}: that key answers questions; take another one")


def _refuse_clashes(chosen: Mapping[str, tuple[str, ...]]) -> None:
    for one, other in combinations(bindings(), 2):
        mine, theirs = chosen.get(one.id, one.keys), chosen.get(other.id, other.keys)
        changed = one.id in chosen or other.id in chosen
        if (
            one.id != other.id
            and changed
            and (both := set(mine) & set(theirs))
            and _meet(one.where, other.where)
        ):
            raise Invalid(
                f"{min(both)} would be both {one.id} ({one.what}) and {other.id} ({other.what}): "
                "give one of them another key"
            )


def _meet(one: type[DOMNode], other: type[DOMNode]) -> bool:
    """Whether the bindings of both can be active at the same time."""
    if issubclass(one, other) or issubclass(other, one):
        return True
    for screen, widget in ((one, other), (other, one)):
        only = ONLY_ON.get(widget.__name__, ())
        if only and _kind(screen) in ("screen", "modal") and not _leads_to(screen, only):
            return False
    kinds = {_kind(one), _kind(other)}
    # Behind a question or a sheet nothing of the screen below is heard; two screens, or two widgets that have
    # the focus, are never there at once.
    return len(kinds) == 2 and kinds != {"app", "modal"} and kinds != {"screen", "modal"}


def _leads_to(screen: type[DOMNode], names: tuple[str, ...]) -> bool:
    """Whether one of these is the screen, or is made of it."""
    return any(screen.__name__ == name for name in names) or any(
        _leads_to(each, names) for each in screen.__subclasses__()
    )


def _kind(where: type[DOMNode]) -> str:
    for name, kind in (("app", App), ("modal", ModalScreen), ("screen", Screen)):
        if issubclass(where, kind):
            return name
    return "widget"


def printed(chosen: Mapping[str, str]) -> list[dict[str, Any]]:
    """What there is, with the keys that `chosen` leaves it: one for each name."""
    rows = {
        bound.id: {
            "id": bound.id,
            "keys": chosen[bound.id].split(",") if bound.id in chosen else list(bound.keys),
            "does": bound.what,
            "where": bound.where.__name__,
        }
        for bound in bindings()
    }
    return list(rows.values())
