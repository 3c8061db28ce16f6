"""How people are named in demands: `role:approver` for all with that role, `user:NAME` for one person."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from dg.core.access.models import ACTIONS, Action, Principal, Role
from dg.core.types import Environment

ROLE = "role:"
USER = "user:"
_ROLES = tuple(f"{ROLE}{role}" for role in Role if role in ACTIONS[Action.DEPLOYMENT_APPROVE])


def _role(name: str) -> str:
    if name not in _ROLES:
        raise ValueError(f"must be a role that may open gates: {', '.join(_ROLES)}")
    return name


def _person(name: str) -> str:
    if name.startswith(USER) and 0 < len(name.removeprefix(USER)) <= 200 and name.isprintable():
        return name
    if name in _ROLES:
        return name
    raise ValueError(f'must be "user:NAME" or a role that may open gates: {", ".join(_ROLES)}')


RoleName = Annotated[str, AfterValidator(_role)]
"""`role:admin`: one of the roles of `dg.core.access` that may open gates at all."""

PersonName = Annotated[str, AfterValidator(_person)]
"""`role:approver` or `user:NAME`, the name on a person's token."""


def means(name: str, principal: Principal, environment: Environment, service: str) -> bool:
    """True when `principal` is one whom `name` means in that lane."""
    if name.startswith(USER):
        return principal.name == name.removeprefix(USER)
    return any(
        grant.role == name.removeprefix(ROLE)
        and grant.environment in (None, environment)
        and grant.service in (None, service)
        for grant in principal.grants
    )


def spoken(names: Iterable[str], word: str = "or") -> str:
    """Those who are named, in words: `an approver, an admin or ana`."""
    said = [_spoken(name) for name in dict.fromkeys(names)]
    return f" {word} ".join(filter(None, (", ".join(said[:-1]), *said[-1:])))


def _spoken(name: str) -> str:
    if name.startswith(USER):
        return name.removeprefix(USER)
    role = name.removeprefix(ROLE)
    return f"{'an' if role[0] in 'aeio' else 'a'} {role}"
