"""The environments screen: what keys change of what the board shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from textual.binding import Binding, BindingType

from dg.tui.actions import Act
from dg.tui.environments.board import Board
from dg.tui.environments.offers import OF_PROBES, OFFERS, At
from dg.tui.frame import answers
from dg.tui.frame.confirm import Confirm
from dg.tui.frame.view import RIGHTS
from dg.tui.hints import hint
from dg.tui.offers import Offer, find

HINTS = {
    "edit": ("environments.edit", "edits"),
    "add": ("environments.add", "adds"),
    "restore": ("environments.restore", "restores"),
    "accept": ("environments.accept", "accepts"),
    "withdraw": ("environments.withdraw", "withdraws"),
    "unlock": ("act.unlock", "opens"),
    "try_probe": ("environments.try", "tries"),
    "pause": ("environments.pause", "rests"),
}
"""What the box with the cursor says of its keys, those that do something: their names, and what they do."""


class Environments(Board):
    """Environments at the left, the one under the cursor at the right."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("e", "edit", "Edit", id="environments.edit"),
        Binding("n", "add", "New", show=False, id="environments.add"),
        Binding("s", "secret", "Secret", show=False, id="environments.secret"),
        Binding("delete", "unset", "Take away", show=False, id="environments.unset"),
        Binding("v", "restore", "Restore", id="environments.restore"),
        Binding("A", "accept", "Accept drift", id="environments.accept"),
        Binding("W", "withdraw", "Withdraw", id="environments.withdraw"),
        Binding("b", "back_up", "Back up", id="environments.back-up"),
        Binding("T", "try_probe", "Try probe", show=False, id="environments.try"),
        Binding("P", "pause", "Let probe rest", show=False, id="environments.pause"),
    ]

    def subtitles(self) -> Mapping[str, str]:
        said = dict(super().subtitles())
        probes = self._probes.has_focus or self._at_health
        box, others = ("probes", frozenset[str]()) if probes else ("pages", OF_PROBES)
        keys = [
            hint(self, *said_of)
            for action, said_of in HINTS.items()
            if action not in others and self.check_action(action, ())
        ]
        if not said[box].startswith("✗"):
            said[box] = " · ".join((said[box], *keys))
        return said

    # What a key leads to

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        found = self._found(action)
        if found is None:
            # A lane is unlocked here as on the other screens.
            return (action in RIGHTS or action not in OFFERS) and super().check_action(action, parameters)
        if not self.dashboard.hands.allows(found[1]):
            return False
        return True if self.store.link.live else None

    def _found(self, action: str) -> tuple[Offer, Act] | None:
        """What the key does to what is under the cursor, None where it does nothing."""
        state = self.state
        kind, row = self.under_cursor(action)
        offer, at = find(OFFERS, action, kind), None if state is None else At(state, self.now)
        if offer is None or at is None or not offer.applies(at, row):
            return None
        return offer, offer.make(at, row)

    def under_cursor(self, action: str) -> tuple[str, Any]:
        """The kind of row that a key acts on, and the row: the name of its page, or what it is there."""
        if action in OF_PROBES or self._probes.has_focus or self._at_health:
            probe = self._probes.selected
            beats = probe is not None and probe.reading.kind == "heartbeat"
            return "heartbeats" if beats else "probes", probe
        page, row = self._pages.current, self._pages.table.selected
        if page == "config" and row is not None and row.secret is not None:
            return "secrets", row
        return (row.kind if page == "lanes" and row is not None else page), row

    def _do(self, action: str) -> bool:
        """Ask, or do it at once; False where there is nothing to do."""
        found = self._found(action)
        if found is None:
            return False
        offer, act = found
        if offer.at_once:
            answers.carry_out(self, act)
        else:
            self.app.push_screen(Confirm(act))
        return True

    # Keys

    def action_edit(self) -> None:
        self._do("edit")

    def action_add(self) -> None:
        self._do("add")

    def action_secret(self) -> None:
        self._do("secret")

    def action_unset(self) -> None:
        self._do("unset")

    def action_restore(self) -> None:
        self._do("restore")

    def action_accept(self) -> None:
        self._do("accept")

    def action_withdraw(self) -> None:
        self._do("withdraw")

    def action_back_up(self) -> None:
        self._do("back_up")

    def action_try_probe(self) -> None:
        self._do("try_probe")

    def action_pause(self) -> None:
        self._do("pause")

    def action_unlock(self) -> None:
        """A lane as on the other screens; of a row that is a freeze or a block, that."""
        if not self._do("unlock"):
            super().action_unlock()

    def action_block(self) -> None:
        self._do("block")
