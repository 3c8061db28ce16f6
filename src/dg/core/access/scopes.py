"""What an API key may be for: its scopes, networks and name as they are asked for, checked field by field."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence

from dg.core.access import asked
from dg.core.access.models import Action, ApiKey, Grant, Scope
from dg.core.access.rights import Rights
from dg.core.errors import Invalid
from dg.core.text import plain
from dg.core.types import NAME_PATTERN, Environment

MOST = 50
"""Scopes, and networks, of one key."""

_NEVER = frozenset({Action.DEPLOYMENT_APPROVE, Action.DEPLOYMENT_REJECT, Action.DEPLOYMENT_OVERRIDE})
"""What only people do, whoever's role has it."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def scopes(rights: Rights, given: Iterable[Scope]) -> tuple[Scope, ...]:
    """Each scope once. Raises Invalid for one that there cannot be."""
    found = tuple(dict.fromkeys(_scope(rights, scope) for scope in given))
    if not 0 < len(found) <= MOST:
        raise Invalid(f"scopes: a key has 1 to {MOST} of them", field="scopes")
    return found


def _scope(rights: Rights, scope: Scope) -> Scope:
    if (scope.role is None) == (scope.action is None):
        raise Invalid("scopes: each names either a role or an action", field="scopes")
    if scope.role is not None and scope.role not in (roles := [role.name for role in rights.roles()]):
        raise Invalid(
            f"scopes: {plain(scope.role, limit=64)!r} is not a role; there are {', '.join(roles)}",
            field="scopes",
        )
    if scope.action is not None and asked.action(scope.action, "scopes") in _NEVER:
        raise Invalid(f"scopes: only people may {scope.action}, so no key does", field="scopes")
    if scope.service is not None and not re.fullmatch(NAME_PATTERN, scope.service):
        raise Invalid(
            f"scopes: {plain(scope.service, limit=64)!r} is not a service's name: "
            "lower case letters, digits and dashes",
            field="scopes",
        )
    return scope


def meaning(rights: Rights, scope: Scope) -> Grant:
    """What a scope gives by now: a role of one's own means what it says now."""
    if scope.role is None:
        return scope.grant()
    return scope.grant().model_copy(update={"actions": rights.actions(scope.role)})


def only_environment(scopes: Sequence[Scope]) -> Environment | None:
    """The one environment of all scopes; None when they are for several."""
    found = {scope.environment for scope in scopes}
    return found.pop() if len(found) == 1 else None


def where(key: ApiKey) -> dict[str, str | None]:
    """Where a fact about a key stands: within reach of those who may read the key."""
    environment, services = only_environment(key.scopes), {scope.service for scope in key.scopes}
    return {
        "environment": environment.value if environment else None,
        "service": services.pop() if len(services) == 1 else None,
    }


def networks(addresses: Iterable[str]) -> tuple[str, ...]:
    """Each network once, in its usual form. Raises Invalid with a hint."""
    found = tuple(dict.fromkeys(map(_network, addresses)))
    if len(found) > MOST:
        raise Invalid(f"addresses: a key has at most {MOST} of them", field="addresses")
    return found


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        hint = f"; did you mean {ipaddress.ip_network(text, strict=False)}?"
    except ValueError:
        hint = "; write one like 10.0.0.7, 10.0.0.0/8 or 2001:db8::/32"
    raise Invalid(f"addresses: {plain(text, limit=64)!r} is no network{hint}", field="addresses")


def is_inside(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address, if it is one, is in one of the networks; an IPv4 one may come in IPv6's clothes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    found = getattr(found, "ipv4_mapped", None) or found
    return any(found in network for network in networks)


def name_of(name: str) -> str:
    """What people call a key. Raises Invalid."""
    if not 0 < len(name.strip()) <= 100 or plain(name) != name:
        raise Invalid("name: 1 to 100 visible characters, so that people know whose key it is", field="name")
    return name.strip()
