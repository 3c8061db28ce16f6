"""What callers ask for when they give or make rights, checked field by field."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from dg.core.access.models import GIVEN, Action, Grant, Role
from dg.core.access.rights import Rights
from dg.core.errors import Invalid
from dg.core.text import plain
from dg.core.types import NAME_PATTERN, Environment
from dg.settings.units import format_duration

LONGEST_DESCRIPTION = 500
SUBJECT_PATTERN = (
    r"^([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|clerk:user_[A-Za-z0-9]{1,100}"
    r"|clerk-role:[a-z0-9_:-]{1,100}|slack-group:S[A-Z0-9]{1,30})$"
)
SUBJECTS = "the id of a token, a key or a person, clerk:user_..., clerk-role:NAME or slack-group:S..."


def grant(rights: Rights, role: str, environment: str | None, service: str | None) -> Grant:
    """The grant of a role that there is, for a place. Raises Invalid naming the field."""
    if role not in {known.name for known in rights.roles()}:
        raise Invalid(
            f"role: {plain(str(role), limit=64)!r} is not one of "
            f"{', '.join(known.name for known in rights.roles())}",
            field="role",
        )
    return Grant(
        role=role,
        actions=rights.actions(role),
        environment=_environment(environment),
        service=_service(service),
    )


def _environment(name: str | None) -> Environment | None:
    if name is not None and name not in set(Environment):
        raise Invalid(
            f"environment: {plain(str(name), limit=64)!r} is not one of {', '.join(Environment)}",
            field="environment",
        )
    return Environment(name) if name is not None else None


def _service(name: str | None) -> str | None:
    if name is not None and not re.fullmatch(NAME_PATTERN, name):
        raise Invalid(
            f"service: {plain(name, limit=64)!r} is not a service's name: "
            "lower case letters, digits and dashes",
            field="service",
        )
    return name


def lifetime(ttl: float, longest: float, what: str, setting: str) -> int:
    """The whole seconds that `what` ("a token") is to last. Raises Invalid, naming its bound, a `setting`."""
    if not (math.isfinite(ttl) and 1 <= ttl <= longest):
        given = format_duration(ttl) if math.isfinite(ttl) and ttl >= 0 else f"{ttl:g}s"
        raise Invalid(
            f"ttl: {what} lasts from 1s to {format_duration(longest)} ({setting}), not {given}", field="ttl"
        )
    return int(ttl)


def place(environment: str | None, service: str | None) -> tuple[Environment | None, str | None]:
    """Where something is asked about. Raises Invalid naming the field."""
    return _environment(environment), _service(service)


def action(name: str, field: str = "action") -> Action:
    """The action of that name. Raises Invalid naming those that are like it."""
    if name in set(Action):
        return Action(name)
    noun = name.partition(":")[0]
    nouns = dict.fromkeys(f"{each.partition(':')[0]}:..." for each in Action)
    like = [each.value for each in Action if each.partition(":")[0] == noun] or list(nouns)
    raise Invalid(
        f"{field}: {plain(name, limit=64)!r} is no action; there are {', '.join(like)}", field=field
    )


def actions(names: Iterable[str], field: str = "actions") -> tuple[Action, ...]:
    """Actions in order, each once. Raises Invalid naming the one that there is not."""
    found: set[Action] = {action(name, field) for name in names}
    return tuple(sorted(found))


def new_role(name: str) -> str:
    """A name for a role of one's own. Raises Invalid."""
    if not re.fullmatch(NAME_PATTERN, name):
        raise Invalid(
            f"name: {plain(name, limit=64)!r} is not a role's name: lower case letters, digits and dashes, "
            "and a letter first",
            field="name",
        )
    # Commands let a given role be shortened, and must not give another one than was written.
    if taken := [given for given in GIVEN if given.startswith(name)]:
        raise Invalid(f"name: {name} stands for the role {taken[0]}, which is given", field="name")
    return name


def description(text: str) -> str:
    """What people read for a role. Raises Invalid for what is not one line."""
    if len(text) > LONGEST_DESCRIPTION or plain(text) != text:
        raise Invalid(
            f"description: one line of at most {LONGEST_DESCRIPTION} visible characters", field="description"
        )
    return text.strip()


def subject(text: str) -> str:
    """Whom a role can be bound to. Raises Invalid."""
    if not re.fullmatch(SUBJECT_PATTERN, text):
        raise Invalid(f"subject: {plain(text, limit=64)!r} is not {SUBJECTS}", field="subject")
    return text


def is_group(subject: str) -> bool:
    """Whether a subject stands for all who come with it, not for one by themselves."""
    return subject.startswith(("clerk-role:", "slack-group:"))


def is_admin(grant: Grant) -> bool:
    """Whether it makes an administrator of everything."""
    return grant.role == Role.ADMIN and grant.environment is None and grant.service is None
