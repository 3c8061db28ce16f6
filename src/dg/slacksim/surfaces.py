"""The modals that are open and the homes that were published."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dg.slacksim.blockkit import with_ids
from dg.slacksim.blockkit.blocks import elements_of
from dg.slacksim.bounded import Bounded
from dg.slacksim.errors import SlackError

MOST_STACKED = 3
MOST_VIEWS = 200

Json = dict[str, Any]


@dataclass
class View:
    """A modal or a home, with what its person has entered."""

    id: str
    user: str
    content: Json
    root: str
    hash: str = ""
    previous: str | None = None
    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    """By block and action, in the form of the payload's `state`."""

    errors: dict[str, str] = field(default_factory=dict)
    """By block: why the app did not take what was submitted."""


class Views:
    """By person a stack of modals, and one home."""

    def __init__(self, new_id: Callable[[], str], owner: Json) -> None:
        self._new_id = new_id
        self._owner = owner
        self._views: Bounded[str, View] = Bounded(MOST_VIEWS)
        self._stacks: Bounded[str, list[str]] = Bounded(MOST_VIEWS)
        self._homes: Bounded[str, View] = Bounded(MOST_VIEWS)

    def find(self, id_: str) -> View | None:
        return self._views.get(id_) or next((home for home in self._homes.values() if home.id == id_), None)

    def by_external_id(self, external: str) -> View | None:
        return next(
            (each for each in self._views.values() if each.content.get("external_id") == external), None
        )

    def home(self, user: str) -> View | None:
        return self._homes.get(user)

    def stack(self, user: str) -> list[View]:
        """The open modals of a person, the one on top last."""
        return [self._views[each] for each in self._stacks.get(user, []) if each in self._views]

    def top(self, user: str) -> View | None:
        """The modal that a person sees."""
        return next(reversed(self.stack(user)), None)

    def open(self, user: str, content: Json) -> View:
        """Show a modal in the place of all that were open."""
        self.clear(user)
        return self._put_on_top(user, content)

    def push(self, user: str, content: Json) -> View:
        """Show a modal over the others. Raises SlackError when three are open."""
        if len(self.stack(user)) >= MOST_STACKED:
            raise SlackError("push_limit_reached")
        return self._put_on_top(user, content)

    def _put_on_top(self, user: str, content: Json) -> View:
        self._external_id_is_free(content, None)
        below = self.stack(user)
        id_ = f"V0{self._new_id()}"
        view = View(id_, user, {}, below[0].id if below else id_)
        view.previous = below[-1].id if below else None
        self._fill(view, content)
        self._views[view.id] = view
        self._stacks[user] = [*(each.id for each in below), view.id]
        return view

    def update(self, view: View, content: Json, hash_: str | None = None) -> View:
        """Show other content in an open view. Raises SlackError when it changed since `hash_`."""
        if hash_ is not None and hash_ != view.hash:
            raise SlackError("hash_conflict")
        self._external_id_is_free(content, view)
        self._fill(view, content)
        return view

    def publish(self, user: str, content: Json, hash_: str | None = None) -> View:
        """Give a person a home. Raises SlackError when theirs changed since `hash_`."""
        home = self._homes.get(user)
        if home is None:
            id_ = f"V0{self._new_id()}"
            home = View(id_, user, {}, id_)
        self.update(home, content, hash_)
        self._homes[user] = home
        return home

    def close(self, view: View) -> None:
        """Take the modal on top away."""
        self._views.pop(view.id, None)
        self._stacks[view.user] = [each.id for each in self.stack(view.user)]

    def clear(self, user: str) -> list[View]:
        """Take all modals of a person away; gives those that were open."""
        gone = self.stack(user)
        for view in gone:
            self._views.pop(view.id, None)
        self._stacks.pop(user, None)
        return gone

    def as_json(self, view: View) -> Json:
        """A view as the Web API and payloads show it."""
        return {
            "private_metadata": "",
            "callback_id": "",
            "external_id": "",
            "title": None,
            "submit": None,
            "close": None,
            "clear_on_close": False,
            "notify_on_close": False,
            **view.content,
            "id": view.id,
            "hash": view.hash,
            "root_view_id": view.root,
            "previous_view_id": view.previous,
            "state": {"values": view.values},
            **self._owner,
        }

    def _fill(self, view: View, content: Json) -> None:
        blocks = with_ids(content["blocks"], self._new_id)
        view.content = {**content, "blocks": blocks}
        view.hash = secrets.token_hex(8)
        view.errors = {}
        kept = {(each["block_id"], action) for each in blocks for action in _actions(each)}
        view.values = {
            block: {action: value for action, value in actions.items() if (block, action) in kept}
            for block, actions in view.values.items()
            if any((block, action) in kept for action in actions)
        }

    def _external_id_is_free(self, content: Json, own: View | None) -> None:
        external = content.get("external_id")
        if external and self.by_external_id(external) not in (None, own):
            raise SlackError("duplicate_external_id")


def _actions(block: Json) -> set[str]:
    return {element["action_id"] for _, element in elements_of(block)}
