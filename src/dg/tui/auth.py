"""What the person at the dashboard may do: keys of what is forbidden are not shown; the server decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dg.core.access.models import Principal

Right = tuple[str, str | None, str | None]
"""An action such as `deployment:create`, in an environment and for a service, or in all of them (None)."""


@dataclass(frozen=True)
class Rights:
    """Who is signed in, and what their roles give. Nobody signed in may nothing."""

    name: str = ""
    role: str = ""
    rights: frozenset[Right] = frozenset()

    def may(self, action: str, environment: str | None = None, service: str | None = None) -> bool:
        """Whether some grant gives the action there; a narrow grant does not reach what has no place."""
        places = ((None, None), (environment, None), (None, service), (environment, service))
        return any((action, *place) in self.rights for place in places)

    def may_in(self, action: str, environment: str) -> bool:
        """Whether some grant gives the action in this environment, for one service at least."""
        return any(right[0] == action and right[1] in (None, environment) for right in self.rights)

    def hides(self, action: str) -> bool:
        """Whether it is known who is signed in, and that they may not read this anywhere."""
        return bool(self.name) and not self.may_anywhere(action)

    def may_anywhere(self, action: str) -> bool:
        """Whether there is any place where the action is allowed."""
        return any(right[0] == action for right in self.rights)


def rights_of(principal: Principal) -> Rights:
    """The rights of who is signed in."""
    found = {
        (str(action), grant.environment.value if grant.environment else None, grant.service)
        for grant in principal.grants
        for action in grant.actions
    }
    roles = dict.fromkeys(grant.role for grant in principal.grants)
    return Rights(principal.name, ", ".join(roles), frozenset(found))
